//! The difference of two texts, as `diff -u` writes it.

use std::fmt::Write as _;
use std::ops::Range;

/// Lines around a change that are shown.
const CONTEXT: usize = 3;

/// The most pairs of lines that are compared for the shortest difference; beyond that the lines between the first and the
/// last change are replaced as a whole.
const PAIRS: usize = 4 << 20;

/// A run of lines of both texts: the same in both, or one in place of the other.
struct Run {
    before: Range<usize>,
    after: Range<usize>,
    same: bool,
}

/// The difference between two texts in the unified format; empty if there is none. What is not UTF-8 is replaced.
pub fn unified(name: &str, before: &[u8], after: &[u8]) -> String {
    if before == after {
        return String::new();
    }
    let (before, after) = (String::from_utf8_lossy(before), String::from_utf8_lossy(after));
    let before: Vec<&str> = before.split_inclusive('\n').collect();
    let after: Vec<&str> = after.split_inclusive('\n').collect();
    let runs = runs(&before, &after);
    let mut text = format!("--- {name}\n+++ {name}\n");
    let mut at = 0;
    while let Some(first) = runs[at..].iter().position(|run| !run.same).map(|i| at + i) {
        // A hunk goes on as long as less lies between two changes than is shown around them.
        let mut last = first;
        while runs.get(last + 1).is_some_and(|gap| gap.before.len() <= 2 * CONTEXT) && last + 2 < runs.len() {
            last += 2;
        }
        hunk(&runs[first..=last], &before, &after, &mut text);
        at = last + 1;
    }
    text
}

fn hunk(changes: &[Run], before: &[&str], after: &[&str], text: &mut String) {
    let (Some(first), Some(last)) = (changes.first(), changes.last()) else { return };
    let above = CONTEXT.min(first.before.start);
    let below = CONTEXT.min(before.len() - last.before.end);
    let range = |range: Range<usize>| {
        let start = if range.is_empty() { range.start } else { range.start + 1 };
        format!("{start},{}", range.len())
    };
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "@@ -{} +{} @@",
        range(first.before.start - above..last.before.end + below),
        range(first.after.start - above..last.after.end + below)
    );
    let mut lines = |mark: char, lines: &[&str]| {
        for line in lines {
            let _ = write!(text, "{mark}{line}");
            if !line.ends_with('\n') {
                text.push_str("\n\\ No newline at end of file\n");
            }
        }
    };
    lines(' ', &before[first.before.start - above..first.before.start]);
    for run in changes {
        match run.same {
            true => lines(' ', &before[run.before.clone()]),
            false => {
                lines('-', &before[run.before.clone()]);
                lines('+', &after[run.after.clone()]);
            }
        }
    }
    lines(' ', &before[last.before.end..last.before.end + below]);
}

/// The texts as runs; those that are the same and those that are not take turns.
fn runs(before: &[&str], after: &[&str]) -> Vec<Run> {
    let start = before.iter().zip(after).take_while(|(a, b)| a == b).count();
    let rest = before[start..].iter().rev().zip(after[start..].iter().rev());
    let end = rest.take_while(|(a, b)| a == b).count();
    let (before_end, after_end) = (before.len() - end, after.len() - end);
    let (old, new) = (&before[start..before_end], &after[start..after_end]);

    let mut runs: Vec<Run> = Vec::new();
    let mut push = |before: Range<usize>, after: Range<usize>, same: bool| match runs.last_mut() {
        _ if before.is_empty() && after.is_empty() => {}
        Some(run) if run.same == same => {
            run.before.end = before.end;
            run.after.end = after.end;
        }
        _ => runs.push(Run { before, after, same }),
    };
    push(0..start, 0..start, true);
    if old.len().saturating_mul(new.len()) > PAIRS {
        push(start..before_end, start..after_end, false);
    } else {
        let longest = longest_common(old, new);
        let width = new.len() + 1;
        let (mut i, mut j) = (0, 0);
        while i < old.len() || j < new.len() {
            let (a, b) = (start + i, start + j);
            if i < old.len() && j < new.len() && old[i] == new[j] {
                push(a..a + 1, b..b + 1, true);
                (i, j) = (i + 1, j + 1);
            } else if j == new.len()
                || (i < old.len() && longest[(i + 1) * width + j] >= longest[i * width + j + 1])
            {
                push(a..a + 1, b..b, false);
                i += 1;
            } else {
                push(a..a, b..b + 1, false);
                j += 1;
            }
        }
    }
    push(before_end..before.len(), after_end..after.len(), true);
    runs
}

/// For each pair of positions the length of the longest common subsequence of what follows; row by row.
fn longest_common(old: &[&str], new: &[&str]) -> Vec<u32> {
    let width = new.len() + 1;
    let mut table = vec![0; (old.len() + 1) * width];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            table[i * width + j] = if old[i] == new[j] {
                table[(i + 1) * width + j + 1] + 1
            } else {
                table[(i + 1) * width + j].max(table[i * width + j + 1])
            };
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hunks() {
        assert_eq!(unified("f", b"a\n", b"a\n"), "");
        assert_eq!(
            unified("f", b"a\nb", b"a\nc\n"),
            "--- f\n+++ f\n@@ -1,2 +1,2 @@\n a\n-b\n\\ No newline at end of file\n+c\n"
        );
        assert_eq!(unified("f", b"", b"x\n"), "--- f\n+++ f\n@@ -0,0 +1,1 @@\n+x\n");
        let lines = |changed: &[usize]| -> String {
            (1..=20)
                .map(|i| if changed.contains(&i) { format!("{i}!\n") } else { format!("{i}\n") })
                .collect()
        };
        let text = unified("f", lines(&[]).as_bytes(), lines(&[2, 9, 20]).as_bytes());
        assert_eq!(
            text,
            "--- f\n+++ f\n@@ -1,12 +1,12 @@\n 1\n-2\n+2!\n 3\n 4\n 5\n 6\n 7\n 8\n-9\n+9!\n 10\n 11\n 12\n\
             @@ -17,4 +17,4 @@\n 17\n 18\n 19\n-20\n+20!\n"
        );
    }

    #[test]
    fn patch_understands_them() {
        let mut seed = 1_u32;
        for _ in 0..40 {
            let mut text = || -> String {
                (0..30)
                    .filter_map(|i| {
                        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                        (seed >> 28 > 3).then(|| format!("{}\n", i / 2))
                    })
                    .collect()
            };
            let (before, after) = (text(), text());
            // Applied by hand: this machine may have no patch program.
            let diff = unified("f", before.as_bytes(), after.as_bytes());
            let mut rest: Vec<&str> = before.lines().collect();
            let mut offset = 0_isize;
            let mut position = 0;
            for line in diff.lines().skip(2) {
                if let Some(head) = line.strip_prefix("@@ -") {
                    let (start, length) = head.split(' ').next().unwrap().split_once(',').unwrap();
                    let start: isize = start.parse().unwrap();
                    position = (start - isize::from(length != "0") + offset) as usize;
                } else if let Some(removed) = line.strip_prefix('-') {
                    assert_eq!(rest.remove(position), removed);
                    offset -= 1;
                } else if let Some(added) = line.strip_prefix('+') {
                    rest.insert(position, added);
                    position += 1;
                    offset += 1;
                } else {
                    assert_eq!(rest[position], &line[1..]);
                    position += 1;
                }
            }
            assert_eq!(rest, after.lines().collect::<Vec<_>>(), "{diff}");
        }
    }
}
