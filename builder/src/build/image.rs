//! The image: its config, and the blobs of its layers.

use super::BuildError;
use super::layers::{LayerError, LayerJobs, Packed};
use crate::bases::Bases;
use crate::graph::{ImagePlan, VertexId};
use crate::image::{Changes, ImageLayer, Step, assemble};
use crate::steps::{Layer, Rootfs};
use registry_client::config::ImageConfig;
use registry_client::digest::DiffId;
use std::collections::BTreeMap;
use std::time::SystemTime;

/// An image that is decided, but in no format yet.
pub(super) struct Assembled {
    pub(super) config: ImageConfig,
    pub(super) layers: Vec<ImageLayer>,
    /// Bytes of the uncompressed layers.
    pub(super) size: u64,
}

/// Waits for the layers and puts the config together.
pub(super) async fn assembled(
    plan: &ImagePlan,
    rootfs: &Rootfs,
    vertices: &BTreeMap<VertexId, usize>,
    jobs: &LayerJobs,
    bases: &Bases,
    epoch: Option<SystemTime>,
) -> Result<Assembled, BuildError> {
    let mut layers = Vec::with_capacity(rootfs.layers.len());
    let mut packed: Vec<Option<Packed>> = Vec::with_capacity(rootfs.layers.len());
    let mut size = 0;
    for layer in rootfs.layers.iter() {
        match layer {
            Layer::Image(diff_id) => {
                let descriptor = bases.descriptor(*diff_id).ok_or_else(|| unknown(*diff_id))?;
                size += bases.size(*diff_id).unwrap_or(descriptor.size);
                layers.push(ImageLayer { diff_id: *diff_id, descriptor });
                packed.push(None);
            }
            Layer::Snapshot(id) => {
                let one = jobs.packed(*id).await.map_err(|error| match error {
                    LayerError::NeedsUserNamespace => BuildError::NeedsUserNamespace,
                    LayerError::Store(error) => error.into(),
                    other => BuildError::Output { what: "image".to_owned(), source: Box::new(other) },
                })?;
                size += one.size;
                layers.push(ImageLayer { diff_id: one.diff_id, descriptor: one.descriptor.clone() });
                packed.push(Some(one));
            }
        }
    }
    let steps = plan.history.iter().map(|entry| {
        let layer = entry.vertex.and_then(|vertex| packed.get(*vertices.get(&vertex)?)?.as_ref());
        Step {
            created: layer.map(|layer| layer.created),
            created_by: entry.history.created_by.clone().unwrap_or_default(),
            comment: entry.history.comment.clone(),
            author: entry.history.author.clone(),
            layer: layer.map(|layer| layer.diff_id),
        }
    });
    let changes = Changes {
        runtime: plan.config.config.clone(),
        author: None,
        steps: steps.collect(),
        created: None,
        epoch,
    };
    Ok(Assembled { config: assemble(&plan.config, &changes), layers, size })
}

fn unknown(layer: DiffId) -> BuildError {
    BuildError::Output {
        what: "image".to_owned(),
        source: Box::new(crate::bases::BaseError::UnknownLayer(layer)),
    }
}

/// Where in the stack each vertex of the target's chain put its layer.
pub(super) fn positions(
    graph: &crate::graph::Graph,
    target: VertexId,
    layers: usize,
) -> BTreeMap<VertexId, usize> {
    let mut positions = BTreeMap::new();
    let mut at = Some(target);
    let mut top = layers;
    while let Some(id) = at {
        let vertex = graph.vertex(id);
        if !matches!(vertex.op, crate::graph::Op::Scratch | crate::graph::Op::Image(_)) {
            top -= 1;
            positions.insert(id, top);
        }
        at = vertex.parent;
    }
    positions
}
