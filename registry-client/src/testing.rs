//! For the tests of this crate: a strict registry and a token server in this process, with switches for the oddities
//! that real ones have. Sockets are real and on the loopback interface.

pub(crate) mod http;
pub(crate) mod registry;
pub(crate) mod tokens;

pub(crate) use http::{Reply, Server};
pub(crate) use registry::{FakeRegistry, Oddities};
pub(crate) use tokens::TokenServer;

use crate::{
    client::{Client, ClientOptions},
    credentials::Store,
    transport::retry::RetryPolicy,
};
use bytes::Bytes;
use std::time::Duration;

/// Options with pauses short enough for tests.
pub(crate) fn options() -> ClientOptions {
    ClientOptions {
        retry: RetryPolicy {
            attempts: 4,
            first_pause: Duration::from_millis(2),
            longest_pause: Duration::from_millis(8),
            longest_retry_after: Duration::from_secs(2),
        },
        idle_timeout: Duration::from_secs(10),
        ..ClientOptions::default()
    }
}

/// A client without credentials.
pub(crate) fn client() -> Client {
    Client::new(options())
}

/// A client with credentials.
pub(crate) fn client_with(credentials: Store) -> Client {
    Client::new(ClientOptions { credentials, ..options() })
}

/// Bytes that repeat nowhere near.
pub(crate) fn noise(length: usize) -> Bytes {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes.into()
}
