use super::damaged;
use crate::{
    auth::challenge,
    transport::{error::is_obeyed, limits::RateLimit, retry::retry_after, warning},
};
use proptest::prelude::*;
use reqwest::header::{HeaderMap, HeaderValue};
use std::time::SystemTime;

/// Scheme and parameters.
type Written = (String, Vec<(String, String)>);

fn challenges() -> impl Strategy<Value = Vec<Written>> {
    let parameter = ("[a-z][a-z0-9_-]{0,8}", "[ -~]{0,20}");
    let one = ("[A-Za-z][A-Za-z0-9]{0,8}", prop::collection::vec(parameter, 0..4));
    prop::collection::vec(one, 0..4)
}

/// As RFC 9110 has it, each value quoted.
fn written(challenges: &[Written]) -> String {
    let quoted = |value: &str| format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""));
    let one = |(scheme, parameters): &Written| {
        let parameters: Vec<String> =
            parameters.iter().map(|(name, value)| format!("{name}={}", quoted(value))).collect();
        format!("{scheme} {}", parameters.join(", ")).trim_end().to_owned()
    };
    challenges.iter().map(one).collect::<Vec<_>>().join(", ")
}

proptest! {
    #[test]
    fn challenges_are_read_as_they_are_written(challenges in challenges()) {
        let read = challenge::parse(&written(&challenges));
        prop_assert_eq!(read.len(), challenges.len(), "{}", written(&challenges));
        for (read, (scheme, parameters)) in read.iter().zip(&challenges) {
            prop_assert_eq!(&read.scheme, &scheme.to_ascii_lowercase());
            for (name, _) in parameters {
                let first = parameters.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str());
                prop_assert_eq!(read.param(name), first);
            }
        }
    }

    #[test]
    fn whatever_comes_is_no_challenge_or_one(text in prop_oneof![".{0,60}", "[a-zA-Z0-9=,\"\\\\ \t]{0,60}"]) {
        // What is read is in the text, so that it cannot grow.
        let read = challenge::parse(&text);
        let length: usize = read.iter().map(|challenge| challenge.scheme.len()).sum();
        prop_assert!(length <= text.len());
        prop_assert!(read.len() <= text.len());
    }

    #[test]
    fn damaged_challenges(text in damaged(
        "Bearer realm=\"https://auth.example/token\",service=\"r\",scope=\"repository:a/b:pull,push\", Basic realm=\"x\\\"y\""
    )) {
        for challenge in challenge::parse(&text) {
            prop_assert!(!challenge.scheme.is_empty());
        }
    }

    #[test]
    fn times_and_limits(text in prop_oneof![
        ".{0,40}",
        damaged("Sun, 06 Nov 1994 08:49:37 GMT"),
        damaged("100;w=21600"),
        damaged("299 - \"a warning with \\\" in it\""),
        "[0-9]{1,30}",
    ]) {
        // Whatever it is, it is a time, or none.
        if let Some(pause) = retry_after(&text, SystemTime::now()) {
            prop_assert!(pause.as_secs() > 0 || text.contains(['0', ':']));
        }
        let Ok(value) = HeaderValue::from_str(&text) else { return Ok(()) };
        let mut headers = HeaderMap::new();
        for name in ["ratelimit-limit", "ratelimit-remaining", "warning"] {
            headers.insert(name, value.clone());
        }
        if let Some(limit) = RateLimit::of(&headers) {
            prop_assert!(limit.to_string().contains(&limit.limit.to_string()));
        }
        let warnings = warning::Warnings::default();
        warnings.collect("r", &headers);
        for warning in warnings.take() {
            prop_assert!(!warning.text.contains(is_obeyed), "{:?}", warning.text);
        }
    }
}
