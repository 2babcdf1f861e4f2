//! Errors and warnings: code, span, message, help; as text ([`render`]) and as JSON ([`json`]).
//!
//! Rendered text is made safe for a terminal: control characters of the source do not pass.

mod json;
mod render;

pub use json::{json, json_with};
pub use render::{render, render_with};

use crate::span::Span;

/// After this many errors the rest of a file, or of one instruction, is not looked at.
pub(crate) const MAX_ERRORS: usize = 200;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
pub enum Severity {
    /// The file is understood, but this is probably not meant.
    Warning,
    /// The file cannot be built.
    Error,
}

/// One finding about a Dockerfile.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Diagnostic {
    /// Error or warning.
    pub severity: Severity,
    /// A stable name: kebab-case for errors (`unknown-instruction`), BuildKit's rule name for checks
    /// (`NoEmptyContinuation`).
    pub code: &'static str,
    /// What is wrong, in one sentence without a full stop.
    pub message: String,
    /// Where, in bytes of the source.
    pub span: Span,
    /// What to do about it.
    pub help: Option<String>,
}

impl Diagnostic {
    /// An error.
    pub fn error(code: &'static str, span: Span, message: impl Into<String>) -> Self {
        Self { severity: Severity::Error, code, message: message.into(), span, help: None }
    }

    /// A warning.
    pub fn warning(code: &'static str, span: Span, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, code, message: message.into(), span, help: None }
    }

    /// Adds what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}
