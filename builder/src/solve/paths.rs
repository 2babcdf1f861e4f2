//! How much is left to do from each step to the end of the build: who has the longest way goes first.

use super::needed;
use crate::graph::{Graph, VertexId};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How long a step counts when it was never measured and no other one was, either: the way is then as long as it has steps.
const UNKNOWN: Duration = Duration::from_secs(1);

/// For each vertex that `targets` need, the time in microseconds of the longest way from its beginning to an end. `measured`
/// says how long a vertex took when it ran last; one that was not measured counts as the average of those that were.
pub fn remaining(
    graph: &Graph,
    targets: &[VertexId],
    measured: impl Fn(VertexId) -> Option<Duration>,
) -> BTreeMap<VertexId, u64> {
    let needed = &needed(graph, targets);
    let measured: BTreeMap<VertexId, Duration> =
        needed.iter().filter_map(|id| Some((*id, measured(*id)?))).collect();
    let count = u32::try_from(measured.len()).unwrap_or(u32::MAX);
    let average = measured.values().sum::<Duration>().checked_div(count).unwrap_or(UNKNOWN);
    let cost = |id: &VertexId| {
        let cost = measured.get(id).copied().unwrap_or(average);
        // Of two that cost nothing, the one that more depends on goes first.
        u64::try_from(cost.as_micros()).unwrap_or(u64::MAX).max(1)
    };
    let mut readers: BTreeMap<VertexId, usize> = needed.iter().map(|id| (*id, 0)).collect();
    for id in needed {
        for input in graph.vertex(*id).inputs().collect::<BTreeSet<_>>() {
            *readers.entry(input).or_default() += 1;
        }
    }
    let mut ways: BTreeMap<VertexId, u64> = BTreeMap::new();
    let mut open: Vec<VertexId> =
        readers.iter().filter(|(_, readers)| **readers == 0).map(|(id, _)| *id).collect();
    while let Some(id) = open.pop() {
        let way = ways.get(&id).copied().unwrap_or(0).saturating_add(cost(&id));
        ways.insert(id, way);
        for input in graph.vertex(id).inputs().collect::<BTreeSet<_>>() {
            let longest = ways.entry(input).or_default();
            *longest = way.max(*longest);
            if let Some(left) = readers.get_mut(&input) {
                *left -= 1;
                if *left == 0 {
                    open.push(input);
                }
            }
        }
    }
    ways
}
