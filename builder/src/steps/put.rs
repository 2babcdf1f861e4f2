//! COPY, ADD and WORKDIR: files are put in place on an overlay mount, without a process of their own.

use super::StepWorker;
use super::error::Cause;
use super::state::{Layer, Rootfs};
use crate::blocking::blocking;
use crate::context::{SourceDigest, digest_sources};
use crate::copy::{self, Chmod, CopySpec, Ownership, SourceTree, Unpack};
use crate::graph::{CopyOp, CopySource, Origin, VertexId, WorkdirOp};
use crate::rootfs::overlay::{overlay_rw, overlay_view};
use crate::rootfs::user::{resolve_chown, resolve_user};
use crate::rootfs::{Root, make_directories};
use crate::solve::Inputs;
use crate::store::ActiveSnapshot;
use std::path::{Path, PathBuf};

/// Sources that are copied in one go.
enum Group {
    /// Paths of the origin, here-documents, downloaded files.
    Together(Vec<copy::CopySource>),
    /// All that is in this directory.
    Repository(PathBuf),
}

impl StepWorker {
    /// The content that a COPY takes, as it will land.
    pub(super) async fn copy_content(
        &self,
        copy: &CopyOp,
        inputs: &Inputs<Rootfs>,
    ) -> Result<Option<SourceDigest>, Cause> {
        let paths = copy.sources.iter().filter_map(|source| match source {
            CopySource::Path(path, _) => Some(copy::CopySource::Path { pattern: path.clone() }),
            _ => None,
        });
        let spec = self.spec(copy, None, paths.collect())?;
        let Some(tree) = self.origin(&copy.origin, inputs).await? else { return Ok(None) };
        blocking(move || Ok(Some(digest_sources(&spec, &tree.tree(), tree.index())?))).await
    }

    /// Runs COPY or ADD.
    pub(super) async fn put(
        &self,
        vertex: VertexId,
        copy: &CopyOp,
        inputs: &Inputs<Rootfs>,
        lowers: Vec<PathBuf>,
    ) -> Result<ActiveSnapshot, Cause> {
        let owner = match &copy.chown {
            None => None,
            Some(chown) => {
                let (chown, lowers) = (chown.text.clone(), lowers.clone());
                let owner = blocking(move || {
                    let view = overlay_view(&lowers).map_err(Cause::io("mount the root file system"))?;
                    Ok::<_, Cause>(resolve_chown(&view, &chown)?)
                });
                let owner = owner.await?;
                Some((owner.uid, owner.gid))
            }
        };
        let mut groups = Vec::new();
        for group in self.groups(copy, inputs)? {
            groups.push(match group {
                Group::Together(sources) => (self.spec(copy, owner, sources)?, None),
                Group::Repository(files) => {
                    let everything = copy::CopySource::Path { pattern: "/".to_owned() };
                    (self.spec(copy, owner, vec![everything])?, Some(files))
                }
            });
        }
        let from = self.origin(&copy.origin, inputs).await?;
        let place = match copy.origin {
            Origin::Context => "the build context, which is empty",
            _ => "scratch",
        };
        // The layer of COPY --link does not depend on what is below it.
        let lowers = if copy.link { Vec::new() } else { lowers };
        let active = self.begin(&lowers)?;
        let cancellation = self.stop.clone();
        let (active, warnings) = blocking(move || {
            let nothing;
            let tree = match &from {
                Some(from) => from.tree(),
                None => {
                    nothing = overlay_view::<&Path>(&[]).map_err(Cause::io("make an empty tree"))?;
                    SourceTree { root: &nothing, place, ignore: None }
                }
            };
            let to = overlay_rw(&lowers, &active.upper(), &active.work())
                .map_err(Cause::io("mount the root file system"))?;
            let mut warnings = Vec::new();
            for (spec, files) in groups {
                let copied = match files {
                    None => copy::copy_until(&spec, &tree, &to, &cancellation)?,
                    Some(files) => {
                        let root = Root::open(&files).map_err(Cause::io("open the files of a repository"))?;
                        let tree = SourceTree { root: &root, place: "the repository", ignore: None };
                        copy::copy_until(&spec, &tree, &to, &cancellation)?
                    }
                };
                warnings.extend(copied.warnings);
            }
            Ok::<_, Cause>((active, warnings))
        })
        .await?;
        self.compare_with_context(vertex, inputs).await?;
        for warning in warnings {
            self.around.progress.warn(format!("{}: {warning}", self.vertex(vertex).name));
        }
        Ok(active)
    }

    /// The sources in their order. Those of the engine's one source tree go together, so that several of them under
    /// one name are noticed; a repository is a tree of its own.
    fn groups(&self, copy: &CopyOp, inputs: &Inputs<Rootfs>) -> Result<Vec<Group>, Cause> {
        let mut groups = Vec::new();
        let mut together = Vec::new();
        for source in &copy.sources {
            together.push(match source {
                CopySource::Path(path, _) => copy::CopySource::Path { pattern: path.clone() },
                CopySource::Inline { name, text } => {
                    copy::CopySource::Inline { name: name.clone(), bytes: text.clone().into_bytes() }
                }
                CopySource::File { vertex, name, unpack } => copy::CopySource::File {
                    path: self.brought(*vertex, inputs)?.join(name),
                    name: name.clone(),
                    mode: 0o600,
                    modified: None,
                    unpack: if *unpack { Unpack::Always } else { Unpack::Never },
                },
                CopySource::Repository(vertex) => {
                    if !together.is_empty() {
                        groups.push(Group::Together(std::mem::take(&mut together)));
                    }
                    groups.push(Group::Repository(self.brought(*vertex, inputs)?));
                    continue;
                }
            });
        }
        if !together.is_empty() {
            groups.push(Group::Together(together));
        }
        Ok(groups)
    }

    /// The directory of what a vertex fetched.
    fn brought(&self, vertex: VertexId, inputs: &Inputs<Rootfs>) -> Result<PathBuf, Cause> {
        let layers = inputs.reads.get(&vertex).map(|rootfs| &rootfs.layers[..]);
        let snapshot = match layers {
            Some([Layer::Snapshot(id)]) => self.around.store.snapshots().get(id),
            _ => None,
        };
        snapshot.map(|snapshot| snapshot.upper()).ok_or_else(|| Cause::Io {
            doing: "find what was fetched".to_owned(),
            source: std::io::ErrorKind::NotFound.into(),
        })
    }

    /// What the copy engine is asked for. Owners do not matter to the content of a context, so the id of what is
    /// copied can be had without looking up `--chown`, which is in the key by itself.
    fn spec(
        &self,
        copy: &CopyOp,
        chown: Option<(u32, u32)>,
        sources: Vec<copy::CopySource>,
    ) -> Result<CopySpec, Cause> {
        let chmod = match &copy.chmod {
            None => None,
            Some(given) => Some(
                given
                    .parse::<Chmod>()
                    .map_err(|error| Cause::Chmod { given: given.clone(), why: error.to_string() })?,
            ),
        };
        Ok(CopySpec {
            sources,
            destination: PathBuf::from(&copy.destination),
            chown,
            ownership: match copy.origin {
                Origin::Context | Origin::Named(_) => Ownership::Zero,
                Origin::Step(_) | Origin::Empty => Ownership::Keep,
            },
            chmod,
            parents: copy.parents,
            excludes: copy.excludes.clone(),
            link: copy.link,
            unpack: match (copy.add, copy.unpack) {
                (false, _) | (true, Some(false)) => Unpack::Never,
                (true, None) => Unpack::Auto,
                (true, Some(true)) => Unpack::Always,
            },
        })
    }

    /// Runs WORKDIR: what is missing of the path is made, owned by USER.
    pub(super) async fn workdir(
        &self,
        workdir: &WorkdirOp,
        lowers: Vec<PathBuf>,
    ) -> Result<ActiveSnapshot, Cause> {
        let active = self.begin(&lowers)?;
        let workdir = workdir.clone();
        blocking(move || {
            let mount = "mount the root file system";
            let root = overlay_rw(&lowers, &active.upper(), &active.work()).map_err(Cause::io(mount))?;
            make_owned(&root, &workdir.path, &workdir.user.text)?;
            drop(root);
            Ok(active)
        })
        .await
    }
}

/// Makes `path` and its parents in `root`, mode 0755, owned by `user` (as USER has it; empty is root).
pub(super) fn make_owned(root: &Root, path: &str, user: &str) -> Result<(), Cause> {
    let owner = match user {
        "" => (0, 0),
        user => {
            let user = resolve_user(root, user)?;
            (user.uid, user.gid)
        }
    };
    make_directories(root, Path::new(path), 0o755, owner).map_err(Cause::io(format!("make {path}")))
}
