//! Dockerfiles as typed instructions.
//!
//! Bytes go in; typed instructions with byte spans and diagnostics come out. Nothing here touches files, sockets, the
//! environment or the clock.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`span`] | byte ranges of the source, and line and column of a byte |
//! | [`ast`] | the typed instructions |
//! | [`diagnostic`] | errors and warnings with code, span, message and help |

pub mod ast;
pub mod diagnostic;
pub mod span;
