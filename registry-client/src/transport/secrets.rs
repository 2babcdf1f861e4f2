//! What was sent to prove who we are. A server may write it into its answer ("bad header: Authorization: Basic ..."), and
//! what servers say is shown and logged.

use base64::{Engine, engine::general_purpose::STANDARD};
use reqwest::header::{AUTHORIZATION, HeaderMap};
use std::{
    cmp::Reverse,
    collections::BTreeSet,
    fmt,
    sync::{Mutex, PoisonError},
};
use url::form_urlencoded;

/// What stands for a secret in a text.
const MASK: &str = "<redacted>";
/// Shorter secrets are no secrets: masking each `a` would spoil all texts, and give it away by that.
const SHORTEST: usize = 4;
/// Fields of a form that are secret (RFC 6749, sections 4.3.2 and 6).
const SECRET_FIELDS: [&str; 2] = ["password", "refresh_token"];

/// The secrets that a client has sent, in the forms they may come back in. `Debug` shows none.
#[derive(Default)]
pub(crate) struct Secrets(Mutex<BTreeSet<String>>);

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets(<redacted>)")
    }
}

impl Secrets {
    /// Notes the `Authorization` among the headers of a request.
    pub(super) fn note_headers(&self, headers: &HeaderMap) {
        for value in headers.get_all(AUTHORIZATION) {
            let Ok(value) = value.to_str() else { continue };
            let (scheme, secret) = value.split_once(' ').unwrap_or(("", value));
            if !self.add(secret) || !scheme.eq_ignore_ascii_case("basic") {
                continue;
            }
            let decoded = STANDARD.decode(secret).ok().and_then(|decoded| String::from_utf8(decoded).ok());
            if let Some((_, password)) = decoded.as_deref().and_then(|decoded| decoded.split_once(':')) {
                self.add_encoded(password);
            }
        }
    }

    /// Notes the secret fields of a form.
    pub(super) fn note_form(&self, form: &[u8]) {
        for (name, value) in form_urlencoded::parse(form) {
            if SECRET_FIELDS.contains(&&*name) {
                self.add_encoded(&value);
            }
        }
    }

    /// The text without any of the secrets.
    pub(crate) fn mask(&self, text: &str) -> String {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut found: Vec<&String> = known.iter().filter(|secret| text.contains(secret.as_str())).collect();
        // One may be a part of another.
        found.sort_by_key(|secret| Reverse(secret.len()));
        found.into_iter().fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), MASK))
    }

    /// A secret as it is, and as a form or a query has it.
    fn add_encoded(&self, secret: &str) {
        self.add(secret);
        self.add(&form_urlencoded::byte_serialize(secret.as_bytes()).collect::<String>());
    }

    /// Tells whether it is new.
    fn add(&self, secret: &str) -> bool {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        secret.len() >= SHORTEST && !known.contains(secret) && known.insert(secret.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_forms_are_masked() {
        let secrets = Secrets::default();
        let mut headers = HeaderMap::new();
        headers.append(AUTHORIZATION, "Basic bWU6cMOkc3M6d29yZA==".parse().unwrap());
        headers.append(AUTHORIZATION, "Bearer token-12".parse().unwrap());
        headers.append(AUTHORIZATION, "Bearer token-1".parse().unwrap());
        secrets.note_headers(&headers);
        secrets.note_form(b"grant_type=refresh_token&refresh_token=a%2Fb%2Bc&client_id=slipway");
        for (text, want) in [
            ("bad header: Basic bWU6cMOkc3M6d29yZA==", "bad header: Basic <redacted>"),
            ("me may not say päss:word or p%C3%A4ss%3Aword", "me may not say <redacted> or <redacted>"),
            ("token-12, token-1, token-2", "<redacted>, <redacted>, token-2"),
            ("a/b+c, a%2Fb%2Bc of slipway", "<redacted>, <redacted> of slipway"),
            ("", ""),
        ] {
            assert_eq!(secrets.mask(text), want);
        }
        assert_eq!(format!("{secrets:?}"), "Secrets(<redacted>)");
    }

    #[test]
    fn what_is_no_secret_stays() {
        let secrets = Secrets::default();
        secrets.note_headers(&[(AUTHORIZATION, "Basic bWU6YQ==".parse().unwrap())].into_iter().collect());
        assert_eq!(secrets.mask("a password of me"), "a password of me");
    }
}
