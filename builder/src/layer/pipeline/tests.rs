//! Digests, copies and blobs; and errors of what is written to and read from.

use super::*;
use std::sync::Mutex;

#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn input() -> Vec<u8> {
    (0..3_000_000u32).flat_map(|n| (n / 9).to_le_bytes()).collect()
}

#[test]
fn digests_are_of_what_was_written() {
    let input = input();
    for compression in [Compression::None, Compression::Gzip { level: 1 }, Compression::Zstd { level: 1 }] {
        let (tar, blob) = (Shared::default(), Shared::default());
        let sinks =
            (Some(Box::new(tar.clone()) as Sink), Some((compression, Box::new(blob.clone()) as Sink)));
        let mut writer = LayerWriter::new(sinks.0, sinks.1, NonZeroUsize::new(2).unwrap()).unwrap();
        for piece in input.chunks(100_000) {
            writer.write_all(piece).unwrap();
        }
        let digests = writer.finish().unwrap();
        assert_eq!(digests.diff_id, DiffId(Digest::of(&input)));
        assert_eq!(digests.size, input.len() as u64);
        assert_eq!(*tar.0.lock().unwrap(), input);
        let blob = blob.0.lock().unwrap();
        assert_eq!(digests.blob, Some(BlobDigest { digest: Digest::of(&blob), size: blob.len() as u64 }));
        let mut decoded = Vec::new();
        let mut decoder = crate::layer::Decoder::detect(&blob[..]).unwrap();
        io::Read::read_to_end(&mut decoder, &mut decoded).unwrap();
        assert_eq!(decoded, input);
    }
}

#[test]
fn only_the_diff_id() {
    let writer = LayerWriter::new(None, None, NonZeroUsize::MIN).unwrap();
    let digests = writer.finish().unwrap();
    assert_eq!((digests.diff_id, digests.size, digests.blob), (DiffId(Digest::of(b"")), 0, None));
}

#[test]
fn a_full_disk_is_told_at_the_end() {
    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut writer = LayerWriter::new(Some(Box::new(Full)), None, NonZeroUsize::MIN).unwrap();
    let _ = writer.write_all(&input());
    assert_eq!(writer.finish().unwrap_err().kind(), io::ErrorKind::StorageFull);
}

mod unpacking {
    use super::*;
    use crate::layer::testing::{FLAVOR, Tape, is_root, packed};
    use crate::layer::{ApplyError, ApplyOptions, UnpackError, unpack};

    fn options() -> ApplyOptions {
        ApplyOptions { ignore_chown: !is_root(), ..Default::default() }
    }

    fn blob(tar: &[u8], compression: Compression) -> Vec<u8> {
        let mut encoder = Encoder::new(Vec::new(), compression, NonZeroUsize::MIN).unwrap();
        encoder.write_all(tar).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn the_diff_id_covers_what_follows_the_end() {
        let mut tar = Tape::default().dir("d/").file("d/f", &"data".repeat(200_000)).end();
        tar.resize(tar.len() + 700_000, 0);
        for compression in [Compression::None, Compression::Gzip { level: 4 }, Compression::Zstd { level: 3 }]
        {
            let dir = tempfile::tempdir().unwrap();
            let unpacked = unpack(&blob(&tar, compression)[..], dir.path(), FLAVOR, &options()).unwrap();
            assert_eq!(unpacked.diff_id, DiffId(Digest::of(&tar)));
            assert_eq!((unpacked.size, unpacked.stats.bytes), (tar.len() as u64, tar.len() as u64));
            assert_eq!(unpacked.compression.media_type_suffix(), compression.media_type_suffix());
            assert!(tar.starts_with(&packed(dir.path())));
        }
    }

    #[test]
    fn damaged_blobs_and_hostile_layers_end() {
        let long = Tape::default().file("f", &"data".repeat(2_000_000));
        let tar = long.end();
        let whole = blob(&tar, Compression::Zstd { level: 1 });
        let dir = tempfile::tempdir().unwrap();
        let result = unpack(&whole[..whole.len() / 2], dir.path(), FLAVOR, &options());
        assert!(matches!(result, Err(UnpackError::Apply(ApplyError::Archive(_)))), "{result:?}");
        // An error at the start, with much to come.
        let hostile = Tape::default().file("../f", "").file("g", &"data".repeat(5_000_000)).end();
        let dir = tempfile::tempdir().unwrap();
        let result = unpack(&hostile[..], dir.path(), FLAVOR, &options());
        assert!(matches!(result, Err(UnpackError::Apply(ApplyError::Name { .. }))), "{result:?}");
        let result = unpack(&b"BZh9"[..], dir.path(), FLAVOR, &options());
        assert!(matches!(result, Err(UnpackError::Read(_))));
    }
}
