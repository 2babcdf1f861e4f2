//! `--chmod`: octal, or symbolic as in BSD's setmode(3), which is what BuildKit has.
//!
//! There is no umask: a clause without `u`, `g`, `o` or `a` means all three.

use std::str::FromStr;

const SETUID: u32 = 0o4000;
const SETGID: u32 = 0o2000;
const STICKY: u32 = 0o1000;

/// A checked `--chmod` value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Chmod {
    /// 0 to 07777.
    Octal(u32),
    /// Clauses, applied in order.
    Symbolic(Vec<Clause>),
}

/// One operation of a symbolic mode: `go=rX` is one, `u+x-w` is two.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Clause {
    /// The classes it changes, as a mask of mode bits.
    who: u32,
    operator: Operator,
    /// Bits named by letters, for all classes (`r` is 0444); `who` picks from them.
    bits: u32,
    /// `X`: execution for directories, and for files that somebody may execute.
    conditional_execute: bool,
    /// `u`, `g`, `o` on the right side: the shift of the class whose bits are taken.
    copy_from: Vec<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Operator {
    Add,
    Remove,
    Set,
}

/// Why a `--chmod` value cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChmodError {
    /// Digits, but not an octal number up to 07777.
    #[error("invalid mode {0:?}: an octal mode is between 0 and 07777")]
    Octal(String),
    /// Not the syntax of chmod(1).
    #[error("invalid mode {0:?}: write an octal number (755) or clauses as chmod(1) has them (u=rwX,go=rX)")]
    Symbolic(String),
}

impl Chmod {
    /// The mode that something with `mode` (permission bits, setuid, setgid, sticky) gets.
    pub fn apply(&self, mode: u32, directory: bool) -> u32 {
        match self {
            Self::Octal(octal) => *octal,
            Self::Symbolic(clauses) => {
                let executable = directory || mode & 0o111 != 0;
                clauses.iter().fold(mode, |mode, clause| clause.apply(mode, executable))
            }
        }
    }
}

impl Clause {
    fn apply(&self, mode: u32, executable: bool) -> u32 {
        let mut bits = self.bits;
        if self.conditional_execute && executable {
            bits |= 0o111;
        }
        for shift in &self.copy_from {
            let class = mode >> shift & 0o7;
            bits |= class | class << 3 | class << 6;
        }
        let bits = bits & self.who;
        match self.operator {
            Operator::Add => mode | bits,
            Operator::Remove => mode & !bits,
            // The sticky bit belongs to no class: only a `t` that is written changes it.
            Operator::Set => mode & !(self.who & !STICKY) | bits,
        }
    }
}

impl FromStr for Chmod {
    type Err = ChmodError;

    fn from_str(text: &str) -> Result<Self, ChmodError> {
        if text.starts_with(|c: char| c.is_ascii_digit()) {
            return match u32::from_str_radix(text, 8) {
                Ok(mode) if mode <= 0o7777 => Ok(Self::Octal(mode)),
                _ => Err(ChmodError::Octal(text.to_owned())),
            };
        }
        let mut clauses = Vec::new();
        for part in text.split(',') {
            parse_part(part, &mut clauses).ok_or_else(|| ChmodError::Symbolic(text.to_owned()))?;
        }
        Ok(Self::Symbolic(clauses))
    }
}

/// Parses what stands between two commas: classes, then one or more operations. `None` is a syntax error.
fn parse_part(part: &str, clauses: &mut Vec<Clause>) -> Option<()> {
    let mut letters = part.chars().peekable();
    let mut who = 0;
    while let Some(class) = letters.next_if(|c| "ugoa".contains(*c)) {
        who |= match class {
            'u' => SETUID | 0o700,
            'g' => SETGID | 0o070,
            'o' => 0o007,
            _ => SETUID | SETGID | 0o777,
        };
    }
    // The sticky bit and the set-id bits are out of reach for a clause about `o` alone.
    let only_others = who == 0o007;
    let who = if who == 0 {
        0o7777
    } else if only_others {
        who
    } else {
        who | STICKY
    };
    letters.peek()?;
    while let Some(operator) = letters.next() {
        let operator = match operator {
            '+' => Operator::Add,
            '-' => Operator::Remove,
            '=' => Operator::Set,
            _ => return None,
        };
        let mut clause = Clause { who, operator, bits: 0, conditional_execute: false, copy_from: Vec::new() };
        while let Some(letter) = letters.next_if(|c| !"+-=".contains(*c)) {
            match letter {
                'r' => clause.bits |= 0o444,
                'w' => clause.bits |= 0o222,
                'x' => clause.bits |= 0o111,
                'X' => clause.conditional_execute = true,
                's' => clause.bits |= SETUID | SETGID,
                't' => clause.bits |= STICKY,
                'u' => clause.copy_from.push(6),
                'g' => clause.copy_from.push(3),
                'o' => clause.copy_from.push(0),
                _ => return None,
            }
        }
        if clause.operator == Operator::Remove && clause.conditional_execute {
            clause.bits |= 0o111;
        }
        clauses.push(clause);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_as_setmode_computes_them() {
        // (mode, before, of a directory, after). Compared with GNU chmod under umask 0; it differs in three, where
        // BuildKit follows BSD: `=` clears a directory's set-id bits, and `X` looks at the mode before all clauses.
        let table: &[(&str, u32, bool, u32)] = &[
            ("0", 0o755, false, 0),
            ("755", 0o644, false, 0o755),
            ("04755", 0o600, false, 0o4755),
            ("7777", 0, true, 0o7777),
            ("u=rwX,go=rX", 0o600, false, 0o644),
            ("u=rwX,go=rX", 0o700, false, 0o755),
            ("u=rwX,go=rX", 0o600, true, 0o755),
            ("+x", 0o644, false, 0o755),
            ("a+x", 0o644, false, 0o755),
            ("go-w", 0o666, false, 0o644),
            ("go=", 0o777, false, 0o700),
            ("g=u", 0o640, false, 0o660),
            ("go=u-w", 0o750, false, 0o755),
            ("u+s", 0o755, false, 0o4755),
            ("g+s", 0o755, false, 0o2755),
            ("+t", 0o755, true, 0o1755),
            ("o+s", 0o755, false, 0o755),
            ("u=rwx", 0o4644, true, 0o744),
            ("a-X", 0o755, false, 0o644),
            ("a-x+X", 0o755, false, 0o755),
            ("=rw,+X", 0o711, false, 0o777),
            ("u=rw,u+x", 0, false, 0o700),
            ("ug=rw", 0o7, false, 0o667),
        ];
        for (text, before, directory, after) in table {
            let chmod: Chmod = text.parse().unwrap();
            let got = chmod.apply(*before, *directory);
            assert_eq!(got, *after, "chmod {text} of {before:o}: {got:o} instead of {after:o}");
        }
    }

    #[test]
    fn what_is_refused() {
        for text in ["8", "10000", "0o755", "77777777777777"] {
            assert_eq!(text.parse::<Chmod>(), Err(ChmodError::Octal(text.into())), "{text}");
        }
        for text in ["", "rwx", "u", "u=rwx,", "u=q", "z+x", "u+x,,g+x", "-rwxé"] {
            assert_eq!(text.parse::<Chmod>(), Err(ChmodError::Symbolic(text.into())), "{text}");
        }
    }
}
