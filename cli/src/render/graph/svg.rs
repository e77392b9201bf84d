//! A picture as SVG: one file, no scripts, no fonts of its own, the same bytes for the same plan.

use std::fmt::Write;

use super::layout::{CHAR, HEAD, LONGEST, Layout, MARGIN, ROW, number};
use super::{Arrow, Card, Picture, Place, Row, STATES, State};

const LEGEND: f64 = 34.0;
/// Between two ways around cards.
const LANE: f64 = 5.0;
/// So many ways are told apart; further ones share the last.
const LANES: usize = 8;
const FONT: &str = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace";

/// The whole file.
pub(crate) fn document(picture: &Picture, title: &str) -> String {
    let above = MARGIN + if picture.has_states { LEGEND } else { 0.0 };
    // Where cards stand does not depend on how far below the legend they begin.
    let lanes = lanes(picture, &Layout::of(picture, above));
    let top = above + number(lanes.len().min(LANES)) * LANE;
    let layout = Layout::of(picture, top);
    let least = if picture.has_states { 560.0 } else { 200.0 };
    let (width, height) = (layout.width.max(least), layout.height);
    let mut out = String::new();
    put(
        &mut out,
        format_args!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" \
         viewBox=\"0 0 {width:.0} {height:.0}\" font-family=\"{FONT}\" font-size=\"12\" role=\"img\">\n\
         <title>{}</title>\n\
         <defs><marker id=\"tip\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"7\" markerHeight=\"7\" \
         orient=\"auto\"><path d=\"M0 0L8 4L0 8z\" fill=\"#8c959f\"/></marker></defs>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n",
            escaped(title)
        ),
    );
    if picture.has_states {
        legend(&mut out, picture);
    }
    // Arrows first: where one has to pass behind a card, the card stays readable.
    for arrow in &picture.arrows {
        match lanes.iter().position(|from| *from == arrow.from && layout.is_blocked(from.card, arrow.to.card)) {
            Some(lane) => around(&mut out, &layout, *arrow, (above, lane.min(LANES - 1))),
            None => self::arrow(&mut out, &layout, *arrow),
        }
    }
    for (card, frame) in picture.cards.iter().zip(&layout.frames) {
        put(&mut out, format_args!("<g transform=\"translate({:.1} {:.1})\">\n", frame.x, frame.y));
        self::card(&mut out, card, frame.width, frame.height);
        out.push_str("</g>\n");
    }
    out.push_str("</svg>\n");
    out
}

/// Writing to a text cannot fail.
fn put(out: &mut String, text: std::fmt::Arguments<'_>) {
    let _ = out.write_fmt(text);
}

fn legend(out: &mut String, picture: &Picture) {
    let mut x = MARGIN;
    for state in STATES {
        let of = |card: &Card| card.rows.iter().filter(|row| row.state == state).count();
        let count: usize = picture.cards.iter().map(of).sum();
        let (paper, ink) = state.colors();
        let text = format!("{} {count} {}", state.mark(), state.name());
        let width = number(text.chars().count()) * CHAR + 18.0;
        put(
            out,
            format_args!(
                "<rect x=\"{x:.1}\" y=\"{MARGIN}\" width=\"{width:.1}\" height=\"22\" rx=\"11\" fill=\"{paper}\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" fill=\"{ink}\">{}</text>\n",
                x + 9.0,
                MARGIN + 15.0,
                escaped(&text)
            ),
        );
        x += width + 10.0;
    }
}

/// The rows whose arrows have to go around cards.
fn lanes(picture: &Picture, layout: &Layout) -> Vec<Place> {
    let blocked = picture.arrows.iter().filter(|arrow| layout.is_blocked(arrow.from.card, arrow.to.card));
    let mut lanes: Vec<Place> = blocked.map(|arrow| arrow.from).collect();
    lanes.dedup();
    lanes
}

/// Up beside the column of `from`, along above all cards, and down beside the column of `to`: nowhere behind a card.
/// Arrows from one row share their way.
fn around(out: &mut String, layout: &Layout, arrow: Arrow, (above, lane): (f64, usize)) {
    let (Some((_, from)), Some((to, _))) = (layout.edges(arrow.from), layout.edges(arrow.to)) else { return };
    // A continued column leaves little room beside it.
    let aside = 9.0 + number(lane % 4) * 3.0;
    let (up, down) = (layout.right_of_column(arrow.from.card) + aside, to.0 - aside);
    let along = above + number(lane) * LANE - 3.0;
    put(
        out,
        format_args!(
            "<path d=\"M{:.1} {:.1}H{up:.1}V{along:.1}H{down:.1}V{:.1}H{:.1}\" fill=\"none\" stroke=\"#8c959f\" \
         stroke-width=\"1.4\" stroke-linejoin=\"round\" marker-end=\"url(#tip)\"/>\n",
            from.0,
            from.1,
            to.1,
            to.0 - 1.0
        ),
    );
}

fn arrow(out: &mut String, layout: &Layout, arrow: Arrow) {
    let (Some((_, from)), Some((to, _))) = (layout.edges(arrow.from), layout.edges(arrow.to)) else { return };
    let bend = ((to.0 - from.0) / 2.0).clamp(30.0, 120.0);
    put(
        out,
        format_args!(
            "<path d=\"M{:.1} {:.1}C{:.1} {:.1} {:.1} {:.1} {:.1} {:.1}\" fill=\"none\" stroke=\"#8c959f\" \
         stroke-width=\"1.4\" marker-end=\"url(#tip)\"/>\n",
            from.0,
            from.1,
            from.0 + bend,
            from.1,
            to.0 - bend,
            to.1,
            to.0 - 1.0,
            to.1
        ),
    );
}

fn card(out: &mut String, card: &Card, width: f64, height: f64) {
    put(
        out,
        format_args!(
            "<rect width=\"{width:.1}\" height=\"{height:.1}\" rx=\"6\" fill=\"#ffffff\" stroke=\"#8c959f\"/>\
         <text x=\"12\" y=\"20\" font-weight=\"bold\" fill=\"#24292f\">{}</text>\
         <text x=\"{:.1}\" y=\"20\" text-anchor=\"end\" fill=\"#57606a\">{}</text>\n",
            escaped(&cut(&card.title)),
            width - 12.0,
            escaped(&cut(&card.about))
        ),
    );
    for (index, row) in card.rows.iter().enumerate() {
        self::row(out, row, HEAD + ROW * number(index), width);
    }
}

fn row(out: &mut String, row: &Row, y: f64, width: f64) {
    let (paper, ink) = row.state.colors();
    let mark = if row.state == State::Unknown { "" } else { row.state.mark() };
    let tooltip = match (row.state, row.why.as_str()) {
        (State::Unknown, _) => row.text.clone(),
        (state, "") => format!("{}: {}", row.text, state.name()),
        (state, why) => format!("{}: {}, {why}", row.text, state.name()),
    };
    put(
        out,
        format_args!(
            "<g><title>{}</title><rect x=\"4\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" rx=\"3\" fill=\"{paper}\"/>\
         <text x=\"12\" y=\"{:.1}\" fill=\"{ink}\" xml:space=\"preserve\">{mark:1} {}</text></g>\n",
            escaped(&tooltip),
            y + 1.0,
            width - 8.0,
            ROW - 2.0,
            y + 15.0,
            escaped(&cut(&row.text))
        ),
    );
}

fn cut(text: &str) -> String {
    if text.chars().count() <= LONGEST {
        return text.to_owned();
    }
    text.chars().take(LONGEST - 1).chain(['…']).collect()
}

/// For text and attributes; characters that XML cannot hold are dropped.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push(' '),
            c => out.push(c),
        }
    }
    out
}
