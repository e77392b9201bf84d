//! When a run is expected to end: one live line below the others.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use imgc_backend::Event;
use imgc_engine::Estimate;
use imgc_plan::NodeId;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::text::duration;

/// What is left of a run.
pub(crate) struct Outlook {
    estimate: Estimate,
    done: BTreeSet<NodeId>,
    running: BTreeMap<NodeId, Instant>,
    bar: Option<ProgressBar>,
    /// When all will be done, as far as that is known; the line counts down to it by itself.
    end: Arc<Mutex<Option<Instant>>>,
}

impl Outlook {
    /// An outlook that shows a line among the live ones, where there are any.
    pub(crate) fn new(estimate: Estimate, live: Option<&MultiProgress>) -> Self {
        let end = Arc::default();
        let bar = live.filter(|_| estimate.total().is_some()).map(|live| {
            let bar = live.add(ProgressBar::new(estimate.count()));
            if let Some(style) = style(&end) {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(500));
            bar
        });
        let mut outlook = Self { estimate, done: BTreeSet::new(), running: BTreeMap::new(), bar, end };
        outlook.look();
        outlook
    }

    /// How long a node is expected to take.
    pub(crate) fn expected(&self, node: NodeId) -> Option<Duration> {
        self.estimate.of(node)
    }

    /// Takes note of what happened.
    pub(crate) fn receive(&mut self, event: &Event) {
        match event {
            Event::Started { node, .. } => drop(self.running.insert(*node, Instant::now())),
            Event::Cached { node, .. } | Event::Finished { node, .. } | Event::Failed { node, .. } => {
                self.running.remove(node);
                self.done.insert(*node);
            }
            Event::Output { .. } | Event::Note { .. } => return,
        }
        self.look();
    }

    /// Takes the line away.
    pub(crate) fn finish(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }

    fn look(&mut self) {
        let Some(bar) = &self.bar else { return };
        let running = self.running.iter().map(|(node, since)| (*node, since.elapsed())).collect();
        let left = self.estimate.left(&self.done, &running);
        *self.end.lock().unwrap_or_else(PoisonError::into_inner) = left.map(|left| Instant::now() + left);
        bar.set_position(self.estimate.count_of(&self.done));
    }
}

fn style(end: &Arc<Mutex<Option<Instant>>>) -> Option<ProgressStyle> {
    let end = end.clone();
    let left = move |_: &indicatif::ProgressState, out: &mut dyn std::fmt::Write| {
        let end = *end.lock().unwrap_or_else(PoisonError::into_inner);
        let left = end.map(|end| end.saturating_duration_since(Instant::now()));
        // A line that cannot be written is not shown.
        let _ = match left {
            Some(left) if left >= Duration::from_secs(1) => write!(out, "about {} left", duration(left)),
            Some(_) | None => Ok(()),
        };
    };
    Some(ProgressStyle::with_template("{pos} of {len}, {elapsed}, {left}").ok()?.with_key("left", left))
}
