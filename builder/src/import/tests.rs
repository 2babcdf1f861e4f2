use super::*;
use crate::export::tests::{bundle, compress, image, image_for, store, tarball};
use crate::export::{Bundle, Options, docker_archive, oci_archive, oci_directory, prepare};
use crate::image::Dialect;
use crate::layer::Compression;
use registry_client::platform::Platform;
use std::collections::BTreeMap;
use std::num::NonZeroUsize;

const GZIP: Compression = Compression::Gzip { level: Compression::GZIP_LEVEL };
const NAME: &str = "docker.io/library/app:1";

/// An archive of files and links; a text that begins with `->` is the target of a symbolic link.
fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        if let Some(target) = bytes.strip_prefix(b"->") {
            header.set_entry_type(tar::EntryType::Symlink);
            header.set_size(0);
            archive.append_link(&mut header, name, std::str::from_utf8(target).unwrap()).unwrap();
        } else {
            header.set_size(bytes.len() as u64);
            archive.append_data(&mut header, name, *bytes).unwrap();
        }
    }
    archive.into_inner().unwrap()
}

/// Of the archives in this test's own format: a config for layers with these tars.
fn config(layers: &[&[u8]]) -> Vec<u8> {
    let ids: Vec<String> = layers.iter().map(|l| Digest::of(l).to_string()).collect();
    let rootfs = serde_json::json!({ "type": "layers", "diff_ids": ids });
    // Not the bytes that we would write: they must stay as they are.
    format!("{{\n \"os\": \"linux\", \"architecture\": \"amd64\", \"rootfs\": {rootfs}, \"strange\": [1] }}")
        .into()
}

fn refused(files: &[(&str, &[u8])]) -> String {
    let (_dir, store) = store();
    let error = load_archive(&store, &archive(files)[..]).unwrap_err();
    assert!(store.images().list().unwrap().is_empty());
    error.to_string()
}

#[test]
fn what_was_saved_is_loaded_again() {
    let (dir, from) = store();
    let image = image(&from);
    let mut oci = Vec::new();
    oci_archive(&from, &bundle(&from, &image, GZIP, false), &mut oci).unwrap();
    let mut docker = Vec::new();
    docker_archive(&from, &[bundle(&from, &image, Compression::None, true)], &mut docker).unwrap();
    let layout = dir.path().join("layout");
    oci_directory(&from, &bundle(&from, &image, GZIP, true), &layout).unwrap();
    let gzipped = compress(&docker, GZIP);

    let check = |store: &Store, loaded: Vec<Loaded>| {
        let [one] = &loaded[..] else { panic!("one image: {loaded:?}") };
        assert_eq!(one.names, [NAME]);
        assert_eq!(one.id, image.id());
        assert_eq!(store.images().by_name(NAME).unwrap().unwrap(), one.descriptor);
        let read = crate::image::read(store, &one.descriptor, &image.config.platform()).unwrap();
        assert_eq!(read.config_bytes, image.config_bytes);
        for layer in &read.layers {
            store.blobs().copy_to(&layer.descriptor.digest, &mut io::sink()).unwrap();
        }
    };
    for bytes in [&oci, &docker, &gzipped] {
        let (_dir, to) = store();
        check(&to, load_archive(&to, &bytes[..]).unwrap());
        check(&to, load_archive(&to, &bytes[..]).unwrap());
    }
    let (_dir, to) = store();
    check(&to, load_path(&to, &layout).unwrap());
}

#[test]
fn an_old_docker_archive() {
    let (_dir, store) = store();
    let (one, two) = (tarball(&[("a", "1")]), tarball(&[("b", "2")]));
    let config = config(&[&one, &two, &one]);
    let manifest = serde_json::json!([{
        "Config": "abc.json",
        "RepoTags": ["app:1", "localhost:5000/team/app:x"],
        "Layers": ["111/layer.tar", "222/layer.tar", "333/layer.tar"],
    }])
    .to_string();
    let gzip = compress(&two, GZIP);
    let bytes = archive(&[
        ("./111/VERSION", b"1.0"),
        ("./111/json", b"{}"),
        ("./111/layer.tar", &one),
        ("./222/layer.tar", &gzip),
        ("./333/layer.tar", b"->../111/layer.tar"),
        ("./abc.json", &config),
        ("./manifest.json", manifest.as_bytes()),
        ("./repositories", b"{}"),
    ]);
    let loaded = load_archive(&store, &bytes[..]).unwrap();
    assert_eq!(loaded[0].names, [NAME, "localhost:5000/team/app:x"]);
    assert_eq!(loaded[0].id, Digest::of(&config), "the config stays as it is, byte for byte");
    let image = crate::image::read(&store, &loaded[0].descriptor, &Platform::new("linux", "amd64")).unwrap();
    let types: Vec<_> = image.layers.iter().map(|l| l.descriptor.media_type.clone()).collect();
    assert_eq!(types, [MediaType::OciLayer, MediaType::OciLayerGzip, MediaType::OciLayer]);
    // Two layers, config, manifest; what nobody names is not kept.
    assert_eq!(store.blobs().list().unwrap().len(), 4);
    let error = archive(&[("manifest.json", b"[]")]);
    assert!(load_archive(&store, &error[..]).unwrap().is_empty());
}

#[test]
fn hostile_archives_are_refused() {
    let layer = tarball(&[("a", "1")]);
    let other = tarball(&[("a", "2")]);
    let config = config(&[&layer]);
    let manifest = |config: &str, layers: &[&str]| {
        serde_json::json!([{ "Config": config, "RepoTags": ["app:1"], "Layers": layers }]).to_string()
    };
    let good = manifest("c.json", &["l.tar"]);
    for (files, want) in [
        (vec![("hello", &b"x"[..])], "this holds no image"),
        (vec![("manifest.json", &b"null"[..])], "manifest.json cannot be understood"),
        (vec![("manifest.json", good.as_bytes())], "c.json is missing, which manifest.json names"),
        (vec![("manifest.json", good.as_bytes()), ("c.json", &config)], "l.tar is missing"),
        (vec![("manifest.json", good.as_bytes()), ("c.json", b"[]")], "c.json cannot be understood"),
        (
            vec![("manifest.json", good.as_bytes()), ("c.json", &config), ("l.tar", &other)],
            "l.tar unpacks to sha256:",
        ),
        (
            vec![("manifest.json", good.as_bytes()), ("c.json", &config), ("l.tar", &compress(&other, GZIP))],
            "l.tar unpacks to sha256:",
        ),
        (
            vec![("manifest.json", good.as_bytes()), ("c.json", &config), ("l.tar", b"->/etc/passwd")],
            "l.tar is missing",
        ),
        (
            vec![("manifest.json", good.as_bytes()), ("c.json", &config), ("l.tar", b"->l.tar")],
            "l.tar is missing",
        ),
        (vec![("manifest.json", manifest("/etc/hostname", &[]).as_bytes())], "/etc/hostname is missing"),
        (
            vec![("manifest.json", manifest("../../etc/hostname", &[]).as_bytes())],
            "../../etc/hostname is missing",
        ),
        (
            vec![("manifest.json", manifest("c.json", &[]).as_bytes()), ("c.json", &config)],
            "the config names 1 layers, there are 0",
        ),
        (
            vec![(
                "blobs/sha256/0000000000000000000000000000000000000000000000000000000000000000",
                &b"x"[..],
            )],
            "is damaged: its bytes have digest",
        ),
    ] {
        let error = refused(&files);
        assert!(error.contains(want), "{error}, not {want}");
    }
    let huge = vec![b' '; usize::try_from(DOCUMENT).unwrap() + 1];
    assert!(refused(&[("index.json", &huge)]).contains("at most"));
    let (_dir, store) = store();
    let error = load_archive(&store, &b"this is no archive, although it is long enough".repeat(20)[..]);
    assert!(matches!(error, Err(ImportError::Read(_))), "{error:?}");
    let whole = archive(&[("manifest.json", good.as_bytes()), ("c.json", &config), ("l.tar", &layer)]);
    for cut in [100, 600, 1100, whole.len() - 1500] {
        assert!(load_archive(&store, &whole[..cut]).is_err(), "cut at {cut}");
        assert!(store.images().list().unwrap().is_empty(), "cut at {cut}");
    }
    let bad_name = manifest("c.json", &["l.tar"]).replace("app:1", "UPPER CASE");
    let files = [("manifest.json", bad_name.as_bytes()), ("c.json", &config[..]), ("l.tar", &layer[..])];
    assert!(matches!(load_archive(&store, &archive(&files)[..]), Err(ImportError::Reference(_))));
}

#[test]
fn hostile_layouts_are_refused() {
    let index = |manifest: &[u8], media_type: &str| {
        serde_json::json!({ "schemaVersion": 2, "manifests": [{
            "mediaType": media_type, "digest": Digest::of(manifest), "size": manifest.len(),
        }] })
        .to_string()
    };
    let path = |bytes: &[u8]| format!("blobs/sha256/{}", Digest::of(bytes).hex());
    let manifest = serde_json::json!({
        "schemaVersion": 2,
        "config": { "mediaType": MediaType::OciConfig, "digest": Digest::of(b"{}"), "size": 2 },
        "layers": [],
    })
    .to_string();
    let manifest = manifest.as_bytes();
    let oci = MediaType::OciManifest.as_str();
    let listed = index(manifest, oci);
    assert!(refused(&[("index.json", listed.as_bytes())]).contains("is missing, which index.json names"));
    let error = refused(&[("index.json", listed.as_bytes()), (&path(manifest), manifest)]);
    assert!(
        error.contains(&format!("{} is missing, which {} names", path(b"{}"), path(manifest))),
        "{error}"
    );
    let error =
        refused(&[("index.json", index(manifest, "text/plain").as_bytes()), (&path(manifest), manifest)]);
    assert!(error.contains("has media type text/plain"), "{error}");
    // A descriptor that lies about the size.
    let short = listed.replace(&format!("\"size\":{}", manifest.len()), "\"size\":3");
    assert_ne!(short, listed);
    let error = refused(&[("index.json", short.as_bytes()), (&path(manifest), manifest)]);
    assert!(error.contains("is damaged"), "{error}");
    // An index whose every platform is missing.
    let inner = index(b"absent", oci);
    let outer = index(inner.as_bytes(), MediaType::OciIndex.as_str());
    let error = refused(&[("index.json", outer.as_bytes()), (&path(inner.as_bytes()), inner.as_bytes())]);
    assert!(error.contains("is missing"), "{error}");
    // Indexes in indexes.
    let mut files: Vec<(String, Vec<u8>)> = Vec::new();
    let mut document = index(b"absent", oci);
    for _ in 0..10 {
        files.push((path(document.as_bytes()), document.clone().into()));
        document = index(document.as_bytes(), MediaType::OciIndex.as_str());
    }
    files.push(("index.json".to_owned(), document.into()));
    let files: Vec<(&str, &[u8])> = files.iter().map(|(n, b)| (n.as_str(), b.as_slice())).collect();
    let error = refused(&files);
    assert!(error.contains("nested too deep"), "{error}");
}

#[test]
fn links_do_not_lead_out_of_a_layout() {
    let (dir, store) = store();
    let layout = dir.path().join("layout");
    std::fs::create_dir(&layout).unwrap();
    std::fs::write(dir.path().join("secret.json"), "[]").unwrap();
    std::os::unix::fs::symlink("../secret.json", layout.join("manifest.json")).unwrap();
    assert!(matches!(load_directory(&store, &layout), Err(ImportError::NoImages)));
    std::fs::create_dir(layout.join("index.json")).unwrap();
    assert!(matches!(load_directory(&store, &layout), Err(ImportError::Open { .. })));
}

#[test]
fn an_archive_may_hold_some_of_the_platforms() {
    let (dir, from) = store();
    let options = Options {
        dialect: Dialect::Oci,
        compression: GZIP,
        force: false,
        annotations: BTreeMap::new(),
        threads: NonZeroUsize::MIN,
    };
    let (amd64, arm64) = (Platform::new("linux", "amd64"), Platform::new("linux", "arm64"));
    let packages: Vec<_> =
        [&amd64, &arm64].iter().map(|p| prepare(&from, &image_for(&from, p), &options).unwrap()).collect();
    let missing = packages[0].manifest.descriptor.digest;
    let both = Bundle::several(vec![NAME.to_owned()], packages, Dialect::Oci, &BTreeMap::new());
    let layout = dir.path().join("layout");
    oci_directory(&from, &both, &layout).unwrap();
    std::fs::remove_file(layout.join("blobs/sha256").join(missing.hex())).unwrap();

    let (_dir, to) = store();
    let loaded = load_path(&to, &layout).unwrap();
    assert_eq!((&loaded[0].names[..], loaded[0].id), (&[NAME.to_owned()][..], loaded[0].descriptor.digest));
    let got = crate::image::read(&to, &loaded[0].descriptor, &arm64).unwrap();
    assert_eq!(got.config.architecture, "arm64");
    assert!(crate::image::read(&to, &loaded[0].descriptor, &amd64).is_err());
}

#[test]
fn archives_of_other_tools_are_loaded() {
    let (dir, from) = store();
    let image = image(&from);
    from.images().tag(NAME, &image.manifest).unwrap();
    let source = format!("oci:{}:{NAME}", from.root().display());
    for kind in ["docker-archive", "oci-archive"] {
        let path = dir.path().join(kind);
        let target = format!("{kind}:{}:{NAME}", path.display());
        let arguments = ["copy", "--quiet", &source, &target];
        if crate::export::tests::run("skopeo", &arguments).is_none() {
            return;
        }
        let (_dir, to) = store();
        let loaded = load_path(&to, &path).unwrap();
        assert_eq!(loaded[0].names, [NAME], "{kind}");
        assert_eq!(loaded[0].id, image.id(), "{kind}");
    }
}
