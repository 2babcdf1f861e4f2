//! The verbs beside `build`, one file each.

pub mod copy;
pub mod du;
pub mod explain;
pub mod fmt;
pub mod format;
pub mod history;
pub mod images;
pub mod inspect;
pub mod load;
pub mod login;
pub mod logout;
pub mod manifest;
pub mod prune;
pub mod pull;
pub mod push;
pub mod rmi;
pub mod run;
pub mod save;
pub mod tag;
pub mod version;

pub use format::Format;

#[cfg(test)]
mod tests;
