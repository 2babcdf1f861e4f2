//! OCI references, digests, manifests and configs, and the wire protocol to push and pull them.
//!
//! The library prints nothing and knows nothing of Dockerfiles or of the store.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`digest`] | digests, DiffIDs, ChainIDs, and a hasher |
//! | [`reference`] | `registry/repository:tag@digest` |
//! | [`media_type`] | media types of OCI and of Docker |
//! | [`platform`] | operating system, architecture, variant |
//! | [`descriptor`], [`manifest`], [`config`] | the JSON documents of the image-spec |
//! | [`auth`], [`credentials`] | credentials, and the files and helpers that keep them |
//! | [`configuration`] | `registries.conf` and `certs.d`: mirrors, blocked names, certificates |
//! | [`client`] | the client and its options |
//! | [`download`] | files by HTTP that are in no registry |
//! | [`pull`], [`push`], [`copy`], [`referrers`], [`index`] | what the client does |
//!
//! `transport` is the one module that opens sockets.

pub mod auth;
pub mod client;
pub mod config;
pub mod configuration;
pub mod copy;
pub mod credentials;
pub mod descriptor;
pub mod digest;
pub mod download;
pub mod index;
pub mod manifest;
pub mod media_type;
pub mod platform;
pub mod pull;
pub mod push;
pub mod reference;
pub mod referrers;

mod json;
mod transport;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod testing;
