//! Telling what cannot be compressed: archives, images, videos, random bytes.
//!
//! Searching such a block for repetitions takes longer than any other, and finds nothing. What deflate can save comes from
//! two places, and both are looked at: bytes of which some are more frequent than others, and strings that were there
//! before, within its reach of 32 KiB. The verdict is a function of the block alone, so the output stays the same everywhere.

/// Blocks below this are compressed whatever they are: they cost little, and tell little of themselves.
const LEAST: usize = 32 << 10;
/// So much is looked at first: most blocks are text or programs, and show it at once.
const FIRST: usize = 8 << 10;
/// How far back deflate looks for a string (RFC 1951 section 2).
const REACH: usize = 32 << 10;

/// Whether deflate would save less than about a thousandth of `block`.
pub(super) fn is_incompressible(block: &[u8]) -> bool {
    block.len() >= LEAST
        && unevenness(std::iter::once(&block[..FIRST])) < FIRST as u64
        && is_flat(block)
        && !repeats(block)
}

/// Whether Huffman codes would save nothing: an unevenness of 255 or so is that of random bytes, and a hundredth of the
/// length is an entropy of 0.007 bits less than 8. What gzip, zstd and xz write stays below that.
fn is_flat(block: &[u8]) -> bool {
    // A quarter of it tells as much, in pieces that leave nothing out which is worth the while.
    let pieces = block.chunks(1024).step_by(4);
    let length: usize = pieces.clone().map(<[u8]>::len).sum();
    unevenness(pieces) <= 512 + length as u64 / 100
}

/// Chi squared of how often each byte occurs, against all being as frequent.
fn unevenness<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> u64 {
    // Four tables: the same byte twice in a row would wait for itself.
    let mut counts = [[0u32; 256]; 4];
    let mut length = 0;
    for piece in pieces {
        length += piece.len() as u64;
        let (words, rest) = piece.as_chunks::<4>();
        for &[a, b, c, d] in words {
            counts[0][usize::from(a)] += 1;
            counts[1][usize::from(b)] += 1;
            counts[2][usize::from(c)] += 1;
            counts[3][usize::from(d)] += 1;
        }
        for &byte in rest {
            counts[0][usize::from(byte)] += 1;
        }
    }
    let of = |byte: usize| counts.iter().map(|count| u64::from(count[byte])).sum::<u64>();
    let sum_of_squares: u64 = (0..256).map(|byte| of(byte).pow(2)).sum();
    // The sum over all bytes of (count - length / 256)^2 / (length / 256), in integers: the same on every machine.
    (256 * sum_of_squares).saturating_sub(length * length) / length.max(1)
}

/// Whether strings come back within reach: looked for in a quarter of the block, in pieces of twice the reach.
fn repeats(block: &[u8]) -> bool {
    let pieces = block.chunks(2 * REACH).step_by(4);
    let length: usize = pieces.clone().map(<[u8]>::len).sum();
    pieces.map(repeated).sum::<usize>() > length / 64 / 512
}

/// How many strings of `piece` were in it before. One in 64 is noted, chosen by its hash, so that it is chosen again.
fn repeated(piece: &[u8]) -> usize {
    let mut seen = [(0u32, usize::MAX); 1024];
    let mut found = 0;
    for (at, string) in piece.windows(4).enumerate() {
        let &[a, b, c, d] = string else { continue };
        let word = u32::from_le_bytes([a, b, c, d]);
        let hash = word.wrapping_mul(0x9e37_79b1);
        if hash >> 26 == 0 {
            let slot = &mut seen[(hash >> 16 & 1023) as usize];
            let (before, was_at) = std::mem::replace(slot, (word, at));
            found += usize::from(before == word && was_at != usize::MAX && at - was_at <= REACH);
        }
    }
    found
}
