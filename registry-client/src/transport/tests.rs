mod auth;
mod wire;

use super::error::RequestError;
use crate::pull::PullError;
use bytes::Bytes;

const OCI: &str = "application/vnd.oci.image.manifest.v1+json";

fn manifest() -> Bytes {
    Bytes::from_static(br#"{"schemaVersion":2,"config":{},"layers":[]}"#)
}

fn request_error(error: PullError) -> RequestError {
    match error {
        PullError::Request(error) => error,
        other => panic!("{other}"),
    }
}
