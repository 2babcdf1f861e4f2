//! What a step should not have left: caches of package managers, the values of secrets.

use crate::layer::tree::{Tree, TreeKind};
use crate::progress::bytes::size;
use dockerfile_parser::diagnostic::Diagnostic;
use dockerfile_parser::span::Span;
use std::io::Read;
use std::path::Path;

/// Where package managers keep what they download, and what removes it.
const CACHES: [(&str, &str, &str); 12] = [
    ("var/lib/apt/lists/", "lists of apt", "rm -rf /var/lib/apt/lists/*"),
    ("var/cache/apt/", "packages of apt", "apt-get clean"),
    ("var/cache/apk/", "index of apk", "apk add --no-cache"),
    ("var/cache/dnf/", "cache of dnf", "dnf clean all"),
    ("var/cache/libdnf5/", "cache of dnf", "dnf clean all"),
    ("var/cache/yum/", "cache of yum", "yum clean all"),
    ("var/cache/zypp/", "cache of zypper", "zypper clean --all"),
    ("root/.cache/pip/", "cache of pip", "pip install --no-cache-dir"),
    ("root/.npm/_cacache/", "cache of npm", "npm cache clean --force"),
    ("usr/local/share/.cache/yarn/", "cache of yarn", "yarn cache clean"),
    ("root/.cache/go-build/", "build cache of Go", "RUN --mount=type=cache,target=/root/.cache/go-build"),
    ("root/.cargo/registry/", "registry of cargo", "RUN --mount=type=cache,target=/root/.cargo/registry"),
];
/// Less is not worth a line, in bytes.
const WORTH_IT: u64 = 1 << 20;
/// No secret is looked for in larger files, in bytes.
const LARGEST: u64 = 16 << 20;
/// Shorter values are found in places that have nothing to do with them, in bytes.
const SHORTEST: usize = 6;

/// PackageCacheInLayer: one finding for each cache of a step's layer that is worth it.
pub(super) fn caches(tree: &Tree, span: Span) -> Vec<Diagnostic> {
    let mut bytes = [0_u64; CACHES.len()];
    for entry in tree.entries() {
        let TreeKind::File { size, .. } = &entry.kind else { continue };
        let found = CACHES.iter().position(|(path, ..)| entry.path.starts_with(path.as_bytes()));
        if let (Some(found), None) = (found, &entry.hard_link) {
            bytes[found] += size;
        }
    }
    let found = CACHES.iter().zip(bytes).filter(|(_, bytes)| *bytes >= WORTH_IT);
    found
        .map(|((path, what, remedy), bytes)| {
            let message = format!("{} of {what} stay in the layer (/{path})", size(bytes));
            Diagnostic::warning("PackageCacheInLayer", span, message)
                .help(format!("in the same RUN: {remedy}; or keep it out with --mount=type=cache"))
        })
        .collect()
}

/// SecretInImage: the files below `upper` that have a secret's value in them.
pub(super) fn secrets(upper: &Path, secrets: &[Vec<u8>], span: Span) -> Vec<Diagnostic> {
    let values = secrets.iter().map(|value| value.trim_ascii()).filter(|value| value.len() >= SHORTEST);
    let finders: Vec<_> = values.map(memchr::memmem::Finder::new).collect();
    let mut findings = Vec::new();
    if finders.is_empty() {
        return findings;
    }
    for entry in walkdir::WalkDir::new(upper).into_iter().flatten() {
        if !entry.file_type().is_file() {
            continue;
        }
        let mut bytes = Vec::new();
        // What cannot be read now could not be packed either, which says why.
        let Ok(file) = std::fs::File::open(entry.path()) else { continue };
        if file.take(LARGEST).read_to_end(&mut bytes).is_err() {
            continue;
        }
        if finders.iter().any(|finder| finder.find(&bytes).is_some()) {
            let path = entry.path().strip_prefix(upper).unwrap_or(entry.path());
            let message = format!("this RUN writes the value of a secret to /{}", path.display());
            findings.push(
                Diagnostic::warning("SecretInImage", span, message)
                    .help("leave it in its mount, which is gone when the RUN ends"),
            );
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::scan;
    use crate::rootfs::XattrFlavor;

    #[test]
    fn what_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, bytes: &[u8]| {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        };
        file("var/lib/apt/lists/a", &[b'x'; 1 << 20]);
        file("var/lib/apt/lists/partial/b", &[b'x'; 1 << 20]);
        file("var/cache/apt/pkgcache.bin", b"small");
        file("etc/config", b"user:hunter2hunter2\n");
        let tree = scan(dir.path(), XattrFlavor::User).unwrap();
        let found = caches(&tree, Span::default());
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].message, "2.1 MB of lists of apt stay in the layer (/var/lib/apt/lists/)");
        let of = |value: &str| secrets(dir.path(), &[value.as_bytes().to_vec()], Span::default());
        assert_eq!(of("hunter2hunter2\n")[0].message, "this RUN writes the value of a secret to /etc/config");
        assert_eq!(of("something else"), []);
        // Too short to mean anything.
        assert_eq!(of("user"), []);
    }
}
