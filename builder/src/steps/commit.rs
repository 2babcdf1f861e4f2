//! An upper directory becomes a snapshot, or turns out to be one that is there already.

use super::error::Cause;
use crate::content::{ContentId, Encoder};
use crate::layer::scan;
use crate::layer::tree::Tree;
use crate::rootfs::{RootAttributes, XattrFlavor};
use crate::store::{ActiveSnapshot, Snapshot, SnapshotId, SnapshotMeta, Store};
use std::sync::Arc;
use std::time::SystemTime;

/// Commits what a step wrote. When some step made the same of the same `start` before, that earlier snapshot is taken, so
/// that everything after it stays cached and every byte of the image stays the same (early cutoff); without a `start` nobody
/// looks for one. What it wrote is given back as well.
pub(super) async fn commit(
    store: &Store,
    active: ActiveSnapshot,
    start: Option<ContentId>,
    description: &str,
) -> Result<(SnapshotId, ContentId, Arc<Tree>), Cause> {
    let (store, description) = (store.clone(), description.to_owned());
    crate::blocking::blocking(move || {
        let tree = Arc::new(scan(&active.upper(), store.flavor())?);
        let root = active.changed_root()?;
        let content = content_of(&tree, root);
        if let Some(earlier) = start.and_then(|start| store.records().by_content(&start, &content)) {
            return Ok((earlier.id, content, tree));
        }
        let list = active.tree();
        std::fs::write(&list, tree.to_bytes()).map_err(Cause::io(format!("write {}", list.display())))?;
        let meta = SnapshotMeta {
            content,
            created: SystemTime::now(),
            description,
            size: tree.size(),
            root,
            diff_id: None,
            tar_size: None,
        };
        Ok((active.commit(meta)?.id, content, tree))
    })
    .await
}

/// Names what a step made: files, and what it made of `/`, which is no entry of a layer.
fn content_of(tree: &Tree, root: Option<RootAttributes>) -> ContentId {
    let content = tree.content_id();
    let Some(RootAttributes { mode, uid, gid }) = root else { return content };
    let mut encoder = Encoder::new("slipway tree and root v1");
    encoder.id(&content).number(mode.into()).number(uid.into()).number(gid.into());
    encoder.finish()
}

/// Whether the files of a snapshot are those that its step made.
pub(super) fn is_whole(snapshot: &Snapshot, flavor: XattrFlavor) -> bool {
    let root = snapshot.meta.root;
    let same_root = |root| RootAttributes::of(&snapshot.upper()).is_ok_and(|found| found == root);
    root.is_none_or(same_root)
        && scan(&snapshot.upper(), flavor).is_ok_and(|tree| content_of(&tree, root) == snapshot.meta.content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_became_of_the_root_is_content() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("store"), XattrFlavor::Trusted).unwrap();
        let commit = |mode: Option<u32>| {
            let active = store.snapshots().begin().unwrap();
            if let Some(mode) = mode {
                let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
                std::fs::set_permissions(active.upper(), mode).unwrap();
            }
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let made = runtime.block_on(super::commit(&store, active, Some(ContentId::of(b"start")), "RUN"));
            let (id, content, _) = made.unwrap();
            (store.snapshots().get(&id).unwrap(), content)
        };
        let (plain, nothing) = commit(None);
        let (changed, content) = commit(Some(0o700));
        assert_eq!((plain.meta.root, commit(Some(0o755)).1), (None, nothing));
        assert_eq!(changed.meta.root.map(|root| root.mode), Some(0o700));
        assert_ne!(content, nothing);
        assert!(is_whole(&plain, store.flavor()) && is_whole(&changed, store.flavor()));
        // As after a crash of the machine.
        RootAttributes::DEFAULT.give(&changed.upper()).unwrap();
        assert!(!is_whole(&changed, store.flavor()));
        std::fs::write(plain.upper().join("file"), "").unwrap();
        assert!(!is_whole(&plain, store.flavor()));
    }
}
