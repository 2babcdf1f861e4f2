//! An upper directory becomes a snapshot, or turns out to be one that is there already.

use super::error::Cause;
use crate::content::ContentId;
use crate::layer::scan;
use crate::layer::tree::Tree;
use crate::store::{ActiveSnapshot, SnapshotId, SnapshotMeta, Store};
use std::sync::Arc;
use std::time::SystemTime;

/// Commits what a step wrote. When some step made the same of the same `start` before, that earlier snapshot is taken, so
/// that everything after it stays cached and every byte of the image stays the same (early cutoff). What it wrote is given back
/// as well.
pub(super) async fn commit(
    store: &Store,
    active: ActiveSnapshot,
    start: ContentId,
    description: &str,
) -> Result<(SnapshotId, ContentId, Arc<Tree>), Cause> {
    let (store, description) = (store.clone(), description.to_owned());
    crate::blocking::blocking(move || {
        let tree = Arc::new(scan(&active.upper(), store.flavor())?);
        let content = tree.content_id();
        if let Some(earlier) = store.records().by_content(&start, &content) {
            return Ok((earlier.id, content, tree));
        }
        let list = active.tree();
        std::fs::write(&list, tree.to_bytes()).map_err(Cause::io(format!("write {}", list.display())))?;
        let meta = SnapshotMeta {
            content,
            created: SystemTime::now(),
            description,
            size: tree.size(),
            diff_id: None,
            tar_size: None,
        };
        Ok((active.commit(meta)?.id, content, tree))
    })
    .await
}
