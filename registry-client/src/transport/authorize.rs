//! The `Authorization` of requests: which scheme a registry wants, and the tokens it gave.

use super::{Call, Origin, Registry, Transport, error::RequestError, token};
use crate::{
    auth::{Credentials, challenge},
    credentials::CredentialsError,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use reqwest::header::{HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::Mutex as AsyncMutex;
use url::Url;

/// One resource with the actions that are wanted on it: `repository:library/debian:pull,push`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Scope {
    /// `repository:library/debian`.
    resource: String,
    actions: BTreeSet<String>,
}

impl Scope {
    /// To read a repository.
    pub(crate) fn pull(repository: &str) -> Self {
        Self { resource: format!("repository:{repository}"), actions: BTreeSet::from(["pull".to_owned()]) }
    }

    /// To read and write a repository.
    pub(crate) fn push(repository: &str) -> Self {
        let mut scope = Self::pull(repository);
        scope.actions.insert("push".to_owned());
        scope
    }

    /// Actions follow the last colon; a resource name may hold a colon itself (a port).
    fn parse(text: &str) -> Option<Self> {
        let (resource, actions) = text.rsplit_once(':')?;
        let actions = actions.split(',').map(str::to_owned).collect();
        Some(Self { resource: resource.to_owned(), actions })
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let actions: Vec<&str> = self.actions.iter().map(String::as_str).collect();
        write!(f, "{}:{}", self.resource, actions.join(","))
    }
}

/// What a request needs to be allowed to do.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Scopes(BTreeMap<String, BTreeSet<String>>);

impl Scopes {
    pub(crate) fn new(scopes: impl IntoIterator<Item = Scope>) -> Self {
        let mut all = Self::default();
        for scope in scopes {
            all.0.entry(scope.resource).or_default().extend(scope.actions);
        }
        all
    }

    /// Each scope on its own.
    pub(super) fn iter(&self) -> impl Iterator<Item = Scope> + '_ {
        self.0
            .iter()
            .map(|(resource, actions)| Scope { resource: resource.clone(), actions: actions.clone() })
    }

    fn union(&self, other: &Self) -> Self {
        Self::new(self.iter().chain(other.iter()))
    }

    fn covers(&self, other: &Self) -> bool {
        other
            .0
            .iter()
            .all(|(resource, wanted)| self.0.get(resource).is_some_and(|actions| actions.is_superset(wanted)))
    }
}

/// How a registry wants us to prove who we are.
#[derive(Clone)]
enum Scheme {
    Basic,
    Bearer { realm: Url, service: Option<String> },
}

/// The value of an `Authorization` header.
pub(super) struct Authorization {
    pub(super) header: HeaderValue,
    pub(super) had_credentials: bool,
}

/// The token for a set of scopes.
#[derive(Default)]
struct Slot {
    /// What the registry's challenge asked for beyond what we thought of.
    extra: Scopes,
    token: Option<token::Token>,
}

/// What is known of a registry's ways to authorise.
#[derive(Default)]
pub(super) struct Authorizer {
    scheme: Mutex<Option<Scheme>>,
    /// The lock of a slot is held while its token is fetched, so that many requests at once fetch one.
    slots: Mutex<BTreeMap<Scopes, Arc<AsyncMutex<Slot>>>>,
    /// By repository; asked once, since a credential helper is a process of its own.
    credentials: AsyncMutex<BTreeMap<Arc<str>, Option<Credentials>>>,
}

impl Authorizer {
    /// What to send with a request from the start; nothing before the registry has said what it wants.
    pub(super) async fn authorization(
        &self,
        transport: &Transport,
        registry: &Registry,
        origin: &Origin,
        call: &Call,
    ) -> Result<Option<Authorization>, RequestError> {
        let scheme = self.scheme.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(scheme) = scheme else { return Ok(None) };
        let request = Request { transport, registry, origin, call };
        match scheme {
            Scheme::Basic => Ok(self.credentials(&request).await?.0.and_then(|c| basic(&c))),
            Scheme::Bearer { realm, service } => {
                let slot = self.slot(&call.scopes).await;
                let mut slot = slot.lock().await;
                if let Some(token) = slot.token.as_ref().filter(|token| token.is_live()) {
                    return Ok(Some(bearer(token)));
                }
                self.renew(&request, &realm, service.as_deref(), &mut slot).await
            }
        }
    }

    /// The lives of all tokens are over.
    #[cfg(test)]
    pub(super) async fn expire_tokens(&self) {
        let slots: Vec<_> =
            self.slots.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        for slot in slots {
            if let Some(token) = &mut slot.lock().await.token {
                token.expire();
            }
        }
    }

    /// What to answer a 401 with; `used` is what was sent. `None` if there is nothing else to send.
    pub(super) async fn challenged(
        &self,
        transport: &Transport,
        registry: &Registry,
        origin: &Origin,
        call: &Call,
        headers: &HeaderMap,
        used: Option<&Authorization>,
    ) -> Result<Option<Authorization>, RequestError> {
        let request = Request { transport, registry, origin, call };
        let Some((scheme, wanted)) = choose(origin, headers) else { return Ok(None) };
        *self.scheme.lock().unwrap_or_else(PoisonError::into_inner) = Some(scheme.clone());
        match scheme {
            Scheme::Basic => {
                if used.is_some() {
                    // A helper's password may have expired; asked again, it may have another.
                    self.credentials.lock().await.remove(&call.asked.repository);
                }
                let (credentials, _) = self.credentials(&request).await?;
                // A token is for a token server, or for who takes it as it is.
                if let Some(Credentials::IdentityToken(_) | Credentials::RegistryToken(_)) = credentials {
                    let source = CredentialsError::NoPassword { registry: registry.name.clone() };
                    return Err(RequestError::Credentials { asked: call.asked.clone(), source });
                }
                let next = credentials.and_then(|c| basic(&c));
                Ok(next.filter(|next| used.is_none_or(|used| used.header != next.header)))
            }
            Scheme::Bearer { realm, service } => {
                let slot = self.slot(&call.scopes).await;
                let mut slot = slot.lock().await;
                // Another request may have renewed the token that was refused to us.
                if let Some(token) = slot.token.as_ref().filter(|token| token.is_live()) {
                    let current = bearer(token);
                    let covered = call.scopes.union(&slot.extra).covers(&wanted);
                    if covered && used.is_none_or(|used| used.header != current.header) {
                        return Ok(Some(current));
                    }
                    slot.token = None;
                    self.credentials.lock().await.remove(&call.asked.repository);
                }
                slot.extra = slot.extra.union(&wanted);
                self.renew(&request, &realm, service.as_deref(), &mut slot).await
            }
        }
    }

    /// What to send instead of a token that has expired without a challenge saying so; `None` for what is no token of a
    /// token server.
    pub(super) async fn renewed(
        &self,
        transport: &Transport,
        registry: &Registry,
        origin: &Origin,
        call: &Call,
        used: Option<&Authorization>,
    ) -> Result<Option<Authorization>, RequestError> {
        let scheme = self.scheme.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (Some(Scheme::Bearer { realm, service }), Some(used)) = (scheme, used) else { return Ok(None) };
        let request = Request { transport, registry, origin, call };
        let slot = self.slot(&call.scopes).await;
        let mut slot = slot.lock().await;
        // Another request may have renewed it.
        if let Some(token) =
            slot.token.as_ref().filter(|token| token.is_live() && token.header != used.header)
        {
            return Ok(Some(bearer(token)));
        }
        slot.token = None;
        self.credentials.lock().await.remove(&call.asked.repository);
        let renewed = self.renew(&request, &realm, service.as_deref(), &mut slot).await?;
        Ok(renewed.filter(|renewed| renewed.header != used.header))
    }

    async fn renew(
        &self,
        request: &Request<'_>,
        realm: &Url,
        service: Option<&str>,
        slot: &mut Slot,
    ) -> Result<Option<Authorization>, RequestError> {
        let asking = token::Asking {
            transport: request.transport,
            home: request.origin,
            realm,
            service,
            scopes: request.call.scopes.union(&slot.extra),
            asked: &request.call.asked,
        };
        let (credentials, fresh) = self.credentials(request).await?;
        let token = match asking.fetch(credentials.as_ref()).await {
            // A helper's password lives for hours, and may have been had hours ago; asked again, it may have another.
            Err(refused @ RequestError::Unauthorized { .. }) if !fresh && credentials.is_some() => {
                self.credentials.lock().await.remove(&request.call.asked.repository);
                let (next, _) = self.credentials(request).await?;
                if next == credentials {
                    return Err(refused);
                }
                asking.fetch(next.as_ref()).await?
            }
            other => other?,
        };
        let authorization = bearer(&token);
        slot.token = Some(token);
        Ok(Some(authorization))
    }

    /// The slot of these scopes, or one whose live token is good for more than these.
    async fn slot(&self, scopes: &Scopes) -> Arc<AsyncMutex<Slot>> {
        let wider: Vec<_> = {
            let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
            if !slots.contains_key(scopes) {
                slots.insert(scopes.clone(), Arc::default());
            }
            let own = slots[scopes].clone();
            let others = slots.iter().filter(|(have, _)| *have != scopes && have.covers(scopes));
            std::iter::once(own).chain(others.map(|(_, slot)| slot.clone())).collect()
        };
        for slot in &wider {
            // One that is being fetched right now is not waited for.
            if slot.try_lock().is_ok_and(|slot| slot.token.as_ref().is_some_and(token::Token::is_live)) {
                return slot.clone();
            }
        }
        wider[0].clone()
    }

    /// The credentials for the repository, and whether they were looked up just now.
    async fn credentials(&self, request: &Request<'_>) -> Result<(Option<Credentials>, bool), RequestError> {
        let asked = &request.call.asked;
        let mut known = self.credentials.lock().await;
        if let Some(credentials) = known.get(&asked.repository) {
            return Ok((credentials.clone(), false));
        }
        let store = request
            .transport
            .credentials()
            .map_err(|source| RequestError::Configuration { asked: asked.clone(), source: source.into() })?;
        let found = store.get(&request.registry.name, Some(&asked.repository)).await;
        let found = found.map_err(|source| RequestError::Credentials { asked: asked.clone(), source })?;
        known.insert(asked.repository.clone(), found.clone());
        Ok((found, true))
    }
}

/// A request and whom it concerns.
struct Request<'a> {
    transport: &'a Transport,
    registry: &'a Registry,
    origin: &'a Origin,
    call: &'a Call,
}

/// The best scheme on offer that is known here, with the scopes the challenge names.
fn choose(origin: &Origin, headers: &HeaderMap) -> Option<(Scheme, Scopes)> {
    let challenges: Vec<_> = headers
        .get_all(WWW_AUTHENTICATE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(challenge::parse)
        .collect();
    for challenge in challenges.iter().filter(|challenge| challenge.scheme == "bearer") {
        // A realm may be relative, if only by mistake.
        let Some(realm) = challenge.param("realm").and_then(|realm| origin.url.join(realm).ok()) else {
            continue;
        };
        let service = challenge.param("service").map(str::to_owned);
        let scopes = challenge.param("scope").unwrap_or_default().split(' ').filter_map(Scope::parse);
        return Some((Scheme::Bearer { realm, service }, Scopes::new(scopes)));
    }
    let basic = challenges.iter().any(|challenge| challenge.scheme == "basic");
    basic.then(|| (Scheme::Basic, Scopes::default()))
}

/// `Basic`; `None` for credentials that are no password.
pub(super) fn basic(credentials: &Credentials) -> Option<Authorization> {
    let Credentials::Password { username, password } = credentials else { return None };
    secret(&format!("Basic {}", STANDARD.encode(format!("{username}:{password}"))), true)
}

fn bearer(token: &token::Token) -> Authorization {
    Authorization { header: token.header.clone(), had_credentials: token.had_credentials }
}

/// A header that is kept out of `Debug` output and of HTTP/2's compression tables.
pub(super) fn secret(text: &str, had_credentials: bool) -> Option<Authorization> {
    let mut header = HeaderValue::from_str(text).ok()?;
    header.set_sensitive(true);
    Some(Authorization { header, had_credentials })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_merged_and_compared() {
        let push = Scopes::new([Scope::push("a")]);
        let pull = Scopes::new([Scope::pull("a")]);
        let both = Scopes::new([Scope::pull("a"), Scope::push("b")]);
        assert!(push.covers(&pull) && !pull.covers(&push) && !push.covers(&both));
        assert!(both.covers(&pull) && pull.covers(&Scopes::default()));
        let merged: Vec<String> = push.union(&both).iter().map(|scope| scope.to_string()).collect();
        assert_eq!(merged, ["repository:a:pull,push", "repository:b:pull,push"]);
        assert_eq!(
            Scope::parse("repository:host:5000/a:pull").unwrap().to_string(),
            "repository:host:5000/a:pull"
        );
    }

    #[test]
    fn bearer_is_preferred_to_basic() {
        let origin = Origin { url: "https://r/".parse().unwrap(), verified: true };
        let mut headers = HeaderMap::new();
        headers.append(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"x\""));
        assert!(matches!(choose(&origin, &headers), Some((Scheme::Basic, _))));
        headers.append(
            WWW_AUTHENTICATE,
            HeaderValue::from_static("Bearer realm=\"/token\",scope=\"a:b:c d:e:f\""),
        );
        let Some((Scheme::Bearer { realm, service: None }, scopes)) = choose(&origin, &headers) else {
            panic!("bearer was offered")
        };
        assert_eq!((realm.as_str(), scopes.iter().count()), ("https://r/token", 2));
        headers.clear();
        headers.append(WWW_AUTHENTICATE, HeaderValue::from_static("Negotiate"));
        assert!(choose(&origin, &headers).is_none());
    }
}
