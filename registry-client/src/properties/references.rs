use crate::{
    digest::Digest,
    reference::{Reference, ReferenceError},
};
use proptest::prelude::*;

/// A host name or address with or without a port, as a registry is named.
fn registry() -> impl Strategy<Value = String> {
    let host = prop_oneof![
        "[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?(\\.[a-z0-9]{1,6}){1,3}",
        Just("localhost".to_owned()),
        any::<std::net::Ipv4Addr>().prop_map(|address| address.to_string()),
        any::<std::net::Ipv6Addr>().prop_map(|address| format!("[{address}]")),
    ];
    (host, prop::option::of(1..=u16::MAX)).prop_map(|(host, port)| match port {
        Some(port) => format!("{host}:{port}"),
        None => host,
    })
}

fn repository() -> impl Strategy<Value = String> {
    "[a-z0-9]{1,6}((\\.|_|__|-{1,3})[a-z0-9]{1,4}){0,2}(/[a-z0-9]{1,6}((\\.|_|__|-{1,3})[a-z0-9]{1,4}){0,2}){0,3}"
}

fn identifier() -> impl Strategy<Value = (Option<String>, Option<Digest>)> {
    let digest = any::<u64>().prop_map(|n| Digest::of(&n.to_le_bytes()));
    (prop::option::of("[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}"), prop::option::of(digest))
}

/// Characters that mean something in references, and some that do not.
const LIKELY: &str = "[a-zA-Z0-9./:@_\\[\\]-]{0,40}";

proptest! {
    #[test]
    fn what_fits_the_grammar_is_taken_apart(
        registry in registry(),
        repository in repository(),
        (tag, digest) in identifier(),
    ) {
        let mut text = format!("{registry}/{repository}");
        if let Some(tag) = &tag {
            text.push_str(&format!(":{tag}"));
        }
        if let Some(digest) = digest {
            text.push_str(&format!("@{digest}"));
        }
        let reference = Reference::parse_strict(&text).unwrap();
        prop_assert_eq!(reference.registry(), &registry);
        prop_assert_eq!(reference.repository(), &repository);
        prop_assert_eq!(reference.tag(), tag.as_deref());
        prop_assert_eq!(reference.digest(), digest);
        prop_assert_eq!(reference.to_string(), text.clone());
        prop_assert_eq!(text.parse::<Reference>().unwrap(), reference);
    }

    #[test]
    fn what_is_read_is_written_the_same(text in prop_oneof![LIKELY, ".{0,40}"]) {
        let Ok(reference) = text.parse::<Reference>() else { return Ok(()) };
        prop_assert_eq!(&Reference::parse_strict(&reference.to_string()).unwrap(), &reference);
        prop_assert_eq!(&reference.familiar().parse::<Reference>().unwrap(), &reference);
        // It makes paths of URLs and names of files: nothing in it may lead elsewhere.
        for part in reference.repository().split('/') {
            prop_assert!(!part.is_empty() && part != "." && part != "..", "{}", reference);
        }
        prop_assert!(!reference.registry().contains(['/', '@', '?', '#', ' ']), "{}", reference);
    }

    #[test]
    fn strict_is_stricter(text in LIKELY) {
        if let Ok(strict) = Reference::parse_strict(&text) {
            prop_assert_eq!(text.parse::<Reference>().unwrap(), strict);
        }
    }

    #[test]
    fn refusals_show_what_was_given(text in LIKELY) {
        match text.parse::<Reference>() {
            Ok(_) | Err(ReferenceError::Empty) => {}
            Err(error) => {
                let shown = error.to_string();
                prop_assert!(shown.contains(&text) || shown.contains(&text.replace('"', "\\\"")), "{:?}: {}", text, shown);
            }
        }
    }
}
