//! Makes the results of vertices: what the solver's keys are made of, where results are kept, how each operation runs.
//!
//! ```text
//! key ─ state          pure: names of inputs and results
//! worker               the solver's Worker: look-up, execution, early cutoff, progress
//!   ├─ turns                   whose turn it is: in this build, and among builds that make the same
//!   ├─ images                  layers of images, fetched when they are needed
//!   ├─ run ─ mounts ─ logs     a program in a sandbox
//!   ├─ fetch                   files by HTTP, repositories
//!   ├─ put                     COPY, ADD and WORKDIR on an overlay mount
//!   └─ commit                  an upper directory becomes a snapshot
//! ```

mod commit;
mod contexts;
mod error;
mod explained;
mod fetch;
mod images;
mod key;
mod leftovers;
mod logs;
mod mask;
mod mounts;
mod put;
mod run;
mod stack;
mod state;
mod taken;
mod turns;
mod variables;
mod worker;

pub use contexts::Contexts;
pub use error::{Cause, StepError, UNKNOWN_USER};
pub use explained::Explaining;
pub use mounts::{http_authorization, read_secret};
pub use state::{Layer, Named, Rootfs};
pub use worker::{OnDone, StepWorker, Surroundings};
