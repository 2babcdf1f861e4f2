//! `--add-host name:address`.

use super::SpecError;
use std::net::IpAddr;

/// Name and address; the separator is `=` or the first `:`, and an IPv6 address may stand in brackets.
///
/// # Errors
/// [`SpecError`] for another shape, and for what is no address.
pub fn parse(value: &str) -> Result<(String, String), SpecError> {
    const SHAPE: SpecError = SpecError::Shape("write name:address, as in db:10.0.0.7");
    let (name, address) = value.split_once('=').or_else(|| value.split_once(':')).ok_or(SHAPE)?;
    // The name becomes a word of /etc/hosts: whatever would end the word or the line would add entries nobody wrote.
    if name.is_empty() || name.chars().any(|c| c.is_whitespace() || c.is_control() || c == '#') {
        return Err(SHAPE);
    }
    // A RUN has this machine's network, so that the way to the machine is the loopback device.
    let address = if address == "host-gateway" { "127.0.0.1" } else { address };
    let bare = address.strip_prefix('[').and_then(|a| a.strip_suffix(']')).unwrap_or(address);
    let address: IpAddr = bare.parse().map_err(|_| SpecError::BadValue {
        key: name.to_owned(),
        value: address.to_owned(),
        want: "write an IPv4 or IPv6 address",
    })?;
    Ok((name.to_owned(), address.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        for (text, name, address) in [
            ("db:10.0.0.7", "db", "10.0.0.7"),
            ("db=10.0.0.7", "db", "10.0.0.7"),
            ("six:::1", "six", "::1"),
            ("six=[2001:db8::1]", "six", "2001:db8::1"),
            ("host.docker.internal:host-gateway", "host.docker.internal", "127.0.0.1"),
        ] {
            assert_eq!(parse(text), Ok((name.to_owned(), address.to_owned())), "{text}");
        }
        for (text, want) in [
            ("db", "write name:address, as in db:10.0.0.7"),
            (":10.0.0.7", "write name:address, as in db:10.0.0.7"),
            ("a b:10.0.0.7", "write name:address, as in db:10.0.0.7"),
            ("db:10.0.0", r#"db="10.0.0" is not understood: write an IPv4 or IPv6 address"#),
        ] {
            assert_eq!(parse(text).unwrap_err().to_string(), want, "{text}");
        }
    }
}
