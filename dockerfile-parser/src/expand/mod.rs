//! Expansion of `$name` and `${name...}`, and removal of quotes.
//!
//! | form | gives |
//! | --- | --- |
//! | `$name`, `${name}` | the value; nothing if unset |
//! | `${name:-word}`, `${name-word}` | `word` if unset (or empty, with the colon) |
//! | `${name:+word}`, `${name+word}` | `word` unless unset (or empty) |
//! | `${name:?word}`, `${name?word}` | an error with `word` if unset (or empty) |
//! | `${name#pattern}`, `##` | the value without the shortest, longest start that matches |
//! | `${name%pattern}`, `%%` | the value without the shortest, longest end that matches |
//! | `${name/pattern/word}`, `//` | the value with the first match, all matches replaced |
//!
//! Names are letters of any script, digits and `_`. Positional and special parameters (`$1`, `$@`, `$$` ...) are never
//! set. The `word` of an operator is evaluated only as far as it is used: `${a:-${b:?}}` asks for `b` only without `a`.

mod lexer;
mod pattern;
#[cfg(test)]
mod tests;

use crate::ast::Word;
use crate::span::Span;
use lexer::{Lexer, Quotes};
use std::fmt;

/// Looks names up.
pub type Lookup<'l> = &'l dyn Fn(&str) -> Option<String>;

/// How deep `${a:-${b:-...}}` may nest.
pub const MAX_DEPTH: usize = 100;

/// How much work one expansion may be: bytes of values and results, and steps of matching patterns. It takes far less than
/// a second, and no image has values that large; without a limit a word of 200 bytes could fill the memory
/// (`${V//a/${V//a/...}}`).
pub const MAX_WORK: usize = 1 << 22;

/// Text with names expanded and quotes removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expanded {
    /// The result.
    pub text: String,
    /// Names that were used plainly and are not set, each once, in order of use. Names whose absence the text itself
    /// provides for (`:-`, `-`, `:+`, `+`) are not among them.
    pub undefined: Vec<String>,
}

/// What is wrong with a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExpandErrorKind {
    /// A quote of this kind is not closed.
    UnterminatedQuote(char),
    /// `${` is not closed.
    MissingBrace,
    /// `${name/pattern` has no second slash.
    MissingSlash,
    /// `${` is not followed by a name.
    BadSubstitution,
    /// Not an operator.
    UnsupportedOperator(String),
    /// An escape in a pattern that means nothing.
    BadPatternEscape(String),
    /// `${name?message}` and the name is not set, or `${name:?message}` and it is empty.
    Required {
        /// The name.
        name: String,
        /// The message, empty if none is given.
        message: String,
        /// The name is set, but empty.
        empty: bool,
    },
    /// More than [`MAX_DEPTH`] substitutions within each other.
    TooDeep,
    /// More work than [`MAX_WORK`].
    TooLarge,
}

/// A word that cannot be expanded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpandError {
    /// What is wrong.
    pub kind: ExpandErrorKind,
    /// Where, in bytes of the text that was to be expanded.
    pub offset: usize,
}

impl ExpandError {
    /// What to do about it.
    pub fn help(&self) -> Option<String> {
        match &self.kind {
            ExpandErrorKind::UnterminatedQuote(quote) => {
                Some(format!("close it, or escape it if {quote} is meant as a character"))
            }
            ExpandErrorKind::UnsupportedOperator(_) => {
                Some("the operators are :- - :+ + :? ? # ## % %% / and //".to_owned())
            }
            ExpandErrorKind::BadSubstitution => Some("escape the $ if it is meant as a character".to_owned()),
            _ => None,
        }
    }

    /// Where it is in the source, if `word` is what was expanded: to the byte as long as the word stands there as it is,
    /// else the whole word.
    pub fn span_in(&self, word: &Word) -> Span {
        let Span { start, end } = word.span;
        if end - start != word.text.len() || self.offset >= word.text.len() {
            return word.span;
        }
        Span::new(start + self.offset, end)
    }
}

impl fmt::Display for ExpandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            ExpandErrorKind::UnterminatedQuote(quote) => write!(f, "the quote {quote} is not closed"),
            ExpandErrorKind::MissingBrace => write!(f, "${{ is not closed by }}"),
            ExpandErrorKind::MissingSlash => write!(f, "${{name/pattern needs a second / and a replacement"),
            ExpandErrorKind::BadSubstitution => write!(f, "${{ is not followed by a name"),
            ExpandErrorKind::UnsupportedOperator(operator) => {
                write!(f, "\"{operator}\" is not an operator of ${{name...}}")
            }
            ExpandErrorKind::BadPatternEscape(escape) => {
                write!(f, "\"{escape}\" in a pattern: a backslash escapes only * ? / }} and itself")
            }
            ExpandErrorKind::Required { name, message, .. } if !message.is_empty() => {
                write!(f, "{name}: {message}")
            }
            ExpandErrorKind::Required { name, empty: true, .. } => write!(f, "{name} must not be empty"),
            ExpandErrorKind::Required { name, .. } => write!(f, "{name} must be set"),
            ExpandErrorKind::TooDeep => write!(f, "more than {MAX_DEPTH} substitutions within each other"),
            ExpandErrorKind::TooLarge => write!(f, "the values expand to too much text"),
        }
    }
}

impl std::error::Error for ExpandError {}

/// Expands words of a Dockerfile with a given escape character.
///
/// ```
/// use dockerfile_parser::expand::Expander;
/// let lookup = |name: &str| (name == "HOME").then(|| "/root".to_owned());
/// let word = Expander::new('\\').word("\"$HOME\"/${SUB:-x}/$nope", &lookup).unwrap();
/// assert_eq!(word.text, "/root/x/");
/// assert_eq!(word.undefined, ["nope"]);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Expander {
    escape: char,
}

impl Expander {
    /// `escape` is that of the file (`Directives::escape`).
    pub const fn new(escape: char) -> Self {
        Self { escape }
    }

    /// Expands `text` to one word; blanks in it, or in values, split nothing.
    ///
    /// # Errors
    /// Broken quotes or substitutions, and `${name:?}` without a value.
    pub fn word(&self, text: &str, lookup: Lookup<'_>) -> Result<Expanded, ExpandError> {
        let mut lexer = Lexer::new(text, self.escape, Quotes::Remove, lookup);
        let text = lexer.expand_all()?;
        Ok(Expanded { text, undefined: lexer.undefined })
    }

    /// Expands `text` and splits it at unquoted white space, that in values included: EXPOSE.
    ///
    /// # Errors
    /// As [`Expander::word`].
    pub fn words(&self, text: &str, lookup: Lookup<'_>) -> Result<Vec<String>, ExpandError> {
        Lexer::new(text, self.escape, Quotes::Remove, lookup).split_all()
    }

    /// Expands the body of a here-document of COPY or ADD: quotes are ordinary characters. The escape character is a
    /// backslash, whatever that of the file is.
    ///
    /// # Errors
    /// As [`Expander::word`].
    pub fn heredoc(&self, body: &str, lookup: Lookup<'_>) -> Result<Expanded, ExpandError> {
        let mut lexer = Lexer::new(body, '\\', Quotes::Keep, lookup);
        let text = lexer.expand_all()?;
        Ok(Expanded { text, undefined: lexer.undefined })
    }
}

/// What follows the substitution `input` starts with; `None` if that is broken.
pub(crate) fn skip_dollar(input: &str) -> Option<&str> {
    let mut lexer = Lexer::new(input, '\\', Quotes::Remove, &|_| None);
    lexer.skip_dollar().ok().map(|end| &input[end..])
}
