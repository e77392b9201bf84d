//! Something of some nodes of a plan. Their ids are dense: a place for each costs less than a tree of those there are.

use imgc_plan::{NodeId, Plan};

/// At most one of something a node, in dependency order.
pub(crate) struct ByNode<T>(Vec<Option<T>>);

impl<T> ByNode<T> {
    /// Of no node of the plan yet.
    pub(crate) fn new(plan: &Plan) -> Self {
        Self(plan.nodes.iter().map(|_| None).collect())
    }

    pub(crate) fn get(&self, id: NodeId) -> Option<&T> {
        self.0.get(id.index())?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, id: NodeId) -> Option<&mut T> {
        self.0.get_mut(id.index())?.as_mut()
    }

    /// Puts one in its place; nothing of a node that the plan does not have.
    pub(crate) fn insert(&mut self, id: NodeId, one: T) {
        if let Some(place) = self.0.get_mut(id.index()) {
            *place = Some(one);
        }
    }

    pub(crate) fn clear(&mut self) {
        self.0.fill_with(|| None);
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = (NodeId, &T)> {
        let ids = (0..u32::try_from(self.0.len()).unwrap_or(u32::MAX)).map(NodeId);
        ids.zip(&self.0).filter_map(|(id, one)| Some((id, one.as_ref()?)))
    }
}
