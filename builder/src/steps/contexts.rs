//! The trees that COPY and bind mounts take files from: the build context, named directories, stages.

use super::StepWorker;
use super::error::Cause;
use super::state::Rootfs;
use crate::blocking::blocking;
use crate::context::{Context, ContextError, Index, ignore_rules};
use crate::copy::{IgnoreRules, SourceTree};
use crate::graph::Origin;
use crate::rootfs::Root;
use crate::rootfs::overlay::overlay_view;
use crate::solve::Inputs;
use crate::store::Store;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What messages call the build context when it is read where it is.
const BUILD_CONTEXT: &str = "the build context";

/// The build context and the named directories of a build.
#[derive(Debug)]
pub struct Contexts {
    main: Option<Arc<Context>>,
    named: BTreeMap<String, Arc<Context>>,
}

impl Contexts {
    /// Opens the build context (`None` is an empty one) and the named directories. The build context comes
    /// with the rules of its ignore file; a named directory has the one at its top. `place` is what messages call a build
    /// context that is not read where it is.
    ///
    /// # Errors
    /// When a directory cannot be opened, or an ignore file not understood.
    pub fn open(
        store: &Store,
        main: Option<(&Path, Option<IgnoreRules>)>,
        place: Option<&str>,
        named: &BTreeMap<String, PathBuf>,
    ) -> Result<Self, ContextError> {
        let open = |place: &str, path: &Path, rules| {
            let context = Context::open(path, place, rules)?;
            let index = store.context_index(context.path());
            Ok(Arc::new(context.with_index(index)))
        };
        let main = main.map(|(path, rules)| open(place.unwrap_or(BUILD_CONTEXT), path, rules)).transpose()?;
        let named = named
            .iter()
            .map(|(name, path)| {
                let place = format!("context {name:?}");
                Ok((name.clone(), open(&place, path, ignore_rules(path, None, None)?)?))
            })
            .collect::<Result<_, ContextError>>()?;
        Ok(Self { main, named })
    }

    /// What messages call the build context.
    pub(super) fn place(&self) -> &str {
        self.main.as_ref().map_or(BUILD_CONTEXT, |main| main.place())
    }

    /// Writes the stat indexes back, for the next build.
    pub fn save(&self) {
        for context in self.main.iter().chain(self.named.values()) {
            // That one cannot be written costs time in the next build, and nothing else.
            let _ = context.save();
        }
    }
}

/// An open tree.
pub(super) enum Tree {
    Context(Arc<Context>),
    Stage { root: Root, place: String },
}

impl Tree {
    pub(super) fn tree(&self) -> SourceTree<'_> {
        match self {
            Self::Context(context) => context.tree(),
            Self::Stage { root, place } => SourceTree { root, place, ignore: None },
        }
    }

    /// What is known of the content of files by their stat.
    pub(super) fn index(&self) -> Option<&Index> {
        match self {
            Self::Context(context) => context.index(),
            Self::Stage { .. } => None,
        }
    }
}

impl StepWorker {
    /// Opens the tree that `origin` means; `None` for an empty one.
    pub(super) async fn origin(
        &self,
        origin: &Origin,
        inputs: &Inputs<Rootfs>,
    ) -> Result<Option<Tree>, Cause> {
        let contexts = &self.around.contexts;
        match origin {
            Origin::Empty => Ok(None),
            Origin::Context => Ok(contexts.main.clone().map(Tree::Context)),
            Origin::Named(name) => Ok(contexts.named.get(name).cloned().map(Tree::Context)),
            Origin::Step(id) => {
                let Some(rootfs) = inputs.reads.get(id) else { return Ok(None) };
                if !self.around.privileged {
                    return Err(Cause::NeedsUserNamespace);
                }
                let lowers = self.directories(rootfs).await?;
                let root = blocking(move || overlay_view(&lowers)).await;
                let root = root.map_err(Cause::io("mount the root file system of a stage"))?;
                let place = self.place_of(origin);
                Ok(Some(Tree::Stage { root, place }))
            }
        }
    }
}
