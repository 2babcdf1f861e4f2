//! Small files that are replaced whole, and that tell when they are damaged.
//!
//! A document is one line of JSON and one line with the BLAKE3 hash of the first, as a JSON string: `jq` reads it, and a
//! file that a crash of the machine left half-written is recognised. Whoever reads it takes a damaged one for absent.

use super::error::{At, StoreError};
use rustix::fs::{RenameFlags, renameat_with};
use serde::{Serialize, de::DeserializeOwned};
use std::fs::File;
use std::io::Write;
use std::path::Path;

/// Whether a write is to outlive a crash of the machine when the call returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Durability {
    /// Synced, with the directory.
    Promised,
    /// It may be lost; it is never seen half-written by a running process.
    Cache,
}

/// The bytes of a document.
pub(super) fn encode<T: Serialize>(value: &T, path: &Path) -> Result<Vec<u8>, StoreError> {
    let mut bytes = serde_json::to_vec(value).map_err(|e| StoreError::Io {
        action: "encode",
        path: path.to_owned(),
        source: e.into(),
    })?;
    let sum = blake3::hash(&bytes).to_hex();
    bytes.extend_from_slice(format!("\n\"{sum}\"\n").as_bytes());
    Ok(bytes)
}

/// The value of a document; `None` when anything about it is wrong.
pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    let line = bytes.iter().position(|b| *b == b'\n')?;
    let (json, rest) = bytes.split_at(line);
    let sum = blake3::hash(json).to_hex();
    if rest != format!("\n\"{sum}\"\n").as_bytes() {
        return None;
    }
    serde_json::from_slice(json).ok()
}

/// Reads a document; `None` when it is absent, unreadable or damaged.
pub(super) fn read<T: DeserializeOwned>(path: &Path) -> Option<T> {
    decode(&std::fs::read(path).ok()?)
}

/// Makes `bytes` the content of `path`, at once: `scratch` is written and renamed.
pub(super) fn replace(
    scratch: &Path,
    path: &Path,
    bytes: &[u8],
    durability: Durability,
) -> Result<(), StoreError> {
    write_scratch(scratch, bytes, durability)?;
    std::fs::rename(scratch, path).at("write", path)?;
    if durability == Durability::Promised {
        sync_parent(path)?;
    }
    Ok(())
}

/// As [`replace`], but what is there already stays. Durable.
pub(super) fn create(scratch: &Path, path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    write_scratch(scratch, bytes, Durability::Promised)?;
    match rename_new(scratch, path) {
        Ok(true) => sync_parent(path),
        Ok(false) => std::fs::remove_file(scratch).at("remove", scratch),
        Err(e) => Err(e),
    }
}

/// Renames, unless `to` exists: then nothing happens and the answer is `false`.
pub(super) fn rename_new(from: &Path, to: &Path) -> Result<bool, StoreError> {
    use rustix::{fs::CWD, io::Errno};
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Ok(()) => Ok(true),
        Err(Errno::EXIST | Errno::NOTEMPTY) => Ok(false),
        // Some file systems do not know the flag. A directory is then still never put over one that holds anything.
        Err(Errno::INVAL) if to.symlink_metadata().is_ok() => Ok(false),
        Err(Errno::INVAL) => std::fs::rename(from, to).at("write", to).map(|()| true),
        Err(e) => Err(StoreError::io("write", to, e)),
    }
}

/// Makes the entries of the directory of `path` durable.
pub(super) fn sync_parent(path: &Path) -> Result<(), StoreError> {
    let parent = path.parent().unwrap_or(Path::new("."));
    File::open(parent).and_then(|dir| dir.sync_all()).at("sync", parent)
}

fn write_scratch(scratch: &Path, bytes: &[u8], durability: Durability) -> Result<(), StoreError> {
    let mut file = File::create(scratch).at("create", scratch)?;
    file.write_all(bytes).at("write", scratch).map_err(|e| e.wanting(Some(bytes.len() as u64)))?;
    if durability == Durability::Promised {
        file.sync_data().at("sync", scratch)?;
    }
    Ok(())
}

/// Serde for times, also those before 1970: `[seconds, nanoseconds]`.
pub(super) mod time {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use std::time::{Duration, SystemTime, UNIX_EPOCH};

    pub(in super::super) fn serialize<S: Serializer>(time: &SystemTime, s: S) -> Result<S::Ok, S::Error> {
        let (seconds, nanos) = match time.duration_since(UNIX_EPOCH) {
            Ok(after) => (i64::try_from(after.as_secs()).unwrap_or(i64::MAX), after.subsec_nanos()),
            Err(before) => {
                let before = before.duration();
                let nanos = before.subsec_nanos();
                let seconds = i64::try_from(before.as_secs()).unwrap_or(i64::MAX);
                if nanos == 0 { (-seconds, 0) } else { (-seconds - 1, 1_000_000_000 - nanos) }
            }
        };
        (seconds, nanos).serialize(s)
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<SystemTime, D::Error> {
        let (seconds, nanos) = <(i64, u32)>::deserialize(d)?;
        let whole = Duration::from_secs(seconds.unsigned_abs());
        let base = if seconds < 0 { UNIX_EPOCH.checked_sub(whole) } else { UNIX_EPOCH.checked_add(whole) };
        base.and_then(|t| t.checked_add(Duration::from_nanos(nanos.into())))
            .ok_or_else(|| serde::de::Error::custom("a time out of range"))
    }
}

/// Serde for paths of any bytes: text, in which `%` and bytes that are none are written `%xx`.
pub(super) mod paths {
    use serde::{Deserialize, Deserializer, Serializer};
    use std::ffi::OsString;
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    use std::path::PathBuf;

    pub(in super::super) fn serialize<S: Serializer>(paths: &[PathBuf], s: S) -> Result<S::Ok, S::Error> {
        s.collect_seq(paths.iter().map(|path| {
            let mut text = String::new();
            for byte in path.as_os_str().as_bytes() {
                match byte {
                    b'%' | 0..0x20 | 0x7f.. => text.push_str(&format!("%{byte:02x}")),
                    plain => text.push(char::from(*plain)),
                }
            }
            text
        }))
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<PathBuf>, D::Error> {
        let texts = Vec::<String>::deserialize(d)?;
        let path = |text: String| {
            let mut bytes = Vec::with_capacity(text.len());
            let mut rest = text.bytes();
            while let Some(byte) = rest.next() {
                if byte != b'%' {
                    bytes.push(byte);
                    continue;
                }
                let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
                let (high, low) = (digit(rest.next())?, digit(rest.next())?);
                bytes.push(u8::try_from(high * 16 + low).ok()?);
            }
            Some(PathBuf::from(OsString::from_vec(bytes)))
        };
        let bad = || serde::de::Error::custom("a path with a broken escape");
        texts.into_iter().map(|text| path(text).ok_or_else(bad)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use std::time::{Duration, SystemTime, UNIX_EPOCH};

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Sample {
        #[serde(with = "time")]
        at: SystemTime,
        text: String,
    }

    fn sample() -> Sample {
        Sample { at: UNIX_EPOCH - Duration::from_nanos(1_500_000_001), text: "a\nb".to_owned() }
    }

    #[test]
    fn every_damage_is_noticed() {
        let bytes = encode(&sample(), Path::new("x")).unwrap();
        assert_eq!(decode(&bytes), Some(sample()));
        for cut in 0..bytes.len() {
            assert_eq!(decode::<Sample>(&bytes[..cut]), None, "cut at {cut}");
            let mut flipped = bytes.clone();
            flipped[cut] ^= 1;
            assert_eq!(decode::<Sample>(&flipped), None, "flipped at {cut}");
            let mut zeroed = bytes.clone();
            zeroed[cut..].fill(0);
            assert_eq!(decode::<Sample>(&zeroed), None, "zeroes from {cut}");
        }
    }

    #[test]
    fn what_is_there_stays() {
        let dir = tempfile::tempdir().unwrap();
        let (scratch, path) = (dir.path().join("scratch"), dir.path().join("file"));
        create(&scratch, &path, b"first").unwrap();
        create(&scratch, &path, b"second").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"first");
        assert!(!scratch.exists());
        replace(&scratch, &path, b"third", Durability::Promised).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"third");
    }

    #[test]
    fn paths_of_any_bytes() {
        use std::os::unix::ffi::OsStringExt;
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        struct Paths(#[serde(with = "paths")] Vec<std::path::PathBuf>);
        let odd = std::ffi::OsString::from_vec(b"a%b/\xff\n\x7f".to_vec());
        let value = Paths(vec!["".into(), "usr/bin".into(), odd.into()]);
        let text = serde_json::to_string(&value).unwrap();
        assert_eq!(text, r#"["","usr/bin","a%25b/%ff%0a%7f"]"#);
        assert_eq!(serde_json::from_str::<Paths>(&text).unwrap(), value);
        assert!(serde_json::from_str::<Paths>(r#"["%f"]"#).is_err());
    }
}
