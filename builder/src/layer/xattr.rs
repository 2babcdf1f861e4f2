//! Which extended attributes are overlayfs' own, and which belong to a layer.

use crate::rootfs::XattrFlavor;

/// One extended attribute: its name and its value.
pub(crate) type Xattr = (Vec<u8>, Vec<u8>);

/// overlayfs was mounted with a feature that makes the upper directory an incomplete layer: the content of a file
/// (`metacopy`), or of a directory (`redirect`), is somewhere else.
pub(super) fn makes_incomplete(flavor: XattrFlavor, name: &[u8]) -> bool {
    match flavor {
        XattrFlavor::Trusted => matches!(name, b"trusted.overlay.redirect" | b"trusted.overlay.metacopy"),
        XattrFlavor::User => matches!(name, b"user.overlay.redirect" | b"user.overlay.metacopy"),
    }
}

/// Whether an xattr is part of a layer.
///
/// `security.capability` is what BuildKit and containerd export; `user.*` is what buildah and podman add to it, and the only
/// class a program can expect to survive. Everything else depends on the machine the build runs on: `security.selinux`,
/// `security.ima` and `security.evm` are its policy, `trusted.*` cannot be seen in a user namespace, ACLs
/// (`system.posix_acl_*`) hold user ids that nobody maps. `*.overlay.*` is book-keeping of a mount.
pub(crate) fn belongs_to_layer(name: &[u8]) -> bool {
    name == b"security.capability" || (name.starts_with(b"user.") && !name.starts_with(b"user.overlay."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes() {
        for kept in [&b"security.capability"[..], b"user.a", b"user.overlayx"] {
            assert!(belongs_to_layer(kept));
        }
        for dropped in [
            &b"user.overlay.opaque"[..],
            b"user.overlay.origin",
            b"trusted.overlay.opaque",
            b"trusted.x",
            b"security.selinux",
            b"security.ima",
            b"system.posix_acl_access",
        ] {
            assert!(!belongs_to_layer(dropped));
        }
        assert!(makes_incomplete(XattrFlavor::Trusted, b"trusted.overlay.redirect"));
        assert!(!makes_incomplete(XattrFlavor::Trusted, b"user.overlay.redirect"));
        assert!(makes_incomplete(XattrFlavor::User, b"user.overlay.metacopy"));
    }
}
