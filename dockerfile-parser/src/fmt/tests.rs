use super::*;
use std::path::{Path, PathBuf};

fn formatted(source: &str) -> String {
    let (once, kept) =
        format_counting(source.as_bytes()).unwrap_or_else(|errors| panic!("{source}: {errors:?}"));
    assert_eq!(kept, 0, "not laid out:\n{source}");
    check(source.as_bytes(), &once);
    String::from_utf8(once).expect("UTF-8 stays UTF-8")
}

/// The two promises.
fn check(source: &[u8], formatted: &[u8]) {
    let text = String::from_utf8_lossy(formatted);
    let read =
        |source: &[u8]| crate::parse_with_checks(source, Some("skip=all")).map(|parsed| parsed.dockerfile);
    let before = read(source).expect("it was formatted");
    let after = read(formatted).unwrap_or_else(|errors| panic!("{errors:?} in\n{text}"));
    assert!(same_meaning(&before, &after), "{}\nbecame\n{text}", String::from_utf8_lossy(source));
    let again = format(formatted).expect("it parses");
    assert_eq!(text, String::from_utf8_lossy(&again), "formatting twice");
}

#[track_caller]
fn becomes(source: &str, expected: &str) {
    assert_eq!(formatted(source), expected);
}

#[test]
fn case_and_blanks() {
    becomes("  from   a   As  B  \n\tworkdir\t/x  y \n", "FROM a AS B\nWORKDIR /x  y\n");
    becomes("FROM a\nexpose 80\t 443\nVolume /a  /b", "FROM a\nEXPOSE 80 443\nVOLUME /a /b\n");
    becomes("FROM a\nhealthcheck  --retries=3   cmd  a  b\n", "FROM a\nHEALTHCHECK --retries=3 CMD a  b\n");
    becomes("FROM a\nhealthcheck none\n", "FROM a\nHEALTHCHECK NONE\n");
}

#[test]
fn what_a_shell_or_an_image_sees_is_kept() {
    becomes("FROM a\nrun   a  &&  \\\n  b \"x \\\n   y\"\n", "FROM a\nRUN a  &&  \\\n  b \"x \\\n   y\"\n");
    becomes("FROM a\nRUN \\\n a && \\\n   b\n", "FROM a\nRUN \\\n a && \\\n   b\n");
    becomes("FROM a\nRUN \\\n a\n", "FROM a\nRUN \\\n    a\n");
    becomes("FROM a\nonbuild   run  x \\\n y\n", "FROM a\nONBUILD run  x \\\n y\n");
    becomes("FROM a\nENV  k  a   b \\\n c\n", "FROM a\nENV k a   b \\\n c\n");
}

#[test]
fn empty_lines_and_comments() {
    becomes(
        "\n\n#one\n\n\n  #  two  \n#\n#!x\n\nFROM a\n\n\nRUN b \\\n\n  #c\n\n   d\n\n\n",
        "# one\n\n#  two\n#\n#!x\n\nFROM a\n\nRUN b \\\n   # c\n   d\n",
    );
    becomes("FROM a\nCOPY a \\\n#why\nb /c\n", "FROM a\nCOPY a \\\n    # why\n    b /c\n");
    becomes("FROM a\nRUN a \\\n # last\n\n", "FROM a\nRUN a\n# last\n");
    becomes("FROM a\n\\\n # last\n\n", "FROM a\n# last\n");
    becomes("FROM a\n\\\n\\\nRUN b\n", "FROM a\nRUN b\n");
}

#[test]
fn comments_do_not_become_directives() {
    becomes("\n# escape=`\nFROM a\\b\n", "\n# escape=`\nFROM a\\b\n");
    becomes(
        "# syntax=docker/dockerfile:1\n\n\n# escape=`\nFROM a\n",
        "# syntax=docker/dockerfile:1\n\n# escape=`\nFROM a\n",
    );
    becomes("#SYNTAX = docker/dockerfile:1 \n#x\nFROM a\n", "# syntax=docker/dockerfile:1\n# x\nFROM a\n");
    // The comment within the continuation is not the description of the stage.
    let source = b"\\\n# escape=`\nFROM a\n";
    let (text, kept) = format_counting(source).expect("a file");
    assert_eq!((&text[..], kept), (&source[..], 1));
}

#[test]
fn flags() {
    becomes(
        "FROM a\nCOPY --from=\"b\"   --link=TRUE --parents=False \\\n --chown='a b' -- x y\n",
        "FROM a\nCOPY --from=b --link --parents=false \\\n    --chown='a b' x y\n",
    );
    becomes("FROM a\nCOPY -- --x y\n", "FROM a\nCOPY -- --x y\n");
    becomes(
        "FROM a\nRUN --mount=target=/x\\\n --network=none  a\n",
        "FROM a\nRUN --mount=target=/x \\\n    --network=none a\n",
    );
}

#[test]
fn lists() {
    becomes("FROM a\nCMD [ \"a\" ,\"b c\"]\nCMD [  ]\n", "FROM a\nCMD [\"a\", \"b c\"]\nCMD []\n");
    becomes(
        "FROM a\nCOPY [ \\\n\"a\" \\\n# x\n,\"b\" \\\n]\n",
        "FROM a\nCOPY [ \\\n    \"a\", \\\n    # x\n    \"b\" \\\n]\n",
    );
    becomes("FROM a\nRUN ['a']   b\n", "FROM a\nRUN ['a']   b\n");
}

#[test]
fn names_and_values() {
    becomes("FROM a\nENV a=1   b=\"2  3\"\n", "FROM a\nENV a=1 b=\"2  3\"\n");
    becomes("FROM a\nENV a=1 b=2 \\\nc=3\n", "FROM a\nENV a=1 \\\n    b=2 \\\n    c=3\n");
    becomes("FROM a\nLABEL a=1 \\\n  b=2\n", "FROM a\nLABEL a=1 \\\n      b=2\n");
    becomes("FROM a\nLABEL \\\n  a=1 b=2\n", "FROM a\nLABEL \\\n    a=1 \\\n    b=2\n");
    becomes("FROM a\nARG a=1 \\\n# x\n  b #c=1\n", "FROM a\nARG a=1 \\\n    # x\n    b #c=1\n");
    becomes("FROM a\nENV a=\"x \\\n   y\"\n", "FROM a\nENV a=\"x \\\n   y\"\n");
    let (a, b) = ("x".repeat(60), "y".repeat(60));
    becomes(&format!("FROM a\nENV a={a} b={b}\n"), &format!("FROM a\nENV a={a} \\\n    b={b}\n"));
    becomes(&format!("FROM a\nENV a={a}{b}\n"), &format!("FROM a\nENV a={a}{b}\n"));
}

#[test]
fn here_documents() {
    becomes(
        "FROM a\ncopy <<A   << \"B c\"  /x/\n  # 1\n\nA\n\\\nB c\nrun <<-E cat  \n\tx\n\tE",
        "FROM a\nCOPY <<A << \"B c\" /x/\n  # 1\n\nA\n\\\nB c\nRUN <<-E cat\n\tx\n\tE\n",
    );
    becomes("FROM a\nonbuild  run <<E\n x\nE\n", "FROM a\nONBUILD run <<E\n x\nE\n");
}

#[test]
fn other_escapes_and_line_endings() {
    becomes("#escape=`\nFROM a\nCOPY a\\ `\n b c:\\\n", "# escape=`\nFROM a\nCOPY a\\ `\n    b c:\\\n");
    becomes(
        "\u{feff}FROM a\r\nCOPY a \\\r\nb c\nRUN <<E\nx\nE\n",
        "FROM a\r\nCOPY a \\\r\n    b c\r\nRUN <<E\r\nx\nE\r\n",
    );
    let latin = format(b"FROM a\n#caf\xe9 \nrun b \\\n#\xe9\n c\n").expect("a file");
    assert_eq!(latin, b"FROM a\n# caf\xe9\nRUN b \\\n #\xe9\n c\n");
}

/// A blank that is none to the reader of continuations: without it the line would go on.
#[test]
fn what_cannot_be_moved_stays() {
    for source in ["FROM a\nrun b\\\u{a0}\nRUN c\n", "FROM a\nrun b\\\u{a0}\\\n# c\n"] {
        let (text, kept) = format_counting(source.as_bytes()).expect("a file");
        assert_eq!((String::from_utf8_lossy(&text), kept), (source.into(), 1));
        check(source.as_bytes(), &text);
    }
}

#[test]
fn mistakes_are_not_formatted() {
    assert_eq!(format(b"FROM a\nRNU b\n").expect_err("a mistake")[0].code, "unknown-instruction");
    assert!(format(b"# check=error=true\nFROM a AS B\n").is_ok());
}

/// All Dockerfiles of the repository, and of the conformance tables if they are there.
#[test]
fn every_file_keeps_its_meaning() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut open: Vec<PathBuf> = vec![root.join("testdata")];
    open.extend(crate::conformance::folder("dockerfile-parser"));
    let mut files = 0;
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(
                std::fs::read_dir(&path).expect("a folder").map(|entry| entry.expect("an entry").path()),
            );
        } else if path.file_name().is_some_and(|name| name.to_string_lossy().contains("Dockerfile")) {
            let source = std::fs::read(&path).expect("a file");
            if let Ok((text, kept)) = format_counting(&source) {
                check(&source, &text);
                assert_eq!(kept, 0, "{}", path.display());
                files += 1;
            }
        }
    }
    assert!(files > 40, "{files}");
}
