use crate::userns::{Mapping, Privilege};
use serde::{Deserialize, Serialize};

/// What becomes of the owners of files that are unpacked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Owners {
    /// Every file gets its own.
    #[default]
    Kept,
    /// There is one id, and everything belongs to it: a user namespace without ranges of subordinate ids.
    Flattened,
}

impl Owners {
    /// What this process can do. One that has not entered its user namespace yet counts as one that will have ranges:
    /// it unpacks nothing.
    pub fn of_this_process() -> Self {
        match Privilege::detect() {
            Privilege::InUserNamespace if Mapping::detect() == Mapping::Single => Self::Flattened,
            _ => Self::Kept,
        }
    }

    /// Whether this is the usual case, which documents leave out.
    pub fn is_kept(&self) -> bool {
        *self == Self::Kept
    }
}
