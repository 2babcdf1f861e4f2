//! `Warning` headers (distribution-spec, "Warnings"): what a registry wants the user to read.

use super::{error::printable, limits::RateLimit, secrets::Secrets};
use reqwest::header::HeaderMap;
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

/// Warnings kept at most; a registry may send one with each answer.
const LIMIT: usize = 100;

/// A warning of a registry.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Warning {
    /// Which registry.
    pub registry: String,
    /// What it says: one line, without control characters.
    pub text: String,
}

/// Collects each warning once.
#[derive(Debug, Default)]
pub(crate) struct Warnings {
    collected: Mutex<BTreeSet<Warning>>,
    /// Registries whose limit was told.
    told_low_limits: Mutex<BTreeSet<String>>,
    secrets: Arc<Secrets>,
}

impl Warnings {
    /// Collects warnings in which none of `secrets` shows.
    pub(crate) fn new(secrets: Arc<Secrets>) -> Self {
        Self { secrets, ..Self::default() }
    }

    pub(crate) fn collect(&self, registry: &str, headers: &HeaderMap) {
        for value in headers.get_all(reqwest::header::WARNING) {
            let Some(text) = value.to_str().ok().and_then(text) else { continue };
            self.add(registry, &text);
        }
        if let Some(limit) = RateLimit::of(headers).filter(RateLimit::is_low) {
            self.add_low_limit(registry, &limit);
        }
    }

    /// Tells once how few pulls are left.
    fn add_low_limit(&self, registry: &str, limit: &RateLimit) {
        let mut told = self.told_low_limits.lock().unwrap_or_else(PoisonError::into_inner);
        if told.insert(registry.to_owned()) {
            let remaining = limit.remaining.unwrap_or_default();
            self.add(registry, &format!("{remaining} pulls are left; the limit is {limit}"));
        }
    }

    /// Adds what the user should know about a registry.
    pub(crate) fn add(&self, registry: &str, text: &str) {
        let text = printable(&self.secrets.mask(text));
        let mut collected = self.collected.lock().unwrap_or_else(PoisonError::into_inner);
        if collected.len() < LIMIT {
            collected.insert(Warning { registry: registry.to_owned(), text });
        }
    }

    pub(crate) fn take(&self) -> Vec<Warning> {
        let mut collected = self.collected.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *collected).into_iter().collect()
    }
}

/// The text of `299 - "text"`; any other form must be ignored, says the spec.
fn text(header: &str) -> Option<String> {
    let quoted = header.trim().strip_prefix("299 - \"")?.strip_suffix('"')?;
    let mut text = String::new();
    let mut chars = quoted.chars();
    while let Some(c) = chars.next() {
        text.push(if c == '\\' { chars.next()? } else { c });
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_form_of_the_spec() {
        assert_eq!(text(r#"299 - "tag v1 is \"old\"""#).as_deref(), Some(r#"tag v1 is "old""#));
        for other in [r#"199 - "x""#, r#"299 host "x""#, "299 - x", ""] {
            assert_eq!(text(other), None, "{other}");
        }
    }

    #[test]
    fn each_once() {
        let warnings = Warnings::default();
        let mut headers = HeaderMap::new();
        headers.append("warning", "299 - \"a\"".parse().unwrap());
        headers.append("warning", "299 - \"b\"".parse().unwrap());
        warnings.collect("r", &headers);
        warnings.collect("r", &headers);
        let texts: Vec<String> = warnings.take().into_iter().map(|w| w.text).collect();
        assert_eq!(texts, ["a", "b"]);
        assert!(warnings.take().is_empty());
    }

    #[test]
    fn few_pulls_left() {
        let warnings = Warnings::default();
        for remaining in ["50;w=21600", "9;w=21600", "8;w=21600"] {
            let mut headers = HeaderMap::new();
            headers.insert("ratelimit-limit", "100;w=21600".parse().unwrap());
            headers.insert("ratelimit-remaining", remaining.parse().unwrap());
            warnings.collect("docker.io", &headers);
        }
        let texts: Vec<String> = warnings.take().into_iter().map(|w| w.text).collect();
        assert_eq!(texts, ["9 pulls are left; the limit is 100 pulls in 6 hours"]);
    }
}
