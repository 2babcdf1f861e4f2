//! `WWW-Authenticate` (RFC 9110, section 11.6.1): several challenges may come in one header, or in several.

/// One challenge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// Lower case: `basic`, `bearer`.
    pub scheme: String,
    /// Names are lower case; the order is the server's.
    params: Vec<(String, String)>,
}

impl Challenge {
    /// Names and values of its parameters, in the order of the server.
    pub fn params(&self) -> impl Iterator<Item = (&str, &str)> {
        self.params.iter().map(|(name, value)| (&**name, &**value))
    }

    /// The first parameter of that name, which is in lower case.
    pub fn param(&self, name: &str) -> Option<&str> {
        self.params.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

/// Reads one header. What is malformed ends the reading; what came before it is kept.
pub fn parse(header: &str) -> Vec<Challenge> {
    let mut rest = header;
    let mut challenges: Vec<Challenge> = Vec::new();
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let Some((name, after)) = token(rest) else { return challenges };
        let value = after.trim_start_matches([' ', '\t']);
        // `name=` belongs to the challenge before it; a name without `=` begins a challenge. A token68, as in
        // `Negotiate abc==`, is neither: it follows a scheme, and no scheme we can answer has one.
        match value.strip_prefix('=') {
            Some(value) => {
                let Some(challenge) = challenges.last_mut() else { return challenges };
                let value = value.trim_start_matches([' ', '\t']);
                let Some((value, after)) = quoted(value).or_else(|| bare(value)) else { return challenges };
                challenge.params.push((name.to_ascii_lowercase(), value));
                rest = after;
            }
            None => {
                challenges.push(Challenge { scheme: name.to_ascii_lowercase(), params: Vec::new() });
                rest = after;
            }
        }
    }
}

fn token(text: &str) -> Option<(&str, &str)> {
    let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~/".contains(c);
    let end = text.find(|c| !is_token(c)).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

/// Some servers leave the quotes out even where the value has characters that need them.
fn bare(text: &str) -> Option<(String, &str)> {
    let end = text.find([',', ' ', '\t', '"']).unwrap_or(text.len());
    (end > 0).then(|| (text[..end].to_owned(), &text[end..]))
}

fn quoted(text: &str) -> Option<(String, &str)> {
    let text = text.strip_prefix('"')?;
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(chars.next()?.1),
            c => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(header: &str) -> Vec<String> {
        parse(header)
            .into_iter()
            .map(|c| {
                let params: Vec<String> = c.params.iter().map(|(n, v)| format!("{n}={v}")).collect();
                format!("{}[{}]", c.scheme, params.join("|"))
            })
            .collect()
    }

    #[test]
    fn challenges() {
        for (header, want) in [
            ("Basic", vec!["basic[]"]),
            (r#"Basic realm="a b""#, vec!["basic[realm=a b]"]),
            (
                r#"Bearer realm="https://auth/token",service="reg",scope="repository:a:pull,push repository:b:pull""#,
                vec![
                    "bearer[realm=https://auth/token|service=reg|scope=repository:a:pull,push repository:b:pull]",
                ],
            ),
            (
                r#"Basic realm="x", Bearer realm="y" , service = z"#,
                vec!["basic[realm=x]", "bearer[realm=y|service=z]"],
            ),
            (r#"Negotiate, BEARER Realm="y""#, vec!["negotiate[]", "bearer[realm=y]"]),
            (r#"Bearer realm="say \"hi\"""#, vec![r#"bearer[realm=say "hi"]"#]),
            ("Bearer realm=https://auth/token,service=r", vec!["bearer[realm=https://auth/token|service=r]"]),
            (r#"Bearer realm="open"#, vec!["bearer[]"]),
            (r#"realm="x""#, vec![]),
            ("", vec![]),
            (",,", vec![]),
            ("\"", vec![]),
        ] {
            assert_eq!(shown(header), want, "{header}");
        }
    }
}
