//! The longest chain through a graph.

use std::time::Duration;

/// Something that took time.
#[derive(Clone, Copy, Debug)]
pub struct Node<'n> {
    /// When it could begin.
    pub ready: Duration,
    /// When it was done.
    pub end: Duration,
    /// How much of the time between does not count.
    pub idle: Duration,
    /// The positions of the nodes that it needs. They come before it; others are left out of account, so that there is no
    /// way round in a circle.
    pub inputs: &'n [usize],
}

/// A chain of nodes, each an input of the next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Path {
    /// The positions of the nodes, the first one first.
    pub nodes: Vec<usize>,
    /// How long they took together. Where a node could begin before the end of the one before it (the layers of an image
    /// may still come), that time counts once.
    pub length: Duration,
}

/// The longest chain; of two equal ones that which ends later in the list.
pub fn path<'n>(nodes: impl IntoIterator<Item = Node<'n>>) -> Path {
    /// The longest chain that ends with a node.
    struct Chain {
        length: Duration,
        before: Option<usize>,
        end: Duration,
    }
    let mut chains: Vec<Chain> = Vec::new();
    for (position, node) in nodes.into_iter().enumerate() {
        let upto = |input: usize| {
            let chain = &chains[input];
            chain.length.saturating_sub(chain.end.saturating_sub(node.ready))
        };
        let inputs = node.inputs.iter().copied().filter(|input| *input < position);
        let before = inputs.max_by_key(|input| (upto(*input), *input));
        let cost = node.end.saturating_sub(node.ready).saturating_sub(node.idle);
        let length = before.map_or(Duration::ZERO, upto) + cost;
        chains.push(Chain { length, before, end: node.end });
    }
    let Some(last) = (0..chains.len()).max_by_key(|position| (chains[*position].length, *position)) else {
        return Path::default();
    };
    let mut nodes: Vec<usize> = std::iter::successors(Some(last), |at| chains[*at].before).collect();
    nodes.reverse();
    Path { nodes, length: chains[last].length }
}

#[cfg(test)]
mod tests {
    use super::{Node, Path, path};
    use std::time::Duration;

    /// The path through nodes with these costs, each of which begins when its inputs are done.
    fn played<'n>(nodes: impl Iterator<Item = (u64, &'n [usize])>) -> Path {
        let mut played: Vec<Node<'_>> = Vec::new();
        for (cost, inputs) in nodes {
            let done = inputs.iter().filter_map(|input| played.get(*input)).map(|node| node.end);
            let ready = done.max().unwrap_or_default();
            let (end, idle) = (ready + Duration::from_millis(cost + 5), Duration::from_millis(5));
            played.push(Node { ready, end, idle, inputs });
        }
        path(played)
    }

    fn of(nodes: &[(u64, &[usize])]) -> Vec<usize> {
        played(nodes.iter().copied()).nodes
    }

    #[test]
    fn the_longest_chain() {
        assert_eq!(of(&[]), [0; 0]);
        assert_eq!(of(&[(5, &[])]), [0]);
        // Two chains of the same number of nodes.
        assert_eq!(of(&[(1, &[]), (2, &[0]), (9, &[0]), (1, &[1, 2])]), [0, 2, 3]);
        // Many short ones against a long one.
        assert_eq!(of(&[(1, &[]), (1, &[0]), (1, &[1]), (1, &[2]), (5, &[])]), [4]);
        assert_eq!(of(&[(1, &[]), (1, &[0]), (1, &[1]), (1, &[2]), (3, &[])]), [0, 1, 2, 3]);
        // It need not reach the last node, nor begin with the first.
        assert_eq!(of(&[(1, &[]), (7, &[]), (2, &[1]), (1, &[0])]), [1, 2]);
    }

    #[test]
    fn nodes_that_cost_nothing_are_part_of_it() {
        assert_eq!(of(&[(0, &[]), (0, &[0]), (0, &[1])]), [0, 1, 2]);
        assert_eq!(of(&[(3, &[]), (0, &[0])]), [0, 1]);
    }

    #[test]
    fn a_circle_is_cut() {
        assert_eq!(of(&[(1, &[1]), (1, &[0, 1]), (1, &[7])]), [0, 1]);
    }

    #[test]
    fn time_counts_once() {
        let ms = Duration::from_millis;
        let node = |ready, end, inputs| Node { ready: ms(ready), end: ms(end), idle: ms(0), inputs };
        // The second began long before the first was done, the third when it nearly was.
        let found = path([node(0, 100, &[]), node(10, 80, &[0]), node(90, 110, &[0])]);
        assert_eq!(found, Path { nodes: vec![0, 2], length: ms(110) });
        let found = path([node(0, 100, &[]), node(10, 120, &[0])]);
        assert_eq!(found, Path { nodes: vec![0, 1], length: ms(120) });
    }

    /// Against trying all chains.
    #[test]
    fn as_long_as_any() {
        fn longest(nodes: &[(u64, Vec<usize>)], at: usize) -> u64 {
            nodes[at].0 + nodes[at].1.iter().map(|&input| longest(nodes, input)).max().unwrap_or(0)
        }
        let mut random = 12345_u64;
        let mut next = move || {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            random >> 33
        };
        for _ in 0..200 {
            let nodes: Vec<(u64, Vec<usize>)> =
                (0..10).map(|at| (next() % 10, (0..at).filter(|_| next() % 3 == 0).collect())).collect();
            let Path { nodes: found, length } = played(nodes.iter().map(|(cost, inputs)| (*cost, &**inputs)));
            assert!(found.windows(2).all(|pair| nodes[pair[1]].1.contains(&pair[0])), "{nodes:?} {found:?}");
            let sum: u64 = found.iter().map(|&at| nodes[at].0).sum();
            let want = (0..10).map(|at| longest(&nodes, at)).max();
            assert_eq!((Some(sum), length), (want, Duration::from_millis(sum)), "{nodes:?} {found:?}");
        }
    }
}
