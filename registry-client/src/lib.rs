//! OCI references, digests, manifests and configs, and the wire protocol to push and pull them.
//!
//! The library prints nothing and knows nothing of Dockerfiles or of the store.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`digest`] | digests, DiffIDs, ChainIDs, and a hasher |
//! | [`media_type`] | media types of OCI and of Docker |
//! | [`platform`] | operating system, architecture, variant |
//! | [`descriptor`], [`manifest`], [`config`] | the JSON documents of the image-spec |

pub mod config;
pub mod descriptor;
pub mod digest;
pub mod manifest;
pub mod media_type;
pub mod platform;
