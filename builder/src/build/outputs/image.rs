//! `type=image` and `type=registry`: names in the store, and the registry when it is pushed.

use super::super::BuildError;
use super::super::forms::compression;
use super::super::planning::{chain, extra_step};
use super::{Kept, Made, failed};
use crate::bases::Source;
use crate::blocking::blocking;
use crate::export::Bundle;
use crate::layer::Compression;
use crate::progress::Event;
use crate::progress::measure::Wait;
use crate::push::{Destination, push};
use crate::request::Output;
use registry_client::descriptor::Descriptor;
use registry_client::digest::Digest;
use registry_client::reference::Reference;
use std::collections::BTreeMap;
use std::time::Instant;

impl Made<'_> {
    /// Writes it; says what its names point to, in the registry when it was pushed.
    pub(super) async fn image(
        &self,
        output: &Output,
        kept: &Kept,
        names: &[Reference],
    ) -> Result<Descriptor, BuildError> {
        if !output.push {
            let plain = output.annotations.is_empty()
                && output.is_oci()
                && !output.force_compression
                && compression(output)? == Compression::None;
            let top = if plain { kept.top.clone() } else { self.in_the_form_of(output, kept).await? };
            self.name(output, &top, names)?;
            return Ok(top);
        }
        if names.is_empty() {
            return Err(BuildError::Name {
                given: String::new(),
                why: "an image that is pushed needs a name: give one with -t".to_owned(),
            });
        }
        self.name(output, &kept.top, names)?;
        let step = extra_step();
        let shown: Vec<String> = names.iter().map(Reference::familiar).collect();
        self.progress.send(Event::Announced { step, name: format!("pushing {}", shown.join(", ")) });
        self.progress.send(Event::Started { step });
        let started = Instant::now();
        let registries = || names.iter().map(|name| name.registry().to_owned());
        let own = output.insecure.then(|| self.client.trusting(registries()));
        let client = own.as_ref().unwrap_or(self.client);
        let result = async {
            let bundle = self.settled(self.bundle(output, kept, names).await?).await?;
            let mount = self.mount_from(&bundle, names);
            let asked = Instant::now();
            // Who asks for media types, or for annotations, gets them or an error.
            let convert = output.oci_mediatypes.is_none() && output.annotations.is_empty();
            let destination = Destination { references: names, mount_from: &mount, convert, verify: false };
            let pushed = push(client, self.store, &bundle, destination, self.progress, step).await;
            self.progress.waited(step, Wait::Network, asked);
            pushed.map_err(failed("registry"))
        }
        .await;
        let elapsed = started.elapsed();
        self.progress.send(match &result {
            Ok(_) => Event::Finished { step, elapsed },
            Err(error) => Event::Failed { step, elapsed, error: chain(error) },
        });
        result.map(|(descriptor, _)| descriptor)
    }

    /// Names what `top` points to in the store, as the output wants it.
    fn name(&self, output: &Output, top: &Descriptor, names: &[Reference]) -> Result<(), BuildError> {
        if !output.store {
            return Ok(());
        }
        let tagged = names.iter().filter(|name| name.tag().is_some());
        let mut all: Vec<String> = tagged.map(ToString::to_string).collect();
        if output.name_canonical {
            all.extend(names.iter().map(|name| name.with_digest(top.digest).to_string()));
        }
        if let Some(prefix) = &output.dangling_prefix
            && (names.is_empty() || !output.dangling_empty_only)
        {
            let bad = |why: String| BuildError::Name { given: prefix.clone(), why };
            let prefix: Reference = prefix.parse().map_err(|error| bad(format!("{error}")))?;
            all.push(prefix.without_identifier().with_digest(top.digest).to_string());
        }
        Ok(self.store.images().add(top, &all)?)
    }

    /// The result in the store with annotations or other media types.
    async fn in_the_form_of(&self, output: &Output, kept: &Kept) -> Result<Descriptor, BuildError> {
        let bundle = self.settled(self.bundle(output, kept, &[]).await?).await?;
        Ok(bundle.top().descriptor.clone())
    }

    async fn settled(&self, mut bundle: Bundle) -> Result<Bundle, BuildError> {
        let store = self.store.clone();
        blocking(move || bundle.settle(&store).map(|()| bundle)).await.map_err(failed("image"))
    }

    /// Repositories of the registries that are pushed to which have a layer already: those that it was pulled from.
    fn mount_from(&self, bundle: &Bundle, names: &[Reference]) -> BTreeMap<Digest, Vec<String>> {
        let mut mount = BTreeMap::new();
        for layer in bundle.packages.iter().flat_map(|package| &package.layers) {
            let Some(Source::Registry(from)) = self.bases.source(layer.diff_id) else { continue };
            if names.iter().any(|name| name.registry() == from.registry()) {
                mount.insert(layer.descriptor.digest, vec![from.repository().to_owned()]);
            }
        }
        mount
    }
}
