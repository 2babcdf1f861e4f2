//! Registries as the verbs see them.

use super::display::{self, Display};
use super::failure::{Failure, UsageError};
use super::interrupt;
use super::local::{self, Found};
use super::style::Style;
use crate::bases::{Bases, Resolved, Source};
use crate::environment::Environment;
use crate::graph::{BaseKey, BaseName, ResolvedBase};
use crate::progress::plain::Plain;
use crate::progress::{Event, Progress, StepId};
use crate::registry::{self, Telling};
use crate::store::Store;
use registry_client::client::Client;
use registry_client::descriptor::Descriptor;
use registry_client::platform::Platform;
use registry_client::reference::{DEFAULT_REGISTRY, Reference};
use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

/// The registry that is meant by what people write after `login`: a host with or without a port, or its URL.
///
/// # Errors
/// When it is neither.
pub fn registry_name(text: &str) -> Result<String, UsageError> {
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).unwrap_or(text);
    // Docker Hub goes by the address of its first protocol, path and all.
    let host = host.split('/').next().unwrap_or_default();
    if matches!(host, DEFAULT_REGISTRY | "index.docker.io" | "registry-1.docker.io") {
        return Ok(DEFAULT_REGISTRY.to_owned());
    }
    match format!("{host}/x").parse::<Reference>() {
        Ok(reference) if reference.registry() == host => Ok(host.to_owned()),
        _ => Err(UsageError::Registry(text.to_owned())),
    }
}

/// An image whose files are all there.
#[derive(Debug)]
pub struct Fetched {
    /// Its manifest.
    pub descriptor: Descriptor,
    /// The directories of its layers, base first.
    pub layers: Vec<PathBuf>,
}

/// Unpacks what is missing of an image: of `found` in the store, or of the one that `name` means in its registry. Shows
/// what is going on.
///
/// # Errors
/// When it cannot be had.
pub fn fetch(
    store: &Store,
    environment: &Environment,
    found: Option<&Found>,
    name: Option<&str>,
    platform: &Platform,
    style: Style,
) -> Result<Fetched, Failure> {
    let shown = name.map_or_else(|| "image".to_owned(), local::familiar);
    let mode = display::mode(None, false, environment, io::stderr().is_terminal())?;
    shown_as(Display::new(mode, style), &format!("fetching {shown}"), Some(store), async |progress, step| {
        let client = registry::client(environment);
        let bases = Arc::new(Bases::new(store.clone(), client, progress.clone()));
        let image = match (found, name) {
            // Without a name its layers are in the store, which is an OCI layout, or nowhere.
            (Some(found), None) => of_store(store, &found.descriptor, platform)?,
            (_, Some(name)) => {
                let name = BaseName::Reference(name.to_owned());
                bases.resolve(&BaseKey { name, platform: platform.clone() }, false).await?
            }
            (None, None) => return Err(Failure::NoImage(shown.clone())),
        };
        bases.learn_of(&image);
        let layers = bases.stack(&image.base.config.rootfs.diff_ids, step).await?;
        Ok(Fetched { descriptor: image.descriptor, layers })
    })
}

/// What the store knows of an image, with the store itself as the place its layers are had from.
fn of_store(store: &Store, descriptor: &Descriptor, platform: &Platform) -> Result<Resolved, Failure> {
    let image = local::read_for(store, descriptor, platform).or_else(|_| local::read(store, descriptor))?;
    Ok(Resolved {
        base: ResolvedBase { digest: image.manifest.digest, config: image.config, guessed: false },
        manifest: store.images().manifest(&image.manifest.digest)?,
        top: descriptor.digest,
        descriptor: image.manifest,
        source: Source::Layout(store.root().to_owned()),
    })
}

/// Runs one piece of work on the network, displayed as a step called `name`, until it is done or the user stops it. What
/// it leaves under `tmp/` of `store` is removed then.
///
/// # Errors
/// What `work` says; [`Failure::Stopped`]; when there is no runtime to be had.
pub fn shown_as<T>(
    display: Display,
    name: &str,
    store: Option<&Store>,
    work: impl AsyncFnOnce(&Progress, StepId) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let progress = display.sink().map_or_else(Progress::none, Progress::new);
    let step = StepId(0);
    progress.send(Event::Announced { step, name: name.to_owned() });
    progress.send(Event::Started { step });
    let started = Instant::now();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = interrupt::until_stopped(runtime, work(&progress, step));
    let elapsed = started.elapsed();
    progress.send(match &result {
        Ok(_) => Event::Finished { step, elapsed },
        Err(error) => Event::Failed { step, elapsed, error: error.to_string() },
    });
    display.close();
    if let (Err(Failure::Stopped), Some(store)) = (&result, store) {
        store.clear_scratch();
    }
    result
}

/// A client for a verb that shows nothing else: what its registries warn of is a line on standard error.
pub fn telling(client: Client) -> Telling {
    let warnings = Plain::new(Box::new(io::stderr()));
    Telling::new(client, &Progress::new(Arc::new(warnings)))
}

/// Runs a conversation with a registry to its end, or until the user stops it. One thread does: most of it is waiting.
///
/// # Errors
/// What `work` says; [`Failure::Stopped`]; when there is no runtime to be had.
pub fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    interrupt::until_stopped(runtime, work)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registry_names() {
        for (text, want) in [
            ("docker.io", "docker.io"),
            ("https://index.docker.io/v1/", "docker.io"),
            ("localhost:5000", "localhost:5000"),
            ("http://registry.example.org:5000/", "registry.example.org:5000"),
            ("[::1]:5000", "[::1]:5000"),
        ] {
            assert_eq!(registry_name(text).unwrap(), want, "{text}");
        }
        for text in ["", "team", "host name:5000", "host:port"] {
            assert_eq!(
                registry_name(text).unwrap_err().to_string(),
                format!("{text:?} is no registry; write its host name, with a port or without"),
                "{text}"
            );
        }
    }
}
