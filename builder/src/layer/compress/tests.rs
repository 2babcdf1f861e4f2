//! Same bytes whatever the number of threads, and back again.

use super::*;
use std::io::{Read, Write};
use std::num::NonZeroUsize;

/// Something that compresses like text, longer than several blocks.
fn sample(length: usize) -> Vec<u8> {
    let mut state = 1u32;
    let mut bytes = Vec::with_capacity(length + 64);
    while bytes.len() < length {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let words = ["usr", "lib", "share", "python", "0.1", "\n", "import", "self"];
        bytes.extend_from_slice(words[(state >> 24) as usize % words.len()].as_bytes());
        bytes.push((state >> 16) as u8);
    }
    bytes.truncate(length);
    bytes
}

fn encode(bytes: &[u8], compression: Compression, threads: usize, piece: usize) -> Vec<u8> {
    let mut encoder = Encoder::new(Vec::new(), compression, NonZeroUsize::new(threads).unwrap()).unwrap();
    for piece in bytes.chunks(piece) {
        encoder.write_all(piece).unwrap();
    }
    encoder.finish().unwrap()
}

fn decode(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    Decoder::detect(bytes).unwrap().read_to_end(&mut out).unwrap();
    out
}

const BLOCK: usize = 1 << 20;

const ALL: [Compression; 3] =
    [Compression::None, Compression::Gzip { level: 4 }, Compression::Zstd { level: 3 }];

#[test]
fn threads_and_pieces_do_not_change_a_byte() {
    let input = sample(5 * BLOCK + 12345);
    for compression in ALL {
        let one = encode(&input, compression, 1, 1 << 16);
        assert_eq!(decode(&one), input, "{compression:?}");
        for (threads, piece) in [(2, 1 << 20), (4, 777), (64, 5 << 20)] {
            assert!(encode(&input, compression, threads, piece) == one, "{compression:?} {threads} {piece}");
        }
    }
}

/// Bytes without any pattern (xorshift64*).
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes()
    };
    let mut bytes: Vec<u8> = std::iter::repeat_with(&mut next).take(length.div_ceil(8)).flatten().collect();
    bytes.truncate(length);
    bytes
}

#[test]
fn what_cannot_be_smaller_is_stored() {
    use probe::is_incompressible;
    let block = 512 << 10;
    let random = noise(block);
    assert!(is_incompressible(&random) && is_incompressible(&random[..100_001]));
    // What was compressed before is as good as random.
    let packed = encode(&sample(12 << 20), Compression::Gzip { level: 9 }, 2, 1 << 20);
    assert!(packed.len() > block && is_incompressible(&packed[..block]));
    // Too short to tell, and everything that has something to gain: frequent bytes, somewhere, and strings that come back.
    assert!(!is_incompressible(&random[..20_000]));
    assert!(!is_incompressible(&sample(block)));
    assert!(!is_incompressible(&vec![0; block]));
    let late_text = [&random[..block - 40_000], &sample(40_000)].concat();
    assert!(!is_incompressible(&late_text));
    let hexadecimal: Vec<u8> =
        random.iter().map(|byte| b"0123456789abcdef"[usize::from(byte % 16)]).collect();
    assert!(!is_incompressible(&hexadecimal));
    let twice: Vec<u8> = random.chunks(20_000).step_by(2).flat_map(|piece| [piece, piece].concat()).collect();
    assert!(!is_incompressible(&twice[..block]));

    for level in 0..=9 {
        let compression = Compression::Gzip { level };
        let encoded = encode(&random, compression, 2, 1 << 20);
        assert_eq!(decode(&encoded), random);
        assert!(encoded.len() < block + block / 1000, "level {level}: {}", encoded.len());
        let encoded = encode(&twice, compression, 2, 1 << 20);
        assert!(level == 0 || encoded.len() < twice.len() * 6 / 10, "level {level}: {}", encoded.len());
    }
}

#[test]
fn lengths_around_a_block() {
    let input = sample(2 * BLOCK);
    for compression in ALL {
        let block = blocks::Shape::of(compression).map_or(BLOCK, |shape| shape.block);
        for length in [0, 1, block - 1, block, block + 1, 2 * block] {
            let encoded = encode(&input[..length], compression, 2, 65_536);
            assert_eq!(decode(&encoded), &input[..length], "{compression:?} {length}");
            assert_eq!(encoded.is_empty(), length == 0 && compression == Compression::None);
        }
    }
}

#[test]
fn detection() {
    for compression in ALL {
        let encoded = encode(b"layer", compression, 1, 10);
        let decoder = Decoder::detect(&encoded[..]).unwrap();
        assert_eq!(decoder.compression().media_type_suffix(), compression.media_type_suffix());
    }
    let two = [encode(b"a", ALL[1], 1, 1), encode(b"b", ALL[1], 1, 1)].concat();
    assert_eq!(decode(&two), b"ab");
    let skippable = [b"\x50\x2a\x4d\x18\x02\x00\x00\x00xx".to_vec(), encode(b"z", ALL[2], 1, 1)].concat();
    assert_eq!(decode(&skippable), b"z");
    for foreign in [&b"BZh91AY"[..], b"\xfd7zXZ\x00\x00"] {
        let Err(error) = Decoder::detect(foreign) else { panic!("{foreign:?} was accepted") };
        assert_eq!(error.kind(), std::io::ErrorKind::Unsupported);
    }
    assert_eq!(decode(b""), b"");
    assert_eq!(decode(b"ab"), b"ab");
}

#[test]
fn damage_is_noticed() {
    let input = sample(100_000);
    for compression in [ALL[1], ALL[2]] {
        let encoded = encode(&input, compression, 1, 1 << 20);
        for cut in [encoded.len() - 1, encoded.len() / 2, 9] {
            let mut out = Vec::new();
            let result = Decoder::detect(&encoded[..cut]).unwrap().read_to_end(&mut out);
            assert!(result.is_err(), "{compression:?} cut at {cut}");
        }
    }
}

#[test]
fn levels() {
    assert_eq!(Compression::gzip(None), Ok(Compression::Gzip { level: Compression::GZIP_LEVEL }));
    assert_eq!(Compression::zstd(Some(22)), Ok(Compression::Zstd { level: 22 }));
    assert!(Compression::gzip(Some(10)).is_err() && Compression::gzip(Some(-1)).is_err());
    let error = Compression::zstd(Some(0)).unwrap_err();
    assert_eq!(error.to_string(), "0 is no compression level of zstd: they go from 1 to 22");
    let input = sample(300_000);
    for level in 0..=9 {
        assert_eq!(decode(&encode(&input, Compression::Gzip { level }, 1, 1 << 20)), input);
    }
}

#[test]
fn a_failing_sink_is_an_error_and_not_a_hang() {
    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let input = sample(20 * BLOCK);
    let mut encoder = Encoder::new(Full, ALL[2], NonZeroUsize::MIN).unwrap();
    let written = encoder.write_all(&input);
    assert_eq!(written.unwrap_err().kind(), std::io::ErrorKind::StorageFull);
}
