//! Properties of everything that can be written: made-up files, words and ignore files against models that are too plain
//! to be wrong.

mod expansion;
mod files;
mod ignoring;
