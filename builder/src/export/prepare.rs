//! Layers in the form an output wants, and the manifest of those.

use super::ExportError;
use super::archive::{Verified, pour};
use crate::image::{Dialect, Document, StoredImage, index, manifest};
use crate::layer::{Compression, Decoder, Encoder};
use crate::store::{LayerBlob, Store};
use registry_client::descriptor::Descriptor;
use registry_client::digest::{DiffId, Digester};
use registry_client::media_type::MediaType;
use registry_client::platform::Platform;
use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::num::NonZeroUsize;

/// What an output wants.
#[derive(Clone, Debug)]
pub struct Options {
    /// Whose media types.
    pub dialect: Dialect,
    /// For layers that are not compressed yet.
    pub compression: Compression,
    /// Layers that are compressed otherwise are compressed again (`force-compression=true`).
    pub force: bool,
    /// Annotations of the manifest, beside those the image has.
    pub annotations: BTreeMap<String, String>,
    /// How many threads compress.
    pub threads: NonZeroUsize,
}

/// An image of one platform, ready to go out.
#[derive(Clone, Debug)]
pub struct Package {
    /// Its manifest.
    pub manifest: Document,
    /// Its config; the digest is the image id.
    pub config: Document,
    /// Its layers, base first.
    pub layers: Vec<PackedLayer>,
    /// What it is for.
    pub platform: Platform,
}

/// A layer of a package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackedLayer {
    /// Digest of the uncompressed tar.
    pub diff_id: DiffId,
    /// As in the manifest.
    pub descriptor: Descriptor,
    /// Where its bytes are.
    pub source: Source,
}

/// Where the bytes of a layer are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// In the store, under the digest of the descriptor.
    Blob,
    /// They are what this blob of the store decompresses to.
    Inflate(Box<Descriptor>),
    /// At the `urls` of the descriptor; the store does not have them.
    Elsewhere,
}

/// What one output holds: an image, for one platform or several.
#[derive(Clone, Debug)]
pub struct Bundle {
    /// Full canonical references.
    pub names: Vec<String>,
    /// One per platform; at least one.
    pub packages: Vec<Package>,
    /// The index, when the image has one.
    pub index: Option<Document>,
}

impl Bundle {
    /// An image of one platform, without an index.
    pub fn single(names: Vec<String>, package: Package) -> Self {
        Self { names, packages: vec![package], index: None }
    }

    /// An image of several platforms.
    pub fn several(
        names: Vec<String>,
        packages: Vec<Package>,
        dialect: Dialect,
        annotations: &BTreeMap<String, String>,
    ) -> Self {
        let manifests: Vec<_> =
            packages.iter().map(|p| (p.manifest.descriptor.clone(), p.platform.clone())).collect();
        let index = index(&manifests, dialect, annotations);
        Self { names, packages, index: Some(index) }
    }

    /// What its names point to: the index, or the manifest of the only platform.
    pub fn top(&self) -> &Document {
        match &self.index {
            Some(index) => index,
            None => &self.packages[0].manifest,
        }
    }

    /// Puts into the store what the bundle only describes ([`Package::settle`]), the index included.
    ///
    /// # Errors
    /// As for [`Package::settle`].
    pub fn settle(&mut self, store: &Store) -> Result<(), ExportError> {
        self.packages.iter_mut().try_for_each(|package| package.settle(store))?;
        if let Some(index) = &self.index {
            store.blobs().insert(&index.bytes)?;
        }
        Ok(())
    }

    /// What its names point to.
    pub fn descriptors(&self) -> Vec<Descriptor> {
        match &self.index {
            Some(index) => vec![index.descriptor.clone()],
            None => self.packages.iter().map(|p| p.manifest.descriptor.clone()).collect(),
        }
    }
}

/// Brings the layers of `image` into the form that `options` want. Layers that must be compressed are, into the store,
/// and that is remembered; what must be decompressed is only noted ([`Source::Inflate`]).
///
/// # Errors
/// When a blob is missing or damaged, or the dialect has no word for a layer.
pub fn prepare(store: &Store, image: &StoredImage, options: &Options) -> Result<Package, ExportError> {
    let mut layers = Vec::with_capacity(image.layers.len());
    for layer in &image.layers {
        let have = Form::of(&layer.descriptor.media_type);
        let want = Form::from(options.compression);
        let keep = if options.force { have == want } else { have != Form::Plain || want == Form::Plain };
        layers.push(if keep || have == Form::Other {
            as_it_is(store, layer.diff_id, &layer.descriptor)
        } else if want == Form::Plain {
            inflated(store, layer.diff_id, &layer.descriptor)?
        } else {
            let (compression, threads) = (options.compression, options.threads);
            let descriptor = compressed(store, layer.diff_id, &layer.descriptor, compression, threads)?;
            PackedLayer { diff_id: layer.diff_id, descriptor, source: Source::Blob }
        });
    }
    let mut annotations = image.annotations.clone();
    annotations.extend(options.annotations.clone());
    for layer in &mut layers {
        layer.descriptor.media_type = options.dialect.layer_type(&layer.descriptor.media_type)?;
    }
    let descriptors: Vec<Descriptor> = layers.iter().map(|l| l.descriptor.clone()).collect();
    let mut config = image.config_descriptor.clone();
    config.media_type = options.dialect.config_type();
    let manifest = manifest(&config, &descriptors, options.dialect, &annotations)?;
    let config = Document { bytes: image.config_bytes.clone(), descriptor: config };
    Ok(Package { manifest, config, layers, platform: image.config.platform() })
}

impl Package {
    /// Puts into the store what the package only describes: inflated layers, config and manifest. A push needs that.
    ///
    /// # Errors
    /// When a blob is missing or damaged, or there is no space.
    pub fn settle(&mut self, store: &Store) -> Result<(), ExportError> {
        for layer in &mut self.layers {
            let Source::Inflate(from) = &layer.source else { continue };
            let mut blob = store.blobs().writer_for(&layer.descriptor)?;
            inflate(store, layer.diff_id, from, &mut blob)?;
            blob.commit(Some(&layer.descriptor))?;
            remember(store, layer.diff_id, &layer.descriptor, None)?;
            layer.source = Source::Blob;
        }
        store.blobs().insert(&self.config.bytes)?;
        store.blobs().insert(&self.manifest.bytes)?;
        Ok(())
    }
}

/// How a layer is compressed, whatever the level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Plain,
    Gzip,
    Zstd,
    /// Not known here: such layers stay as they are.
    Other,
}

impl Form {
    fn of(media_type: &MediaType) -> Self {
        match media_type {
            MediaType::OciLayer | MediaType::DockerLayer => Self::Plain,
            MediaType::OciLayerGzip | MediaType::DockerLayerGzip => Self::Gzip,
            MediaType::OciLayerZstd => Self::Zstd,
            _ => Self::Other,
        }
    }
}

impl From<Compression> for Form {
    fn from(compression: Compression) -> Self {
        match compression {
            Compression::None => Self::Plain,
            Compression::Gzip { .. } => Self::Gzip,
            Compression::Zstd { .. } => Self::Zstd,
        }
    }
}

fn as_it_is(store: &Store, diff_id: DiffId, descriptor: &Descriptor) -> PackedLayer {
    let elsewhere = !descriptor.urls.is_empty() && !store.blobs().contains(&descriptor.digest);
    let source = if elsewhere { Source::Elsewhere } else { Source::Blob };
    PackedLayer { diff_id, descriptor: descriptor.clone(), source }
}

/// The layer without compression. Its size is known when it was unpacked or stored plain once; else it is counted.
fn inflated(store: &Store, diff_id: DiffId, from: &Descriptor) -> Result<PackedLayer, ExportError> {
    let plain = |size, source| PackedLayer {
        diff_id,
        descriptor: Descriptor::new(MediaType::OciLayer, diff_id.0, size),
        source,
    };
    if let Some(size) = store.blobs().size(&diff_id.0) {
        return Ok(plain(size, Source::Blob));
    }
    let size = match store.layers().get(diff_id) {
        Some(layer) => layer.meta.size,
        None => inflate(store, diff_id, from, &mut io::sink())?,
    };
    Ok(plain(size, Source::Inflate(from.clone().into())))
}

/// Writes what the blob `from` decompresses to, which must be the layer; says how many bytes.
pub(super) fn inflate(
    store: &Store,
    diff_id: DiffId,
    from: &Descriptor,
    out: &mut dyn Write,
) -> Result<u64, ExportError> {
    let mut reader = Inflating::open(store, diff_id, from)?;
    pour(&mut reader, out).map_err(ExportError::from_stream)
}

/// A layer without its compression. The end is an error when it was not the layer.
pub(super) struct Inflating {
    decoder: Decoder<Verified<std::fs::File>>,
    /// Not for a blob that is the layer as it is: that is verified.
    hasher: Option<Digester>,
    ended: bool,
    diff_id: DiffId,
}

impl Inflating {
    pub(super) fn open(store: &Store, diff_id: DiffId, from: &Descriptor) -> Result<Self, ExportError> {
        let blob = Verified::open(store, from)?;
        let decoder = Decoder::detect(blob).map_err(|e| broken(diff_id, "decompressed", e))?;
        let hasher = (from.digest != diff_id.0).then(Digester::new);
        Ok(Self { decoder, hasher, ended: false, diff_id })
    }
}

impl Read for Inflating {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.ended {
            return Ok(0);
        }
        match self.decoder.read(buffer) {
            Ok(0) if !buffer.is_empty() => self.ended = true,
            Ok(read) => {
                if let Some(hasher) = &mut self.hasher {
                    hasher.update(&buffer[..read]);
                }
                return Ok(read);
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => return Err(e),
            Err(e) => return Err(io::Error::other(broken(self.diff_id, "decompressed", e))),
        }
        let Some(hasher) = self.hasher.take() else { return Ok(0) };
        let found = DiffId(hasher.finish());
        if found == self.diff_id {
            return Ok(0);
        }
        let (diff_id, found) = (self.diff_id.into(), found.into());
        Err(io::Error::other(ExportError::Layer { diff_id, found }))
    }
}

fn broken(diff_id: DiffId, action: &'static str, error: io::Error) -> ExportError {
    match error.downcast::<ExportError>() {
        Ok(ours) => ours,
        Err(source) => ExportError::Convert { diff_id: diff_id.into(), action, source },
    }
}

/// The layer as it was compressed so before, in the store. What came from elsewhere does not tell its level: it serves those
/// who take the default.
pub fn remembered(store: &Store, diff_id: DiffId, compression: Compression) -> Option<Descriptor> {
    let fits = |blob: &LayerBlob| {
        Form::of(&blob.media_type) == Form::from(compression)
            && blob.level.or(compression.default_level()) == compression.level()
    };
    let blob = store.layers().blobs_of(diff_id).into_iter().find(fits)?;
    Some(Descriptor::new(blob.media_type, blob.digest, blob.size))
}

/// The layer in the blob `from`, compressed as wanted and in the store: a form that is remembered, or a new one.
/// `threads` is how many compress.
///
/// # Errors
/// When the blob is missing or damaged, or there is no space.
pub fn compressed(
    store: &Store,
    diff_id: DiffId,
    from: &Descriptor,
    compression: Compression,
    threads: NonZeroUsize,
) -> Result<Descriptor, ExportError> {
    let known = || remembered(store, diff_id, compression);
    if let Some(known) = known() {
        return Ok(known);
    }
    let _lock = store.lock("compress", &format!("{diff_id} {compression:?}"))?;
    if let Some(known) = known() {
        return Ok(known);
    }
    let blob = store.blobs().writer()?;
    let compressing = |e| broken(diff_id, "compressed", e);
    let mut encoder = Encoder::new(blob, compression, threads).map_err(compressing)?;
    let mut reader = Inflating::open(store, diff_id, from)?;
    pour(&mut reader, &mut encoder).map_err(compressing)?;
    let info = encoder.finish().map_err(compressing)?.commit(None)?;
    let descriptor = Descriptor::new(compression.oci_media_type(), info.digest, info.size);
    remember(store, diff_id, &descriptor, compression.level())?;
    Ok(descriptor)
}

fn remember(
    store: &Store,
    diff_id: DiffId,
    descriptor: &Descriptor,
    level: Option<u8>,
) -> Result<(), ExportError> {
    let Descriptor { media_type, digest, size, .. } = descriptor.clone();
    Ok(store.layers().add_blob(diff_id, LayerBlob { digest, size, media_type, level })?)
}
