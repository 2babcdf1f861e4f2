//! The client: one value for all registries, cheap to make and to clone.

pub use crate::transport::{
    ClientOptions, RangePolicy,
    error::{Asked, RequestError, ServerErrors},
    limits::RateLimit,
    retry::RetryPolicy,
    warning::Warning,
};

use crate::{
    configuration::{ConfigurationError, Endpoint},
    credentials,
    pull::PullError,
    reference::Reference,
    transport::{Body, Call, Lane, Registry, Scopes, Target, Transport, advice::LOGIN},
};
use reqwest::{Method, header::HeaderMap};
use std::{fmt, sync::Arc};
use url::form_urlencoded;

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

    /// A client that takes these registries (`host`, `host:port`) as insecure beside those of its options. Limits of
    /// connections, pauses that servers asked for, and warnings are shared with this one; tokens are not.
    pub fn trusting(&self, registries: impl IntoIterator<Item = String>) -> Self {
        let mut options = self.options().clone();
        options.insecure_registries.extend(registries);
        Self { transport: Arc::new(self.transport.beside(options)) }
    }

    /// What it was made with.
    pub fn options(&self) -> &ClientOptions {
        &self.transport.options
    }

    /// Where credentials are kept, by the options and the configuration: for a login.
    ///
    /// # Errors
    /// If the configuration cannot be read.
    pub fn credentials(&self) -> Result<credentials::Store, ConfigurationError> {
        self.transport.credentials()
    }

    /// The warnings of registries since the last call, each once.
    pub fn take_warnings(&self) -> Vec<Warning> {
        self.transport.warnings.take()
    }

    /// Asks a registry whether it speaks the protocol and takes our credentials (distribution-spec, "Determining
    /// Support"); `login` is this. Tells whether it looked at the credentials: one that lets everybody in does not.
    ///
    /// # Errors
    /// `Unauthorized` if the credentials are wrong or missing.
    pub async fn ping(&self, registry: &str) -> Result<bool, RequestError> {
        let asked = Asked { registry: registry.into(), repository: "".into(), action: LOGIN.into() };
        let insecure = match self.transport.configuration() {
            Ok(configuration) => configuration.is_insecure(registry),
            Err(source) => return Err(RequestError::Configuration { asked, source: source.into() }),
        };
        let registry = self.transport.registry(registry, insecure);
        let call = Call {
            method: Method::GET,
            target: Target::Path("v2/".to_owned()),
            headers: HeaderMap::new(),
            body: Body::Empty,
            scopes: Scopes::default(),
            asked,
            lane: Lane::Request,
        };
        Ok(self.transport.send(&registry, &call).await?.had_credentials)
    }

    /// Where the content of `reference` may be: the mirrors that serve it, and its own place.
    pub(crate) fn sources(
        &self,
        reference: &Reference,
        action: &str,
    ) -> Result<(Vec<Place>, Place), RequestError> {
        let configuration = self.transport.configuration();
        let endpoints =
            configuration.and_then(|configuration| configuration.endpoints(reference)).map_err(|source| {
                let asked = asked(reference, action.to_owned());
                RequestError::Configuration { asked, source: source.into() }
            })?;
        let namespace = |endpoint: &Endpoint| {
            (endpoint.reference.registry() != reference.registry()).then(|| reference.registry().into())
        };
        let mirrors = endpoints.mirrors.into_iter().map(|endpoint| {
            let namespace = namespace(&endpoint);
            Place { namespace, ..self.place(endpoint, true) }
        });
        let mirrors = mirrors.filter(|place| !place.registry.is_resting()).collect();
        Ok((mirrors, self.place(endpoints.own, false)))
    }

    /// Where the content of `reference` goes to.
    pub(crate) fn destination(&self, reference: &Reference, action: &str) -> Result<Place, RequestError> {
        self.sources(reference, action).map(|(_, own)| own)
    }

    fn place(&self, endpoint: Endpoint, mirror: bool) -> Place {
        let Endpoint { reference, insecure } = endpoint;
        let registry = self.transport.registry(reference.registry(), insecure);
        Place { registry, reference, mirror, namespace: None }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("options", self.options()).finish_non_exhaustive()
    }
}

/// A registry, and the name that something has there: after mirrors and rewriting.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) registry: Arc<Registry>,
    pub(crate) reference: Reference,
    /// Whether there are other places for the same content.
    pub(crate) mirror: bool,
    /// Whose content it is, if that is not clear from the registry: a mirror may be one of several registries.
    pub(crate) namespace: Option<Arc<str>>,
}

impl Place {
    /// What a mirror is told of the registry it stands for (distribution-spec, "Registry Proxying"): `?ns=docker.io`, or
    /// nothing.
    pub(crate) fn query(&self) -> String {
        let Some(namespace) = &self.namespace else { return String::new() };
        format!("?ns={}", form_urlencoded::byte_serialize(namespace.as_bytes()).collect::<String>())
    }
}

/// Warns of a mirror that could not give what was asked, once for each of its repositories. One that was asked again and
/// again, or where nobody answers, rests: to find that out takes time.
pub(crate) fn useless_mirror(transport: &Transport, place: &Place, error: &PullError) {
    let Place { registry, reference, .. } = place;
    if matches!(error, PullError::Request(error) if error.is_transient()) {
        registry.rest();
    }
    if registry.is_first_fault(reference.repository()) {
        transport.warnings.add(reference.registry(), &format!("this mirror was of no use: {error}"));
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
