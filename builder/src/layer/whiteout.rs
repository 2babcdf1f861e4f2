//! The names that are marks and not files (image-spec layer.md, "Whiteouts").

/// In front of a removed name.
pub(super) const PREFIX: &[u8] = b".wh.";

/// The mark of a directory that hides what lower layers have in it.
pub(super) const OPAQUE: &[u8] = b".wh..wh..opq";

/// In front of aufs' own book-keeping (`.wh..wh.plnk`, `.wh..wh.aufs`), found in very old images. Docker ignores it.
const AUFS: &[u8] = b".wh..wh.";

/// What the last component of an entry's name means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Mark<'a> {
    /// A file like any other.
    None,
    /// The name behind the prefix is removed from lower layers.
    Whiteout(&'a [u8]),
    /// The directory the mark stands in hides lower layers.
    Opaque,
    /// Book-keeping that has no meaning here.
    Ignored,
    /// Starts like a mark and names nothing that can be removed: nothing, `.` or `..`.
    Invalid,
}

/// Reads one component of a name.
pub(super) fn mark(component: &[u8]) -> Mark<'_> {
    if component == OPAQUE {
        return Mark::Opaque;
    }
    if component.starts_with(AUFS) {
        return Mark::Ignored;
    }
    match component.strip_prefix(PREFIX) {
        None => Mark::None,
        Some(b"" | b"." | b"..") => Mark::Invalid,
        Some(name) => Mark::Whiteout(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks() {
        assert_eq!(mark(b"file"), Mark::None);
        assert_eq!(mark(b".whatever"), Mark::None);
        assert_eq!(mark(b".wh.file"), Mark::Whiteout(b"file"));
        assert_eq!(mark(b".wh..file"), Mark::Whiteout(b".file"));
        assert_eq!(mark(b".wh..wh..opq"), Mark::Opaque);
        assert_eq!(mark(b".wh..wh.plnk"), Mark::Ignored);
        assert_eq!(mark(b".wh..wh.x"), Mark::Ignored);
        for invalid in [&b".wh."[..], b".wh..", b".wh..."] {
            assert_eq!(mark(invalid), Mark::Invalid);
        }
    }
}
