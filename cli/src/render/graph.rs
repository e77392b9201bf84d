//! A plan as a picture: what stands in it, apart from how it is drawn.
//!
//! An image is a *card*: its rows are its source and steps from top to bottom, then the artifacts made of it alone. An
//! artifact of several images is a card of its own. Arrows run between rows of different cards; that a step follows the
//! one above it needs no arrow.

use std::collections::BTreeMap;

use imgc_engine::{Forecast, Selection, Standing};
use imgc_plan::{NodeId, Plan, Work};

pub(crate) mod layout;
pub(crate) mod svg;
pub(crate) mod text;

/// A plan as it is drawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Picture {
    /// Images in order of their addresses, then artifacts of several in the order of the plan.
    pub(crate) cards: Vec<Card>,
    /// Sorted, without repetition.
    pub(crate) arrows: Vec<Arrow>,
    /// Whether the rows know where they stand.
    pub(crate) has_states: bool,
}

/// An image with what is made of it, or an artifact of several images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Card {
    /// The image's address, or the output's name.
    pub(crate) title: String,
    /// The platform and the image it continues, or the kind of artifact.
    pub(crate) about: String,
    /// Never empty.
    pub(crate) rows: Vec<Row>,
}

/// A node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) node: NodeId,
    /// Its address without the card's.
    pub(crate) text: String,
    pub(crate) state: State,
    /// Why it runs, in one line; empty where there is nothing to say.
    pub(crate) why: String,
    /// The nodes it needs.
    pub(crate) above: Vec<NodeId>,
}

/// Where a node stands, as a colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum State {
    /// Nobody asked the store.
    Unknown,
    Cached,
    New,
    Changed,
    Pending,
}

/// All states with something to tell, in the order of a legend.
pub(crate) const STATES: [State; 4] = [State::Cached, State::New, State::Changed, State::Pending];

impl State {
    fn of(standing: &Standing) -> Self {
        match standing {
            Standing::Cached | Standing::Unneeded => Self::Cached,
            Standing::New | Standing::Pending { new: true, .. } => Self::New,
            Standing::Changed { .. } | Standing::Follows { .. } => Self::Changed,
            Standing::Pending { new: false, .. } => Self::Pending,
        }
    }

    /// The mark that `imgc plan` prints.
    pub(crate) fn mark(self) -> &'static str {
        match self {
            Self::Unknown => "·",
            Self::Cached => "=",
            Self::New => "+",
            Self::Changed => "~",
            Self::Pending => "?",
        }
    }

    /// In words, also in JSON.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Cached => "cached",
            Self::New => "new",
            Self::Changed => "changed",
            Self::Pending => "pending",
        }
    }

    /// Background and ink. Light and dark enough for text of normal size (contrast above 4.5), and told apart in grey
    /// by the mark.
    pub(crate) fn colors(self) -> (&'static str, &'static str) {
        match self {
            Self::Unknown => ("#f6f8fa", "#24292f"),
            Self::Cached => ("#eef0f2", "#57606a"),
            Self::New => ("#dafbe1", "#116329"),
            Self::Changed => ("#fff1c2", "#7a4100"),
            Self::Pending => ("#ddf4ff", "#0a4a8f"),
        }
    }
}

/// One node needs another of another card.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Arrow {
    pub(crate) from: Place,
    pub(crate) to: Place,
}

/// A row of a card.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) card: usize,
    pub(crate) row: usize,
}

/// The picture of the selected nodes; with their states where there is a forecast.
pub(crate) fn picture(plan: &Plan, selection: &Selection, forecast: Option<&Forecast>) -> Picture {
    let states: BTreeMap<NodeId, &Standing> =
        forecast.iter().flat_map(|forecast| &forecast.nodes).map(|node| (node.node, &node.standing)).collect();
    let row = |id: NodeId, below: &str| Row {
        node: id,
        text: row_text(plan, id, below),
        state: states.get(&id).map_or(State::Unknown, |standing| State::of(standing)),
        why: states.get(&id).map(|standing| why(plan, standing)).unwrap_or_default(),
        above: plan.parents(id).into_iter().filter(|parent| selection.nodes.contains(parent)).collect(),
    };
    let mut cards = Vec::new();
    // Which card a node stands in.
    let mut homes: BTreeMap<NodeId, usize> = BTreeMap::new();
    for image in &plan.images {
        let ids = image.nodes.iter().copied().filter(|id| selection.nodes.contains(id));
        let rows: Vec<Row> = ids.map(|id| row(id, &image.address.0)).collect();
        if !rows.is_empty() {
            homes.extend(rows.iter().map(|row| (row.node, cards.len())));
            let from = image.from.as_ref().map(|from| format!("from {from}, ")).unwrap_or_default();
            cards.push(Card { title: image.address.to_string(), about: format!("{from}{}", image.platform), rows });
        }
    }
    for id in selection.nodes.iter().copied() {
        let node = plan.node(id);
        if let Work::Artifact(_) = node.work {
            let target = selection.targets.iter().find(|target| target.node == id);
            let file = target.and_then(|target| target.file.clone()).unwrap_or_else(|| node.address.to_string());
            let mut row = row(id, "");
            row.text = format!("→ {file} ({})", node.kind);
            let home = only(plan.parents(id).iter().map(|parent| homes.get(parent).copied()));
            if let Some(card) = home.and_then(|home| cards.get_mut(home)) {
                card.rows.push(row);
            } else {
                let title = target.map_or_else(|| node.address.to_string(), |target| target.name.clone());
                cards.push(Card { title, about: node.kind.to_string(), rows: vec![row] });
            }
            homes.insert(id, home.unwrap_or(cards.len() - 1));
        }
    }
    let arrows = arrows(&cards);
    Picture { cards, arrows, has_states: forecast.is_some() }
}

/// The one value that all have; none where they differ or one is missing.
fn only(mut values: impl Iterator<Item = Option<usize>>) -> Option<usize> {
    let first = values.next()??;
    values.all(|value| value == Some(first)).then_some(first)
}

fn row_text(plan: &Plan, id: NodeId, below: &str) -> String {
    let node = plan.node(id);
    let address = node.address.0.as_str();
    let short = address.strip_prefix(below).map_or(address, |rest| rest.trim_start_matches('/'));
    match &node.work {
        Work::Source(source) => {
            let locked = source.locked.as_ref().map(|locked| format!(" {}", locked.name)).unwrap_or_default();
            format!("{}{locked}", node.kind)
        }
        Work::Step(_) | Work::Artifact(_) => short.to_owned(),
    }
}

/// Why a node runs; the address of what it waits for stands in it.
pub(crate) fn why(plan: &Plan, standing: &Standing) -> String {
    match standing {
        Standing::Cached | Standing::Unneeded | Standing::New => String::new(),
        Standing::Changed { cause, .. } => cause.to_string(),
        Standing::Pending { below, .. } => format!("depends on what {} leaves", plan.node(*below).address),
        Standing::Follows { below } => format!("follows {}", plan.node(*below).address),
    }
}

fn arrows(cards: &[Card]) -> Vec<Arrow> {
    let mut places = BTreeMap::new();
    for (card, shown) in cards.iter().enumerate() {
        for (row, shown) in shown.rows.iter().enumerate() {
            places.insert(shown.node, Place { card, row });
        }
    }
    let mut arrows = Vec::new();
    for (card, shown) in cards.iter().enumerate() {
        for (row, shown) in shown.rows.iter().enumerate() {
            let to = Place { card, row };
            let from = shown.above.iter().filter_map(|above| places.get(above).copied());
            arrows.extend(from.filter(|from| from.card != card).map(|from| Arrow { from, to }));
        }
    }
    arrows.sort();
    arrows.dedup();
    arrows
}
