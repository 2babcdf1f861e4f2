//! COPY, ADD and WORKDIR: files are put in place on an overlay mount, without a process of their own.

use super::StepWorker;
use super::error::Cause;
use super::state::Rootfs;
use crate::blocking::blocking;
use crate::content::ContentId;
use crate::context::digest_sources;
use crate::copy::{self, Chmod, CopySpec, Ownership, SourceTree, Times, Unpack};
use crate::graph::{CopyOp, CopySource, Origin, VertexId, WorkdirOp};
use crate::rootfs::overlay::{overlay_rw, overlay_view};
use crate::rootfs::user::{resolve_chown, resolve_user};
use crate::rootfs::{Root, make_directories};
use crate::solve::Inputs;
use crate::store::ActiveSnapshot;
use std::path::{Path, PathBuf};

impl StepWorker {
    /// The content that a COPY takes, as it will land.
    pub(super) async fn copy_content(
        &self,
        copy: &CopyOp,
        inputs: &Inputs<Rootfs>,
    ) -> Result<Option<ContentId>, Cause> {
        let spec = self.spec(copy, None)?;
        let Some(tree) = self.origin(&copy.origin, inputs).await? else { return Ok(None) };
        blocking(move || Ok(Some(digest_sources(&spec, &tree.tree(), tree.index())?.id))).await
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
                let (chown, lowers) = (chown.clone(), lowers.clone());
                let owner = blocking(move || {
                    let view = overlay_view(&lowers).map_err(Cause::io("mount the root file system"))?;
                    Ok::<_, Cause>(resolve_chown(&view, &chown)?)
                });
                let owner = owner.await?;
                Some((owner.uid, owner.gid))
            }
        };
        let spec = self.spec(copy, owner)?;
        let from = self.origin(&copy.origin, inputs).await?;
        let place = match copy.origin {
            Origin::Context => "the build context, which is empty",
            _ => "scratch",
        };
        let active = self.begin(&lowers)?;
        // The layer of COPY --link does not depend on what is below it.
        let lowers = if copy.link { Vec::new() } else { lowers };
        let cancellation = self.around.cancellation.clone();
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
            let warnings = copy::copy_until(&spec, &tree, &to, &cancellation)?.warnings;
            Ok::<_, Cause>((active, warnings))
        })
        .await?;
        for warning in warnings {
            self.around.progress.warn(format!("{}: {warning}", self.vertex(vertex).name));
        }
        Ok(active)
    }

    /// What the copy engine is asked for. Owners do not matter to the content of a context, so the id of what is
    /// copied can be had without looking up `--chown`, which is in the key by itself.
    fn spec(&self, copy: &CopyOp, chown: Option<(u32, u32)>) -> Result<CopySpec, Cause> {
        let chmod = match &copy.chmod {
            None => None,
            Some(given) => Some(
                given
                    .parse::<Chmod>()
                    .map_err(|error| Cause::Chmod { given: given.clone(), why: error.to_string() })?,
            ),
        };
        let sources = copy.sources.iter().map(|source| match source {
            CopySource::Path(path, _) => copy::CopySource::Path { pattern: path.clone() },
            CopySource::Inline { name, text } => {
                copy::CopySource::Inline { name: name.clone(), bytes: text.clone().into_bytes() }
            }
        });
        let epoch = self.around.epoch;
        Ok(CopySpec {
            sources: sources.collect(),
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
            times: Times { created: epoch, clamp: epoch },
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
            make_owned(&root, &workdir.path, &workdir.user)?;
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
