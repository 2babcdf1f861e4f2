//! File trees as text, one line per entry:
//!
//! ```text
//! d755 0:0 @12 app                  directory, owner, mtime in seconds
//! -644 0:0 @12 app/a "text"         file
//! -644 0:0 @12 app/a "text" {user.k=v}
//! l 0:0 @12 app/l -> a              link
//! = app/b app/a                     another name of app/a (the first in order)
//! p644 0:0 @12 f   s755 ... s       FIFO, socket
//! c600 1,3 0:0 @12 null             character device
//! ```
//! In what a test writes, owner and mtime may be left out; `archive gzip` instead of a text makes a tar archive of the
//! following lines that are indented.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;

/// What is newer was written by the test.
const NOW: i64 = 1_000_000_000;

struct Line<'t> {
    kind: char,
    mode: u32,
    device: Option<(u32, u32)>,
    owner: Option<(u32, u32)>,
    mtime: Option<i64>,
    path: &'t str,
    rest: &'t str,
    xattrs: Vec<(&'t str, &'t str)>,
}

fn parse(line: &str) -> Line<'_> {
    let (head, mut rest) = line.split_once(' ').unwrap_or((line, ""));
    let mut parsed = Line {
        kind: head.chars().next().unwrap(),
        mode: u32::from_str_radix(&head[1..], 8).unwrap_or(0o644),
        device: None,
        owner: None,
        mtime: None,
        path: "",
        rest: "",
        xattrs: Vec::new(),
    };
    let pair = |word: &str, by: char| -> Option<(u32, u32)> {
        let (a, b) = word.split_once(by)?;
        Some((a.parse().ok()?, b.parse().ok()?))
    };
    loop {
        let (word, after) = rest.split_once(' ').unwrap_or((rest, ""));
        if let Some(owner) = pair(word, ':') {
            parsed.owner = Some(owner);
        } else if let Some(device) = pair(word, ',') {
            parsed.device = Some(device);
        } else if let Some(time) = word.strip_prefix('@') {
            parsed.mtime = Some(time.parse().unwrap());
        } else {
            parsed.path = word;
            parsed.rest = after;
            break;
        }
        rest = after;
    }
    if let Some((before, xattrs)) = parsed.rest.rsplit_once('{') {
        parsed.rest = before.trim_end();
        let xattrs = xattrs.trim_end_matches('}').split(' ');
        parsed.xattrs = xattrs.filter_map(|one| one.split_once('=')).collect();
    }
    parsed
}

fn text_of(rest: &str) -> String {
    rest.trim_matches('"').replace("\\n", "\n")
}

/// Makes what `text` describes in `dir`.
pub(crate) fn make(dir: &Path, text: &str) {
    let mut times = Vec::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        if line.trim().is_empty() {
            continue;
        }
        let entry = parse(line);
        let path = dir.join(entry.path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).unwrap();
        }
        match entry.kind {
            'd' => fs::create_dir_all(&path).unwrap(),
            '-' => {
                let bytes = match entry.rest.strip_prefix("archive ") {
                    Some(compression) => {
                        let mut members = Vec::new();
                        while let Some(member) = lines.next_if(|l| l.starts_with(' ')) {
                            members.push(member.trim_start());
                        }
                        archive(&members, compression)
                    }
                    None => text_of(entry.rest).into_bytes(),
                };
                fs::write(&path, bytes).unwrap();
            }
            'l' => symlink(entry.rest.strip_prefix("-> ").unwrap(), &path).unwrap(),
            '=' => fs::hard_link(dir.join(entry.rest), &path).unwrap(),
            'p' => rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, 0o600.into(), 0)
                .unwrap(),
            's' => drop(std::os::unix::net::UnixListener::bind(&path).unwrap()),
            'c' => {
                let (major, minor) = entry.device.unwrap();
                let device = rustix::fs::makedev(major, minor);
                let kind = rustix::fs::FileType::CharacterDevice;
                rustix::fs::mknodat(rustix::fs::CWD, &path, kind, 0o600.into(), device).unwrap();
            }
            other => panic!("{other} in {line}"),
        }
        if entry.kind == '=' {
            continue;
        }
        if let Some((uid, gid)) = entry.owner {
            std::os::unix::fs::lchown(&path, Some(uid), Some(gid)).unwrap();
        }
        if entry.kind != 'l' {
            fs::set_permissions(&path, fs::Permissions::from_mode(entry.mode)).unwrap();
        }
        for (name, value) in &entry.xattrs {
            let none = rustix::fs::XattrFlags::empty();
            rustix::fs::setxattr(&path, *name, &unescape(value), none).unwrap();
        }
        times.push((path, entry.mtime.unwrap_or(100)));
    }
    for (path, time) in times.iter().rev() {
        set_mtime(path, *time);
    }
    set_mtime(dir, 50);
}

pub(crate) fn set_mtime(path: &Path, seconds: i64) {
    let time = rustix::fs::Timespec { tv_sec: seconds, tv_nsec: 0 };
    let times = rustix::fs::Timestamps { last_access: time, last_modification: time };
    let nofollow = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
    rustix::fs::utimensat(rustix::fs::CWD, path, &times, nofollow).unwrap();
}

/// What is in `dir`, sorted by path.
pub(crate) fn list(dir: &Path) -> String {
    let mut out = String::new();
    let mut seen = BTreeMap::new();
    walk(dir, dir, &mut seen, &mut out);
    out
}

fn walk(top: &Path, dir: &Path, seen: &mut BTreeMap<u64, String>, out: &mut String) {
    let mut entries: Vec<_> = fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        let meta = fs::symlink_metadata(&path).unwrap();
        let name = path.strip_prefix(top).unwrap().to_string_lossy().into_owned();
        let kind = meta.file_type();
        if !kind.is_dir() && meta.nlink() > 1 {
            if let Some(first) = seen.get(&meta.ino()) {
                writeln!(out, "= {name} {first}").unwrap();
                continue;
            }
            seen.insert(meta.ino(), name.clone());
        }
        let letter = match () {
            () if kind.is_dir() => 'd',
            () if kind.is_symlink() => 'l',
            () if kind.is_fifo() => 'p',
            () if kind.is_socket() => 's',
            () if kind.is_char_device() => 'c',
            () => '-',
        };
        let mode = if kind.is_symlink() { String::new() } else { format!("{:o}", meta.mode() & 0o7777) };
        let device = match letter {
            'c' => format!(" {},{}", rustix::fs::major(meta.rdev()), rustix::fs::minor(meta.rdev())),
            _ => String::new(),
        };
        // Whoever runs the tests is shown as root is: cases about owners run as root only.
        let own = super::own() == Some((meta.uid(), meta.gid()));
        let owner = if own { "0:0".to_owned() } else { format!("{}:{}", meta.uid(), meta.gid()) };
        let time = match meta.mtime() {
            NOW.. => "@now".to_owned(),
            time => format!("@{time}"),
        };
        write!(out, "{letter}{mode}{device} {owner} {time} {name}").unwrap();
        if kind.is_symlink() {
            write!(out, " -> {}", fs::read_link(&path).unwrap().display()).unwrap();
        } else if kind.is_file() {
            let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
            let text = if text.len() > 200 { format!("{} bytes", text.len()) } else { text };
            write!(out, " {text:?}").unwrap();
        }
        if kind.is_dir() || kind.is_file() {
            let xattrs = crate::copy::xattr::read(fs::File::open(&path).unwrap()).unwrap();
            let shown: Vec<String> =
                xattrs.iter().map(|(n, v)| format!("{}={}", n.to_string_lossy(), escape(v))).collect();
            if !shown.is_empty() {
                write!(out, " {{{}}}", shown.join(" ")).unwrap();
            }
        }
        out.push('\n');
        if kind.is_dir() {
            walk(top, &path, seen, out);
        }
    }
}

fn escape(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

fn unescape(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    while let [byte, after @ ..] = rest {
        if let [b'\\', b'x', high, low, after @ ..] = rest {
            let digits = [*high, *low];
            out.push(u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap());
            rest = after;
        } else {
            out.push(*byte);
            rest = after;
        }
    }
    out
}

/// A tar archive of `members`, each in the form of a listing; `.` may be a path.
pub(crate) fn archive(members: &[&str], compression: &str) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for member in members {
        let entry = parse(member);
        let mut header = tar::Header::new_ustar();
        let data = if entry.kind == '-' { text_of(entry.rest).into_bytes() } else { Vec::new() };
        let (uid, gid) = entry.owner.unwrap_or((0, 0));
        header.set_uid(uid.into());
        header.set_gid(gid.into());
        header.set_mode(entry.mode);
        header.set_mtime(entry.mtime.unwrap_or(100) as u64);
        header.set_size(data.len() as u64);
        header.set_entry_type(match entry.kind {
            'd' => tar::EntryType::Directory,
            'l' => tar::EntryType::Symlink,
            '=' => tar::EntryType::Link,
            'p' => tar::EntryType::Fifo,
            'c' => tar::EntryType::Char,
            _ => tar::EntryType::Regular,
        });
        if let Some((major, minor)) = entry.device {
            header.set_device_major(major).unwrap();
            header.set_device_minor(minor).unwrap();
        }
        if matches!(entry.kind, 'l' | '=') {
            let target = entry.rest.strip_prefix("-> ").unwrap_or(entry.rest);
            header.as_ustar_mut().unwrap().linkname[..target.len()].copy_from_slice(target.as_bytes());
        }
        // Written by hand: the library refuses the names that hostile archives have.
        header.as_ustar_mut().unwrap().name[..entry.path.len()].copy_from_slice(entry.path.as_bytes());
        if !entry.xattrs.is_empty() {
            let pax =
                entry.xattrs.iter().map(|(name, value)| (format!("SCHILY.xattr.{name}"), unescape(value)));
            let pax: Vec<_> = pax.collect();
            builder.append_pax_extensions(pax.iter().map(|(n, v)| (n.as_str(), v.as_slice()))).unwrap();
        }
        header.set_cksum();
        builder.append(&header, data.as_slice()).unwrap();
    }
    let tar = builder.into_inner().unwrap();
    compress(&tar, compression)
}

fn compress(tar: &[u8], compression: &str) -> Vec<u8> {
    match compression {
        "none" => tar.to_vec(),
        "gzip" => {
            // Two members, as parallel compressors write them.
            let (a, b) = tar.split_at(tar.len() / 2);
            [a, b].iter().flat_map(|part| gzip(part)).collect()
        }
        "bzip2" => {
            let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
            encoder.write_all(tar).unwrap();
            encoder.finish().unwrap()
        }
        "zstd" => {
            // A skippable frame first.
            let mut out = vec![0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, b'x', b'y', b'z'];
            out.extend(zstd::encode_all(tar, 1).unwrap());
            out
        }
        other => panic!("no compressor for {other}"),
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}
