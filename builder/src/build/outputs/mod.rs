//! Writes the result where it is wanted: the store, registries, archives, directories, other engines.
//!
//! | module | outputs |
//! | --- | --- |
//! | `image` | `type=image`, `type=registry` |
//! | `archive` | `type=oci`, `type=docker` |
//! | `load` | a Docker or podman of this machine |
//! | `files` | `type=tar`, `type=local` |
//! | `results` | `--iidfile`, `--metadata-file` |

mod archive;
mod files;
mod image;
mod load;
mod results;

use super::forms::compression;
use super::image::{Assembled, assembled, positions};
use super::layers::{LayerJobs, threads};
use super::{BuildError, BuiltImage};
use crate::bases::Bases;
use crate::blocking::blocking;
use crate::environment::Environment;
use crate::export::{self, Bundle};
use crate::graph::{Graph, ImagePlan, VertexId};
use crate::image::{Dialect, StoredImage, index, keep};
use crate::progress::Progress;
use crate::request::{AnnotationPlace, BuildRequest, Output, OutputKind};
use crate::solve::Solved;
use crate::steps::{Cause, Rootfs, StepWorker};
use crate::store::Store;
use registry_client::client::Client;
use registry_client::descriptor::Descriptor;
use registry_client::reference::Reference;
use std::collections::BTreeMap;

/// The names of each output, in order, checked before anything runs.
pub(super) struct Names(Vec<Vec<Reference>>);

/// Parses all names of `request`: an output has its own, or else those of `-t`.
pub(super) fn names(request: &BuildRequest) -> Result<Names, BuildError> {
    let of_output = |output: &Output| {
        let given = if output.names.is_empty() { &request.tags } else { &output.names };
        given.iter().map(|given| name(given, output.push_by_digest)).collect::<Result<Vec<_>, _>>()
    };
    // Also those that no output will have: a wrong one is a mistake all the same.
    request.tags.iter().try_for_each(|given| name(given, false).map(drop))?;
    Ok(Names(outputs(request).iter().map(of_output).collect::<Result<_, _>>()?))
}

fn name(given: &str, by_digest: bool) -> Result<Reference, BuildError> {
    let bad = |why: String| BuildError::Name { given: given.to_owned(), why };
    let reference: Reference = given.parse().map_err(|error| bad(format!("{error}")))?;
    if reference.digest().is_some() {
        return Err(bad(
            "an image's digest is what its content gives; leave out the @ and what is behind it".to_owned(),
        ));
    }
    match (by_digest, reference.tag()) {
        (false, _) => Ok(reference.with_default_tag()),
        (true, None) => Ok(reference),
        (true, Some(_)) => Err(bad("push-by-digest= gives no tag: name a repository alone".to_owned())),
    }
}

/// The outputs of a request: the store, when it names none.
fn outputs(request: &BuildRequest) -> Vec<Output> {
    if request.outputs.is_empty() {
        return vec![Output::new(OutputKind::Image)];
    }
    request.outputs.clone()
}

/// Whether any output carries layers.
pub(super) fn need_layers(request: &BuildRequest) -> bool {
    request.outputs.is_empty() || request.outputs.iter().any(Output::has_layers)
}

/// A solved build, on its way out.
pub(super) struct Made<'a> {
    pub(super) request: &'a BuildRequest,
    pub(super) environment: &'a Environment,
    pub(super) store: &'a Store,
    pub(super) client: &'a Client,
    pub(super) bases: &'a Bases,
    pub(super) worker: &'a StepWorker,
    pub(super) jobs: &'a LayerJobs,
    pub(super) progress: &'a Progress,
}

/// The result for one platform.
struct Part<'a> {
    plan: &'a ImagePlan,
    rootfs: &'a Rootfs,
}

/// The result in the store.
struct Kept {
    /// One for each platform.
    images: Vec<StoredImage>,
    /// The manifest, or the index of all.
    top: Descriptor,
    /// Bytes of the uncompressed layers.
    size: u64,
}

impl Made<'_> {
    /// Writes all outputs.
    pub(super) async fn all(
        &self,
        graph: &Graph,
        solved: &BTreeMap<VertexId, Solved<Rootfs>>,
        names: &Names,
    ) -> Result<Option<BuiltImage>, BuildError> {
        let part = |plan| Part { plan, rootfs: &solved[&plan.vertex].state };
        let parts: Vec<Part<'_>> = graph.images.iter().map(part).collect();
        let kept = match need_layers(self.request) {
            true => Some(self.keep(graph, &parts).await?),
            false => None,
        };
        let mut built = kept.as_ref().map(|kept| BuiltImage {
            platforms: parts.iter().map(|part| part.plan.platform.clone()).collect(),
            id: kept.id(),
            top: kept.top.clone(),
            names: Vec::new(),
            size: kept.size,
            layers: kept.images.iter().map(|image| image.layers.len()).sum(),
        });
        let outputs = outputs(self.request);
        let is_kept = outputs.iter().any(|output| output.kind == OutputKind::Image);
        for (output, names) in outputs.iter().zip(&names.0) {
            match (&kept, output.kind) {
                (_, OutputKind::CacheOnly) => {}
                (_, OutputKind::Tar | OutputKind::Local) => self.files(output, &parts).await?,
                (None, _) => unreachable!("every other kind carries layers"),
                (Some(kept), OutputKind::Image) => {
                    let top = self.image(output, kept, names).await?;
                    if let Some(built) = &mut built {
                        built.names.extend(names.iter().map(Reference::familiar));
                        if top.media_type.is_index() {
                            built.id = top.digest;
                        }
                        built.top = top;
                    }
                }
                (Some(kept), _) => {
                    let top = self.archive(output, kept, names).await?;
                    if let Some(built) = built.as_mut().filter(|_| !is_kept) {
                        built.top = top;
                    }
                }
            }
        }
        self.result_files(built.as_ref())?;
        Ok(built)
    }

    /// Puts configs, manifests, layers, and the index of several platforms into the store.
    async fn keep(&self, graph: &Graph, parts: &[Part<'_>]) -> Result<Kept, BuildError> {
        let mut images = Vec::with_capacity(parts.len());
        let mut size = 0;
        for part in parts {
            // The image in the store is whole: layers of the base that no step has read are fetched now.
            self.worker.fetch(part.rootfs).await.map_err(|cause| match cause {
                Cause::NeedsUserNamespace => BuildError::NeedsUserNamespace,
                other => failed("image")(other),
            })?;
            let vertices = positions(graph, part.plan.vertex, part.rootfs.layers.len());
            let epoch = self.request.source_date_epoch;
            let assembled =
                assembled(part.plan, part.rootfs, &vertices, self.jobs, self.bases, epoch).await?;
            let Assembled { config, layers, size: own } = assembled;
            let none = BTreeMap::new();
            images.push(keep(self.store, &config, &layers, Dialect::Oci, &none).map_err(failed("image"))?);
            size += own;
        }
        let top = match &images[..] {
            [only] if !self.request.multi_platform => only.manifest.clone(),
            several => {
                let entries = several.iter().map(|image| (image.manifest.clone(), image.config.platform()));
                let index = index(&entries.collect::<Vec<_>>(), Dialect::Oci, &BTreeMap::new());
                self.store.blobs().insert(&index.bytes)?;
                index.descriptor
            }
        };
        Ok(Kept { images, top, size })
    }

    /// The result in the form an output wants.
    async fn bundle(&self, output: &Output, kept: &Kept, names: &[Reference]) -> Result<Bundle, BuildError> {
        let dialect = if output.is_oci() { Dialect::Oci } else { Dialect::Docker };
        let compression = compression(output)?;
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let (store, images, output) = (self.store.clone(), kept.images.clone(), output.clone());
        let several = self.request.multi_platform;
        blocking(move || {
            let mut packages = Vec::with_capacity(images.len());
            for image in &images {
                let platform = image.config.platform();
                let options = export::Options {
                    dialect,
                    compression,
                    force: output.force_compression,
                    annotations: output.annotations_of(AnnotationPlace::Manifest, Some(&platform)),
                    threads: threads(),
                };
                let mut package = export::prepare(&store, image, &options)?;
                package.manifest.descriptor.annotations =
                    output.annotations_of(AnnotationPlace::ManifestDescriptor, Some(&platform));
                packages.push(package);
            }
            if !several {
                return Ok(Bundle { names, packages, index: None });
            }
            let annotations = output.annotations_of(AnnotationPlace::Index, None);
            let mut bundle = Bundle::several(names, packages, dialect, &annotations);
            if let Some(index) = &mut bundle.index {
                index.descriptor.annotations = output.annotations_of(AnnotationPlace::IndexDescriptor, None);
            }
            Ok(bundle)
        })
        .await
        .map_err(failed::<export::ExportError>("image"))
    }
}

impl Kept {
    /// The image ID.
    fn id(&self) -> registry_client::digest::Digest {
        match &self.images[..] {
            [only] if !self.top.media_type.is_index() => only.id(),
            _ => self.top.digest,
        }
    }
}

/// An output cannot be written.
fn failed<E: Into<Box<dyn std::error::Error + Send + Sync>>>(what: &str) -> impl FnOnce(E) -> BuildError {
    let what = what.to_owned();
    move |error| BuildError::Output { what, source: error.into() }
}
