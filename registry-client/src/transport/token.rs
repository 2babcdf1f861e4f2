//! Token servers: the distribution project's "Docker Registry v2 authentication via central service", by GET with the
//! scopes in the query, or by an OAuth2 POST.

use super::{
    Body, Call, Lane, Origin, Scopes, Target, Transport,
    authorize::{basic, secret},
    error::{Asked, RequestError},
};
use crate::auth::Credentials;
use bytes::Bytes;
use reqwest::{
    Method,
    header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue},
};
use serde::Deserialize;
use serde_json::Value;
use std::time::{Duration, Instant};
use url::{Url, form_urlencoded};

/// Bytes of a token answer that are read.
const LIMIT: usize = 1 << 20;
/// How long a token lives at least, and whose server does not say ("Token Response Fields", `expires_in`).
const LEAST_LIFE: Duration = Duration::from_secs(60);
/// The longest that is believed: a year.
const LONGEST_LIFE: f64 = 365.0 * 86_400.0;

/// A bearer token.
pub(super) struct Token {
    pub(super) header: HeaderValue,
    pub(super) had_credentials: bool,
    /// `None` if only the user knows.
    expires: Option<Instant>,
}

impl Token {
    /// Its life is over.
    #[cfg(test)]
    pub(super) fn expire(&mut self) {
        self.expires = Some(Instant::now());
    }

    /// Whether it will still be good when the request arrives.
    pub(super) fn is_live(&self) -> bool {
        self.expires.is_none_or(|expires| Instant::now() < expires)
    }
}

/// The answer of a token server.
#[derive(Deserialize)]
struct TokenAnswer {
    token: Option<String>,
    access_token: Option<String>,
    /// A number of seconds; some write it as a text.
    expires_in: Option<Value>,
}

/// What `expires_in` says; `None` if it is no time.
fn seconds(value: &Value) -> Option<Duration> {
    let seconds = value.as_f64().or_else(|| value.as_str()?.trim().parse().ok())?;
    (seconds >= 0.0).then(|| Duration::from_secs_f64(seconds.min(LONGEST_LIFE)))
}

/// A token is wanted.
pub(super) struct Asking<'a> {
    pub(super) transport: &'a Transport,
    /// The registry that sent us to the token server.
    pub(super) home: &'a Origin,
    pub(super) realm: &'a Url,
    pub(super) service: Option<&'a str>,
    pub(super) scopes: Scopes,
    /// What the token is for.
    pub(super) asked: &'a Asked,
}

impl Asking<'_> {
    /// Gets a token, with whatever credentials there are.
    pub(super) async fn fetch(&self, credentials: Option<&Credentials>) -> Result<Token, RequestError> {
        if credentials.is_some() && self.home.url.scheme() == "https" && self.realm.scheme() != "https" {
            return Err(self.protocol("its token server is plain HTTP; no credentials are sent there"));
        }
        match credentials {
            None => self.get(None).await,
            Some(Credentials::RegistryToken(token)) => self.token(token, None, true),
            Some(Credentials::IdentityToken(token)) => {
                self.post(&[("grant_type", "refresh_token"), ("refresh_token", token)]).await
            }
            Some(password @ Credentials::Password { username, password: secret }) => {
                match self.get(Some(password)).await {
                    Ok(token) => Ok(token),
                    // Some servers know only the newer way.
                    Err(error) if newer_way_may_help(&error) => {
                        let form = [("grant_type", "password"), ("username", username), ("password", secret)];
                        self.post(&form).await.map_err(|_| error)
                    }
                    Err(error) => Err(error),
                }
            }
        }
    }

    async fn get(&self, credentials: Option<&Credentials>) -> Result<Token, RequestError> {
        let mut url = self.realm.clone();
        {
            let mut query = url.query_pairs_mut();
            if let Some(service) = self.service {
                query.append_pair("service", service);
            }
            if let Some(username) = credentials.and_then(Credentials::username) {
                query.append_pair("account", username);
            }
            for scope in self.scopes.iter() {
                query.append_pair("scope", &scope.to_string());
            }
        }
        let authorization = match credentials {
            Some(credentials) => Some(basic(credentials).ok_or_else(|| {
                self.protocol("the user name or password has characters that no header can carry")
            })?),
            None => None,
        };
        let call = self.call(Method::GET, url, Body::Empty);
        self.ask(call, authorization.as_ref().map(|a| &a.header), credentials.is_some()).await
    }

    async fn post(&self, grant: &[(&str, &str)]) -> Result<Token, RequestError> {
        let body = Body::Secret(Bytes::from(self.form(grant)));
        let mut call = self.call(Method::POST, self.realm.clone(), body);
        let urlencoded = HeaderValue::from_static("application/x-www-form-urlencoded");
        call.headers.insert(CONTENT_TYPE, urlencoded);
        self.ask(call, None, true).await
    }

    fn form(&self, grant: &[(&str, &str)]) -> String {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.extend_pairs(grant).append_pair("client_id", &self.transport.options.user_agent);
        if let Some(service) = self.service {
            form.append_pair("service", service);
        }
        let scopes: Vec<String> = self.scopes.iter().map(|scope| scope.to_string()).collect();
        if !scopes.is_empty() {
            form.append_pair("scope", &scopes.join(" "));
        }
        form.finish()
    }

    fn call(&self, method: Method, url: Url, body: Body) -> Call {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        let scopes = Scopes::default();
        Call {
            method,
            target: Target::Url(url),
            headers,
            body,
            scopes,
            asked: self.asked(),
            lane: Lane::Token,
        }
    }

    /// Which request failed, if one fails here.
    fn asked(&self) -> Asked {
        let host = self.realm.host_str().unwrap_or_default();
        Asked {
            action: format!("get a token from {host} to {}", self.asked.action).into(),
            ..self.asked.clone()
        }
    }

    fn protocol(&self, why: &str) -> RequestError {
        RequestError::Protocol { asked: self.asked(), why: why.to_owned() }
    }

    async fn ask(
        &self,
        call: Call,
        authorization: Option<&HeaderValue>,
        had_credentials: bool,
    ) -> Result<Token, RequestError> {
        let Target::Url(url) = &call.target else { return Err(self.protocol("its realm is no URL")) };
        // The token server is not the registry: its own origin bounds where the password may go.
        let verified = self.home.verified || self.home.url.host() != self.realm.host();
        let server = Origin { url: self.realm.clone(), verified };
        let known = self.transport.server(self.realm);
        let _place = self.transport.permit(&known, call.lane, &call.asked).await?;
        let (response, at_home) = self.transport.follow(&server, url.clone(), &call, authorization).await?;
        // Another host, to which it redirects, was shown nothing.
        let had_credentials = had_credentials && at_home;
        let checked = self.transport.check(response, &call.asked, had_credentials).await;
        if let (Err(error), true) = (&checked, at_home) {
            known.heed(error, &self.transport.options.retry);
        }
        let mut response = checked?;
        let idle_timeout = self.transport.options.idle_timeout;
        let (body, whole) = super::call::read(&mut response, LIMIT, idle_timeout, &call.asked).await?;
        let answer = serde_json::from_slice::<TokenAnswer>(&body).ok().filter(|_| whole);
        let Some(answer) = answer else { return Err(self.protocol("the token server's answer is no JSON")) };
        // `access_token` is the same under its OAuth2 name; servers fill in either.
        let token = [answer.token, answer.access_token].into_iter().flatten().find(|token| !token.is_empty());
        let Some(token) = token else { return Err(self.protocol("the token server's answer has no token")) };
        let life =
            answer.expires_in.as_ref().and_then(seconds).map_or(LEAST_LIFE, |life| life.max(LEAST_LIFE));
        self.token(&token, Some(life), had_credentials)
    }

    fn token(
        &self,
        token: &str,
        life: Option<Duration>,
        had_credentials: bool,
    ) -> Result<Token, RequestError> {
        let authorization = secret(&format!("Bearer {token}"), had_credentials)
            .ok_or_else(|| self.protocol("the token has characters that no header can carry"))?;
        // It must not expire on the way.
        let life = life.map(|life| life - (life / 10).min(Duration::from_secs(10)));
        let expires = life.and_then(|life| Instant::now().checked_add(life));
        Ok(Token { header: authorization.header, had_credentials, expires })
    }
}

fn newer_way_may_help(error: &RequestError) -> bool {
    matches!(
        error,
        RequestError::Unauthorized { .. }
            | RequestError::NotFound { .. }
            | RequestError::Status { status: 405, .. }
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn lives() {
        for (value, want) in [
            (json!(300), Some(300.0)),
            (json!(299.5), Some(299.5)),
            (json!("300"), Some(300.0)),
            (json!(" 1.5 "), Some(1.5)),
            (json!(1e300), Some(LONGEST_LIFE)),
            (json!("inf"), Some(LONGEST_LIFE)),
            (json!(-1), None),
            (json!("NaN"), None),
            (json!("soon"), None),
            (json!([300]), None),
        ] {
            assert_eq!(seconds(&value).map(|life| life.as_secs_f64()), want, "{value}");
        }
    }
}
