use super::*;
use crate::rootfs::XattrFlavor;
use crate::store::Store;
use registry_client::config::{History, ImageConfig, RuntimeConfig};
use registry_client::descriptor::Descriptor;
use registry_client::platform::Platform;
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn layer(text: &str) -> DiffId {
    DiffId(Digest::of(text.as_bytes()))
}

fn base() -> ImageConfig {
    let mut base = ImageConfig::empty(&Platform::new("linux", "amd64"));
    base.created = Some("2020-02-02T00:00:00Z".to_owned());
    base.rootfs.diff_ids = vec![layer("base")];
    base.history = vec![
        History {
            created: Some("2020-01-01T00:00:00Z".to_owned()),
            created_by: Some("ADD rootfs.tar /".to_owned()),
            ..History::default()
        },
        History { created_by: Some("CMD [\"sh\"]".to_owned()), empty_layer: true, ..History::default() },
    ];
    base.extra.insert("container".to_owned(), "abc".into());
    base.extra.insert("vendor.thing".to_owned(), 7.into());
    base
}

fn step(created_by: &str, created: Option<u64>, diff: Option<&str>) -> Step {
    let (created, layer) = (created.map(at), diff.map(layer));
    Step { created, created_by: created_by.to_owned(), layer, ..Step::default() }
}

#[test]
fn history_and_layers_agree() {
    let changes = Changes {
        runtime: RuntimeConfig { env: Some(vec!["A=b".to_owned()]), ..RuntimeConfig::default() },
        steps: vec![
            step("ENV A=b", None, None),
            step("RUN one", Some(100), Some("one")),
            step("LABEL x=y", None, None),
            step("RUN two", Some(200), Some("two")),
            step("CMD [\"x\"]", None, None),
        ],
        ..Changes::default()
    };
    let config = assemble(&base(), &changes);
    assert_eq!(config.rootfs.diff_ids, [layer("base"), layer("one"), layer("two")]);
    let times: Vec<_> = config.history.iter().map(|h| h.created.as_deref()).collect();
    let (one, two) = (Some("1970-01-01T00:01:40Z"), Some("1970-01-01T00:03:20Z"));
    assert_eq!(times, [Some("2020-01-01T00:00:00Z"), None, one, one, one, two, two]);
    assert_eq!(config.history.iter().filter(|h| !h.empty_layer).count(), 3);
    assert_eq!(config.history[..2], base().history, "the base is left alone");
    assert_eq!(config.created.as_deref(), two);
    assert_eq!(config.config.env.as_deref(), Some(&["A=b".to_owned()][..]));
    assert!(config.extra.contains_key("vendor.thing") && !config.extra.contains_key("container"));
}

#[test]
fn the_epoch_clamps_what_was_made_now() {
    let changes = Changes {
        steps: vec![step("RUN old", Some(50), Some("old")), step("RUN new", Some(500), Some("new"))],
        created: Some(at(1_000)),
        epoch: Some(at(100)),
        ..Changes::default()
    };
    let config = assemble(&base(), &changes);
    assert_eq!(config.created.as_deref(), Some("1970-01-01T00:01:40Z"));
    assert_eq!(config.history[2].created.as_deref(), Some("1970-01-01T00:00:50Z"));
    assert_eq!(config.history[3].created.as_deref(), Some("1970-01-01T00:01:40Z"));
    assert_eq!(config.history[..2], base().history);
}

#[test]
fn an_image_without_layers_is_valid() {
    let empty = ImageConfig::empty(&Platform::new("linux", "arm64"));
    let changes = Changes { steps: vec![step("LABEL a=b", None, None)], ..Changes::default() };
    let config = assemble(&empty, &changes);
    assert!(config.rootfs.diff_ids.is_empty() && config.history[0].empty_layer);
    let json: serde_json::Value =
        serde_json::from_slice(&Document::write(MediaType::OciConfig, &config).bytes).unwrap();
    assert_eq!(json["rootfs"], serde_json::json!({ "type": "layers", "diff_ids": [] }));
    assert_eq!(json["architecture"], "arm64");
}

#[test]
fn a_careless_base_is_balanced() {
    let mut few = base();
    few.history.clear();
    let config = assemble(&few, &Changes::default());
    assert_eq!(config.history.iter().filter(|h| !h.empty_layer).count(), 1);
    let mut many = base();
    many.history[1].empty_layer = false;
    let config = assemble(&many, &Changes::default());
    assert_eq!(config.history.iter().filter(|h| !h.empty_layer).count(), 1);
    assert!(config.history[1].empty_layer);
    assert_eq!(config.created, base().created, "nothing was made");
}

#[test]
fn the_same_image_has_the_same_bytes() {
    let changes = || Changes {
        runtime: RuntimeConfig {
            labels: Some(BTreeMap::from([
                ("b".to_owned(), "2".to_owned()),
                ("a".to_owned(), "1".to_owned()),
            ])),
            ..RuntimeConfig::default()
        },
        ..Changes::default()
    };
    let bytes = || Document::write(MediaType::OciConfig, &assemble(&base(), &changes())).bytes;
    assert_eq!(bytes(), bytes());
    assert!(String::from_utf8(bytes()).unwrap().contains(r#""Labels":{"a":"1","b":"2"}"#));
}

#[test]
fn layers_have_the_types_of_the_dialect() {
    let of = |media_type: MediaType| Descriptor::of(media_type, b"x");
    let config = of(MediaType::OciConfig);
    let layers = [of(MediaType::OciLayer), of(MediaType::DockerLayerGzip)];
    let none = BTreeMap::new();
    for (dialect, types) in [
        (Dialect::Oci, [MediaType::OciLayer, MediaType::OciLayerGzip]),
        (Dialect::Docker, [MediaType::DockerLayer, MediaType::DockerLayerGzip]),
    ] {
        let document = manifest(&config, &layers, dialect, &none).unwrap();
        let read: registry_client::manifest::Manifest = serde_json::from_slice(&document.bytes).unwrap();
        assert_eq!(read.layers.iter().map(|l| l.media_type.clone()).collect::<Vec<_>>(), types);
        assert_eq!(read.config.media_type, dialect.config_type());
        assert_eq!(read.media_type, Some(dialect.manifest_type()));
        assert_eq!(document.descriptor.media_type, dialect.manifest_type());
    }
    let zstd = manifest(&config, &[of(MediaType::OciLayerZstd)], Dialect::Docker, &none);
    assert!(matches!(zstd, Err(ImageError::NoDockerType(MediaType::OciLayerZstd))));
}

#[test]
fn what_is_kept_can_be_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("store"), XattrFlavor::Trusted).unwrap();
    let none = BTreeMap::new();
    let (amd64, arm64) = (Platform::new("linux", "amd64"), Platform::new("linux", "arm64"));
    let blob = store.blobs().insert(b"tar").unwrap();
    let layers = [ImageLayer {
        diff_id: DiffId(blob.digest),
        descriptor: Descriptor::new(MediaType::OciLayer, blob.digest, blob.size),
    }];
    let changes = Changes { steps: vec![step("RUN x", Some(1), None)], ..Changes::default() };
    let mut config = assemble(&ImageConfig::empty(&amd64), &changes);
    assert!(matches!(
        keep(&store, &config, &layers, Dialect::Oci, &none),
        Err(ImageError::LayerCount { config: 0, layers: 1 })
    ));
    config.rootfs.diff_ids = vec![layer("another")];
    assert!(matches!(
        keep(&store, &config, &layers, Dialect::Oci, &none),
        Err(ImageError::Layer { at: 1, .. })
    ));
    config.rootfs.diff_ids = vec![layers[0].diff_id];
    let one = keep(&store, &config, &layers, Dialect::Oci, &none).unwrap();
    config.architecture = "arm64".to_owned();
    let two = keep(&store, &config, &layers, Dialect::Docker, &none).unwrap();
    assert_eq!(read(&store, &one.manifest, &arm64).unwrap().config, one.config, "a manifest is what it is");

    let pairs = [(one.manifest.clone(), amd64.clone()), (two.manifest.clone(), arm64.clone())];
    let both = index(&pairs, Dialect::Oci, &none);
    store.blobs().insert(&both.bytes).unwrap();
    for (platform, want) in [(&amd64, &one), (&arm64, &two)] {
        let got = read(&store, &both.descriptor, platform).unwrap();
        assert_eq!((got.id(), &got.layers, got.size()), (want.id(), &want.layers, want.size()));
        assert_eq!(got.config_bytes, want.config_bytes);
    }
    let error = read(&store, &both.descriptor, &Platform::new("linux", "s390x")).unwrap_err();
    assert!(error.to_string().contains("linux/amd64, linux/arm64"), "{error}");
    store.blobs().remove(&blob.digest).unwrap();
    assert!(matches!(keep(&store, &config, &layers, Dialect::Oci, &none), Err(ImageError::Store(_))));
}
