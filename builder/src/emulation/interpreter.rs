//! qemu-user in PATH, and its line in the kernel's table.

use super::elf::Machine;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// An emulator that needs nothing but itself.
#[derive(Debug)]
pub(super) struct Interpreter {
    pub(super) path: PathBuf,
}

/// What PATH has.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) usable: Option<Interpreter>,
    /// One that would have to find its libraries in the image.
    pub(super) dynamic: Option<PathBuf>,
}

/// The names that the emulator has in packages, the likeliest first.
pub(super) fn names(machine: &Machine) -> [String; 3] {
    let name = machine.qemu;
    [format!("qemu-{name}-static"), format!("qemu-{name}"), format!("buildkit-qemu-{name}")]
}

/// Looks through `path`, the value of `$PATH`.
pub(super) fn find(machine: &Machine, path: Option<&OsStr>) -> Found {
    let mut dynamic = None;
    let directories: Vec<PathBuf> =
        path.map(|path| std::env::split_paths(path).collect()).unwrap_or_default();
    for name in names(machine) {
        for candidate in directories.iter().filter(|d| d.is_absolute()).map(|directory| directory.join(&name))
        {
            let executable = |m: &std::fs::Metadata| m.is_file() && m.permissions().mode() & 0o111 != 0;
            if !candidate.metadata().is_ok_and(|metadata| executable(&metadata)) {
                continue;
            }
            if is_static(&candidate).unwrap_or(false) {
                return Found { usable: Some(Interpreter { path: candidate }), dynamic };
            }
            dynamic.get_or_insert(candidate);
        }
    }
    Found { usable: None, dynamic }
}

/// Whether a program of this machine, of 64 bits, names no dynamic loader (`PT_INTERP`).
fn is_static(path: &Path) -> io::Result<bool> {
    const PT_INTERP: u32 = 3;
    let mut file = File::open(path)?;
    let mut header = [0; 64];
    file.read_exact(&mut header)?;
    if header[..5] != [0x7f, b'E', b'L', b'F', 2] {
        return Ok(false);
    }
    let half = |at: usize| u16::from_ne_bytes([header[at], header[at + 1]]);
    let mut offset = [0; 8];
    offset.copy_from_slice(&header[32..40]);
    let (offset, size, count) = (u64::from_ne_bytes(offset), u64::from(half(54)), u64::from(half(56)));
    for number in 0..count {
        let at = number.checked_mul(size).and_then(|at| at.checked_add(offset)).unwrap_or(u64::MAX);
        file.seek(SeekFrom::Start(at.min(i64::MAX as u64)))?;
        let mut kind = [0; 4];
        file.read_exact(&mut kind)?;
        if u32::from_ne_bytes(kind) == PT_INTERP {
            return Ok(false);
        }
    }
    Ok(true)
}

impl Interpreter {
    /// The line that registers it (admin-guide/binfmt-misc.rst): `:name:M:offset:magic:mask:interpreter:flags`, where the
    /// first character separates the fields. Flags: F opens the interpreter now, P keeps `argv[0]`, C takes the
    /// credentials of setuid programs.
    pub(super) fn line(&self, machine: &Machine) -> Vec<u8> {
        let path = self.path.as_os_str().as_bytes();
        // One that the path has not got; no path has all of them.
        let separator = [b':', b'|', b',', 1].into_iter().find(|b| !path.contains(b)).unwrap_or(b':');
        let escaped =
            |bytes: &[u8]| bytes.iter().map(|byte| format!("\\x{byte:02x}")).collect::<String>().into_bytes();
        let (magic, mask) = machine.telling();
        let name = format!("slipway-{}", machine.qemu);
        let fields: [&[u8]; 7] =
            [name.as_bytes(), b"M", b"", &escaped(&magic), &escaped(&mask), path, b"FPC"];
        let mut line = Vec::new();
        for field in fields {
            line.push(separator);
            line.extend(field);
        }
        line
    }
}
