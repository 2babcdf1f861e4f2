use super::*;
use crate::image::{Changes, Dialect, ImageLayer, Step, StoredImage, assemble, keep};
use crate::layer::{Compression, Decoder, Encoder};
use crate::rootfs::{Root, XattrFlavor};
use crate::store::{LayerBlob, Store};
use registry_client::config::{ImageConfig, RuntimeConfig};
use registry_client::descriptor::Descriptor;
use registry_client::digest::{DiffId, Digest};
use registry_client::media_type::MediaType;
use registry_client::platform::Platform;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::num::NonZeroUsize;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

mod local;
mod tools;

pub(crate) use tools::run;

const NAME: &str = "docker.io/library/app:1";
const ONE: NonZeroUsize = NonZeroUsize::MIN;

/// A tar of files; a name that ends in `/` is a directory.
pub(crate) fn tarball(files: &[(&str, &str)]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, text) in files {
        let mut header = tar::Header::new_ustar();
        let directory = name.ends_with('/');
        header.set_entry_type(if directory { tar::EntryType::Directory } else { tar::EntryType::Regular });
        header.set_mode(if directory { 0o755 } else { 0o644 });
        header.set_size(text.len() as u64);
        header.set_mtime(1_600_000_000);
        archive.append_data(&mut header, name, text.as_bytes()).unwrap();
    }
    archive.into_inner().unwrap()
}

pub(crate) fn compress(bytes: &[u8], compression: Compression) -> Vec<u8> {
    let mut encoder = Encoder::new(Vec::new(), compression, ONE).unwrap();
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("store"), XattrFlavor::Trusted).unwrap();
    (dir, store)
}

/// An image of a base layer that came compressed and a layer that was built here.
pub(crate) fn image(store: &Store) -> StoredImage {
    image_for(store, &Platform::new("linux", "amd64"))
}

pub(crate) fn image_for(store: &Store, platform: &Platform) -> StoredImage {
    let base = tarball(&[("etc/", ""), ("etc/os-release", "ID=base\n")]);
    let top = tarball(&[("app/", ""), ("app/hello", &"hello ".repeat(1000))]);
    let gzip = store.blobs().insert(&compress(&base, Compression::Gzip { level: 9 })).unwrap();
    let plain = store.blobs().insert(&top).unwrap();
    let layers = [
        ImageLayer {
            diff_id: DiffId(Digest::of(&base)),
            descriptor: Descriptor::new(MediaType::DockerLayerGzip, gzip.digest, gzip.size),
        },
        ImageLayer {
            diff_id: DiffId(plain.digest),
            descriptor: Descriptor::new(MediaType::OciLayer, plain.digest, plain.size),
        },
    ];
    let step = |created_by: &str, diff_id| Step {
        created: Some(UNIX_EPOCH + Duration::from_secs(1_600_000_000)),
        created_by: created_by.to_owned(),
        layer: Some(diff_id),
        ..Step::default()
    };
    let changes = Changes {
        runtime: RuntimeConfig { cmd: Some(vec!["/app/hello".to_owned()]), ..RuntimeConfig::default() },
        steps: vec![step("ADD base /", layers[0].diff_id), step("COPY app /", layers[1].diff_id)],
        ..Changes::default()
    };
    let config = assemble(&ImageConfig::empty(platform), &changes);
    keep(store, &config, &layers, Dialect::Oci, &BTreeMap::new()).unwrap()
}

fn options(compression: Compression, force: bool) -> Options {
    Options { dialect: Dialect::Oci, compression, force, annotations: BTreeMap::new(), threads: ONE }
}

const GZIP: Compression = Compression::Gzip { level: Compression::GZIP_LEVEL };
const ZSTD: Compression = Compression::Zstd { level: Compression::ZSTD_LEVEL };

pub(crate) fn bundle(store: &Store, image: &StoredImage, compression: Compression, force: bool) -> Bundle {
    let package = prepare(store, image, &options(compression, force)).unwrap();
    Bundle::single(vec![NAME.to_owned()], package)
}

/// Names and bytes of the files of an archive; every header is checked to tell nothing of this machine.
fn listing(archive: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in tar::Archive::new(archive).entries().unwrap() {
        let mut entry = entry.unwrap();
        let header = entry.header().clone();
        assert_eq!((header.mtime().unwrap(), header.uid().unwrap(), header.gid().unwrap()), (0, 0, 0));
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        files.push((entry.path().unwrap().to_str().unwrap().to_owned(), bytes));
    }
    files
}

#[test]
fn layers_take_the_form_that_is_wanted() {
    let (_dir, store) = store();
    let image = image(&store);
    let types = |compression, force| -> Vec<MediaType> {
        let package = prepare(&store, &image, &options(compression, force)).unwrap();
        package.layers.iter().map(|l| l.descriptor.media_type.clone()).collect()
    };
    use MediaType::{OciLayer, OciLayerGzip, OciLayerZstd};
    assert_eq!(types(GZIP, false), [OciLayerGzip, OciLayerGzip]);
    assert_eq!(types(ZSTD, false), [OciLayerGzip, OciLayerZstd], "what is compressed stays");
    assert_eq!(types(ZSTD, true), [OciLayerZstd, OciLayerZstd]);
    assert_eq!(types(Compression::None, false), [OciLayerGzip, OciLayer]);
    assert_eq!(types(Compression::None, true), [OciLayer, OciLayer]);

    let docker = Options { dialect: Dialect::Docker, ..options(GZIP, true) };
    let package = prepare(&store, &image, &docker).unwrap();
    assert!(package.layers.iter().all(|l| l.descriptor.media_type == MediaType::DockerLayerGzip));
    assert_eq!(package.config.descriptor.digest, image.id(), "the image id is the same in every form");
    let zstd = prepare(&store, &image, &Options { dialect: Dialect::Docker, ..options(ZSTD, true) });
    assert!(zstd.unwrap_err().to_string().contains("oci-mediatypes=true"));
}

#[test]
fn a_layer_is_compressed_once() {
    let (_dir, store) = store();
    let image = image(&store);
    let first = prepare(&store, &image, &options(GZIP, false)).unwrap();
    let top = image.layers[1].diff_id;
    let [known] = &store.layers().blobs_of(top)[..] else { panic!("one form is remembered") };
    assert_eq!(known.digest, first.layers[1].descriptor.digest);
    // Without its source it can only come from memory.
    store.blobs().remove(&top.0).unwrap();
    assert_eq!(prepare(&store, &image, &options(GZIP, false)).unwrap().manifest, first.manifest);
    let other_level = prepare(&store, &image, &options(Compression::Gzip { level: 1 }, false));
    assert!(
        matches!(other_level, Err(ExportError::Store(_))),
        "a level that was asked for is not another one"
    );
}

#[test]
fn what_came_compressed_serves_the_default_level() {
    let (_dir, store) = store();
    let image = image(&store);
    let layer = &image.layers[0];
    let zstd =
        compress(&tarball(&[("etc/", ""), ("etc/os-release", "ID=base\n")]), Compression::Zstd { level: 9 });
    let blob = store.blobs().insert(&zstd).unwrap();
    let form =
        LayerBlob { digest: blob.digest, size: blob.size, media_type: MediaType::OciLayerZstd, level: None };
    store.layers().add_blob(layer.diff_id, form).unwrap();
    let package = prepare(&store, &image, &options(ZSTD, true)).unwrap();
    assert_eq!(package.layers[0].descriptor.digest, blob.digest);
}

#[test]
fn a_settled_package_is_all_in_the_store() {
    let (_dir, store) = store();
    let image = image(&store);
    let mut package = prepare(&store, &image, &options(Compression::None, true)).unwrap();
    assert!(matches!(package.layers[0].source, Source::Inflate(_)));
    package.settle(&store).unwrap();
    assert!(package.layers.iter().all(|l| l.source == Source::Blob));
    for layer in &package.layers {
        assert_eq!(layer.descriptor.digest, layer.diff_id.0);
        assert_eq!(store.blobs().size(&layer.descriptor.digest), Some(layer.descriptor.size));
    }
    assert!(store.blobs().contains(&package.manifest.descriptor.digest));
}

#[test]
fn archives_are_the_same_every_time() {
    let (_dir, store) = store();
    let image = image(&store);
    let oci = || {
        let mut out = Vec::new();
        oci_archive(&store, &bundle(&store, &image, GZIP, false), &mut out).unwrap();
        out
    };
    let docker = || {
        let mut out = Vec::new();
        docker_archive(&store, &[bundle(&store, &image, Compression::None, true)], &mut out).unwrap();
        out
    };
    assert_eq!(oci(), oci());
    assert_eq!(docker(), docker());
    let names: Vec<String> = listing(&docker()).into_iter().map(|(name, _)| name).collect();
    let mut sorted = names.clone();
    sorted.sort();
    assert_eq!(names, sorted);
    for name in ["blobs/", "blobs/sha256/", "index.json", "manifest.json", "oci-layout", "repositories"] {
        assert!(names.iter().any(|n| n == name), "{name} is missing in {names:?}");
    }
}

#[test]
fn a_docker_archive_has_plain_layers_and_short_names() {
    let (_dir, store) = store();
    let image = image(&store);
    let mut out = Vec::new();
    let mut bundle = bundle(&store, &image, Compression::None, true);
    bundle.names.push(format!("example.com:5000/team/app@{}", image.manifest.digest));
    bundle.names.push("example.com:5000/team/app:x".to_owned());
    docker_archive(&store, &[bundle], &mut out).unwrap();
    let files: BTreeMap<_, _> = listing(&out).into_iter().collect();
    let manifest: serde_json::Value = serde_json::from_slice(&files["manifest.json"]).unwrap();
    let top = image.layers[1].diff_id.0.hex();
    assert_eq!(
        manifest,
        serde_json::json!([{
            "Config": format!("blobs/sha256/{}", image.id().hex()),
            "RepoTags": ["app:1", "example.com:5000/team/app:x"],
            "Layers": [
                format!("blobs/sha256/{}", image.layers[0].diff_id.0.hex()),
                format!("blobs/sha256/{top}"),
            ],
        }])
    );
    let repositories: serde_json::Value = serde_json::from_slice(&files["repositories"]).unwrap();
    let wanted = serde_json::json!({ "app": { "1": top }, "example.com:5000/team/app": { "x": top } });
    assert_eq!(repositories, wanted);
    for (name, bytes) in &files {
        if let Some(hex) = name.strip_prefix("blobs/sha256/").filter(|hex| !hex.is_empty()) {
            assert_eq!(Digest::of(bytes).hex(), hex);
        }
    }
}

#[test]
fn several_platforms_make_an_index() {
    let (_dir, store) = store();
    let packages: Vec<Package> = ["amd64", "arm64"]
        .map(|architecture| image_for(&store, &Platform::new("linux", architecture)))
        .iter()
        .map(|image| prepare(&store, image, &options(GZIP, false)).unwrap())
        .collect();
    let bundle = Bundle::several(vec![NAME.to_owned()], packages, Dialect::Oci, &BTreeMap::new());
    let mut docker = Vec::new();
    docker_archive(&store, std::slice::from_ref(&bundle), &mut docker).unwrap();
    let files: BTreeMap<_, _> = listing(&docker).into_iter().collect();
    let manifest: serde_json::Value = serde_json::from_slice(&files["manifest.json"]).unwrap();
    let config = &files[manifest[0]["Config"].as_str().unwrap()];
    let config: ImageConfig = serde_json::from_slice(config).unwrap();
    assert_eq!((manifest.as_array().unwrap().len(), config.platform()), (1, Platform::host()));
    let mut out = Vec::new();
    oci_archive(&store, &bundle, &mut out).unwrap();
    let files: BTreeMap<_, _> = listing(&out).into_iter().collect();
    let index: serde_json::Value = serde_json::from_slice(&files["index.json"]).unwrap();
    assert_eq!(index["manifests"].as_array().unwrap().len(), 1);
    let digest = index["manifests"][0]["digest"].as_str().unwrap().replace(':', "/");
    let index: serde_json::Value = serde_json::from_slice(&files[&format!("blobs/{digest}")]).unwrap();
    assert_eq!(
        index["manifests"][1]["platform"],
        serde_json::json!({ "architecture": "arm64", "os": "linux" })
    );
}

#[test]
fn a_damaged_blob_fails_the_export() {
    let (dir, maker) = store();
    let image = image(&maker);
    drop(maker);
    // Another process: the one that made a blob takes its own word for it.
    let store = Store::open(&dir.path().join("store"), XattrFlavor::Trusted).unwrap();
    let top = image.layers[1].diff_id.0;
    let path = store.blobs().path(&top);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[700] ^= 1;
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, &bytes).unwrap();
    let error = docker_archive(&store, &[bundle(&store, &image, Compression::None, true)], &mut Vec::new());
    assert!(matches!(error, Err(ExportError::Store(crate::store::StoreError::Damaged { .. }))), "{error:?}");
    assert!(!store.blobs().contains(&top), "it can come again");
}

#[test]
fn a_blob_of_another_layer_fails_the_export() {
    let (_dir, store) = store();
    let mut image = image(&store);
    let other = compress(&tarball(&[("other", "x")]), GZIP);
    let blob = store.blobs().insert(&other).unwrap();
    image.layers[0].descriptor = Descriptor::new(MediaType::OciLayerGzip, blob.digest, blob.size);
    let error = prepare(&store, &image, &options(Compression::None, true)).unwrap_err();
    assert!(matches!(error, ExportError::Layer { .. }), "{error}");
    let error = prepare(&store, &image, &options(ZSTD, true)).unwrap_err();
    assert!(matches!(error, ExportError::Layer { .. }), "{error}");
    assert!(store.layers().blobs_of(image.layers[0].diff_id).is_empty());
}

#[test]
fn a_layer_that_is_elsewhere_stays_there() {
    let (_dir, store) = store();
    let mut image = image(&store);
    let gone = image.layers[0].descriptor.digest;
    image.layers[0].descriptor.urls = vec!["https://example.com/layer".to_owned()];
    store.blobs().remove(&gone).unwrap();
    let package = prepare(&store, &image, &options(GZIP, false)).unwrap();
    assert_eq!(package.layers[0].source, Source::Elsewhere);
    let bundle = Bundle::single(Vec::new(), package);
    let mut out = Vec::new();
    oci_archive(&store, &bundle, &mut out).unwrap();
    assert!(!listing(&out).iter().any(|(name, _)| name.ends_with(&gone.hex())));
    assert!(docker_archive(&store, &[bundle], &mut Vec::new()).is_err());
}

#[test]
fn a_layout_directory_gathers_images() {
    let (dir, store) = store();
    let layout = dir.path().join("layout");
    let image = image(&store);
    let names = || -> Vec<(String, String)> {
        let text = std::fs::read(layout.join("index.json")).unwrap();
        let index: registry_client::manifest::Index = serde_json::from_slice(&text).unwrap();
        let tag = |d: &Descriptor| d.annotations["org.opencontainers.image.ref.name"].clone();
        index.manifests.iter().map(|d| (tag(d), d.digest.short())).collect()
    };
    let mut gzip = bundle(&store, &image, GZIP, false);
    oci_directory(&store, &gzip, &layout).unwrap();
    let first = gzip.packages[0].manifest.descriptor.digest.short();
    assert_eq!(names(), [("1".to_owned(), first.clone())]);
    gzip.names = vec!["docker.io/library/app:2".to_owned()];
    oci_directory(&store, &gzip, &layout).unwrap();
    let zstd = bundle(&store, &image, ZSTD, true);
    oci_directory(&store, &zstd, &layout).unwrap();
    let second = zstd.packages[0].manifest.descriptor.digest.short();
    assert_eq!(names(), [("2".to_owned(), first), ("1".to_owned(), second)]);
}

#[test]
fn a_file_appears_whole_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out.tar");
    std::fs::write(&path, "before").unwrap();
    let failed = write_file(&path, |out| {
        out.write_all(b"half").unwrap();
        Err(ExportError::MergedArchive)
    });
    assert!(matches!(failed, Err(ExportError::MergedArchive)));
    assert_eq!(std::fs::read(&path).unwrap(), b"before");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    write_file(&path, |out| out.write_all(b"after").map_err(ExportError::Stream)).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"after");
    write_file(Path::new("/dev/null"), |out| out.write_all(b"x").map_err(ExportError::Stream)).unwrap();
    assert!(write_file(dir.path(), |_| Ok(())).is_err());
    let full = write_file(Path::new("/dev/full"), |out| out.write_all(b"x").map_err(ExportError::Stream));
    assert!(matches!(full, Err(ExportError::File { path, .. }) if path == Path::new("/dev/full")));
}

#[test]
fn a_tree_becomes_an_archive() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("etc")).unwrap();
    std::fs::write(dir.path().join("etc/passwd"), "root").unwrap();
    let root = Root::open(dir.path()).unwrap();
    let mut out = Vec::new();
    tree_archive(&[NamedTree { directory: None, root }], XattrFlavor::Trusted, Some(UNIX_EPOCH), &mut out)
        .unwrap();
    let mut archive = tar::Archive::new(&out[..]);
    let entries: Vec<(String, u64)> = archive
        .entries()
        .unwrap()
        .map(|e| e.unwrap())
        .map(|e| (e.path().unwrap().to_str().unwrap().to_owned(), e.header().mtime().unwrap()))
        .collect();
    assert_eq!(entries, [("etc/".to_owned(), 0), ("etc/passwd".to_owned(), 0)]);
    assert!(Decoder::detect(&out[..]).unwrap().compression() == Compression::None);
}
