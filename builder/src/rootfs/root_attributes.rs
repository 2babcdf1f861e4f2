use serde::{Deserialize, Serialize};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;

/// Mode and owner of `/`. In a mount of layers they are those of the top directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootAttributes {
    /// Permission bits, setuid, setgid, sticky.
    pub mode: u32,
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

impl RootAttributes {
    /// Of a root that nothing says anything about.
    pub const DEFAULT: Self = Self { mode: 0o755, uid: 0, gid: 0 };

    /// Those that `directory` has.
    ///
    /// # Errors
    /// What `stat(2)` says.
    pub fn of(directory: &Path) -> io::Result<Self> {
        let found = std::fs::metadata(directory)?;
        Ok(Self { mode: found.mode() & 0o7777, uid: found.uid(), gid: found.gid() })
    }

    /// Gives them to `directory`.
    ///
    /// # Errors
    /// What `chown(2)` and `chmod(2)` say.
    pub fn give(self, directory: &Path) -> io::Result<()> {
        let now = Self::of(directory)?;
        if (now.uid, now.gid) != (self.uid, self.gid) {
            chown(directory, Some(self.uid), Some(self.gid))?;
        }
        // chown clears setuid and setgid.
        std::fs::set_permissions(directory, PermissionsExt::from_mode(self.mode))
    }
}
