//! Bind mounts: files of a context, or of what a step made.
//!
//! What a step made is shown as it is. Of a context there is a copy: what an ignore rule hides must not be seen, and
//! what the mount shows must not change under the program. It is made once in a build for all RUNs that want the same.
//! A mount that can be written is an overlay whose upper directory goes with the RUN, so it takes no copy of its own.

use super::source::{self, Top};
use super::{Held, Prepared, target};
use crate::blocking::blocking;
use crate::content::ContentId;
use crate::copy;
use crate::graph::{Origin, RunMount};
use crate::rootfs::Root;
use crate::rootfs::overlay::{overlay_rw, subtree};
use crate::sandbox::{BindSource, Mount, MountKind};
use crate::solve::Inputs;
use crate::steps::StepWorker;
use crate::steps::contexts::Tree;
use crate::steps::error::Cause;
use crate::steps::state::Rootfs;
use crate::store::Store;
use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::OnceCell;

/// What the copy of a source is called in its directory.
const COPIED: &str = "copied";

/// A directory that is deleted when this is dropped.
#[derive(Debug)]
pub(in crate::steps) struct Temporary(PathBuf);

impl Temporary {
    fn new(store: &Store) -> Result<Self, Cause> {
        Ok(Self(store.scratch_dir()?))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // What cannot be deleted now goes when the store is closed.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Which copy: of what in which context, and what it holds.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Wanted {
    /// Name of the context; `None` is the build context.
    context: Option<String>,
    source: String,
    content: ContentId,
}

/// The copies of a build that hold what somebody looked for.
#[derive(Debug, Default)]
pub(in crate::steps) struct Copies(Mutex<HashMap<Wanted, Arc<OnceCell<Arc<Temporary>>>>>);

impl Copies {
    fn cell(&self, wanted: Wanted) -> Arc<OnceCell<Arc<Temporary>>> {
        Arc::clone(self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(wanted).or_default())
    }
}

/// Why there is no copy that others may use too.
enum NotShared {
    /// The source changed, so nobody else looks for what this one holds.
    Changed(Arc<Temporary>),
    Failed(Cause),
}

impl StepWorker {
    /// A bind mount; `content` is what its source held when the RUN was looked up.
    pub(super) async fn bind(
        &self,
        bound: &RunMount,
        content: Option<ContentId>,
        inputs: &Inputs<Rootfs>,
        prepared: &mut Prepared,
    ) -> Result<Mount, Cause> {
        let read_only = bound.mount.read_only;
        let (lowers, path) = match &bound.from {
            Origin::Context | Origin::Named(_) => match self.origin(&bound.from, inputs).await? {
                Some(tree) => {
                    let copy = self.copy_of(bound, tree, content, prepared).await?;
                    let directory = copy.0.clone();
                    prepared.held.push(Held::Copy(copy));
                    if read_only {
                        let source = BindSource::Path(directory.join(COPIED));
                        return Ok(mount(bound, source));
                    }
                    (vec![directory], PathBuf::from(COPIED))
                }
                None => (Vec::new(), PathBuf::from(source::source(bound))),
            },
            Origin::Step(id) => {
                let lowers = match inputs.reads.get(id) {
                    Some(rootfs) => self.directories(rootfs).await?,
                    None => Vec::new(),
                };
                (lowers, PathBuf::from(source::source(bound)))
            }
            Origin::Empty => (Vec::new(), PathBuf::from(source::source(bound))),
        };
        if read_only {
            return Ok(mount(bound, BindSource::View { lowers, path }));
        }
        let changes = Temporary::new(&self.around.store)?;
        let upper = changes.0.clone();
        let shown = blocking(move || writable(&lowers, &upper, &path)).await;
        let shown = shown.map_err(Cause::io(format!("make {} writable", target(&bound.mount).display())))?;
        prepared.held.push(Held::Changes(changes));
        Ok(mount(bound, BindSource::Fd(shown)))
    }

    /// A copy of the source, in a directory under the name [`COPIED`]: the one that holds `content`, made when nobody
    /// has made it, or, when the source has changed, what it holds now.
    async fn copy_of(
        &self,
        bound: &RunMount,
        tree: Tree,
        content: Option<ContentId>,
        prepared: &mut Prepared,
    ) -> Result<Arc<Temporary>, Cause> {
        let Some(content) = content else {
            prepared.as_looked_up = false;
            return Ok(self.make_copy(bound, tree).await?.0);
        };
        let context = match &bound.from {
            Origin::Named(name) => Some(name.clone()),
            _ => None,
        };
        let cell = self.copies.cell(Wanted { context, source: source::source(bound).to_owned(), content });
        let made = cell
            .get_or_try_init(|| async {
                let (copy, holds) = self.make_copy(bound, tree).await.map_err(NotShared::Failed)?;
                if holds == content { Ok(copy) } else { Err(NotShared::Changed(copy)) }
            })
            .await;
        match made {
            Ok(copy) => Ok(Arc::clone(copy)),
            Err(NotShared::Changed(copy)) => {
                prepared.as_looked_up = false;
                Ok(copy)
            }
            Err(NotShared::Failed(cause)) => Err(cause),
        }
    }

    /// A new copy, and what the source held when it was done.
    async fn make_copy(&self, bound: &RunMount, tree: Tree) -> Result<(Arc<Temporary>, ContentId), Cause> {
        let into = Temporary::new(&self.around.store)?;
        let (bound, cancellation) = (bound.clone(), self.stop.clone());
        blocking(move || {
            let to = Root::open(&into.0).map_err(Cause::io("open a scratch directory"))?;
            let spec = source::copy_spec(&bound, &Path::new("/").join(COPIED));
            copy::copy_until(&spec, &tree.tree(), &to, &cancellation)?;
            if let Some(top) = source::top(&bound, &tree.tree())? {
                begin(&into.0.join(COPIED), top).map_err(Cause::io("give a copy its owner and mode"))?;
            }
            let holds = source::content(&bound, &tree)?;
            Ok((Arc::new(into), holds))
        })
        .await
    }
}

/// Gives the directory at the top of a copy, made when nothing is in it, owner and mode.
fn begin(directory: &Path, Top { mode, uid, gid }: Top) -> std::io::Result<()> {
    match std::fs::create_dir(directory) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    chown(directory, Some(uid), Some(gid))?;
    std::fs::set_permissions(directory, PermissionsExt::from_mode(mode))
}

/// `path` in `lowers`, the top one first, with what is written to it in the directory `changes`.
fn writable(lowers: &[PathBuf], changes: &Path, path: &Path) -> std::io::Result<OwnedFd> {
    let (upper, work) = (changes.join("upper"), changes.join("work"));
    std::fs::create_dir(&upper)?;
    std::fs::create_dir(&work)?;
    let mut top = Top::default();
    if let Some(lower) = lowers.first() {
        // The upper directory is `/` of the mount.
        let root = std::fs::metadata(lower)?;
        top = Top { mode: root.mode() & 0o7777, uid: root.uid(), gid: root.gid() };
    }
    begin(&upper, top)?;
    subtree(&overlay_rw(lowers, &upper, &work)?, path)
}

fn mount(bound: &RunMount, source: BindSource) -> Mount {
    let read_only = bound.mount.read_only;
    Mount { target: target(&bound.mount), kind: MountKind::Bind { source, read_only, recursive: false } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_looks_for_the_same_gets_the_same() {
        let copies = Copies::default();
        let wanted = |context: Option<&str>, source: &str, content: &[u8]| Wanted {
            context: context.map(str::to_owned),
            source: source.to_owned(),
            content: ContentId::of(content),
        };
        let first = copies.cell(wanted(None, "/", b"1"));
        assert!(Arc::ptr_eq(&first, &copies.cell(wanted(None, "/", b"1"))));
        for other in [wanted(Some("a"), "/", b"1"), wanted(None, "/a", b"1"), wanted(None, "/", b"2")] {
            assert!(!Arc::ptr_eq(&first, &copies.cell(other)));
        }
    }

    #[test]
    fn the_top_of_a_copy() {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().join("top");
        let owner = std::fs::metadata(dir.path()).unwrap();
        for mode in [0o700, 0o2755] {
            begin(&top, Top { mode, uid: owner.uid(), gid: owner.gid() }).unwrap();
            assert_eq!(std::fs::metadata(&top).unwrap().mode() & 0o7777, mode);
        }
        std::fs::write(dir.path().join("file"), "").unwrap();
        assert!(begin(&dir.path().join("file/x"), Top::default()).is_err());
    }

    #[test]
    fn a_temporary_directory_goes_with_its_owner() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("copy");
        std::fs::create_dir_all(path.join("deep")).unwrap();
        drop(Temporary(path.clone()));
        assert!(!path.exists());
    }
}
