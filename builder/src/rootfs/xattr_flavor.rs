use crate::userns::Privilege;
use serde::{Deserialize, Serialize};
use std::ffi::CStr;

/// Which extended attributes carry overlayfs' own marks in a directory that is (or will be) a layer of a mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum XattrFlavor {
    /// `trusted.overlay.*`: mounts made with `CAP_SYS_ADMIN` in the initial user namespace.
    Trusted,
    /// `user.overlay.*`: mounts made with the option `userxattr`, as in a user namespace.
    User,
}

impl XattrFlavor {
    /// The xattr that makes a directory opaque when its value is `y`.
    pub fn opaque(self) -> &'static CStr {
        match self {
            Self::Trusted => c"trusted.overlay.opaque",
            Self::User => c"user.overlay.opaque",
        }
    }

    /// What the mounts of this user use, whether or not the process has entered its user namespace yet.
    pub fn of_this_process() -> Self {
        match Privilege::detect() {
            Privilege::Root => Self::Trusted,
            Privilege::InUserNamespace | Privilege::Unprivileged => Self::User,
        }
    }
}
