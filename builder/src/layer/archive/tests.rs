//! The format, against itself and against the `tar` crate.

use super::super::testing::entries;
use super::*;
use std::io::Read;

fn header<'a>(name: &'a [u8], link: &'a [u8]) -> Header<'a> {
    Header {
        name,
        flag: b'0',
        mode: 0o644,
        uid: 0,
        gid: 0,
        size: 0,
        mtime: Timestamp { seconds: 1, nanoseconds: 0 },
        link,
        device: (0, 0),
        xattrs: &[],
    }
}

fn one(header: &Header<'_>) -> (Vec<u8>, Entry) {
    let mut tar = Vec::new();
    encode_header(&mut tar, header);
    let entry = entries(&tar).remove(0).0;
    (tar, entry)
}

#[test]
fn names_of_every_length() {
    for length in 1..=400 {
        for slash in [None, Some(1), Some(length / 2), Some(length - 1)] {
            for byte in [b'n', 0xe9] {
                let mut name = vec![byte; length];
                if let Some(at) = slash.filter(|at| *at < length && *at > 0) {
                    name[at] = b'/';
                }
                let (tar, entry) = one(&Header { flag: b'2', ..header(&name, &name) });
                assert_eq!((&entry.name, &entry.link), (&name, &name));
                let mut archive = tar::Archive::new(&tar[..]);
                let theirs = archive.entries().unwrap().next().unwrap().unwrap();
                assert_eq!(theirs.path_bytes(), &name[..], "{length} {slash:?}");
                assert_eq!(theirs.link_name_bytes().unwrap(), &name[..]);
            }
        }
    }
}

#[test]
fn numbers_and_times() {
    for id in [0, 0o7_777_777, 0o10_000_000, u32::MAX] {
        let (tar, entry) = one(&Header { uid: id, gid: id, ..header(b"f", b"") });
        assert_eq!((entry.uid, entry.gid), (id.into(), id.into()));
        assert_eq!(tar.len() > 512, id > 0o7_777_777, "a pax header only where it is needed");
    }
    for time in
        [(0, 0), (1, 1), (-1, 0), (-1, 500_000_000), (-2, 999_999_999), (1 << 33, 0), (1 << 40, 120_000_000)]
    {
        let mtime = Timestamp { seconds: time.0, nanoseconds: time.1 };
        let (_, entry) = one(&Header { mtime, ..header(b"f", b"") });
        assert_eq!(entry.mtime, mtime);
    }
    assert_eq!(pax::format_time(Timestamp { seconds: -2, nanoseconds: 500_000_000 }), "-1.5");
    assert_eq!(pax::format_time(Timestamp { seconds: 3, nanoseconds: 120_000_000 }), "3.12");
    for bad in ["", "-", ".5", "1.x", "1e5", "99999999999999999999"] {
        assert_eq!(pax::parse_time(bad.as_bytes()), None, "{bad}");
    }
    let before = std::time::UNIX_EPOCH - std::time::Duration::from_millis(1500);
    assert_eq!(Timestamp::from(before), Timestamp { seconds: -2, nanoseconds: 500_000_000 });
}

#[test]
fn records_count_their_own_length() {
    for length in 0..2000 {
        let mut out = Vec::new();
        pax::push_record(&mut out, b"key", &vec![b'v'; length]);
        assert!(out.starts_with(format!("{} key=", out.len()).as_bytes()), "{length}");
        assert_eq!(pax::records(&out).unwrap()[0].1.len(), length);
    }
    for bad in ["5 a=", "x a=b\n", "7 a=b\n", " a=b\n", "6 ab\n", "6 =ab\n", "6 a=b\n6 a"] {
        assert_eq!(pax::records(bad.as_bytes()), None, "{bad}");
    }
}

#[test]
fn what_the_tar_crate_writes() {
    let mut builder = tar::Builder::new(Vec::new());
    let long = "very/long/".repeat(30) + "name";
    let mut header = tar::Header::new_gnu();
    header.set_size(9_000);
    header.set_uid(1 << 40);
    header.set_mtime(1 << 35);
    header.set_mode(0o755);
    header.set_cksum();
    builder.append_data(&mut header.clone(), &long, &vec![7; 9_000][..]).unwrap();
    header.set_entry_type(tar::EntryType::Symlink);
    header.set_size(0);
    builder.append_link(&mut header, "l", &long).unwrap();
    let read = entries(&builder.into_inner().unwrap());
    assert_eq!(
        (read[0].0.name.as_slice(), read[0].0.uid, read[0].1.len()),
        (long.as_bytes(), 1 << 40, 9_000)
    );
    assert_eq!(read[0].0.mtime.seconds, 1 << 35);
    assert_eq!((read[1].0.kind, read[1].0.link.as_slice()), (EntryKind::Symlink, long.as_bytes()));
}

#[test]
fn what_follows_the_end_is_read_too() {
    let mut tar = Vec::new();
    encode_header(&mut tar, &header(b"f", b""));
    tar.extend_from_slice(&END);
    tar.extend_from_slice(&[b'x'; 5000]);
    struct Count<'a>(&'a [u8], usize);
    impl Read for Count<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let limit = buffer.len().min(100);
            let length = self.0.read(&mut buffer[..limit])?;
            self.1 += length;
            Ok(length)
        }
    }
    let mut input = Count(&tar, 0);
    let mut reader = Reader::new(&mut input, u64::MAX);
    assert!(reader.next().unwrap().is_some());
    assert!(reader.next().unwrap().is_none());
    assert_eq!(reader.offset(), tar.len() as u64);
    assert_eq!(input.1, tar.len());
}

fn error(tar: &[u8]) -> ArchiveError {
    let mut input = tar;
    let mut reader = Reader::new(&mut input, u64::MAX);
    loop {
        match reader.next() {
            Ok(Some(_)) => {}
            Ok(None) => panic!("no error"),
            Err(error) => return error,
        }
    }
}

#[test]
fn bad_headers() {
    let mut tar = Vec::new();
    encode_header(&mut tar, &header(b"f", b""));
    for (at, byte) in [(0, b'g'), (130, b'9'), (156, b'V'), (300, 1)] {
        let mut bad = tar.clone();
        bad[at] = byte;
        assert!(
            matches!(error(&bad), ArchiveError::Header { offset: 0, .. }),
            "the checksum covers byte {at}"
        );
    }
    let sealed = |at: usize, bytes: &[u8]| {
        let mut block: [u8; BLOCK] = tar[..BLOCK].try_into().unwrap();
        block[at..at + bytes.len()].copy_from_slice(bytes);
        let sum = format!("{:06o}\0 ", checksums(&block).0);
        block[field::CHECKSUM].copy_from_slice(sum.as_bytes());
        block.to_vec()
    };
    assert!(matches!(error(&sealed(156, b"V")), ArchiveError::Unsupported { flag: 'V', .. }));
    let negative = sealed(124, &[0xff; 12]);
    assert!(matches!(error(&negative), ArchiveError::Header { reason: "its size is not a number", .. }));
    let huge = sealed(124, b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff");
    assert!(matches!(error(&huge), ArchiveError::Truncated { .. } | ArchiveError::Header { .. }));
    let mut long_name = sealed(156, b"L");
    long_name[124..136].copy_from_slice(b"00020000000\0");
    let mut block: [u8; BLOCK] = long_name[..].try_into().unwrap();
    let sum = format!("{:06o}\0 ", checksums(&block).0);
    block[field::CHECKSUM].copy_from_slice(sum.as_bytes());
    assert!(matches!(
        error(&block),
        ArchiveError::Header { reason: "it is an extended header of more than 1 MiB", .. }
    ));
    assert!(matches!(error(&[&[0; BLOCK][..], &tar].concat()), ArchiveError::Header { .. }));
}
