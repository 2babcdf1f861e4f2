//! User namespaces: how somebody who is not root gets to mount, chown and isolate.
//!
//! One namespace serves a whole build, and it is entered only when a step must run. [`reexec`] starts the program
//! again; its `main` calls [`enter_if_asked`] before anything else:
//!
//! ```text
//! build (threads, plan made, a step must run) --execve--> build (one thread) --unshare, newuidmap--> build (root inside)
//! ```

mod enter;
mod error;
mod helper;
mod privilege;
mod subid;

pub use enter::{Entered, MARKER, enter, enter_if_asked, reexec};
pub use error::{SingleBecause, UsernsError};
pub use privilege::{Mapping, Privilege};
