use rustix::io::Errno;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// No user namespace can be had, or it is of no use.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum UsernsError {
    #[error(
        "this machine allows no user namespaces (user.max_user_namespaces is 0), and without root RUN needs one\n\
         help: as root: sysctl -w user.max_user_namespaces=15000; or build as root"
    )]
    MaxIsZero,
    #[error(
        "this machine keeps user namespaces to root (kernel.unprivileged_userns_clone is 0), and RUN needs one\n\
         help: as root: sysctl -w kernel.unprivileged_userns_clone=1; or build as root"
    )]
    CloneSysctl,
    #[error(
        "AppArmor keeps user namespaces from this program (kernel.apparmor_restrict_unprivileged_userns is 1), and \
         RUN needs one\n\
         help: as root: sysctl -w kernel.apparmor_restrict_unprivileged_userns=0, or give this program an AppArmor \
         profile with the rule \"userns,\"; or build as root"
    )]
    AppArmor,
    #[error(
        "user namespaces are nested too deep, or this user has too many of them (user.max_user_namespaces is {max})\n\
         help: as root: raise it with sysctl -w user.max_user_namespaces=..."
    )]
    TooMany { max: String },
    #[error(
        "the kernel, its security module or the seccomp profile of this container refuses a user namespace, and RUN \
         needs one\n\
         help: build as root; in a container, start it with --security-opt seccomp=unconfined or --privileged"
    )]
    Refused { source: io::Error },
    #[error("the kernel was built without user namespaces (CONFIG_USER_NS), and without root RUN needs one")]
    NotBuilt,
    #[error(
        "the user namespace may not mount, though it was made: a security module or a seccomp profile forbids it\n\
         help: build as root; in a container, start it with --privileged"
    )]
    CannotMount,
    #[error("{} failed: {message}\nhelp: {hint}", program.display())]
    Helper { program: PathBuf, message: String, hint: String },
    #[error(
        "the kernel does not let this process map user {uid} into a user namespace\n\
         help: root without capabilities (CAP_SETFCAP) may not: build as an ordinary user, or with CAP_SYS_ADMIN"
    )]
    MapRefused { uid: u32, source: io::Error },
    #[error("cannot {doing} while entering a user namespace")]
    Io { doing: &'static str, source: io::Error },
}

impl UsernsError {
    /// What the errno of `unshare(CLONE_NEWUSER)` means on this machine.
    pub(super) fn of_unshare(errno: Errno, sysctls: &Sysctls) -> Self {
        match errno {
            Errno::NOSPC | Errno::USERS if sysctls.max.as_deref() == Some("0") => Self::MaxIsZero,
            Errno::NOSPC | Errno::USERS => {
                Self::TooMany { max: sysctls.max.clone().unwrap_or_else(|| "unknown".to_owned()) }
            }
            Errno::INVAL if sysctls.max.is_none() => Self::NotBuilt,
            Errno::PERM | Errno::ACCESS if sysctls.clone.as_deref() == Some("0") => Self::CloneSysctl,
            Errno::PERM | Errno::ACCESS if sysctls.apparmor.as_deref() == Some("1") => Self::AppArmor,
            _ => Self::Refused { source: errno.into() },
        }
    }

    /// What it means that a namespace was made in which nothing may be mounted.
    pub(super) fn of_powerless(sysctls: &Sysctls) -> Self {
        // Ubuntu lets the namespace be made, and takes its capabilities away.
        if sysctls.apparmor.as_deref() == Some("1") { Self::AppArmor } else { Self::CannotMount }
    }
}

/// The kernel settings that forbid user namespaces; `None` where the kernel does not have one.
#[derive(Debug, Default)]
pub(super) struct Sysctls {
    pub(super) max: Option<String>,
    pub(super) clone: Option<String>,
    pub(super) apparmor: Option<String>,
}

impl Sysctls {
    pub(super) fn read() -> Self {
        let read = |name: &str| {
            let text = std::fs::read_to_string(Path::new("/proc/sys").join(name)).ok()?;
            Some(text.trim().to_owned())
        };
        Self {
            max: read("user/max_user_namespaces"),
            clone: read("kernel/unprivileged_userns_clone"),
            apparmor: read("kernel/apparmor_restrict_unprivileged_userns"),
        }
    }
}

/// Why only the user himself could be mapped, and how to get more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SingleBecause {
    /// The file gives the user no range.
    NoRange {
        /// `/etc/subuid` or `/etc/subgid`.
        file: &'static str,
        /// The user's name, or number.
        user: String,
    },
    /// The program that writes maps is not installed.
    NoHelper {
        /// `newuidmap` or `newgidmap`.
        program: &'static str,
    },
    /// It is installed, but neither setuid nor with file capabilities.
    NotSetuid {
        /// Where it is.
        program: PathBuf,
    },
}

impl fmt::Display for SingleBecause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRange { file, user } => write!(
                f,
                "{file} has no range for {user}: as root, run usermod --add-subuids 100000-165535 --add-subgids \
                 100000-165535 {user}"
            ),
            Self::NoHelper { program } => {
                write!(
                    f,
                    "{program} is not installed (Debian and Ubuntu: apt install uidmap; others: shadow-utils)"
                )
            }
            Self::NotSetuid { program } => {
                let program = program.display();
                write!(f, "{program} is not setuid root: as root, run chmod u+s {program}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sysctls(max: &str, clone: Option<&str>, apparmor: Option<&str>) -> Sysctls {
        let own = |text: &str| text.to_owned();
        Sysctls { max: Some(own(max)), clone: clone.map(own), apparmor: apparmor.map(own) }
    }

    #[test]
    fn each_refusal_names_its_setting() {
        let text = |errno, sysctls: &Sysctls| UsernsError::of_unshare(errno, sysctls).to_string();
        for (errno, sysctls, part) in [
            (Errno::NOSPC, sysctls("0", None, None), "user.max_user_namespaces=15000"),
            (Errno::USERS, sysctls("0", None, None), "user.max_user_namespaces=15000"),
            (Errno::NOSPC, sysctls("99", None, None), "max_user_namespaces is 99"),
            (Errno::PERM, sysctls("99", Some("0"), None), "kernel.unprivileged_userns_clone=1"),
            (
                Errno::PERM,
                sysctls("99", Some("1"), Some("1")),
                "kernel.apparmor_restrict_unprivileged_userns=0",
            ),
            (Errno::PERM, sysctls("99", None, Some("0")), "seccomp=unconfined"),
            (Errno::INVAL, Sysctls::default(), "CONFIG_USER_NS"),
        ] {
            assert!(text(errno, &sysctls).contains(part), "{}", text(errno, &sysctls));
        }
        let powerless = |sysctls: &Sysctls| UsernsError::of_powerless(sysctls);
        assert!(matches!(powerless(&sysctls("9", None, Some("1"))), UsernsError::AppArmor));
        assert!(matches!(powerless(&sysctls("9", None, None)), UsernsError::CannotMount));
    }
}
