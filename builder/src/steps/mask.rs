//! Hiding the values of secrets in what programs print.

use aho_corasick::{AhoCorasick, BuildError, MatchKind};
use std::ops::Range;

/// A shorter value stands everywhere, in bytes; hiding it would hide the log.
const SHORTEST: usize = 4;
/// What stands where a secret stood.
const HIDDEN: &[u8] = b"***";

/// Finds secrets. The log is told line by line, so each line of a secret is one by itself; white space around it does
/// not count.
pub(super) struct Mask {
    /// `None` when there is nothing to hide.
    finder: Option<AhoCorasick>,
    /// The length of the longest line, in bytes.
    longest: usize,
}

impl Mask {
    /// One that hides `secrets`.
    ///
    /// # Errors
    /// When they are more than a search can hold.
    pub(super) fn new(secrets: &[Vec<u8>]) -> Result<Self, BuildError> {
        let mut lines: Vec<&[u8]> = secrets
            .iter()
            .flat_map(|secret| secret.split(|byte| *byte == b'\n'))
            .map(<[u8]>::trim_ascii)
            .filter(|line| line.len() >= SHORTEST)
            .collect();
        lines.sort_unstable();
        lines.dedup();
        let longest = lines.iter().map(|line| line.len()).max().unwrap_or_default();
        let finder = match longest {
            0 => None,
            _ => Some(AhoCorasick::builder().match_kind(MatchKind::Standard).build(lines)?),
        };
        Ok(Self { finder, longest })
    }

    /// `text` with `***` for each secret in it.
    pub(super) fn apply(&self, text: &[u8]) -> Vec<u8> {
        let mut masked = Vec::with_capacity(text.len());
        let mut at = 0;
        for hidden in self.hidden(text) {
            masked.extend_from_slice(&text[at..hidden.start]);
            masked.extend_from_slice(HIDDEN);
            at = hidden.end;
        }
        masked.extend_from_slice(&text[at..]);
        masked
    }

    /// How much of `text`, which goes on, can be told now: a secret that begins near its end may only be seen whole
    /// with what follows. Nothing is told as long as `text` is not longer than [`kept_back`](Self::kept_back).
    pub(super) fn complete(&self, text: &[u8]) -> usize {
        let cut = text.len().saturating_sub(self.kept_back());
        match self.hidden(text).into_iter().find(|hidden| hidden.start < cut && cut < hidden.end) {
            // Between the secrets, so that one which overlaps with the next is not told in part.
            Some(hidden) if hidden.start > 0 => hidden.start,
            Some(hidden) => hidden.end,
            None => cut,
        }
    }

    /// The most that [`complete`](Self::complete) leaves, in bytes, unless it must leave a secret.
    pub(super) fn kept_back(&self) -> usize {
        self.longest.saturating_sub(1)
    }

    /// Where secrets stand in `text`, in order. Those that overlap are one.
    fn hidden(&self, text: &[u8]) -> Vec<Range<usize>> {
        let Some(finder) = &self.finder else { return Vec::new() };
        let mut found: Vec<Range<usize>> = finder.find_overlapping_iter(text).map(|m| m.range()).collect();
        found.sort_unstable_by_key(|range| range.start);
        let mut merged: Vec<Range<usize>> = Vec::with_capacity(found.len());
        for range in found {
            match merged.last_mut() {
                Some(last) if range.start < last.end => last.end = last.end.max(range.end),
                _ => merged.push(range),
            }
        }
        merged
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mask(secrets: &[&str]) -> Mask {
        let secrets: Vec<Vec<u8>> = secrets.iter().map(|secret| secret.as_bytes().to_vec()).collect();
        Mask::new(&secrets).unwrap()
    }

    fn masked(secrets: &[&str], text: &str) -> String {
        String::from_utf8(mask(secrets).apply(text.as_bytes())).unwrap()
    }

    #[test]
    fn each_line_of_a_secret_is_hidden() {
        let pem = "-----BEGIN KEY-----\r\nMIIEvQ\r\n  abcd  \n\n}\n-----END KEY-----\n";
        for (line, want) in [
            ("-----BEGIN KEY-----", "***"),
            ("line MIIEvQ of it", "line *** of it"),
            ("abcd", "***"),
            ("}", "}"),
            ("abc", "abc"),
            ("-----BEGIN KEY----- MIIEvQ abcd } -----END KEY-----", "*** *** *** } ***"),
        ] {
            assert_eq!(masked(&[pem], line), want);
        }
    }

    #[test]
    fn secrets_within_and_across_each_other() {
        assert_eq!(masked(&["hunter2", "hunter2000"], "a hunter2000 b hunter2 c"), "a *** b *** c");
        assert_eq!(masked(&["abab"], "xababab abab"), "x*** ***");
        assert_eq!(masked(&["left", "efts"], "<lefts>"), "<***>");
        assert_eq!(masked(&["left", "right"], "leftright"), "******");
        // What stands for a secret is not looked at again.
        assert_eq!(masked(&["****"], "a **** b"), "a *** b");
    }

    #[test]
    fn short_and_empty_values_are_shown() {
        for secrets in [&[] as &[&str], &[""], &["abc", " d ", "\n\n"]] {
            assert_eq!(masked(secrets, "abc d e"), "abc d e");
            assert_eq!(mask(secrets).complete(b"abc"), 3);
        }
    }

    #[test]
    fn no_cut_goes_through_a_secret() {
        let (secret, text) = ("hunter2", "....hunter2....");
        let mask = mask(&[secret]);
        for end in 0..=text.len() {
            let cut = mask.complete(&text.as_bytes()[..end]);
            let (told, kept) = (&text[..cut], &text[cut..]);
            let both = format!(
                "{}{}",
                String::from_utf8(mask.apply(told.as_bytes())).unwrap(),
                String::from_utf8(mask.apply(kept.as_bytes())).unwrap()
            );
            assert_eq!(both, "....***....", "cut at {cut} of {end}");
            assert!(end - cut < 2 * secret.len(), "{cut} of {end}");
        }
        // One that fills everything is told at once rather than kept for ever.
        assert_eq!(self::mask(&["abab"]).complete(b"abababababab"), 12);
    }
}
