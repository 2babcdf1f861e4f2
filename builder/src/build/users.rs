//! Whether the USER of an image is known to it: no program starts as somebody unknown.
//!
//! Steps look their USER up when they run. What no step has looked up is the USER at the end of a stage, which the image
//! has. That takes the files of the image, and so what was found is noted by their content: a repeated build reads one
//! small file.

use super::BuildError;
use super::error::{DockerfileError, DockerfileText};
use super::phases::SolvedSteps;
use crate::blocking::blocking;
use crate::content::{ContentId, Encoder};
use crate::graph::Graph;
use crate::rootfs::overlay::overlay_view;
use crate::rootfs::user::{UserError, resolve_user};
use crate::steps::{Cause, StepWorker, UNKNOWN_USER};
use crate::store::Store;
use dockerfile_parser::diagnostic::Diagnostic;
use dockerfile_parser::span::Span;
use std::sync::Arc;

/// Looks the Dockerfile's USER up in every image. That of a base image is not this Dockerfile's to mend.
///
/// # Errors
/// With the place of each USER that is not known; when the files of an image cannot be had.
pub(super) async fn check(
    graph: &Graph,
    solved: &SolvedSteps,
    worker: &StepWorker,
    store: &Store,
    file: &Arc<DockerfileText>,
) -> Result<(), BuildError> {
    let mut diagnostics: Vec<Diagnostic> = Vec::new();
    for image in &graph.images {
        let (Some(span), true) = (image.user.span, image.user.is_looked_up()) else { continue };
        let (user, rootfs) = (image.user.text.clone(), &solved[&image.vertex].state);
        let id = verdict(&rootfs.content, &user);
        if store.knows_user(&id) {
            continue;
        }
        let lowers = worker.lowers(rootfs).await.map_err(failed)?;
        let found = blocking(move || {
            let root = overlay_view(&lowers).map_err(|source| {
                failed(Cause::Io { doing: "mount the root file system".to_owned(), source })
            })?;
            Ok::<_, BuildError>(resolve_user(&root, &user))
        });
        match found.await? {
            Ok(_) => store.note_user(&id)?,
            Err(error) => diagnostics.push(unknown(&error, span)),
        }
    }
    // Of several platforms each has its own files, and mostly the same mistake.
    diagnostics.dedup();
    match diagnostics.is_empty() {
        true => Ok(()),
        false => Err(DockerfileError { file: Arc::clone(file), diagnostics }.into()),
    }
}

fn unknown(error: &UserError, span: Span) -> Diagnostic {
    let mut diagnostic = Diagnostic::error(UNKNOWN_USER, span, super::planning::chain(error));
    diagnostic.help = error.help();
    diagnostic
}

/// Names what is noted: this user, in these files.
fn verdict(rootfs: &ContentId, user: &str) -> ContentId {
    Encoder::new("slipway user v1").id(rootfs).text(user).finish()
}

fn failed(cause: Cause) -> BuildError {
    match cause {
        Cause::NeedsUserNamespace => BuildError::NeedsUserNamespace,
        other => BuildError::Output { what: "image".to_owned(), source: Box::new(other) },
    }
}
