//! How values that went into a key are shown.

/// Characters that two values share before what differs, as far as they are shown.
const CONTEXT: usize = 20;

/// The command line that a list of quoted texts is: of a shell just the script. `None` for anything else.
pub(super) fn command(text: &str) -> Option<String> {
    let words = words(text)?;
    match words.as_slice() {
        [shell, option, script]
            if shell.ends_with("sh") && option.starts_with('-') && option.ends_with('c') =>
        {
            Some(script.clone())
        }
        words => Some(words.join(" ")),
    }
}

/// The texts of a list, which stand in quotes with blanks between them, escaped as Rust escapes them.
fn words(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut rest = text;
    loop {
        let mut word = String::new();
        let mut chars = rest.strip_prefix('"')?.chars();
        loop {
            match chars.next()? {
                '"' => break,
                '\\' => word.push(unescaped(&mut chars)?),
                c => word.push(c),
            }
        }
        words.push(word);
        rest = chars.as_str();
        if rest.is_empty() {
            return Some(words);
        }
        rest = rest.strip_prefix(' ')?;
    }
}

/// The character after a backslash.
fn unescaped(chars: &mut std::str::Chars<'_>) -> Option<char> {
    Some(match chars.next()? {
        'n' => '\n',
        't' => '\t',
        'r' => '\r',
        '0' => '\0',
        'u' => {
            let (number, rest) = chars.as_str().strip_prefix('{')?.split_once('}')?;
            *chars = rest.chars();
            char::from_u32(u32::from_str_radix(number, 16).ok()?)?
        }
        other => other,
    })
}

/// Two values that differ, each in at most `width` characters, which show the difference: where long ones begin alike,
/// that is left out.
pub(super) fn changed(from: &str, to: &str, width: usize) -> (String, String) {
    let length = |text: &str| text.chars().count();
    let common = from.chars().zip(to.chars()).take_while(|(a, b)| a == b).count();
    let skip = match length(from).max(length(to)) > width {
        true => common.saturating_sub(CONTEXT),
        false => 0,
    };
    let cut = |text: &str| {
        let rest: String = text.chars().skip(skip).collect();
        let shown = if skip == 0 { rest } else { format!("…{rest}") };
        crate::progress::sanitize::fit(&shown, width)
    };
    (cut(from), cut(to))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(words: &[&str]) -> String {
        words.iter().map(|word| format!("{word:?}")).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn commands_are_shown_as_they_were_written() {
        let script = "echo \"hi \\\"there\\\"\" $X\n\u{1}'é";
        assert_eq!(command(&list(&["/bin/sh", "-c", script])).as_deref(), Some(script));
        assert_eq!(
            command(&list(&["/bin/bash", "-eo", "pipefail", "-c", "x"])).as_deref(),
            Some("/bin/bash -eo pipefail -c x")
        );
        assert_eq!(command(&list(&["/bin/prog", "a b", ""])).as_deref(), Some("/bin/prog a b "));
        for text in ["", "1", "a \"b\"", "\"a", "\"a\"b", "\"a\" ", "\"\\u{zz}\""] {
            assert_eq!(command(text), None, "{text:?}");
        }
    }

    #[test]
    fn the_difference_of_long_values_is_seen() {
        assert_eq!(changed("make a", "make b", 20), ("make a".to_owned(), "make b".to_owned()));
        let long = "x".repeat(200);
        let (from, to) = changed(&format!("{long} one"), &format!("{long} two"), 40);
        assert_eq!((from.as_str(), to.as_str()), ("…xxxxxxxxxxxxxxxxxxx one", "…xxxxxxxxxxxxxxxxxxx two"));
        let (from, _) = changed(&format!("a{long}"), &format!("b{long}"), 40);
        assert!(from.starts_with("axx") && from.chars().count() <= 40, "{from}");
    }
}
