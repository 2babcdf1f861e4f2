use super::*;

fn lookup(name: &str) -> Option<String> {
    let value = match name {
        "A" => "alpha",
        "EMPTY" => "",
        "FILE" => "a.tar.gz",
        "WORDS" => " b  c ",
        "имя" => "ok",
        _ => return None,
    };
    Some(value.to_owned())
}

fn word(text: &str) -> Result<String, ExpandErrorKind> {
    Expander::new('\\').word(text, &lookup).map(|e| e.text).map_err(|e| e.kind)
}

#[test]
fn operators() {
    for (text, expected) in [
        ("$A-${A}_$имя", "alpha-alpha_ok"),
        ("${EMPTY:-x}${EMPTY-x}${NO-y}", "xy"),
        ("${EMPTY:+x}${EMPTY+y}${NO+z}", "y"),
        ("${A:?no}${EMPTY?no}", "alpha"),
        ("${FILE#*.} ${FILE##*.}", "tar.gz gz"),
        ("${FILE%.*} ${FILE%%.*}", "a.tar a"),
        ("${FILE/a/b} ${FILE//a/b}", "b.tar.gz b.tbr.gz"),
        ("${FILE/.*z/}", "a"),
        ("${A/\\//x}${A/l*h/-}", "alphaa-a"),
        ("${FILE/$A/x}${NO/x/y}", "a.tar.gz"),
        ("${A#\"a*\"}", "lpha"),
        ("${NO:-${NO:-'a b'}}", "a b"),
        ("$1x$@$$y", "xy"),
        ("${A%\\}}", "alpha"),
        ("'$A'\"$A\"", "$Aalpha"),
        ("\"\\a\\\"\\\\\"", "\\a\"\\"),
    ] {
        assert_eq!(word(text).as_deref(), Ok(expected), "{text}");
    }
}

#[test]
fn mistakes() {
    use ExpandErrorKind::*;
    for (text, kind) in [
        ("${", MissingBrace),
        ("${A", MissingBrace),
        ("${A:", MissingBrace),
        ("${A:-x", MissingBrace),
        ("${A/x}", MissingSlash),
        ("${A/x/y", MissingBrace),
        ("${}", BadSubstitution),
        ("${.}", BadSubstitution),
        ("${:x}", BadSubstitution),
        ("${A:#x}", UnsupportedOperator(":#".into())),
        ("${A^^}", UnsupportedOperator("^".into())),
        ("${A:=x}", UnsupportedOperator(":=".into())),
        ("${A#\\x}", BadPatternEscape("\\x".into())),
        ("a'b", UnterminatedQuote('\'')),
        ("\"a", UnterminatedQuote('"')),
        ("${NO:?why not}", Required { name: "NO".into(), message: "why not".into(), empty: false }),
        ("${EMPTY:?}", Required { name: "EMPTY".into(), message: String::new(), empty: true }),
    ] {
        assert_eq!(word(text), Err(kind), "{text}");
    }
    let offset = |text: &str| Expander::new('\\').word(text, &lookup).expect_err(text).offset;
    assert_eq!((offset("ab${A"), offset("ab'c"), offset("ab${A^}")), (2, 2, 5));
}

#[test]
fn unused_words_ask_for_nothing() {
    let expanded = Expander::new('\\').word("${A:-${NO:?}$B}${NO+$C}${NO-x}$D$D", &lookup).expect("a word");
    assert_eq!(expanded, Expanded { text: "alphax".into(), undefined: vec!["D".into()] });
}

#[test]
fn the_other_escape_character() {
    let word = |text: &str| Expander::new('`').word(text, &lookup).map(|e| e.text);
    assert_eq!(word("C:\\x`$A\\$A").as_deref(), Ok("C:\\x$A\\alpha"));
}

#[test]
fn heredoc_bodies() {
    let body = |text: &str| Expander::new('`').heredoc(text, &lookup).map(|e| e.text);
    assert_eq!(body("'$A' \"$A\" \\$A \\\\ \\n `\n").as_deref(), Ok("'alpha' \"alpha\" $A \\ n `\n"));
    assert_eq!(body("it's ${NO:-'x'}\n").as_deref(), Ok("it's 'x'\n"));
}

#[test]
fn splitting() {
    let words = |text: &str| Expander::new('\\').words(text, &lookup);
    assert_eq!(words("a$WORDS\"$WORDS\"'d e'\\ f g").expect("words"), ["a", "b", "c", " b  c d e f", "g"]);
    assert_eq!(words(" \"\" $NO ").expect("words"), Vec::<String>::new());
}

#[test]
fn depth_is_limited() {
    let nested = |n: usize| "${NO:-".repeat(n) + "x" + &"}".repeat(n);
    assert_eq!(word(&nested(MAX_DEPTH)).as_deref(), Ok("x"));
    assert_eq!(word(&nested(MAX_DEPTH + 1)), Err(ExpandErrorKind::TooDeep));
    assert_eq!(word(&"${a:-".repeat(200_000)), Err(ExpandErrorKind::TooDeep));
}

#[test]
fn places_in_the_source() {
    let error = Expander::new('\\').word("ab${A^}", &lookup).expect_err("an operator that is none");
    let word = |start, end| Word { text: "ab${A^}".into(), span: Span::new(start, end) };
    assert_eq!(error.span_in(&word(10, 17)), Span::new(15, 17));
    assert_eq!(error.span_in(&word(10, 20)), Span::new(10, 20), "a continuation is in it");
    assert_eq!(error.help().as_deref(), Some("the operators are :- - :+ + :? ? # ## % %% / and //"));
}

#[test]
fn growth_is_bounded() {
    let lookup = |name: &str| (name == "V").then(|| "a".repeat(1000));
    let expander = Expander::new('\\');
    let bombs = [
        format!("{}x{}", "${V//a/".repeat(20), "}".repeat(20)),
        format!("{}x{}", "${V//?/".repeat(20), "}".repeat(20)),
        "$V".repeat(100_000),
        format!("{}{}", "$V".repeat(10), "${V:+x}".repeat(100_000)),
        format!("${{V#*{}}}", "b$V*".repeat(1000)),
    ];
    for bomb in &bombs {
        let error = expander.word(bomb, &lookup).expect_err("a limit");
        assert_eq!(error.kind, ExpandErrorKind::TooLarge, "{}", &bomb[..20]);
    }
    assert_eq!(expander.word(&"$V".repeat(1000), &lookup).map(|word| word.text.len()), Ok(1_000_000));
}
