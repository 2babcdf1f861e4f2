//! Writes the image where it is wanted: the store, registries, archives, directories, other engines.

use super::image::{Assembled, assembled, positions};
use super::layers::LayerJobs;
use super::planning::{chain, extra_step};
use super::{BuildError, BuiltImage};
use crate::bases::{Bases, Source};
use crate::blocking::blocking;
use crate::environment::Environment;
use crate::export::{self, Bundle, ExportError, Package};
use crate::graph::{Graph, ImagePlan};
use crate::image::{Dialect, StoredImage, keep};
use crate::layer::Compression;
use crate::progress::{Event, Progress};
use crate::push::push;
use crate::request::{BuildRequest, CompressionKind, Output, OutputKind};
use crate::rootfs::overlay::overlay_view;
use crate::steps::{Cause, Rootfs, StepWorker};
use crate::store::Store;
use registry_client::client::Client;
use registry_client::descriptor::Descriptor;
use registry_client::digest::Digest;
use registry_client::reference::Reference;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

/// How layers go out when nobody says otherwise.
const GZIP: Compression = Compression::Gzip { level: Compression::GZIP_LEVEL };

/// The names of a build, checked before anything runs.
pub(super) struct Names {
    /// `-t`.
    tags: Vec<Reference>,
    /// `name=` of each output, in order.
    of_outputs: Vec<Vec<Reference>>,
}

/// Parses all names of `request`.
pub(super) fn names(request: &BuildRequest) -> Result<Names, BuildError> {
    let parse = |given: &String| {
        given
            .parse::<Reference>()
            .map(|reference| reference.with_default_tag())
            .map_err(|error| BuildError::Name { given: given.clone(), why: error.to_string() })
    };
    let all = |given: &[String]| given.iter().map(parse).collect::<Result<Vec<_>, _>>();
    let of_outputs = request.outputs.iter().map(|output| all(&output.names)).collect::<Result<_, _>>()?;
    Ok(Names { tags: all(&request.tags)?, of_outputs })
}

/// Whether any output carries layers.
pub(super) fn need_layers(request: &BuildRequest) -> bool {
    let layered =
        |output: &Output| matches!(output.kind, OutputKind::Image | OutputKind::Oci | OutputKind::Docker);
    request.outputs.is_empty() || request.outputs.iter().any(layered)
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

impl Made<'_> {
    /// Writes all outputs. The image that is reported is the one in the store.
    pub(super) async fn all(
        &self,
        graph: &Graph,
        plan: &ImagePlan,
        rootfs: &Rootfs,
        names: &Names,
    ) -> Result<Option<BuiltImage>, BuildError> {
        let request = self.request;
        let default = [Output::new(OutputKind::Image)];
        let outputs = if request.outputs.is_empty() { &default[..] } else { &request.outputs };
        let mut built = None;
        let stored = if need_layers(request) {
            let (stored, size) = self.stored(graph, plan, rootfs).await?;
            built = Some(BuiltImage {
                platform: plan.platform.clone(),
                id: stored.id(),
                manifest: stored.manifest.clone(),
                names: Vec::new(),
                size,
                layers: stored.layers.len(),
            });
            Some(stored)
        } else {
            None
        };
        for (index, output) in outputs.iter().enumerate() {
            let own = names.of_outputs.get(index).filter(|own| !own.is_empty());
            let own = own.unwrap_or(&names.tags);
            match (&stored, output.kind) {
                (_, OutputKind::CacheOnly) => {}
                (_, OutputKind::Tar | OutputKind::Local) => self.tree(output, rootfs).await?,
                (None, _) => unreachable!("every other kind carries layers"),
                (Some(stored), OutputKind::Image) => {
                    let pushed = self.image(output, stored, own).await?;
                    if let Some(built) = &mut built {
                        built.names.extend(own.iter().map(Reference::familiar));
                        if let Some(pushed) = pushed {
                            built.manifest = pushed;
                        }
                    }
                }
                (Some(stored), _) => self.archive(output, stored, own).await?,
            }
        }
        if let Some(built) = &built {
            self.result_files(built)?;
        }
        Ok(built)
    }

    /// Puts config, manifest and layers into the store.
    async fn stored(
        &self,
        graph: &Graph,
        plan: &ImagePlan,
        rootfs: &Rootfs,
    ) -> Result<(StoredImage, u64), BuildError> {
        // The image in the store is whole: layers of the base that no step has read are fetched now.
        self.worker.fetch(rootfs).await.map_err(|cause| match cause {
            Cause::NeedsUserNamespace => BuildError::NeedsUserNamespace,
            other => failed("image")(other),
        })?;
        let vertices = positions(graph, plan.vertex, rootfs.layers.len());
        let epoch = self.request.source_date_epoch;
        let Assembled { config, layers, size } =
            assembled(plan, rootfs, &vertices, self.jobs, self.bases, epoch).await?;
        let stored =
            keep(self.store, &config, &layers, Dialect::Oci, &BTreeMap::new()).map_err(failed("image"))?;
        Ok((stored, size))
    }

    /// `type=image`: names in the store, and the registry when it is pushed.
    async fn image(
        &self,
        output: &Output,
        stored: &StoredImage,
        names: &[Reference],
    ) -> Result<Option<Descriptor>, BuildError> {
        let canonical: Vec<String> = names.iter().map(ToString::to_string).collect();
        if !output.push {
            let kept = if output.annotations.is_empty() && output.oci_mediatypes != Some(false) {
                stored.manifest.clone()
            } else {
                let mut package = self.package(output, stored, Compression::None).await?;
                self.settle(&mut package).await?.manifest.descriptor.clone()
            };
            self.store.images().add(&kept, &canonical)?;
            return Ok(Some(kept));
        }
        if names.is_empty() {
            return Err(BuildError::Name {
                given: String::new(),
                why: "an image that is pushed needs a name: give one with -t".to_owned(),
            });
        }
        self.store.images().add(&stored.manifest, &canonical)?;
        let step = extra_step();
        let shown: Vec<String> = names.iter().map(Reference::familiar).collect();
        self.progress.send(Event::Announced { step, name: format!("pushing {}", shown.join(", ")) });
        self.progress.send(Event::Started { step });
        let started = Instant::now();
        let result = async {
            let mut package = self.package(output, stored, GZIP).await?;
            self.settle(&mut package).await?;
            let mount = self.mount_from(&package, names);
            push(self.client, self.store, &package, names, &mount, self.progress, step)
                .await
                .map_err(failed("registry"))
        }
        .await;
        let elapsed = started.elapsed();
        self.progress.send(match &result {
            Ok(_) => Event::Finished { step, elapsed },
            Err(error) => Event::Failed { step, elapsed, error: chain(error) },
        });
        for warning in self.client.take_warnings() {
            self.progress.warn(format!("{}: {}", warning.registry, warning.text));
        }
        result.map(|(descriptor, _)| Some(descriptor))
    }

    /// Repositories of the registries that are pushed to which have a layer already: those that it was pulled from.
    fn mount_from(&self, package: &Package, names: &[Reference]) -> BTreeMap<Digest, Vec<String>> {
        let mut mount = BTreeMap::new();
        for layer in &package.layers {
            let Some(Source::Registry(from)) = self.bases.source(layer.diff_id) else { continue };
            if names.iter().any(|name| name.registry() == from.registry()) {
                mount.insert(layer.descriptor.digest, vec![from.repository().to_owned()]);
            }
        }
        mount
    }

    /// `type=oci` and `type=docker`: an archive, a layout directory, or another engine of this machine.
    async fn archive(
        &self,
        output: &Output,
        stored: &StoredImage,
        names: &[Reference],
    ) -> Result<(), BuildError> {
        let docker = output.kind == OutputKind::Docker;
        let (what, compression) = if docker { ("docker", Compression::None) } else { ("oci", GZIP) };
        let package = self.package(output, stored, compression).await?;
        let bundle = Bundle::single(names.iter().map(ToString::to_string).collect(), package);
        let (store, output) = (self.store.clone(), output.clone());
        let path = self.environment.path.clone();
        let standard_output = self.environment.standard_output;
        blocking(move || {
            let write = |out: &mut dyn Write| {
                if docker {
                    export::docker_archive(&store, std::slice::from_ref(&bundle), out)
                } else {
                    export::oci_archive(&store, &bundle, out)
                }
            };
            match &output.dest {
                _ if output.load => load(&write, path.as_deref()),
                Some(dest) if !output.tar && !docker => {
                    export::oci_directory(&store, &bundle, dest).map_err(failed(what))
                }
                Some(dest) => export::write_file(dest, write).map_err(failed(what)),
                None => write(&mut standard_output().map_err(failed(what))?).map_err(failed(what)),
            }
        })
        .await
    }

    /// `type=tar` and `type=local`: the files alone.
    async fn tree(&self, output: &Output, rootfs: &Rootfs) -> Result<(), BuildError> {
        let tar = output.kind == OutputKind::Tar;
        let what = if tar { "tar" } else { "local" };
        let lowers = self.worker.lowers(rootfs).await.map_err(|cause| match cause {
            Cause::NeedsUserNamespace => BuildError::NeedsUserNamespace,
            other => failed(what)(other),
        })?;
        let (flavor, epoch, dest) =
            (self.store.flavor(), self.request.source_date_epoch, output.dest.clone());
        let standard_output = self.environment.standard_output;
        blocking(move || {
            let root = overlay_view(&lowers).map_err(failed(what))?;
            let write = |out: &mut dyn Write| export::tree_archive(&root, flavor, epoch, out);
            match (tar, dest) {
                (true, Some(dest)) => export::write_file(&dest, write).map_err(failed(what)),
                (true, None) => write(&mut standard_output().map_err(failed(what))?).map_err(failed(what)),
                (false, dest) => {
                    let dest = dest.unwrap_or_else(|| Path::new(".").to_owned());
                    export::local_directory(&root, &dest, epoch).map(|_| ()).map_err(failed(what))
                }
            }
        })
        .await
    }

    /// The image in the form an output wants.
    async fn package(
        &self,
        output: &Output,
        stored: &StoredImage,
        default: Compression,
    ) -> Result<Package, BuildError> {
        let docker = output.kind == OutputKind::Docker;
        let oci = output.oci_mediatypes.unwrap_or(!docker);
        let options = export::Options {
            dialect: if oci { Dialect::Oci } else { Dialect::Docker },
            compression: compression(output, default)?,
            force: output.force_compression,
            annotations: output.annotations.clone(),
            threads: threads(),
        };
        let (store, stored) = (self.store.clone(), stored.clone());
        blocking(move || export::prepare(&store, &stored, &options)).await.map_err(failed("image"))
    }

    async fn settle<'p>(&self, package: &'p mut Package) -> Result<&'p Package, BuildError> {
        let (store, mut taken) = (self.store.clone(), package.clone());
        *package = blocking(move || taken.settle(&store).map(|()| taken)).await.map_err(failed("image"))?;
        Ok(package)
    }

    /// `--iidfile` and `--metadata-file`.
    fn result_files(&self, built: &BuiltImage) -> Result<(), BuildError> {
        let write = |path: &Path, text: String| {
            std::fs::write(path, text)
                .map_err(|source| BuildError::ResultFile { path: path.to_owned(), source })
        };
        if let Some(path) = &self.request.iid_file {
            write(path, built.id.to_string())?;
        }
        if let Some(path) = &self.request.metadata_file {
            let mut metadata = serde_json::json!({
                "containerimage.config.digest": built.id,
                "containerimage.descriptor": built.manifest,
                "containerimage.digest": built.manifest.digest,
            });
            if !built.names.is_empty() {
                metadata["image.name"] = built.names.join(",").into();
            }
            write(path, format!("{metadata:#}\n"))?;
        }
        Ok(())
    }
}

/// The compression that an output asks for.
fn compression(output: &Output, default: Compression) -> Result<Compression, BuildError> {
    let level = output.compression_level.map(i64::from);
    let chosen = match (output.compression, default) {
        (Some(CompressionKind::Uncompressed), _) | (None, Compression::None) => Ok(Compression::None),
        (Some(CompressionKind::Gzip), _) | (None, Compression::Gzip { .. }) => Compression::gzip(level),
        (Some(CompressionKind::Zstd), _) | (None, Compression::Zstd { .. }) => Compression::zstd(level),
    };
    chosen.map_err(failed("image"))
}

fn threads() -> NonZeroUsize {
    std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

/// Gives the archive to Docker or podman, whichever is there.
fn load(
    write: &dyn Fn(&mut dyn Write) -> Result<(), ExportError>,
    path: Option<&std::ffi::OsStr>,
) -> Result<(), BuildError> {
    let is_there = |name: &&str| {
        path.is_some_and(|path| std::env::split_paths(path).any(|directory| directory.join(name).is_file()))
    };
    let engines: Vec<&str> = ["docker", "podman"].into_iter().filter(is_there).collect();
    if engines.is_empty() {
        let why =
            "neither docker nor podman is in PATH; the image is in the store of build itself all the same";
        return Err(failed("docker")(io::Error::new(io::ErrorKind::NotFound, why)));
    }
    let mut said = String::new();
    for engine in engines {
        let child = Command::new(engine)
            .arg("load")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(failed("docker"))?;
        let (written, output) = feed(child, write).map_err(failed("docker"))?;
        if output.status.success() {
            return written.map_err(failed("docker"));
        }
        // A docker client without its daemon is common; podman may be there.
        said = format!("{said}{engine} load: {}\n", String::from_utf8_lossy(&output.stderr).trim());
    }
    Err(failed("docker")(io::Error::other(said.trim_end().to_owned())))
}

type Fed = (Result<(), ExportError>, std::process::Output);

/// Writes the archive to a child's standard input while its complaints are read.
fn feed(
    mut child: std::process::Child,
    write: &dyn Fn(&mut dyn Write) -> Result<(), ExportError>,
) -> io::Result<Fed> {
    let stdin = child.stdin.take();
    let waiting = std::thread::spawn(move || child.wait_with_output());
    let written = match stdin {
        Some(mut stdin) => write(&mut stdin),
        None => Ok(()),
    };
    let output = waiting.join().map_err(|_| io::Error::other("the thread that waited is gone"))??;
    Ok((written, output))
}

/// An output cannot be written.
fn failed<E: Into<Box<dyn std::error::Error + Send + Sync>>>(what: &str) -> impl FnOnce(E) -> BuildError {
    let what = what.to_owned();
    move |error| BuildError::Output { what, source: error.into() }
}
