//! Slipway turns Dockerfiles into container images.
//!
//! The folders are the architecture; `docs/architecture.md` draws it and says who may import whom.

pub mod cancel;
pub mod cli;
pub mod content;
pub mod environment;
pub mod image;
pub mod layer;
pub mod progress;
pub mod request;
pub mod rootfs;
pub mod store;
pub mod timestamp;
