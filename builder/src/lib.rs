//! Slipway turns Dockerfiles into container images.
//!
//! The folders are the architecture; `docs/architecture.md` draws it and says who may import whom.

pub mod agent;
pub mod bases;
mod blocking;
pub mod build;
pub mod cancel;
pub mod cgroup;
pub mod cli;
pub mod content;
pub mod context;
pub mod copy;
pub mod emulation;
pub mod environment;
pub mod explain;
pub mod export;
pub mod fetch;
pub mod graph;
pub mod image;
pub mod import;
pub mod layer;
pub mod lockfile;
pub mod progress;
pub mod pull;
pub mod push;
pub mod registry;
pub mod remote;
pub mod request;
pub mod rootfs;
pub mod sandbox;
pub mod solve;
pub mod steps;
pub mod store;
pub mod timestamp;
pub mod userns;
mod waiting;
mod write_behind;
