use super::*;

fn ignored(patterns: &str, path: &str) -> bool {
    Patterns::parse(patterns.as_bytes()).expect(patterns).matches(path).ignored
}

#[test]
fn anchoring_and_cleaning() {
    assert!(
        ignored("foo", "foo")
            && ignored("/foo", "foo")
            && ignored("./foo/", "foo")
            && ignored("foo", "foo/bar")
    );
    assert!(!ignored("foo", "a/foo") && ignored("**/foo", "a/foo") && ignored("a/../foo", "foo"));
    assert!(!ignored(".", "foo") && !ignored("/", "foo") && !ignored("..", "foo"));
    assert!(ignored("\u{feff}foo\r\n", "foo") && ignored("  foo\t", "foo"));
}

#[test]
fn comments_only_in_the_first_column() {
    let patterns = Patterns::parse(b"# a\n #x\n\nb\n").expect("patterns");
    let rules: Vec<_> = patterns.rules().iter().map(|r| (r.line, r.text.as_str())).collect();
    assert_eq!(rules, [(2, "#x"), (4, "b")]);
}

#[test]
fn last_match_wins() {
    let text = "*\n!src\nsrc/*.o\n! src/keep.o\n";
    assert!(ignored(text, "README") && ignored(text, "src/a.o"));
    assert!(!ignored(text, "src") && !ignored(text, "src/a.c") && !ignored(text, "src/keep.o"));
    // A later pattern that matches the parent ignores what was taken back in before.
    assert!(ignored("a\n!a/b\n*", "a/b"));
}

#[test]
fn mistakes() {
    assert_eq!(Patterns::parse(b"a\n! \n"), Err(IgnoreError::NothingReincluded { line: 2 }));
    assert_eq!(Patterns::parse(b"[a\n").expect_err("a bad class").line(), 1);
    assert_eq!(Patterns::parse(b"a\nb[z-a]\n").expect_err("a bad range").line(), 2);
}

#[test]
fn which_directories_can_be_skipped() {
    let patterns =
        Patterns::parse(b"node_modules\ntarget\n!target/keep/*.txt\n!**/x.log\nvendor\n").expect("patterns");
    assert!(patterns.may_reinclude_below("target") && patterns.may_reinclude_below("target/keep"));
    assert!(patterns.may_reinclude_below("node_modules"), "x.log may be in it");
    assert!(!patterns.may_reinclude_below("vendor"), "the pattern comes after all others");
    let patterns = Patterns::parse(b"*\n!src/lib\n").expect("patterns");
    assert!(patterns.may_reinclude_below("src") && !patterns.may_reinclude_below("docs"));
}

/// The definition, word for word: every rule in order, on the path and each of its parents.
fn plain_model(patterns: &Patterns, path: &str) -> bool {
    let mut ignored = false;
    for rule in patterns.rules() {
        let mut ends: Vec<usize> = path.match_indices('/').map(|(i, _)| i).collect();
        ends.push(path.len());
        if ends.iter().any(|end| rule.glob.matches(&path[..*end])) {
            ignored = !rule.reinclude;
        }
    }
    ignored
}

#[test]
fn walking_equals_the_plain_model() {
    let mut random = crate::testing::Random::new(7);
    let pieces = ["a", "b", "ab", "*", "?", "**", "a*", "[ab]", "*b"];
    let names = ["a", "b", "ab", "ba", "aab"];
    for _ in 0..3000 {
        let mut text = String::new();
        for _ in 0..random.below(5) + 1 {
            let pattern: Vec<&str> = (0..random.below(3) + 1).map(|_| *random.pick(&pieces)).collect();
            text += &format!("{}{}\n", random.pick(&["", "", "!"]), pattern.join("/"));
        }
        let patterns = Patterns::parse(text.as_bytes()).expect(&text);
        let mut state = MatchState::default();
        let mut path = String::new();
        let mut skipped_below: Option<String> = None;
        for _ in 0..4 {
            if !path.is_empty() {
                path.push('/');
            }
            path.push_str(random.pick::<&str>(&names));
            state = patterns.enter(state, &path);
            let verdict = patterns.verdict(state);
            assert_eq!(verdict, patterns.matches(&path), "{path} with\n{text}");
            assert_eq!(verdict.ignored, plain_model(&patterns, &path), "{path} with\n{text}");
            if let Some(dir) = &skipped_below {
                assert!(verdict.ignored, "{path} is in {dir}, which was to be skipped, with\n{text}");
            }
            if verdict.ignored && !patterns.may_reinclude_below(&path) {
                assert!(!patterns.may_reinclude_below_from(state, &path));
                skipped_below.get_or_insert_with(|| path.clone());
            }
        }
    }
}
