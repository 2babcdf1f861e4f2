//! Input that is meant to be slow: for the tests, and for `examples/speed.rs`, which includes this file.

/// Dockerfiles of about `size` bytes, each with a name. Lines are broken so that none is refused for its length.
pub(crate) fn dockerfiles(size: usize) -> Vec<(String, String)> {
    let repeat = |piece: &str| piece.repeat(size / piece.len());
    let half = |piece: &str| piece.repeat(size / piece.len() / 2);
    let texts = [
        format!("FROM a\nRUN {}\n", repeat("x")),
        format!("FROM a\nENV {}\n", repeat("a=b ")),
        format!("FROM a\nENV a={}\n", repeat("\"")),
        format!("FROM a\nENV a={}\n", repeat("\"x\" 'y'")),
        format!("FROM a\nENV a={}\n", repeat("\\x")),
        format!("FROM a\nENV a={}\n", repeat("${a:-")),
        format!("FROM a\nENV a={}\n", repeat("$")),
        format!("FROM a\nLABEL {}\n", repeat("a='b' ")),
        format!("FROM a\nCOPY {} /\n", repeat("a ")),
        format!("FROM a\nCOPY {} /\n", repeat("*[a-z]? ")),
        format!("FROM a\nCOPY {} /\n", repeat("<<a ")),
        format!("FROM a\nCOPY --exclude=** {} /\n", repeat("--exclude=* ")),
        format!("FROM a\nCOPY {} /\n", repeat("--link ")),
        format!("FROM a\nCOPY {} /\n", repeat("--lnik ")),
        format!("FROM a\n{}", repeat("COPY <<a <<b /\na\nb\n")),
        format!("FROM a\nCOPY {} /\n{}", half("<<a "), half("a\n")),
        format!("FROM a\nRUN {}\n", repeat("<<")),
        format!("FROM a\nRUN {}\n", repeat("<<a ")),
        format!("FROM a\nRUN <<a {}\na\n", repeat("${a:-")),
        format!("FROM a\nRUN <<a {}\na\n", repeat("${")),
        format!("FROM a\nRUN <<a {}\na\n", repeat("\"$x\"")),
        format!("FROM a\nRUN <<a {}\na\n", repeat("'x'")),
        format!("FROM a\nRUN <<a {}\na\n", repeat("\"")),
        format!("FROM a\nRUN <<a\n{}a\n", repeat("\n")),
        format!("FROM a\n{}", repeat("RUN <<a\nx\na\n")),
        format!("FROM a\n{}", repeat("RUN <<a\n")),
        format!("FROM a\nRUN {}x\n", repeat("a \\\n")),
        format!("FROM a\nRUN a \\\n{}x\n", repeat("\n")),
        format!("FROM a\nRUN a \\\n{}x\n", repeat("# c\n")),
        format!("FROM a\nCMD {}\n", repeat("[")),
        format!("FROM a\nCMD [{}\"\"]\n", repeat("\"a\",")),
        format!("FROM a\nCMD [\"{}\"]\n", repeat("\\u00e9")),
        format!("FROM a\nRUN {}x\n", repeat("--mount=target=/x ")),
        format!("FROM a\nRUN {}x\n", repeat("--mount=tagret=/x ")),
        format!("FROM a\nRUN {}x\n", repeat("--muont=target=/x ")),
        format!("FROM a\nRUN --mount={}x\n", repeat("target=/x,")),
        format!("FROM a\nRUN --mount=target=\"{}\" x\n", repeat("\\\"")),
        format!("FROM a\nONBUILD {}\n", repeat("ONBUILD ")),
        format!("FROM a\nEXPOSE {}\n", repeat("80 ")),
        format!("FROM a\nEXPOSE {}\n", repeat("80/TCP ")),
        format!("FROM a\n{}EXPOSE {}\n", half("# c\n"), half("1:1 ")),
        format!("FROM a\n{}ARG {}\n", half("# key x\n"), half("key ")),
        format!("FROM a\nARG {}\n", repeat("password=x ")),
        format!("FROM a\n{}RUN a \\\n{}\n", half("# c\n"), half("\n")),
        format!("{}FROM a\n", repeat("# comment\n")),
        format!("{}FROM a\n", repeat("# check=skip=all\n")),
        format!("# check=skip={}\nFROM a\n", "a,".repeat(30_000)),
        format!("{}FROM a\n", repeat("\\\n")),
        format!("FROM a\n{}", repeat("FOO\n")),
        format!("FROM a\n{}", repeat("CMD a\n")),
        format!("FROM a\n{}", repeat("WORKDIR b\n")),
        format!("FROM a\nHEALTHCHECK --interval={} CMD x\n", repeat("1s")),
        format!("FROM {}\n", repeat("a")),
        format!("FROM a AS {}\n", repeat("a")),
        format!("FROM {}\n", repeat("a ")),
        repeat("\u{feff}"),
        repeat("FROM a AS b\n"),
        repeat("FROM b AS b\n"),
        (0..size / 20).map(|i| format!("FROM s{i} AS s{}\n", i + 1)).collect(),
        (0..size / 40).map(|i| format!("FROM s{i} AS s{}\nCOPY --from=s{i} a b\n", i + 1)).collect(),
        repeat("# escape=`\n"),
        repeat("é"),
        format!("{{\"syntax\":{}", repeat("[")),
    ];
    texts.into_iter().map(|text| (text.chars().take(40).collect(), broken(&text))).collect()
}

/// Breaks lines of more than 60,000 bytes, where no escape and no comment is torn or made.
fn broken(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 1000);
    let mut length = 0;
    let mut previous = '\n';
    for c in text.chars() {
        if c == '\n' {
            length = 0;
        } else if length > 60_000 && previous != '\\' && c != '#' {
            out.push_str("\\\n");
            length = 0;
        }
        out.push(c);
        length += c.len_utf8();
        previous = c;
    }
    out
}

/// A value for the name `V` of [`words`].
pub(crate) fn value(size: usize) -> String {
    "ab".repeat(size / 2)
}

/// Words to expand, most of about `size` bytes.
pub(crate) fn words(size: usize) -> Vec<String> {
    let repeat = |piece: &str| piece.repeat(size / piece.len());
    let short = [
        "${V#*b}",
        "${V##*b}",
        "${V%a*}",
        "${V%%a*}",
        "${V/a*c/x}",
        "${V//a?a/x}",
        "${V//ab/x}",
        "${V//*/x}",
        "${V//?/x}",
        "${V//x*y/z}",
        "${V%*a*a*a}",
        "${V//a*a*a*c/z}",
    ];
    let mut words: Vec<String> = short.map(str::to_owned).into();
    words.extend(["${a:-", "\\\"", "$a", "${a:+b}", "${a:-b}", "'x'", "\"x\"", "$", "\\"].map(repeat));
    words.push((0..size / 8).map(|i| format!("$n{i} ")).collect());
    words.push(format!("${{n#{}}}", repeat("*?")));
    words
}

/// A Dockerfile of `instructions` instructions as people write them.
pub(crate) fn ordinary(instructions: usize) -> String {
    const BLOCK: &str = "# about it\nRUN --mount=type=cache,target=/c apt-get update && \\\n    apt-get install -y x\n\
                         COPY --from=b --chown=1 a /b\nENV A=b C=\"d $e\"\nLABEL x=y\n";
    format!("FROM a AS b\n{}", BLOCK.repeat(instructions / 4))
}
