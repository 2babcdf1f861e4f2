//! What bind and cache mounts take their files from: `from` and `source`.

use crate::content::{ContentId, Encoder};
use crate::context::{EntrySummary, digest_sources};
use crate::copy::{CopySpec, Ownership, SourceTree};
use crate::graph::{Origin, RunMount};
use crate::steps::contexts::Tree;
use crate::steps::error::Cause;
use rustix::fs::FileType;
use std::path::{Component, Path};

/// The mode of a directory that nothing says the mode of.
pub(super) const DIRECTORY_MODE: u32 = 0o755;

/// Mode and owner of a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Top {
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
}

impl Default for Top {
    fn default() -> Self {
        Self { mode: DIRECTORY_MODE, uid: 0, gid: 0 }
    }
}

/// `source`, as written.
pub(super) fn source(bound: &RunMount) -> &str {
    bound.mount.source.as_deref().unwrap_or("/")
}

/// Whether the source is everything.
pub(super) fn is_everything(bound: &RunMount) -> bool {
    let mut components = Path::new(source(bound)).components();
    components.all(|component| matches!(component, Component::RootDir | Component::CurDir))
}

/// Copies the source to `destination`.
pub(super) fn copy_spec(bound: &RunMount, destination: &Path) -> CopySpec {
    let mut spec = CopySpec::new([escape(source(bound))], destination);
    spec.ownership = match bound.from {
        Origin::Context | Origin::Named(_) => Ownership::Zero,
        Origin::Step(_) | Origin::Empty => Ownership::Keep,
    };
    spec
}

/// Mode and owner of the source; `None` when it is no directory. A copy has only what is in a directory. That of a whole
/// context is this machine's, and says nothing.
pub(super) fn top(bound: &RunMount, tree: &SourceTree<'_>) -> Result<Option<Top>, Cause> {
    let of_context = matches!(bound.from, Origin::Context | Origin::Named(_));
    if of_context && is_everything(bound) {
        return Ok(Some(Top::default()));
    }
    let source = source(bound);
    let stat = tree
        .root
        .stat(Path::new(source))
        .map_err(Cause::io(format!("look at {source} in {place}", place = tree.place)))?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
        return Ok(None);
    }
    let (uid, gid) = if of_context { (0, 0) } else { (stat.st_uid, stat.st_gid) };
    Ok(Some(Top { mode: stat.st_mode & 0o7777, uid, gid }))
}

/// Names what the source holds.
pub(super) fn content(bound: &RunMount, tree: &Tree) -> Result<ContentId, Cause> {
    Ok(listed(bound, tree)?.0)
}

/// The same, with the files in it.
pub(super) fn listed(bound: &RunMount, tree: &Tree) -> Result<(ContentId, Vec<EntrySummary>), Cause> {
    let digest = digest_sources(&copy_spec(bound, Path::new("/")), &tree.tree(), tree.index())?;
    let mut encoder = Encoder::new("slipway mount source v1");
    encoder.id(&digest.id);
    if let Some(Top { mode, uid, gid }) = top(bound, &tree.tree())? {
        encoder.number(mode.into()).number(uid.into()).number(gid.into());
    }
    Ok((encoder.finish(), digest.entries))
}

/// The source of a mount is a path, not a pattern.
fn escape(path: &str) -> String {
    let mut escaped = String::with_capacity(path.len());
    for c in path.chars() {
        if matches!(c, '*' | '?' | '[' | '\\') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rootfs::Root;
    use std::os::unix::fs::PermissionsExt;

    fn bound(from: Origin, source: Option<&str>) -> RunMount {
        let mut mount =
            dockerfile_parser::mount::parse("target=/t", &mut |text| Ok(text.to_owned())).unwrap();
        mount.source = source.map(str::to_owned);
        let span = dockerfile_parser::span::Span::default();
        RunMount { mount, from, span, source_span: span }
    }

    #[test]
    fn a_source_is_no_pattern() {
        assert_eq!(escape(r"/a*b?c[d]\e"), r"/a\*b\?c\[d]\\e");
    }

    #[test]
    fn everything_has_many_names() {
        for (source, everything) in [
            (None, true),
            (Some("/"), true),
            (Some("."), true),
            (Some("/./"), true),
            (Some("a"), false),
            (Some("/a"), false),
        ] {
            assert_eq!(is_everything(&bound(Origin::Context, source)), everything, "{source:?}");
        }
    }

    #[test]
    fn the_mode_of_a_directory_counts_but_for_whole_contexts() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("sub")).unwrap();
        std::fs::write(dir.path().join("file"), "").unwrap();
        for path in [dir.path().to_owned(), dir.path().join("sub")] {
            std::fs::set_permissions(path, PermissionsExt::from_mode(0o700)).unwrap();
        }
        let root = Root::open(dir.path()).unwrap();
        let tree = SourceTree { root: &root, place: "the build context", ignore: None };
        let mode = |source| {
            top(&bound(Origin::Context, source), &tree)
                .unwrap()
                .map(|Top { mode, uid, gid }| (mode, uid, gid))
        };
        assert_eq!(mode(None), Some((0o755, 0, 0)));
        assert_eq!(mode(Some("sub")), Some((0o700, 0, 0)));
        assert_eq!(mode(Some("file")), None);
        assert!(top(&bound(Origin::Context, Some("absent")), &tree).is_err());
    }
}
