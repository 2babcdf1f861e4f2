//! EXPOSE: ports, ranges, protocols.

use super::super::scope::bad_substitution;
use super::super::text;
use super::Dispatch;
use dockerfile_parser::ast::Word;
use dockerfile_parser::diagnostic::Diagnostic;
use dockerfile_parser::suggest;
use registry_client::config::Empty;

const PROTOCOLS: [&str; 3] = ["tcp", "udp", "sctp"];
const FORMS: &str = "write a port or a range, with a protocol if it is not tcp: 80, 53/udp, 8000-8010";

impl Dispatch<'_, '_> {
    pub(super) fn expose(&mut self, words: &[Word]) -> Result<(), Diagnostic> {
        let mut ports = Vec::new();
        // History has them in BuildKit's order: that of the words as written.
        let mut words: Vec<&Word> = words.iter().collect();
        words.sort_by(|a, b| a.text.cmp(&b.text));
        for word in words {
            let scope = &self.state.scope;
            let place = self.place(word.span);
            let specs =
                self.planner.expander.words(&word.text, &|name| scope.get(name)).map_err(|error| {
                    let error = bad_substitution(&error, word);
                    Diagnostic { span: self.place(error.span), ..error }
                })?;
            for spec in specs {
                let port = Port::parse(&spec).map_err(|why| {
                    let protocol = spec.split_once('/').map(|(_, protocol)| protocol);
                    let near = protocol.and_then(|protocol| suggest::nearest(protocol, PROTOCOLS));
                    let help = match near.filter(|near| protocol != Some(near)) {
                        Some(near) => format!("did you mean {near}?"),
                        None => FORMS.to_owned(),
                    };
                    Diagnostic::error("bad-port", place, format!("{spec:?} is no port: {why}")).help(help)
                })?;
                // The parser sees to words without names.
                let is_known_now = word.text.contains('$');
                if is_known_now && port.protocol != port.protocol.to_lowercase() {
                    self.planner.warnings.push(Diagnostic::warning(
                        "ExposeProtoCasing",
                        place,
                        format!("the protocol of {spec:?} should be in lower case"),
                    ));
                }
                if is_known_now && port.has_host_part {
                    self.planner.warnings.push(Diagnostic::warning(
                        "ExposeInvalidFormat",
                        place,
                        format!("EXPOSE takes no address and no host port: {spec:?}"),
                    ));
                }
                let protocol = port.protocol.to_lowercase();
                ports.extend((port.first..=port.last).map(|number| format!("{number}/{protocol}")));
            }
        }
        let exposed = self.state.config.config.exposed_ports.get_or_insert_default();
        exposed.extend(ports.iter().map(|port| (port.clone(), Empty {})));
        self.state.remember(format!("EXPOSE {}", text::list(&ports)), None);
        Ok(())
    }
}

/// `[[address:]host port:]first[-last][/protocol]`
struct Port<'s> {
    first: u16,
    last: u16,
    protocol: &'s str,
    has_host_part: bool,
}

impl<'s> Port<'s> {
    fn parse(spec: &'s str) -> Result<Self, &'static str> {
        let (host, container) = match spec.rsplit_once(':') {
            None => (None, spec),
            Some((host, container)) => (Some(host), container),
        };
        let (ports, protocol) = container.split_once('/').unwrap_or((container, ""));
        let protocol = if protocol.is_empty() { "tcp" } else { protocol };
        if !PROTOCOLS.contains(&protocol.to_lowercase().as_str()) {
            return Err("its protocol is not tcp, udp or sctp");
        }
        let (first, last) = range(ports)?;
        if let Some(host) = host {
            check_host(host, last - first)?;
        }
        Ok(Self { first, last, protocol, has_host_part: host.is_some_and(|host| !host.is_empty()) })
    }
}

/// What stands before the container's port: an optional address, and host ports as many as container ports.
fn check_host(host: &str, span: u16) -> Result<(), &'static str> {
    let (address, ports) = match host.rsplit_once(':') {
        None => (None, host),
        Some((address, ports)) => (Some(address), ports),
    };
    if let Some(address) = address.filter(|address| !address.is_empty()) {
        let plain = address.strip_prefix('[').and_then(|a| a.strip_suffix(']')).unwrap_or(address);
        plain.parse::<core::net::IpAddr>().map_err(|_| "its address is no IP address")?;
    }
    if !ports.is_empty() {
        let (first, last) = range(ports)?;
        if last - first != span && span != 0 {
            return Err("its host ports are not as many as its container ports");
        }
    }
    Ok(())
}

fn range(text: &str) -> Result<(u16, u16), &'static str> {
    let number = |text: &str| {
        let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        text.parse::<u16>().ok().filter(|_| plain).ok_or("a port is a number from 0 to 65535")
    };
    match text.split_once('-') {
        None => number(text).map(|port| (port, port)),
        Some((first, last)) => match (number(first)?, number(last)?) {
            (first, last) if first <= last => Ok((first, last)),
            _ => Err("its range runs backwards"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports() {
        for (spec, first, last, protocol, host) in [
            ("80", 80, 80, "tcp", false),
            ("80/", 80, 80, "tcp", false),
            ("53/UDP", 53, 53, "UDP", false),
            ("7000-7002/sctp", 7000, 7002, "sctp", false),
            ("127.0.0.1:8080:80", 80, 80, "tcp", true),
            ("[::1]:8080:80/udp", 80, 80, "udp", true),
            ("8000-8009:80", 80, 80, "tcp", true),
        ] {
            let port = Port::parse(spec).unwrap();
            assert_eq!(
                (port.first, port.last, port.protocol, port.has_host_part),
                (first, last, protocol, host),
                "{spec}"
            );
        }
        for spec in ["", "a", "80/http", "65536", "9-8", "x:80:80", "1-2:80-89", "-1", "+80"] {
            assert!(Port::parse(spec).is_err(), "{spec}");
        }
    }
}
