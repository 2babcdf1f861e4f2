//! Reads a word once, from left to right, and expands it on the way.

use super::pattern;
use super::{ExpandError, ExpandErrorKind, Lookup, MAX_DEPTH, MAX_WORK};
use crate::automaton::Automaton;
use std::collections::BTreeSet;

/// What becomes of quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quotes {
    /// They quote, and are removed.
    Remove,
    /// They are characters like any other.
    Keep,
}

/// How the word of an operator is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Escapes {
    /// The escape character is removed.
    Remove,
    /// It stays, for the pattern it is part of.
    Keep,
}

pub(super) struct Lexer<'t, 'l> {
    text: &'t str,
    position: usize,
    escape: char,
    quotes: Quotes,
    lookup: Lookup<'l>,
    depth: usize,
    /// What is left of [`MAX_WORK`].
    work: usize,
    /// Above zero while reading a word whose result is not used: no name in it is missed.
    unused: usize,
    pub(super) undefined: Vec<String>,
    /// The names in `undefined`.
    missed: BTreeSet<&'t str>,
}

/// Takes the expanded text, as one string or split into words.
#[derive(Default)]
struct Output {
    text: String,
    words: Option<Vec<String>>,
}

impl Output {
    /// Text as it stands, which white space may split.
    fn splittable(&mut self, c: char) {
        match &mut self.words {
            Some(words) if c.is_whitespace() => {
                if !self.text.is_empty() {
                    words.push(std::mem::take(&mut self.text));
                }
            }
            _ => self.text.push(c),
        }
    }
}

impl<'t, 'l> Lexer<'t, 'l> {
    pub(super) fn new(text: &'t str, escape: char, quotes: Quotes, lookup: Lookup<'l>) -> Self {
        Self {
            text,
            position: 0,
            escape,
            quotes,
            lookup,
            depth: 0,
            work: MAX_WORK,
            unused: 0,
            undefined: Vec::new(),
            missed: BTreeSet::new(),
        }
    }

    pub(super) fn expand_all(&mut self) -> Result<String, ExpandError> {
        let mut out = Output::default();
        self.run(None, Escapes::Remove, &mut out)?;
        Ok(out.text)
    }

    pub(super) fn split_all(&mut self) -> Result<Vec<String>, ExpandError> {
        let mut out = Output { text: String::new(), words: Some(Vec::new()) };
        self.run(None, Escapes::Remove, &mut out)?;
        let mut words = out.words.unwrap_or_default();
        if !out.text.is_empty() {
            words.push(out.text);
        }
        Ok(words)
    }

    /// Reads one substitution from the start; gives the offset behind it.
    pub(super) fn skip_dollar(&mut self) -> Result<usize, ExpandError> {
        self.unused += 1;
        self.next();
        self.dollar(&mut String::new())?;
        Ok(self.position)
    }

    fn peek(&self) -> Option<char> {
        self.text[self.position..].chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.position += c.len_utf8();
        Some(c)
    }

    fn error<T>(&self, kind: ExpandErrorKind, offset: usize) -> Result<T, ExpandError> {
        Err(ExpandError { kind, offset })
    }

    /// Reads up to `stop`, which is consumed, or to the end; `false` if `stop` never came.
    fn run(&mut self, stop: Option<char>, escapes: Escapes, out: &mut Output) -> Result<bool, ExpandError> {
        while let Some(c) = self.next() {
            match c {
                _ if stop == Some(c) => return Ok(true),
                '\'' if self.quotes == Quotes::Remove => self.single_quoted(&mut out.text)?,
                '"' if self.quotes == Quotes::Remove => self.double_quoted(&mut out.text, escapes)?,
                '$' if out.words.is_some() => {
                    let mut value = String::new();
                    self.dollar(&mut value)?;
                    value.chars().for_each(|c| out.splittable(c));
                }
                '$' => self.dollar(&mut out.text)?,
                _ if c == self.escape => {
                    if escapes == Escapes::Keep {
                        out.text.push(c);
                    }
                    out.text.extend(self.next());
                }
                _ => out.splittable(c),
            }
        }
        Ok(stop.is_none())
    }

    /// Everything up to the next single quote.
    fn single_quoted(&mut self, out: &mut String) -> Result<(), ExpandError> {
        match self.text[self.position..].split_once('\'') {
            Some((inside, _)) => {
                out.push_str(inside);
                self.position += inside.len() + 1;
                Ok(())
            }
            None => self.error(ExpandErrorKind::UnterminatedQuote('\''), self.position - 1),
        }
    }

    /// In double quotes names are expanded, and the escape character escapes `"`, `$` and itself; before anything else
    /// it is an ordinary character.
    fn double_quoted(&mut self, out: &mut String, escapes: Escapes) -> Result<(), ExpandError> {
        let start = self.position - 1;
        while let Some(c) = self.next() {
            match c {
                '"' => return Ok(()),
                '$' => self.dollar(out)?,
                _ if c == self.escape => match self.peek() {
                    Some(next) if next == '"' || next == '$' || next == self.escape => {
                        if escapes == Escapes::Keep {
                            out.push(c);
                        }
                        out.extend(self.next());
                    }
                    _ => {
                        // A pattern sees it as if it were escaped, or it would swallow what follows.
                        if escapes == Escapes::Keep {
                            out.push(c);
                        }
                        out.push(c);
                    }
                },
                _ => out.push(c),
            }
        }
        self.error(ExpandErrorKind::UnterminatedQuote('"'), start)
    }

    /// What follows a `$` that has been read.
    fn dollar(&mut self, out: &mut String) -> Result<(), ExpandError> {
        let start = self.position - 1;
        if self.peek() != Some('{') {
            let name = self.name();
            if name.is_empty() {
                out.push('$');
            } else if let Some(value) = self.value(start, name, true)? {
                out.push_str(&value);
            }
            return Ok(());
        }
        if self.depth == MAX_DEPTH {
            return self.error(ExpandErrorKind::TooDeep, start);
        }
        self.depth += 1;
        self.next();
        let result = self.braced(start, out);
        self.depth -= 1;
        result
    }

    /// What follows `${`.
    fn braced(&mut self, start: usize, out: &mut String) -> Result<(), ExpandError> {
        match self.peek() {
            None => return self.error(ExpandErrorKind::MissingBrace, start),
            Some('{' | '}' | ':') => return self.error(ExpandErrorKind::BadSubstitution, start),
            Some(_) => {}
        }
        let name = self.name();
        let at = self.position;
        let Some(mut operator) = self.next() else { return self.error(ExpandErrorKind::MissingBrace, start) };
        let colon = operator == ':';
        if colon {
            let Some(next) = self.next() else { return self.error(ExpandErrorKind::MissingBrace, start) };
            operator = next;
        }
        match operator {
            '}' if !colon => {
                if let Some(value) = self.value(start, name, true)? {
                    out.push_str(&value);
                }
                Ok(())
            }
            '-' | '+' | '?' => self.conditional(start, name, operator, colon, out),
            '#' | '%' if !colon => self.trimmed(start, name, operator, out),
            '/' if !colon => self.replaced(start, name, out),
            _ if name.is_empty() => self.error(ExpandErrorKind::BadSubstitution, start),
            _ => {
                self.error(ExpandErrorKind::UnsupportedOperator(self.text[at..self.position].to_owned()), at)
            }
        }
    }

    fn conditional(
        &mut self,
        start: usize,
        name: &'t str,
        operator: char,
        colon: bool,
        out: &mut String,
    ) -> Result<(), ExpandError> {
        let value = self.value(start, name, operator == '?')?;
        let set = value.as_ref().is_some_and(|value| !(colon && value.is_empty()));
        let use_word = set == (operator == '+');
        let word = self.operand(start, '}', Escapes::Remove, use_word)?;
        match operator {
            '?' if !set && self.unused == 0 => {
                let kind = ExpandErrorKind::Required {
                    name: name.to_owned(),
                    message: word,
                    empty: value.is_some(),
                };
                return self.error(kind, start);
            }
            '-' if !set => out.push_str(&word),
            '+' if set => out.push_str(&word),
            '+' => {}
            _ => out.push_str(&value.unwrap_or_default()),
        }
        Ok(())
    }

    fn trimmed(
        &mut self,
        start: usize,
        name: &'t str,
        operator: char,
        out: &mut String,
    ) -> Result<(), ExpandError> {
        let longest = self.peek() == Some(operator);
        if longest {
            self.next();
        }
        let at = self.position;
        let word = self.operand(start, '}', Escapes::Keep, true)?;
        let value = self.value(start, name, true)?.unwrap_or_default();
        let pattern = self.pattern(start, &word, at, &value)?;
        out.push_str(&match operator {
            '#' => pattern::without_prefix(&pattern, &value, longest),
            _ => pattern::without_suffix(pattern, &value, longest),
        });
        Ok(())
    }

    fn replaced(&mut self, start: usize, name: &'t str, out: &mut String) -> Result<(), ExpandError> {
        let all = self.peek() == Some('/');
        if all {
            self.next();
        }
        let at = self.position;
        let word = self.operand(start, '/', Escapes::Keep, true)?;
        let replacement = self.operand(start, '}', Escapes::Keep, true)?;
        let value = self.value(start, name, true)?.unwrap_or_default();
        let pattern = self.pattern(start, &word, at, &value)?;
        let Some(replaced) = pattern::replace(&pattern, &value, &replacement, all, self.work) else {
            return self.error(ExpandErrorKind::TooLarge, start);
        };
        self.spend(start, replaced.len())?;
        out.push_str(&replaced);
        Ok(())
    }

    /// The pattern `word`, which stands at `at`, for matching `value`.
    fn pattern(
        &mut self,
        start: usize,
        word: &str,
        at: usize,
        value: &str,
    ) -> Result<Automaton, ExpandError> {
        let pattern = pattern::compile(word)
            .map_err(|escape| ExpandError { kind: ExpandErrorKind::BadPatternEscape(escape), offset: at })?;
        // Each character may meet each piece of the pattern.
        let steps = if pattern.literal().is_some() { 1 } else { value.len().saturating_add(1) };
        self.spend(start, word.len().saturating_mul(steps))?;
        Ok(pattern)
    }

    /// Takes `work` from what is left.
    fn spend(&mut self, start: usize, work: usize) -> Result<(), ExpandError> {
        match self.work.checked_sub(work) {
            Some(left) => {
                self.work = left;
                Ok(())
            }
            None => self.error(ExpandErrorKind::TooLarge, start),
        }
    }

    /// An operator's word, up to `stop`.
    fn operand(
        &mut self,
        start: usize,
        stop: char,
        escapes: Escapes,
        used: bool,
    ) -> Result<String, ExpandError> {
        let mut out = Output::default();
        self.unused += usize::from(!used);
        let stopped = self.run(Some(stop), escapes, &mut out);
        self.unused -= usize::from(!used);
        match stopped? {
            true => {
                self.spend(start, out.text.len())?;
                Ok(out.text)
            }
            false if stop == '/' => self.error(ExpandErrorKind::MissingSlash, start),
            false => self.error(ExpandErrorKind::MissingBrace, start),
        }
    }

    /// Reads a name: a run of digits, one special parameter, or letters, digits and `_`.
    fn name(&mut self) -> &'t str {
        let rest = &self.text[self.position..];
        let first = rest.chars().next();
        let length = match first {
            Some(c) if c.is_numeric() => rest.find(|c: char| !c.is_numeric()).unwrap_or(rest.len()),
            Some(c) if is_special(c) => c.len_utf8(),
            _ => rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len()),
        };
        self.position += length;
        &rest[..length]
    }

    /// The value of a name, remembering it if it is `missed`.
    fn value(&mut self, start: usize, name: &'t str, missed: bool) -> Result<Option<String>, ExpandError> {
        if self.unused > 0 {
            return Ok(None);
        }
        let is_parameter = name.chars().next().is_none_or(|c| c.is_numeric() || is_special(c));
        let value = if is_parameter { None } else { (self.lookup)(name) };
        if value.is_none() && missed && self.missed.insert(name) {
            self.undefined.push(name.to_owned());
        }
        self.spend(start, value.as_ref().map_or(0, String::len))?;
        Ok(value)
    }
}

/// Special parameters: POSIX.1-2024, XCU 2.5.2.
fn is_special(c: char) -> bool {
    matches!(c, '@' | '*' | '#' | '?' | '-' | '$' | '!' | '0')
}
