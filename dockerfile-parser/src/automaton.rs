//! One matcher for all wildcard patterns: those of `${name#pattern}`, of COPY sources and of ignore files.
//!
//! A pattern is a list of tokens, run as a nondeterministic automaton: time is at most the length of the text times that
//! of the pattern, whatever the pattern, and the call stack stays flat.

/// A piece of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    /// This character.
    Char(char),
    /// Any one character, except one.
    One { but: Option<char> },
    /// Any one character of a class.
    Class(Class),
    /// Any number of characters, except one.
    Many { but: Option<char> },
    /// Nothing, or anything that ends with a slash.
    Directories,
}

/// A bracket expression.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Class {
    /// `[^...]`.
    pub(crate) negated: bool,
    /// First and last character of each range.
    pub(crate) ranges: Vec<(char, char)>,
}

impl Class {
    fn contains(&self, c: char) -> bool {
        self.ranges.iter().any(|(low, high)| (*low..=*high).contains(&c)) != self.negated
    }
}

/// A set of positions in the token list; the position after the last token means "matched".
#[derive(Clone, Debug)]
struct Positions(Vec<u64>);

impl Positions {
    fn new(tokens: usize) -> Self {
        Self(vec![0; tokens / 64 + 1])
    }

    fn contains(&self, i: usize) -> bool {
        self.0[i / 64] & (1 << (i % 64)) != 0
    }

    /// Adds `i`; `false` if it was there.
    fn insert(&mut self, i: usize) -> bool {
        let new = !self.contains(i);
        self.0[i / 64] |= 1 << (i % 64);
        new
    }

    fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.0.iter().enumerate().flat_map(|(i, word)| {
            let mut word = *word;
            std::iter::from_fn(move || {
                (word != 0).then(|| {
                    let bit = word.trailing_zeros() as usize;
                    word &= word - 1;
                    i * 64 + bit
                })
            })
        })
    }
}

/// A compiled pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Automaton {
    /// `Directories` takes two places: the first may be skipped, the second has eaten part of a directory's name.
    states: Vec<State>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Token(Token),
    InsideDirectories,
}

impl Automaton {
    /// Compiles `tokens`.
    pub(crate) fn new(tokens: Vec<Token>) -> Self {
        let mut states: Vec<State> = Vec::with_capacity(tokens.len() + 1);
        for token in tokens {
            // Two stars in a row say the same as one.
            if matches!(token, Token::Many { .. }) && states.last() == Some(&State::Token(token.clone())) {
                continue;
            }
            let directories = token == Token::Directories;
            states.push(State::Token(token));
            if directories {
                states.push(State::InsideDirectories);
            }
        }
        Self { states }
    }

    /// The text, if the pattern has no wildcards.
    pub(crate) fn literal(&self) -> Option<String> {
        let chars = self.states.iter().map(|state| match state {
            State::Token(Token::Char(c)) => Some(*c),
            _ => None,
        });
        chars.collect()
    }

    /// The characters that every match starts with.
    pub(crate) fn literal_prefix(&self) -> String {
        self.states.iter().map_while(State::as_char).collect()
    }

    /// The characters that every match ends with.
    pub(crate) fn literal_suffix(&self) -> String {
        let reversed: Vec<char> = self.states.iter().rev().map_while(State::as_char).collect();
        reversed.into_iter().rev().collect()
    }

    /// Whether `c` is one of the pattern's own characters.
    pub(crate) fn mentions(&self, c: char) -> bool {
        self.states.iter().any(|state| state.as_char() == Some(c))
    }

    /// The longest run of characters that every match holds.
    pub(crate) fn longest_literal(&self) -> String {
        let runs = self.states.split(|state| state.as_char().is_none());
        let longest = runs.max_by_key(|run| run.len()).unwrap_or_default();
        longest.iter().filter_map(State::as_char).collect()
    }

    /// The same pattern for text that is read backwards. Has no meaning for `Directories`.
    pub(crate) fn reversed(mut self) -> Self {
        self.states.reverse();
        self
    }

    /// Whether all of `text` matches.
    pub(crate) fn matches(&self, text: impl Iterator<Item = char>) -> bool {
        self.run(text, |_| true).is_some_and(|end| end.contains(self.states.len()))
    }

    /// Whether some text that starts with `prefix` may match.
    pub(crate) fn may_continue(&self, prefix: impl Iterator<Item = char>) -> bool {
        // A pattern that ends here cannot go on, unless a star is at its end: then that star is a position too.
        self.run(prefix, |_| true).is_some_and(|end| end.iter().any(|i| i < self.states.len()))
    }

    /// The length in characters of the shortest, or longest, match at the start of `text`.
    pub(crate) fn prefix(&self, text: impl Iterator<Item = char>, longest: bool) -> Option<usize> {
        let mut found = None;
        let mut length = 0;
        self.run(text, |positions| {
            if positions.contains(self.states.len()) {
                found = Some(length);
            }
            length += 1;
            longest || found.is_none()
        });
        found
    }

    /// Feeds `text`, showing the positions before the first and after each character; stops when nothing can match any
    /// more, or when asked to.
    fn run(
        &self,
        text: impl Iterator<Item = char>,
        mut go_on: impl FnMut(&Positions) -> bool,
    ) -> Option<Positions> {
        let mut current = Positions::new(self.states.len());
        self.enter(&mut current, 0);
        let mut next = Positions::new(self.states.len());
        if !go_on(&current) {
            return None;
        }
        for c in text {
            next.0.fill(0);
            for i in current.iter() {
                self.step(i, c, |to| self.enter(&mut next, to));
            }
            std::mem::swap(&mut current, &mut next);
            if current.is_empty() || !go_on(&current) {
                return None;
            }
        }
        Some(current)
    }

    /// Adds `i` and what can be reached from it without a character.
    fn enter(&self, positions: &mut Positions, mut i: usize) {
        while positions.insert(i) {
            match self.states.get(i) {
                Some(State::Token(Token::Many { .. })) => i += 1,
                Some(State::Token(Token::Directories)) => {
                    positions.insert(i + 1);
                    i += 2;
                }
                _ => return,
            }
        }
    }

    /// Where position `i` goes on `c`.
    fn step(&self, i: usize, c: char, mut go: impl FnMut(usize)) {
        match self.states.get(i) {
            Some(State::Token(Token::Char(want))) if *want == c => go(i + 1),
            Some(State::Token(Token::One { but })) if *but != Some(c) => go(i + 1),
            Some(State::Token(Token::Class(class))) if class.contains(c) => go(i + 1),
            Some(State::Token(Token::Many { but })) if *but != Some(c) => go(i),
            Some(State::InsideDirectories) => {
                go(i);
                if c == '/' {
                    go(i + 1);
                }
            }
            _ => {}
        }
    }

    /// The leftmost match in `text`, and the longest there: byte offsets of its start and end.
    pub(crate) fn find(&self, text: &str) -> Option<(usize, usize)> {
        let accept = self.states.len();
        // For each position the earliest start that leads to it.
        let mut current = vec![usize::MAX; accept + 1];
        let mut next = current.clone();
        let mut best: Option<(usize, usize)> = None;
        let ends = text.char_indices().map(|(at, c)| (at, Some(c))).chain([(text.len(), None)]);
        for (at, c) in ends {
            if best.is_none() {
                self.enter_from(&mut current, 0, at);
            }
            let start = current[accept];
            if start != usize::MAX && best.is_none_or(|(found, _)| start <= found) {
                best = Some((start, at));
            }
            let limit = best.map_or(usize::MAX, |(start, _)| start + 1);
            let Some(c) = c else { break };
            next.fill(usize::MAX);
            for (i, start) in current.iter().enumerate().filter(|(_, start)| **start < limit) {
                self.step(i, c, |to| self.enter_from(&mut next, to, *start));
            }
            if best.is_some() && next.iter().all(|start| *start == usize::MAX) {
                break;
            }
            std::mem::swap(&mut current, &mut next);
        }
        best
    }

    fn enter_from(&self, starts: &mut [usize], mut i: usize, start: usize) {
        while starts[i] > start {
            starts[i] = start;
            match self.states.get(i) {
                Some(State::Token(Token::Many { .. })) => i += 1,
                Some(State::Token(Token::Directories)) => {
                    starts[i + 1] = starts[i + 1].min(start);
                    i += 2;
                }
                _ => return,
            }
        }
    }
}

impl State {
    fn as_char(&self) -> Option<char> {
        match self {
            State::Token(Token::Char(c)) => Some(*c),
            _ => None,
        }
    }
}
