//! The store as the verbs see it: opened where the environment says, images found by what people write.

use super::Around;
use super::failure::Failure;
use crate::environment::Environment;
use crate::image::{self, StoredImage};
use crate::rootfs::{Owners, XattrFlavor};
use crate::store::{Limit, Opener, Store};
use crate::userns::{self, Privilege};
use registry_client::descriptor::Descriptor;
use registry_client::digest::Digest;
use registry_client::platform::Platform;
use registry_client::reference::Reference;
use std::collections::BTreeMap;

/// Opens the store of this user.
///
/// # Errors
/// When it cannot be used.
pub fn open(environment: &Environment) -> Result<Store, Failure> {
    let opener = Opener {
        flavor: XattrFlavor::of_this_process(),
        owners: Owners::of_this_process(),
        boot: environment.boot_id.clone(),
        // What other ids own can be deleted only in the namespace in which it was made.
        limit: match Privilege::detect() {
            Privilege::Unprivileged => Limit::Unlimited,
            _ => environment.store_limit,
        },
    };
    Ok(Store::open_as(&environment.store_root, opener)?)
}

/// Returns when this process may mount. Otherwise the program starts again in a user namespace, and this returns only
/// why it cannot.
///
/// # Errors
/// When there is no user namespace to be had.
pub fn need_mounts(around: &Around<'_>) -> Result<(), Failure> {
    if Privilege::detect() != Privilege::Unprivileged {
        return Ok(());
    }
    match around.entered {
        // It was entered already: starting again would go on for ever.
        Some(_) => Err(Failure::Powerless),
        None => Err(userns::reexec().into()),
    }
}

/// An image that was asked for.
#[derive(Clone, Debug)]
pub struct Found {
    /// The full canonical reference, when it was found by its name.
    pub name: Option<String>,
    /// Its manifest or index.
    pub descriptor: Descriptor,
}

/// The canonical reference that a name means, with the tag that it leaves out.
///
/// # Errors
/// [`Failure::Reference`].
pub fn canonical(name: &str) -> Result<Reference, Failure> {
    let reference: Reference =
        name.parse().map_err(|source| Failure::Reference { given: name.to_owned(), source })?;
    Ok(reference.with_default_tag())
}

/// Finds an image by what people write: a name (`debian`, which is `docker.io/library/debian:latest`), a name with a
/// digest, or the beginning of an id.
///
/// # Errors
/// [`Failure::NoImage`] when there is none; when an id is ambiguous; when the store cannot be read.
pub fn find(store: &Store, text: &str) -> Result<Found, Failure> {
    let images = store.images();
    if let Ok(reference) = text.parse::<Reference>() {
        // What the digest says is decisive, and the store knows digests without their names.
        if let Some(digest) = reference.digest() {
            let descriptor = images.by_id(&digest.to_string())?;
            let descriptor = descriptor.ok_or_else(|| Failure::NoImage(text.to_owned()))?;
            return Ok(Found { name: None, descriptor });
        }
        let name = reference.with_default_tag().to_string();
        if let Some(descriptor) = images.by_name(&name)? {
            return Ok(Found { name: Some(name), descriptor });
        }
    }
    let descriptor = images.by_id(text)?.ok_or_else(|| Failure::NoImage(text.to_owned()))?;
    Ok(Found { name: None, descriptor })
}

/// Reads what `descriptor` points to; of an image for several platforms the one of this machine, or else whichever is
/// in the store in full.
///
/// # Errors
/// When no image of it can be read.
pub fn read(store: &Store, descriptor: &Descriptor) -> Result<StoredImage, Failure> {
    let host = image::read(store, descriptor, &Platform::host());
    let Err(error) = host else { return Ok(host?) };
    if !descriptor.media_type.is_index() {
        return Err(error.into());
    }
    let index = store.images().index(&descriptor.digest)?;
    let others = index.manifests.iter().filter_map(|entry| entry.platform.as_ref());
    others
        .filter_map(|platform| image::read(store, descriptor, platform).ok())
        .next()
        .ok_or_else(|| error.into())
}

/// [`read`], or [`read_for`] a platform.
///
/// # Errors
/// As those.
pub fn read_wanted(
    store: &Store,
    descriptor: &Descriptor,
    platform: Option<&Platform>,
) -> Result<StoredImage, Failure> {
    match platform {
        Some(platform) => read_for(store, descriptor, platform),
        None => read(store, descriptor),
    }
}

/// Reads the image for `platform`.
///
/// # Errors
/// When there is none for it, or it cannot be read.
pub fn read_for(store: &Store, descriptor: &Descriptor, platform: &Platform) -> Result<StoredImage, Failure> {
    let image = image::read(store, descriptor, platform)?;
    let found = image.config.platform();
    if (&found.os, &found.architecture) == (&platform.os, &platform.architecture) {
        return Ok(image);
    }
    Err(Failure::OtherPlatform { wanted: platform.to_string(), found: found.to_string() })
}

/// The platforms of an index, with their entries; none for a manifest. Attestations are left out.
pub fn platforms(store: &Store, descriptor: &Descriptor) -> Vec<(Platform, Descriptor)> {
    if !descriptor.media_type.is_index() {
        return Vec::new();
    }
    let Ok(index) = store.images().index(&descriptor.digest) else { return Vec::new() };
    let entries = index.manifests.into_iter().filter_map(|entry| Some((entry.platform.clone()?, entry)));
    entries.filter(|(platform, _)| platform.os != "unknown").collect()
}

/// The image that an entry of an index points to, when the store has every part of it.
pub fn whole(store: &Store, entry: &Descriptor) -> Option<StoredImage> {
    let platform = entry.platform.clone().unwrap_or_else(Platform::host);
    let image = image::read(store, entry, &platform).ok()?;
    let has = |layer: &image::ImageLayer| {
        let descriptor = &layer.descriptor;
        !descriptor.urls.is_empty() || store.blobs().size(&descriptor.digest) == Some(descriptor.size)
    };
    image.layers.iter().all(has).then_some(image)
}

/// All that `descriptor` points to: an image, or an index and the images it lists, in its order. Where the store has not
/// all of them, the image that [`read`] gives, alone; and so the one for `platform`, when that is wanted.
///
/// # Errors
/// When no image of it can be read.
pub fn all_platforms(
    store: &Store,
    descriptor: &Descriptor,
    platform: Option<&Platform>,
) -> Result<(Descriptor, Vec<StoredImage>), Failure> {
    if let Some(platform) = platform {
        let image = read_for(store, descriptor, platform)?;
        return Ok((image.manifest.clone(), vec![image]));
    }
    if descriptor.media_type.is_index() {
        let index = store.images().index(&descriptor.digest)?;
        let all: Option<Vec<_>> = index.manifests.iter().map(|entry| whole(store, entry)).collect();
        if let Some(images) = all.filter(|images| !images.is_empty()) {
            return Ok((descriptor.clone(), images));
        }
    }
    let image = read(store, descriptor)?;
    Ok((image.manifest.clone(), vec![image]))
}

/// Bytes of the image's files: those of its uncompressed layers, or of the stored ones where that is all that is known.
pub fn size(store: &Store, image: &StoredImage) -> u64 {
    layer_sizes(store, image).iter().sum()
}

/// The same of each layer, base first.
pub fn layer_sizes(store: &Store, image: &StoredImage) -> Vec<u64> {
    let layers = store.layers();
    let size = |layer: &image::ImageLayer| layers.size(layer.diff_id).unwrap_or(layer.descriptor.size);
    image.layers.iter().map(size).collect()
}

/// The names of each manifest or index of the store, as people write them; images without names have an empty list.
///
/// # Errors
/// When the store cannot be read.
pub fn names(store: &Store) -> Result<BTreeMap<Digest, Vec<String>>, Failure> {
    let mut names: BTreeMap<Digest, Vec<String>> = BTreeMap::new();
    for image in store.images().list()? {
        names.entry(image.descriptor.digest).or_default().extend(image.name.as_deref().map(familiar));
    }
    Ok(names)
}

/// The short form of a canonical name; a name that is none stays as it is.
pub fn familiar(name: &str) -> String {
    name.parse::<Reference>().map_or_else(|_| name.to_owned(), |reference| reference.familiar())
}
