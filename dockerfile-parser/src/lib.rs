//! Dockerfiles as typed instructions.
//!
//! Bytes go in; typed instructions with byte spans and diagnostics come out. Nothing here touches files, sockets, the
//! environment or the clock.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`span`] | byte ranges of the source, and line and column of a byte |
//! | [`ast`] | the typed instructions |
//! | [`diagnostic`] | errors and warnings with code, span, message and help; rendering them |
//! | [`expand`] | `${...}` and quotes, once values are known |
//! | [`mount`], [`device`] | the values of `RUN --mount` and `RUN --device` |
//! | [`ignore`] | ignore files |
//! | [`glob`] | wildcards of COPY and ADD |
//! | [`lint`] | checks |
//! | [`mod@fmt`] | printing a file in canonical layout |
//! | [`suggest`] | "did you mean" |
//! | [`syntax`] | the frontend that `# syntax=` asks for, compared with what is implemented |
//!
//! Parsing goes `lines` (continuations joined, spans kept) → `statement` (keyword, flags, arguments) → `instruction`
//! (one file each) → [`ast`].

pub mod ast;
mod automaton;
#[cfg(test)]
mod conformance;
mod csv;
pub mod device;
pub mod diagnostic;
mod directive;
mod duration;
pub mod expand;
mod flags;
pub mod fmt;
pub mod glob;
mod heredoc;
pub mod ignore;
mod instruction;
mod json;
mod lines;
pub mod lint;
pub mod mount;
mod parse;
pub mod span;
mod statement;
pub mod suggest;
pub mod syntax;
#[cfg(test)]
mod testing;
mod words;

pub use directive::detect_syntax;
pub use parse::{Parsed, parse, parse_trigger, parse_with_checks};

/// The examples of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
