//! The client: one value for all registries, cheap to make and to clone.

pub use crate::transport::{
    ClientOptions,
    error::{Asked, RequestError, ServerErrors},
    retry::RetryPolicy,
    warning::Warning,
};

use crate::{
    reference::Reference,
    transport::{Body, Call, Lane, Registry, Scopes, Target, Transport},
};
use reqwest::{Method, header::HeaderMap};
use std::{fmt, sync::Arc};

/// Called with the number of bytes of a blob that have passed; it starts again from zero when a push is tried again.
pub type Progress = Arc<dyn Fn(u64) + Send + Sync>;

/// Pulls from and pushes to registries (distribution-spec). Clones share connections, tokens and limits.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use registry_client::client::{Client, ClientOptions};
/// let client = Client::new(ClientOptions::default());
/// let reference = "localhost:5000/app:v1".parse()?;
/// let manifest = client.manifest(&reference).await?;
/// println!("{} is {}", reference, manifest.descriptor.digest);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Client {
    pub(crate) transport: Arc<Transport>,
}

impl Client {
    /// A client that has not done anything yet.
    pub fn new(options: ClientOptions) -> Self {
        Self { transport: Arc::new(Transport::new(options)) }
    }

    /// What it was made with.
    pub fn options(&self) -> &ClientOptions {
        &self.transport.options
    }

    /// The warnings of registries since the last call, each once.
    pub fn take_warnings(&self) -> Vec<Warning> {
        self.transport.warnings.take()
    }

    /// Asks a registry whether it speaks the protocol and takes our credentials (distribution-spec, "Determining
    /// Support"); `login` is this.
    ///
    /// # Errors
    /// `Unauthorized` if the credentials are wrong or missing.
    pub async fn ping(&self, registry: &str) -> Result<(), RequestError> {
        let registry = self.transport.registry(registry);
        let asked =
            Asked { registry: registry.name.as_str().into(), repository: "".into(), action: "log in".into() };
        let call = Call {
            method: Method::GET,
            target: Target::Path("v2/".to_owned()),
            headers: HeaderMap::new(),
            body: Body::Empty,
            scopes: Scopes::default(),
            asked,
            lane: Lane::Request,
        };
        self.transport.send(&registry, &call).await.map(drop)
    }

    pub(crate) fn registry(&self, reference: &Reference) -> Arc<Registry> {
        self.transport.registry(reference.registry())
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("options", self.options()).finish_non_exhaustive()
    }
}

/// What is asked of the repository of a reference.
pub(crate) fn asked(reference: &Reference, action: String) -> Asked {
    Asked {
        registry: reference.registry().into(),
        repository: reference.repository().into(),
        action: action.into(),
    }
}
