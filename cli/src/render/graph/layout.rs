//! Where the cards of a picture stand: columns from left to right, each card to the right of what it needs.
//!
//! General graph layouts take all nodes to be of one size and put order into many crossing edges; a plan has few edges
//! between cards that are from one to a hundred rows tall. So a card's column is its distance from the sources, cards of
//! a column stand in the order of what they need, and a column that gets too tall is continued beside itself.

use super::{Picture, Place};

/// All in pixels.
pub(crate) const ROW: f64 = 22.0;
pub(crate) const HEAD: f64 = 30.0;
pub(crate) const CHAR: f64 = 7.25;
pub(crate) const MARGIN: f64 = 24.0;
/// Longer texts are cut; their whole is in the tooltip.
pub(crate) const LONGEST: usize = 46;
const FOOT: f64 = 6.0;
const GAP_Y: f64 = 22.0;
const GAP_X: f64 = 90.0;
const GAP_CONTINUED: f64 = 24.0;
const NARROWEST: f64 = 150.0;

/// A card's place, in pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Frame {
    pub(crate) x: f64,
    pub(crate) y: f64,
    pub(crate) width: f64,
    pub(crate) height: f64,
}

/// Where everything stands.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Layout {
    /// One for each card.
    pub(crate) frames: Vec<Frame>,
    pub(crate) width: f64,
    pub(crate) height: f64,
}

impl Layout {
    /// Puts the cards in place below `top`.
    pub(crate) fn of(picture: &Picture, top: f64) -> Self {
        let sizes: Vec<(f64, f64)> = (0..picture.cards.len()).map(|card| size(picture, card)).collect();
        let columns = columns(picture);
        let tallest = tallest(&sizes);
        let mut frames = vec![Frame { x: 0.0, y: 0.0, width: 0.0, height: 0.0 }; picture.cards.len()];
        let mut x = MARGIN;
        for mut column in columns {
            column.sort_by(|a, b| wanted(picture, &frames, *a).total_cmp(&wanted(picture, &frames, *b)));
            x = stack(&column, &sizes, &mut frames, (x, top), tallest) + GAP_X;
        }
        let right = frames.iter().map(|f| f.x + f.width).fold(0.0, f64::max);
        let bottom = frames.iter().map(|f| f.y + f.height).fold(top, f64::max);
        Self { frames, width: right + MARGIN, height: bottom + MARGIN }
    }

    /// Whether a card stands between the columns of two others, or they stand in one: an arrow straight from one to the
    /// other would pass behind cards, and seem to come out of them.
    pub(crate) fn is_blocked(&self, from: usize, to: usize) -> bool {
        let (Some(from), Some(to)) = (self.frames.get(from), self.frames.get(to)) else { return false };
        to.x <= from.x || self.frames.iter().any(|frame| frame.x > from.x && frame.x < to.x)
    }

    /// Right of all cards that stand in the column of this one.
    pub(crate) fn right_of_column(&self, card: usize) -> f64 {
        let Some(own) = self.frames.get(card) else { return 0.0 };
        let column = self.frames.iter().filter(|frame| (frame.x - own.x).abs() < 0.5);
        column.map(|frame| frame.x + frame.width).fold(0.0, f64::max)
    }

    /// The middle of a row's left and right edge.
    pub(crate) fn edges(&self, place: Place) -> Option<((f64, f64), (f64, f64))> {
        let frame = self.frames.get(place.card)?;
        let y = frame.y + HEAD + ROW * (number(place.row) + 0.5);
        Some(((frame.x, y), (frame.x + frame.width, y)))
    }
}

/// Exact for every count that a picture can have.
pub(crate) fn number(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::MAX, f64::from)
}

fn size(picture: &Picture, card: usize) -> (f64, f64) {
    let Some(card) = picture.cards.get(card) else { return (0.0, 0.0) };
    let chars = |text: &str| text.chars().count().min(LONGEST);
    let head = chars(&card.title) + 2 + chars(&card.about);
    let rows = card.rows.iter().map(|row| chars(&row.text) + 3).max().unwrap_or_default();
    let width = number(head.max(rows)) * CHAR + 24.0;
    (width.max(NARROWEST), HEAD + ROW * number(card.rows.len()) + FOOT)
}

/// The cards by their longest way from a card that needs none.
fn columns(picture: &Picture) -> Vec<Vec<usize>> {
    let mut rank = vec![0_usize; picture.cards.len()];
    // Cards are few and shallow; each round settles at least one more column, and a plan has no cycles of nodes. Cards
    // may need each other both ways (a step of each takes a file of the other), so rounds are limited.
    for _ in 0..picture.cards.len().min(64) {
        let mut settled = true;
        for arrow in &picture.arrows {
            let least = rank.get(arrow.from.card).map_or(0, |rank| rank + 1);
            if let Some(rank) = rank.get_mut(arrow.to.card)
                && *rank < least
            {
                *rank = least;
                settled = false;
            }
        }
        if settled {
            break;
        }
    }
    let mut used: Vec<usize> = rank.clone();
    used.sort_unstable();
    used.dedup();
    used.into_iter().map(|r| (0..rank.len()).filter(|card| rank.get(*card) == Some(&r)).collect()).collect()
}

/// How tall a column may get: what makes the whole about as wide as tall, but never less than its tallest card.
fn tallest(sizes: &[(f64, f64)]) -> f64 {
    let area: f64 = sizes.iter().map(|(width, height)| (width + GAP_X) * (height + GAP_Y)).sum();
    sizes.iter().map(|(_, height)| *height).fold(area.sqrt().max(420.0), f64::max)
}

/// The mean height of what a card needs. Of cards that need nothing, those that others need stand last, next to them.
fn wanted(picture: &Picture, frames: &[Frame], card: usize) -> f64 {
    let above: Vec<f64> = picture
        .arrows
        .iter()
        .filter(|arrow| arrow.to.card == card)
        .filter_map(|arrow| frames.get(arrow.from.card).map(|f| f.y + HEAD + ROW * number(arrow.from.row)))
        .collect();
    if above.is_empty() {
        return if picture.arrows.iter().any(|arrow| arrow.from.card == card) { 0.0 } else { -1.0 };
    }
    above.iter().sum::<f64>() / number(above.len())
}

/// Stacks cards from `(x, top)` down; the right edge of the widest.
fn stack(column: &[usize], sizes: &[(f64, f64)], frames: &mut [Frame], at: (f64, f64), tallest: f64) -> f64 {
    let (mut x, top) = at;
    let (mut y, mut right) = (top, x);
    for &card in column {
        let (Some(&(width, height)), Some(frame)) = (sizes.get(card), frames.get_mut(card)) else { continue };
        if y > top && y + height > top + tallest {
            (x, y) = (right + GAP_CONTINUED, top);
        }
        *frame = Frame { x, y, width, height };
        y += height + GAP_Y;
        right = right.max(x + width);
    }
    right
}
