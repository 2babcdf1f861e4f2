//! `type=tar` and `type=local`: the files alone, of several platforms in a directory each.

use super::super::BuildError;
use super::{Made, Part, failed};
use crate::blocking::blocking;
use crate::export::{self, LocalOptions, NamedTree};
use crate::request::{Output, OutputKind};
use crate::rootfs::overlay::overlay_view;
use crate::steps::Cause;
use std::io::Write;
use std::path::Path;

impl Made<'_> {
    /// Writes them.
    pub(super) async fn files(&self, output: &Output, parts: &[Part<'_>]) -> Result<(), BuildError> {
        let tar = output.kind == OutputKind::Tar;
        let what = if tar { "tar" } else { "local" };
        let split = output.platform_split.unwrap_or(self.request.multi_platform);
        let mut views = Vec::with_capacity(parts.len());
        for part in parts {
            let lowers = self.worker.lowers(part.rootfs).await.map_err(|cause| match cause {
                Cause::NeedsUserNamespace => BuildError::NeedsUserNamespace,
                other => failed(what)(other),
            })?;
            let directory = split.then(|| part.plan.platform.to_string().replace('/', "_"));
            views.push((directory, lowers));
        }
        let (flavor, epoch, output) = (self.store.flavor(), self.request.source_date_epoch, output.clone());
        let standard_output = self.environment.standard_output;
        blocking(move || {
            let mut trees = Vec::with_capacity(views.len());
            for (directory, lowers) in &views {
                let root = overlay_view(lowers).map_err(failed(what))?;
                trees.push(NamedTree { directory: directory.clone(), root });
            }
            let write = |out: &mut dyn Write| export::tree_archive(&trees, flavor, epoch, out);
            match (tar, &output.dest) {
                (true, Some(dest)) => export::write_file(dest, write).map_err(failed(what)),
                (true, None) => write(&mut standard_output().map_err(failed(what))?).map_err(failed(what)),
                (false, dest) => {
                    let dest = dest.as_deref().unwrap_or(Path::new("."));
                    let options = LocalOptions { clamp: epoch, delete: output.delete };
                    export::local_directory(&trees, dest, options).map(|_| ()).map_err(failed(what))
                }
            }
        })
        .await
    }
}
