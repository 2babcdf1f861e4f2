//! The verbs beside `build`, one file each.

pub mod fmt;
pub mod history;
pub mod images;
pub mod inspect;
pub mod load;
pub mod login;
pub mod logout;
pub mod pull;
pub mod push;
pub mod rmi;
pub mod run;
pub mod save;
pub mod tag;
pub mod version;

/// `--format` of the verbs that print a table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Columns for the eye.
    #[default]
    Table,
    /// One JSON object a line.
    Json,
}

#[cfg(test)]
mod tests;
