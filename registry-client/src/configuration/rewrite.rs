//! From a reference to the places where it may be.

use super::{Configuration, ConfigurationError, Entry, Location, Prefix, PullBy, file::shown};
use crate::reference::Reference;

/// A place where the content of a reference may be, or goes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Its name there.
    pub reference: Reference,
    /// Whether plain HTTP, or a certificate that nobody vouches for, will do.
    pub insecure: bool,
}

/// The places of a reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoints {
    /// Those that are asked first when something is pulled, in this order.
    pub mirrors: Vec<Endpoint>,
    /// Its own, which alone is pushed to.
    pub own: Endpoint,
}

impl Configuration {
    /// Where to go for `reference`.
    ///
    /// # Errors
    /// If it is blocked, or rewritten to what is no reference.
    pub fn endpoints(&self, reference: &Reference) -> Result<Endpoints, ConfigurationError> {
        let text = reference.to_string();
        let Some((entry, matched)) = self.entry(&text) else {
            let own = Endpoint { reference: reference.clone(), insecure: false };
            return Ok(Endpoints { mirrors: Vec::new(), own });
        };
        if entry.blocked {
            return Err(ConfigurationError::Blocked {
                reference: text,
                prefix: shown(&entry.prefix),
                path: entry.path.clone(),
            });
        }
        let by_digest = reference.digest().is_some();
        let serving = entry.mirrors.iter().filter(|mirror| match mirror.by {
            PullBy::All => true,
            PullBy::Digest => by_digest,
            PullBy::Tag => !by_digest,
        });
        let endpoint = |location| endpoint(entry, location, &text, matched, reference);
        let mirrors = serving.map(|mirror| endpoint(&mirror.location)).collect::<Result<_, _>>()?;
        Ok(Endpoints { mirrors, own: endpoint(&entry.location)? })
    }

    /// Whether `registry` as a whole may be reached by plain HTTP, or with a certificate that nobody vouches for.
    pub fn is_insecure(&self, registry: &str) -> bool {
        self.entry(registry).is_some_and(|(entry, _)| entry.location.insecure)
    }

    /// The entry that fits best, and how many bytes of the reference it is about.
    fn entry(&self, text: &str) -> Option<(&Entry, usize)> {
        let fitting = self.entries.iter().filter_map(|entry| Some((entry, fit(&entry.prefix, text)?)));
        // A wildcard gives way to a name of the same length: it says less.
        fitting.max_by_key(|(entry, matched)| (*matched, matches!(entry.prefix, Prefix::Name(_))))
    }
}

fn endpoint(
    entry: &Entry,
    location: &Location,
    text: &str,
    matched: usize,
    reference: &Reference,
) -> Result<Endpoint, ConfigurationError> {
    let insecure = location.insecure;
    let Some(name) = &location.name else {
        return Ok(Endpoint { reference: reference.clone(), insecure });
    };
    let rewritten = format!("{name}{}", &text[matched..]);
    match Reference::parse_strict(&rewritten) {
        Ok(reference) => Ok(Endpoint { reference, insecure }),
        Err(source) => Err(ConfigurationError::Rewrite {
            reference: text.to_owned(),
            rewritten,
            path: entry.path.clone(),
            source: source.into(),
        }),
    }
}

/// How many bytes of a reference a prefix is about; `None` if it is about others.
fn fit(prefix: &Prefix, text: &str) -> Option<usize> {
    match prefix {
        Prefix::Name(name) => {
            let rest = text.strip_prefix(name.as_str())?;
            // A colon after the registry begins its port, and so another registry's name.
            let whole = match rest.chars().next() {
                None | Some('/' | '@') => true,
                Some(':') => name.contains('/'),
                _ => false,
            };
            whole.then_some(name.len())
        }
        Prefix::Subdomains(domain) => {
            let registry = text.split('/').next()?;
            let host = registry.split(':').next()?;
            let below = host.strip_suffix(domain.as_str())?;
            (!below.is_empty()).then_some(registry.len())
        }
    }
}
