//! In which order to check the items of a module, so that few wait for others.

use std::collections::HashMap;

use petgraph::algo::tarjan_scc;
use petgraph::graph::{DiGraph, NodeIndex};

use crate::modules::{Module, Modules};
use crate::names::{Bound, Names};

/// The positions of all items, each after those whose names stand in its text.
///
/// Words in strings and comments count too, so two items may seem to need each other when they do not. The order is
/// only a hint that keeps the stack shallow: real references are followed, and real cycles found, while checking.
pub(super) fn dependencies_first(module: &Module, modules: &Modules, names: &Names) -> Vec<u32> {
    let text = modules.sources.modules().get(module.id.0 as usize).map(|s| s.text.clone()).unwrap_or_default();
    let mut graph = DiGraph::<u32, ()>::new();
    let nodes: Vec<NodeIndex> = (0..module.tree.items.len()).zip(0..).map(|(_, n)| graph.add_node(n)).collect();
    let mut known: HashMap<&str, Option<u32>> = HashMap::new();
    for (n, node) in nodes.iter().enumerate() {
        let start = module.tree.starts.get(n).map_or(0, |start| *start as usize);
        let end = module.tree.starts.get(n + 1).map_or(text.len(), |end| *end as usize);
        for word in words(text.get(start..end).unwrap_or_default()) {
            let target = *known.entry(word).or_insert_with(|| position(module, names, word));
            if let Some(target) = target.and_then(|target| nodes.get(target as usize))
                && target != node
            {
                graph.update_edge(*node, *target, ());
            }
        }
    }
    // Tarjan's algorithm gives each group after those that it leads to.
    tarjan_scc(&graph).into_iter().flatten().filter_map(|node| graph.node_weight(node).copied()).collect()
}

/// The item, perhaps an import, that a word names.
fn position(module: &Module, names: &Names, word: &str) -> Option<u32> {
    match names.find(module.id, word)? {
        Bound::Item(item) if item.id.module == module.id => Some(item.id.item),
        Bound::Item(item) => item.via,
        Bound::Module { via, .. } => via,
    }
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}
