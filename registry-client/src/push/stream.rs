//! One blob whose digest nobody knows before its last byte: sent by PATCH, named by the PUT that closes the session.

use super::{
    PushError,
    source::BlobSource,
    upload::{PushBlobOptions, UploadSession, again_if_lost, send_call},
};
use crate::{
    client::{Client, Place, Progress, asked},
    descriptor::Descriptor,
    digest::{Digest, Digester},
    media_type::MediaType,
    reference::Reference,
    transport::{Body, Lane, Registry, error::RequestError, retry::Backoff},
};
use bytes::Bytes;
use futures_util::StreamExt;
use reqwest::Method;
use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
};

impl Client {
    /// Sends a blob whose digest is not known yet; tells it afterwards. Where a registry does not take a blob before it knows
    /// its digest, the source is read once more.
    ///
    /// # Errors
    /// As [`Self::push_blob`].
    pub async fn push_stream(
        &self,
        reference: &Reference,
        media_type: MediaType,
        source: &BlobSource,
        progress: Option<Progress>,
    ) -> Result<Descriptor, PushError> {
        let named = reference;
        let Place { registry, reference, .. } = self.destination(named, "push a blob")?;
        let reference = &reference;
        let mut backoff = Backoff::new(&self.options().retry);
        loop {
            let session = self.begin(&registry, reference, "").await?;
            match self.stream_into(&registry, reference, &session, source, progress.clone()).await {
                Ok((digest, size)) => return Ok(Descriptor::new(media_type, digest, size)),
                Err(error) => {
                    self.cancel(&registry, reference, session).await;
                    if takes_no_streams(&error) {
                        let (digest, size) = digest_of(source).await.map_err(|source| {
                            RequestError::Source { asked: asked(named, "push a blob".to_owned()), source }
                        })?;
                        let descriptor = Descriptor::new(media_type, digest, size);
                        let options = PushBlobOptions { progress, ..PushBlobOptions::default() };
                        self.push_blob(named, &descriptor, source, &options).await?;
                        return Ok(descriptor);
                    }
                    backoff.pause(again_if_lost(error)).await?;
                }
            }
        }
    }

    async fn stream_into(
        &self,
        registry: &Registry,
        reference: &Reference,
        session: &UploadSession,
        source: &BlobSource,
        progress: Option<Progress>,
    ) -> Result<(Digest, u64), RequestError> {
        let result: Arc<Mutex<Option<(Digest, u64)>>> = Arc::default();
        let tap = {
            let result = result.clone();
            move || {
                let (result, progress) = (result.clone(), progress.clone());
                let mut digester = Digester::new();
                move |chunk: Option<&Bytes>| {
                    match chunk {
                        Some(chunk) => {
                            digester.update(chunk);
                            if let Some(progress) = &progress {
                                progress(digester.bytes());
                            }
                        }
                        None => {
                            let whole = (digester.clone().finish(), digester.bytes());
                            *result.lock().unwrap_or_else(PoisonError::into_inner) = Some(whole);
                        }
                    }
                    Ok(())
                }
            }
        };
        let action = "push a blob".to_owned();
        let body = Body::Source { source: source.tapped(tap), length: None };
        let patch = send_call(Method::PATCH, reference, session.location.clone(), body, action.clone());
        let location = self.transport.attempt(registry, &patch).await?.location()?;
        let whole = result.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some((digest, size)) = whole else {
            let why = "the registry was content before it had all bytes".to_owned();
            return Err(RequestError::Protocol { asked: asked(reference, action), why });
        };
        let url = session.moved(location).closing(&digest);
        let mut put = send_call(Method::PUT, reference, url, Body::Empty, action);
        put.lane = Lane::Request;
        self.transport.attempt(registry, &put).await?;
        Ok((digest, size))
    }
}

/// The digest and the length of what a source gives.
async fn digest_of(source: &BlobSource) -> io::Result<(Digest, u64)> {
    let mut digester = Digester::new();
    let mut chunks = source.open().await?;
    while let Some(chunk) = chunks.next().await {
        digester.update(&chunk?);
    }
    let size = digester.bytes();
    Ok((digester.finish(), size))
}

/// Whether a registry refuses a PATCH, or one without a length.
fn takes_no_streams(error: &RequestError) -> bool {
    matches!(error, RequestError::Status { status: 400 | 405 | 411 | 413 | 415 | 416 | 501, .. })
}
