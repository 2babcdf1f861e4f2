//! What directories get when everything is in them.

use super::super::archive::Timestamp;
use super::ApplyError;
use super::place::Name;
use std::collections::BTreeMap;

/// Until everything is in it, a directory must be writable, and its time changes.
#[derive(Clone, Copy)]
pub(super) struct Attributes {
    pub(super) mode: u32,
    pub(super) mtime: Timestamp,
    /// No entry mentions it.
    pub(super) implied: bool,
}

impl Attributes {
    /// Of a directory that no entry mentions.
    pub(super) const IMPLIED: Self =
        Self { mode: 0o755, mtime: Timestamp { seconds: 0, nanoseconds: 0 }, implied: true };
}

/// The directories of a layer. A name is kept once for all that begin with it: a short archive can hold many long ones.
pub(super) struct Directories {
    /// The first is the layer itself.
    nodes: Vec<Node>,
}

#[derive(Default)]
struct Node {
    /// Absent where the name leads through a symbolic link.
    attributes: Option<Attributes>,
    children: BTreeMap<Box<[u8]>, usize>,
}

impl Directories {
    pub(super) fn new() -> Self {
        Self { nodes: vec![Node { attributes: Some(Attributes::IMPLIED), ..Node::default() }] }
    }

    /// Notes the attributes of a directory, in the place of earlier ones.
    pub(super) fn set(&mut self, name: &Name<'_>, attributes: Attributes) {
        let mut at = 0;
        for component in name.components() {
            at = match self.nodes[at].children.get(*component) {
                Some(child) => *child,
                None => {
                    let child = self.nodes.len();
                    self.nodes.push(Node::default());
                    self.nodes[at].children.insert((*component).into(), child);
                    child
                }
            };
        }
        self.nodes[at].attributes = Some(attributes);
    }

    /// Forgets a directory that was removed, and all below it.
    pub(super) fn forget(&mut self, name: &Name<'_>) {
        let mut at = 0;
        for component in name.parents() {
            match self.nodes[at].children.get(*component) {
                Some(child) => at = *child,
                None => return,
            }
        }
        if let Some(last) = name.last() {
            self.nodes[at].children.remove(last);
        }
    }

    /// Calls `each` for every directory, what is in a directory before itself.
    pub(super) fn deepest_first(
        &self,
        mut each: impl FnMut(&Name<'_>, Attributes) -> Result<(), ApplyError>,
    ) -> Result<(), ApplyError> {
        // A directory before what is in it; backwards it is the other way round.
        let mut order: Vec<(usize, usize, &[u8])> = vec![(0, 0, &[])];
        let mut stack: Vec<_> = vec![(0, self.nodes[0].children.iter())];
        while let Some((place, children)) = stack.last_mut() {
            let Some((component, child)) = children.next() else {
                stack.pop();
                continue;
            };
            let parent = *place;
            stack.push((order.len(), self.nodes[*child].children.iter()));
            order.push((*child, parent, component));
        }
        for (place, (node, ..)) in order.iter().enumerate().rev() {
            let Some(attributes) = self.nodes[*node].attributes else { continue };
            let mut components = Vec::new();
            let mut at = place;
            while at != 0 {
                let (_, parent, component) = order[at];
                components.push(component);
                at = parent;
            }
            components.reverse();
            each(&Name::from_components(components), attributes)?;
        }
        Ok(())
    }
}
