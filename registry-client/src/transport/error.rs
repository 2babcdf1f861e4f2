//! What can go wrong between a request and its answer.

use super::{
    advice,
    limits::{RateLimit, wanted_pause},
    secrets::Secrets,
};
use crate::{
    auth::challenge, configuration::ConfigurationError, credentials::CredentialsError, pull::PullError,
};
use oci_distribution::errors::{OciEnvelope, OciError, OciErrorCode};
use reqwest::{StatusCode, header::HeaderMap};
use serde_json::Value;
use std::{
    error::Error as StdError,
    fmt, io,
    sync::Arc,
    time::{Duration, SystemTime},
};

/// Most characters of a server's text that an error shows.
const TEXT_LIMIT: usize = 400;

/// What was asked, of whom; it reads after the word "cannot".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The registry, as the reference names it; empty when the action names all.
    pub registry: Arc<str>,
    /// The repository; empty when the registry as a whole was asked.
    pub repository: Arc<str>,
    /// The action: `get manifest "latest"`.
    pub action: Arc<str>,
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.registry.is_empty() {
            return f.write_str(&self.action);
        }
        write!(f, "{} at {}", self.action, self.registry)?;
        if self.repository.is_empty() { Ok(()) } else { write!(f, "/{}", self.repository) }
    }
}

/// What a registry says about its refusal (distribution-spec, "Error Codes").
#[derive(Debug, Default)]
pub struct ServerErrors {
    errors: Box<[OciError]>,
    /// The start of a body that is no error envelope.
    text: Box<str>,
}

impl ServerErrors {
    /// Reads the body of an error answer: the envelope of the spec, else plain text.
    pub(crate) fn parse(body: &[u8]) -> Self {
        match serde_json::from_slice::<OciEnvelope>(body) {
            Ok(envelope) => Self { errors: envelope.errors.into(), text: Box::default() },
            Err(_) => {
                let text = String::from_utf8_lossy(body).trim().to_owned();
                // A page of HTML comes from a proxy in between, and says nothing that fits into a line.
                let text = if text.starts_with('<') { String::new() } else { text };
                Self { errors: Box::default(), text: text.into() }
            }
        }
    }

    /// The same without the secrets.
    fn masked(self, secrets: &Secrets) -> Self {
        let errors = self.errors.into_vec().into_iter().map(|error| OciError {
            message: secrets.mask(&error.message),
            detail: masked(error.detail, secrets),
            ..error
        });
        Self { errors: errors.collect(), text: secrets.mask(&self.text).into() }
    }

    /// Whether `code` is among the errors.
    pub fn has(&self, code: OciErrorCode) -> bool {
        self.errors.iter().any(|error| error.code == code)
    }

    /// The errors of the envelope.
    pub fn errors(&self) -> &[OciError] {
        &self.errors
    }
}

impl fmt::Display for ServerErrors {
    /// ` (CODE: message, ...)` with a leading blank, or nothing.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        for error in self.errors.iter() {
            let code = serde_json::to_value(&error.code).ok();
            let code = code.as_ref().and_then(|code| code.as_str()).unwrap_or("UNKNOWN").to_owned();
            let detail = error.detail.as_str().unwrap_or_default();
            let message = if error.message.is_empty() { detail } else { &error.message };
            parts.push(if message.is_empty() { code } else { format!("{code}: {message}") });
        }
        if parts.is_empty() && !self.text.is_empty() {
            parts.push(self.text.to_string());
        }
        if parts.is_empty() { Ok(()) } else { write!(f, " ({})", printable(&parts.join(", "))) }
    }
}

/// The texts of a JSON value without the secrets.
fn masked(value: Value, secrets: &Secrets) -> Value {
    match value {
        Value::String(text) => Value::String(secrets.mask(&text)),
        Value::Array(values) => values.into_iter().map(|value| masked(value, secrets)).collect(),
        Value::Object(fields) => {
            fields.into_iter().map(|(name, value)| (secrets.mask(&name), masked(value, secrets))).collect()
        }
        other => other,
    }
}

/// A server's text, bounded, on one line, and without anything a terminal would obey.
pub(crate) fn printable(text: &str) -> String {
    let mut out: String = text.chars().take(TEXT_LIMIT).map(|c| if is_obeyed(c) { ' ' } else { c }).collect();
    if text.chars().nth(TEXT_LIMIT).is_some() {
        out.push_str("...");
    }
    out
}

/// Whether a terminal does something at this character: a control, or one that changes the direction of the text, by
/// which a line can read differently from what it says.
pub(crate) fn is_obeyed(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Why a request had no good answer.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// 401, and there was nothing (more) to answer the challenge with.
    #[error(
        "cannot {asked}: {}{errors}; {}",
        match (had_credentials, insufficient) {
            (true, true) => "the account may not do that, or there is no such repository",
            (true, false) => "the registry does not accept the credentials",
            (false, _) => "the registry wants credentials",
        },
        advice::unauthorized(asked, *had_credentials, *insufficient)
    )]
    Unauthorized {
        /// What was asked.
        asked: Asked,
        /// What the registry says.
        errors: ServerErrors,
        /// Whether credentials were sent.
        had_credentials: bool,
        /// Whether the registry says that they are good, but not for this (RFC 6750, `insufficient_scope`).
        insufficient: bool,
    },
    /// 403.
    #[error("cannot {asked}: access is denied{errors}; {}", advice::denied(asked, errors))]
    Denied {
        /// What was asked.
        asked: Asked,
        /// What the registry says.
        errors: ServerErrors,
    },
    /// 404.
    #[error("cannot {asked}: not found{errors}; {}", advice::not_found(asked, errors))]
    NotFound {
        /// What was asked.
        asked: Asked,
        /// What the registry says.
        errors: ServerErrors,
    },
    /// 429.
    #[error(
        "cannot {asked}: {}{errors}; {}",
        if advice::is_quota(errors) { "there is no room for it" } else { "too many requests" },
        advice::rate_limited(asked, errors, *retry_after, limit.as_deref())
    )]
    RateLimited {
        /// What was asked.
        asked: Asked,
        /// What the registry says.
        errors: ServerErrors,
        /// How long it wants us to wait.
        retry_after: Option<Duration>,
        /// What it says of its limits.
        limit: Option<Box<RateLimit>>,
    },
    /// Any other status that is no success.
    #[error(
        "cannot {asked}: the registry answers with status {status}{errors}{}",
        advice::status(asked, *status, errors).map(|advice| format!("; {advice}")).unwrap_or_default()
    )]
    Status {
        /// What was asked.
        asked: Asked,
        /// The HTTP status.
        status: u16,
        /// What the registry says.
        errors: ServerErrors,
        /// How long it wants us to wait.
        retry_after: Option<Duration>,
    },
    /// No connection, or it broke.
    #[error("cannot {asked}: {}; check the address, the network and the proxy", causes(source.as_ref()))]
    Unreachable {
        /// What was asked.
        asked: Asked,
        /// Whether the connection was never made.
        connecting: bool,
        /// The cause; its chain is part of this error's text.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// The server fell silent.
    #[error("cannot {asked}: nothing came from the server for {} s", waited.as_secs_f32())]
    Timeout {
        /// What was asked.
        asked: Asked,
        /// How long was waited.
        waited: Duration,
    },
    /// It took too long, though something moved.
    #[error("cannot {asked}: it is not done after {} s", waited.as_secs_f32())]
    Overdue {
        /// What was asked.
        asked: Asked,
        /// How long was waited.
        waited: Duration,
    },
    /// The TLS handshake failed.
    #[error(
        "cannot {asked}: no trusted TLS connection: {}; {}",
        causes(source.as_ref()),
        advice::tls(is_alert(source.as_ref()))
    )]
    Tls {
        /// What was asked.
        asked: Asked,
        /// The cause; its chain is part of this error's text.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// The server broke the protocol.
    #[error("cannot {asked}: {why}")]
    Protocol {
        /// What was asked.
        asked: Asked,
        /// How.
        why: String,
    },
    /// No credentials could be had.
    #[error("cannot {asked}: {source}")]
    Credentials {
        /// What was asked.
        asked: Asked,
        /// The cause, which is part of this error's text.
        source: CredentialsError,
    },
    /// The configuration forbids it, or makes no sense.
    #[error("cannot {asked}: {source}")]
    Configuration {
        /// What was asked.
        asked: Asked,
        /// The cause, which is part of this error's text.
        source: Box<ConfigurationError>,
    },
    /// What was to be sent could not be read.
    #[error("cannot {asked}: reading what is to be sent failed: {source}")]
    Source {
        /// What was asked.
        asked: Asked,
        /// The cause, which is part of this error's text.
        source: io::Error,
    },
    /// The client may not ask anybody.
    #[error("cannot {asked}: nothing may be fetched (offline)")]
    Offline {
        /// What was to be asked.
        asked: Asked,
    },
    /// The HTTP client could not be made.
    #[error("cannot {asked}: the HTTP client cannot be set up: {why}")]
    Setup {
        /// What was asked.
        asked: Asked,
        /// Why.
        why: String,
    },
}

impl RequestError {
    /// What was asked.
    pub fn asked(&self) -> &Asked {
        match self {
            Self::Unauthorized { asked, .. }
            | Self::Denied { asked, .. }
            | Self::NotFound { asked, .. }
            | Self::RateLimited { asked, .. }
            | Self::Status { asked, .. }
            | Self::Unreachable { asked, .. }
            | Self::Timeout { asked, .. }
            | Self::Overdue { asked, .. }
            | Self::Tls { asked, .. }
            | Self::Protocol { asked, .. }
            | Self::Credentials { asked, .. }
            | Self::Configuration { asked, .. }
            | Self::Source { asked, .. }
            | Self::Offline { asked }
            | Self::Setup { asked, .. } => asked,
        }
    }

    /// Whether the same request may succeed later without anyone changing anything.
    pub fn is_transient(&self) -> bool {
        match self {
            // With nothing left of what six hours allow, asking four times more is of no use, unless it says when.
            Self::RateLimited { errors, retry_after, limit, .. } => {
                let used_up = retry_after.is_none() && limit.as_ref().is_some_and(|limit| limit.is_used_up());
                !used_up && !advice::is_quota(errors)
            }
            Self::Unreachable { .. } | Self::Timeout { .. } => true,
            // A source that reads from a registry has another one for the next time.
            Self::Source { source, .. } => is_of_mirror(source),
            // 501 and 505 are about what was asked, not about the moment; room does not come by waiting.
            Self::Status { status, errors, .. } => {
                let moment = (500..600).contains(status) && !matches!(status, 501 | 505 | 507);
                (matches!(status, 408 | 425) || moment) && !advice::is_quota(errors)
            }
            _ => false,
        }
    }

    /// How long the server wants us to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after, .. } | Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// Whether a manifest was refused for a blob that the registry does not have.
    pub(crate) fn is_of_missing_blob(&self) -> bool {
        match self {
            Self::NotFound { errors, .. } | Self::Status { status: 400..=499, errors, .. } => {
                errors.has(OciErrorCode::ManifestBlobUnknown) || errors.has(OciErrorCode::BlobUnknown)
            }
            _ => false,
        }
    }

    /// Whether it is a token that has expired, said with a status of its own.
    pub(crate) fn is_of_expired_token(&self) -> bool {
        match self {
            Self::Denied { errors, .. } | Self::Status { status: 400, errors, .. } => {
                advice::is_expiry(errors)
            }
            _ => false,
        }
    }

    /// Whether a registry may have refused a manifest for its media type.
    pub(crate) fn is_of_manifest_type(&self) -> bool {
        let Self::Status { asked, status, errors, .. } = self else { return false };
        advice::is_of_manifest_type(asked, *status, errors)
    }

    /// The text of a [`Self::Status`] without what to do about it; of any other the whole text.
    pub(crate) fn without_advice(&self) -> String {
        match self {
            Self::Status { asked, .. } => format!("cannot {asked}: {}", self.refusal()),
            other => other.to_string(),
        }
    }

    /// What the registry says, in [`Self::Status`]; of any other the whole text.
    pub(crate) fn refusal(&self) -> String {
        match self {
            Self::Status { status, errors, .. } => {
                format!("the registry answers with status {status}{errors}")
            }
            other => other.to_string(),
        }
    }

    /// Whether no connection was made at all (refused, unknown host).
    pub(crate) fn never_connected(&self) -> bool {
        matches!(self, Self::Unreachable { connecting: true, .. })
    }

    /// Whether a server that fails like this over HTTPS may be one of plain HTTP. Whoever shows a certificate, or wants to
    /// see one, speaks HTTPS: that we do not trust each other is no reason to go on without.
    pub(crate) fn may_be_another_protocol(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Timeout { .. } => true,
            Self::Tls { source, .. } => {
                let distrusted =
                    matches!(find_tls(source.as_ref()), Some(rustls::Error::InvalidCertificate(_)));
                !distrusted && !is_alert(source.as_ref())
            }
            _ => false,
        }
    }

    /// Whether a server that fails like this over plain HTTP may be one of HTTPS: it says 400, or hangs up.
    pub(crate) fn may_be_of_https(&self) -> bool {
        matches!(self, Self::Status { status: 400, .. } | Self::Unreachable { connecting: false, .. })
    }

    /// Whether there was no answer.
    pub(crate) fn is_of_connection(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. } | Self::Timeout { .. } | Self::Overdue { .. } | Self::Tls { .. }
        )
    }

    /// Sorts a refusal by its status.
    pub(crate) fn of_answer(
        asked: &Asked,
        status: StatusCode,
        headers: &HeaderMap,
        body: &[u8],
        had_credentials: bool,
    ) -> Self {
        let (asked, errors) = (asked.clone(), ServerErrors::parse(body));
        let retry_after = wanted_pause(headers, SystemTime::now());
        match status {
            StatusCode::UNAUTHORIZED => {
                let insufficient = is_insufficient(headers);
                Self::Unauthorized { asked, errors, had_credentials, insufficient }
            }
            StatusCode::FORBIDDEN => Self::Denied { asked, errors },
            StatusCode::NOT_FOUND => Self::NotFound { asked, errors },
            StatusCode::TOO_MANY_REQUESTS => {
                let limit = RateLimit::of(headers).map(Box::new);
                Self::RateLimited { asked, errors, retry_after, limit }
            }
            status => Self::Status { asked, status: status.as_u16(), errors, retry_after },
        }
    }

    /// The same, with none of the secrets in what the server says.
    pub(super) fn masked(mut self, secrets: &Secrets) -> Self {
        if let Self::Unauthorized { errors, .. }
        | Self::Denied { errors, .. }
        | Self::NotFound { errors, .. }
        | Self::RateLimited { errors, .. }
        | Self::Status { errors, .. } = &mut self
        {
            *errors = std::mem::take(errors).masked(secrets);
        }
        self
    }

    /// Sorts an error of the HTTP library.
    pub(crate) fn from_http(asked: &Asked, error: reqwest::Error) -> Self {
        let asked = asked.clone();
        // URLs may carry signatures in their query; the asked names what matters.
        let error = error.without_url();
        if find_tls(&error).is_some() || is_alert(&error) {
            return Self::Tls { asked, source: error.into() };
        }
        Self::Unreachable { asked, connecting: error.is_connect(), source: error.into() }
    }
}

/// Whether a challenge says that the credentials are good, but not for this.
fn is_insufficient(headers: &HeaderMap) -> bool {
    let values = headers.get_all(reqwest::header::WWW_AUTHENTICATE).iter();
    let mut challenges = values.filter_map(|value| value.to_str().ok()).flat_map(challenge::parse);
    challenges.any(|challenge| challenge.param("error") == Some("insufficient_scope"))
}

/// The error of rustls somewhere in the chain of causes.
fn find_tls<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a rustls::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(tls) = error.downcast_ref() {
            return Some(tls);
        }
        // An io::Error shows its inner error's *source* as its own, so the inner error itself is looked at here.
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        if let Some(tls) = inner.and_then(|inner| find_tls(inner)) {
            return Some(tls);
        }
        next = error.source();
    }
    None
}

/// Whether what is sent came from a mirror that sent wrong bytes.
fn is_of_mirror(error: &io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<PullError>());
    inner.is_some_and(PullError::is_of_mirror)
}

/// Whether the server ended the TLS connection with a word: it speaks TLS, and does not like our side of it. The HTTP/2
/// library hands on no more than the text of that error.
fn is_alert(error: &(dyn StdError + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.to_string().contains("received fatal alert") {
            return true;
        }
        next = error.source();
    }
    false
}

/// The last two causes of a chain, which say more than the first ("error sending request").
fn causes(error: &(dyn StdError + Send + Sync + 'static)) -> String {
    let mut texts = vec![error.to_string()];
    let mut next = error.source();
    while let Some(error) = next {
        let text = error.to_string();
        if texts.last() != Some(&text) {
            texts.push(text);
        }
        next = error.source();
    }
    let last = texts.len().saturating_sub(2);
    printable(&texts[last..].join(": "))
}
