//! Paths of sources and destinations as text: cleaned without looking at any file.

/// The components of `path` with `.` and empty ones left out and `..` applied to the text, never above the start:
/// `COPY ../x` is `COPY x`, as every builder has it.
pub(crate) fn components(path: &[u8]) -> Vec<&[u8]> {
    let mut out = Vec::new();
    for component in path.split(|b| *b == b'/') {
        match component {
            b"" | b"." => {}
            b".." => {
                out.pop();
            }
            name => out.push(name),
        }
    }
    out
}

/// Whether the text says that it is a directory: empty, or ending in `/`, `/.` or `/..`.
pub(crate) fn names_directory(path: &[u8]) -> bool {
    matches!(path.rsplit(|b| *b == b'/').next(), None | Some(b"" | b"." | b".."))
}

/// `base/name`, or `name` when `base` is empty.
pub(crate) fn join(base: &[u8], name: &[u8]) -> Vec<u8> {
    let mut path = Vec::with_capacity(base.len() + 1 + name.len());
    path.extend_from_slice(base);
    if !base.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(name);
    path
}

/// For messages.
pub(crate) fn show(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cleaning() {
        let clean = |path: &str| components(path.as_bytes()).join(&b'/');
        for (path, want) in [
            ("../x", "x"),
            ("/../../etc/./x/", "etc/x"),
            ("a/../b", "b"),
            ("a/b/../..", ""),
            ("./", ""),
            ("a//b", "a/b"),
        ] {
            assert_eq!(show(&clean(path)), want, "{path}");
        }
    }

    #[test]
    fn directories() {
        for path in ["", "/", "a/", "a/.", "/a/..", "."] {
            assert!(names_directory(path.as_bytes()), "{path}");
        }
        for path in ["a", "/a/.b", "a/b..", "a."] {
            assert!(!names_directory(path.as_bytes()), "{path}");
        }
    }
}
