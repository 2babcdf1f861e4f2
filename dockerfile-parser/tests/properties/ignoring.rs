//! Ignore files against the definition, name by name.

use dockerfile_parser::ignore::Patterns;
use proptest::prelude::*;

/// Whether one name matches: `*` is any run of characters, `?` any one.
fn name_matches(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern, name) {
        ([], []) => true,
        ([b'*', rest @ ..], _) => (0..=name.len()).any(|skip| name_matches(rest, &name[skip..])),
        ([b'?', rest @ ..], [_, after @ ..]) => name_matches(rest, after),
        ([p, rest @ ..], [n, after @ ..]) => p == n && name_matches(rest, after),
        _ => false,
    }
}

/// Whether a path matches: `**` is any number of names, at the end at least one.
fn path_matches(pattern: &[String], path: &[String]) -> bool {
    match pattern {
        [] => path.is_empty(),
        [stars] if stars == "**" => !path.is_empty(),
        [stars, rest @ ..] if stars == "**" => (0..=path.len()).any(|skip| path_matches(rest, &path[skip..])),
        [first, rest @ ..] => path.split_first().is_some_and(|(name, after)| {
            name_matches(first.as_bytes(), name.as_bytes()) && path_matches(rest, after)
        }),
    }
}

/// The last rule that matches the path or a parent of it decides.
fn ignored(rules: &[(bool, Vec<String>)], path: &[String]) -> bool {
    let last =
        rules.iter().rfind(|(_, pattern)| (1..=path.len()).any(|end| path_matches(pattern, &path[..end])));
    last.is_some_and(|(reinclude, _)| !reinclude)
}

fn pattern() -> impl Strategy<Value = Vec<String>> {
    let name = prop_oneof![3 => "[ab]{1,3}", 2 => "[ab*?]{1,3}", 1 => Just("**".to_owned())];
    // Three stars, and two beside other characters, mean something of their own.
    let name = name.prop_filter("stars", |name| name == "**" || !name.contains("**"));
    prop::collection::vec(name, 1..4)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_last_match_decides(
        rules in prop::collection::vec((any::<bool>(), pattern()), 1..6),
        paths in prop::collection::vec(prop::collection::vec("[ab]{1,3}", 1..5), 1..8),
        slash in any::<bool>(),
    ) {
        let lines: Vec<String> = rules
            .iter()
            .map(|(reinclude, names)| {
                format!("{}{}{}\n", if *reinclude { "!" } else { "" }, if slash { "/" } else { "" }, names.join("/"))
            })
            .collect();
        let file = lines.concat();
        let patterns = Patterns::parse(file.as_bytes()).expect("patterns");
        for path in &paths {
            let joined = path.join("/");
            prop_assert_eq!(patterns.matches(&joined).ignored, ignored(&rules, path), "{} with\n{}", joined, file);
        }
    }
}
