use crate::request::Ulimit;
use crate::sandbox::SandboxError;
use rustix::process::{Resource, Rlimit, getrlimit};

/// The names of `--ulimit`.
const NAMES: [(&str, Resource); 15] = [
    ("as", Resource::As),
    ("core", Resource::Core),
    ("cpu", Resource::Cpu),
    ("data", Resource::Data),
    ("fsize", Resource::Fsize),
    ("locks", Resource::Locks),
    ("memlock", Resource::Memlock),
    ("msgqueue", Resource::Msgqueue),
    ("nice", Resource::Nice),
    ("nofile", Resource::Nofile),
    ("nproc", Resource::Nproc),
    ("rss", Resource::Rss),
    ("rtprio", Resource::Rtprio),
    ("sigpending", Resource::Sigpending),
    ("stack", Resource::Stack),
];

/// Open files at once, where nobody asks otherwise. Programs that walk through all possible descriptors take seconds
/// with the millions that a service manager allows; whoever needs more raises the soft limit himself.
const SOFT_NOFILE: u64 = 1024;

/// The limits to set, with their names.
pub(super) fn limits(wanted: &[Ulimit]) -> Result<Vec<(Resource, Rlimit, String)>, SandboxError> {
    let mut limits = Vec::new();
    if wanted.iter().all(|limit| limit.name != "nofile") {
        let inherited = getrlimit(Resource::Nofile);
        let current = inherited.current.unwrap_or(u64::MAX).min(SOFT_NOFILE);
        let limit = Rlimit { current: Some(current), maximum: inherited.maximum };
        limits.push((Resource::Nofile, limit, "nofile".to_owned()));
    }
    for Ulimit { name, soft, hard } in wanted {
        let Some((_, resource)) = NAMES.iter().find(|(known, _)| known == name) else {
            let known = NAMES.map(|(known, _)| known).join(", ");
            return Err(SandboxError::UnknownLimit { name: name.clone(), known });
        };
        limits.push((*resource, Rlimit { current: *soft, maximum: *hard }, name.clone()));
    }
    Ok(limits)
}
