//! What the tests are made of: a laboratory directory, a registry, base images, peers, comparisons.

pub(crate) mod bases;
pub(crate) mod differences;
pub(crate) mod gate;
pub(crate) mod http;
pub(crate) mod image;
pub(crate) mod lab;
pub(crate) mod layers;
pub(crate) mod layout;
pub(crate) mod listing;
pub(crate) mod output;
pub(crate) mod peer;
pub(crate) mod proxy;
pub(crate) mod registry;
pub(crate) mod server;
pub(crate) mod tools;
pub(crate) mod tunnel;
