//! Writing headers: ustar where everything fits, a pax extended header in front of it where something does not.

use super::super::xattr::Xattr;
use super::{BLOCK, Timestamp, checksums, field, pax};

/// One entry's header. Times, owners and names are written as given.
pub(crate) struct Header<'a> {
    /// The name; a directory's ends with a slash.
    pub(crate) name: &'a [u8],
    /// The type flag: `0` file, `1` hard link, `2` symbolic link, `3` and `4` devices, `5` directory, `6` FIFO.
    pub(crate) flag: u8,
    /// Permissions, setuid, setgid and sticky bits.
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Bytes of data that follow.
    pub(crate) size: u64,
    pub(crate) mtime: Timestamp,
    /// Target of a hard or symbolic link.
    pub(crate) link: &'a [u8],
    /// Major and minor number.
    pub(crate) device: (u32, u32),
    pub(crate) xattrs: &'a [Xattr],
}

/// Appends the header block of an entry, behind its extended header where it needs one.
pub(crate) fn encode_header(out: &mut Vec<u8>, header: &Header<'_>) {
    let mut records = Vec::new();
    let mut block = [0; BLOCK];

    // Names are bytes, and every reader takes them as they are: in a ustar field and in a pax record, though a record should
    // be UTF-8 unless a `hdrcharset` record says otherwise. GNU tar does not know that one and warns; Go never writes it.
    let (prefix, name) = split(header.name).unwrap_or_else(|| {
        pax::push_record(&mut records, b"path", header.name);
        (&[], cut(header.name))
    });
    block[field::NAME][..name.len()].copy_from_slice(name);
    block[field::PREFIX][..prefix.len()].copy_from_slice(prefix);
    if header.link.len() > field::LINK.len() {
        pax::push_record(&mut records, b"linkpath", header.link);
    }
    let link = cut(header.link);
    block[field::LINK][..link.len()].copy_from_slice(link);

    octal(&mut block[field::MODE], u64::from(header.mode & 0o7777));
    for (range, key, number) in [
        (field::UID, &b"uid"[..], u64::from(header.uid)),
        (field::GID, b"gid", u64::from(header.gid)),
        (field::SIZE, b"size", header.size),
    ] {
        if !octal(&mut block[range], number) {
            pax::push_record(&mut records, key, number.to_string().as_bytes());
        }
    }
    let seconds = u64::try_from(header.mtime.seconds);
    let fits = seconds.is_ok_and(|seconds| octal(&mut block[field::MTIME], seconds));
    if !fits {
        octal(&mut block[field::MTIME], 0);
    }
    if !fits || header.mtime.nanoseconds != 0 {
        pax::push_record(&mut records, b"mtime", pax::format_time(header.mtime).as_bytes());
    }
    block[field::TYPE] = header.flag;
    block[field::MAGIC].copy_from_slice(b"ustar\x0000");
    // Twelve and twenty bits on Linux: they always fit.
    octal(&mut block[field::MAJOR], u64::from(header.device.0));
    octal(&mut block[field::MINOR], u64::from(header.device.1));
    for (key, value) in header.xattrs {
        pax::push_record(&mut records, &[b"SCHILY.xattr.", key.as_slice()].concat(), value);
    }

    if !records.is_empty() {
        push_extended(out, header.name, &records);
    }
    seal(&mut block);
    out.extend_from_slice(&block);
}

/// The extended header: an entry of its own, whose data are the records. Its name is only seen by readers that know no pax.
fn push_extended(out: &mut Vec<u8>, name: &[u8], records: &[u8]) {
    let mut block = [0; BLOCK];
    let trimmed = name.strip_suffix(b"/").unwrap_or(name);
    let base = trimmed.rsplit(|b| *b == b'/').next().unwrap_or(trimmed);
    let shown = [b"PaxHeaders/", base].concat();
    let shown = cut(&shown);
    block[field::NAME][..shown.len()].copy_from_slice(shown);
    octal(&mut block[field::MODE], 0o644);
    octal(&mut block[field::UID], 0);
    octal(&mut block[field::GID], 0);
    octal(&mut block[field::SIZE], records.len() as u64);
    octal(&mut block[field::MTIME], 0);
    block[field::TYPE] = b'x';
    block[field::MAGIC].copy_from_slice(b"ustar\x0000");
    octal(&mut block[field::MAJOR], 0);
    octal(&mut block[field::MINOR], 0);
    seal(&mut block);
    out.extend_from_slice(&block);
    out.extend_from_slice(records);
    out.resize(out.len().next_multiple_of(BLOCK), 0);
}

/// At most a hundred bytes.
fn cut(name: &[u8]) -> &[u8] {
    &name[..name.len().min(field::NAME.len())]
}

/// The prefix and name fields of a name; `None` when it cannot be cut at a slash so that both fit.
fn split(name: &[u8]) -> Option<(&[u8], &[u8])> {
    if name.len() <= field::NAME.len() {
        return Some((&[], name));
    }
    // The slash between the two is left out; one at the end of the whole name stays.
    let end = name.len() - 1;
    let slash = name[..end.min(field::PREFIX.len() + 1)].iter().rposition(|b| *b == b'/')?;
    let (prefix, rest) = (&name[..slash], &name[slash + 1..]);
    (slash > 0 && rest.len() <= field::NAME.len()).then_some((prefix, rest))
}

/// Writes octal digits and a NUL; leaves a zero and says `false` when they do not fit.
fn octal(field: &mut [u8], mut number: u64) -> bool {
    let (last, digits) = match field.split_last_mut() {
        Some(parts) => parts,
        None => return false,
    };
    *last = 0;
    let fits = number >> (3 * digits.len()) == 0;
    if !fits {
        number = 0;
    }
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (number & 7) as u8;
        number >>= 3;
    }
    fits
}

/// Writes the checksum: six digits, a NUL and a space.
fn seal(block: &mut [u8; BLOCK]) {
    let (sum, _) = checksums(block);
    let checksum = &mut block[field::CHECKSUM];
    octal(&mut checksum[..7], sum.unsigned_abs());
    checksum[7] = b' ';
}
