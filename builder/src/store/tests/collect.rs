use super::*;
use registry_client::config::ImageConfig;
use registry_client::platform::Platform;

/// An image of one layer, unpacked, with a compressed form; gives its manifest and its layer.
fn image(store: &Store, text: &str) -> (Descriptor, DiffId) {
    let blobs = store.blobs();
    let tar = blobs.insert(text.as_bytes()).unwrap();
    let diff_id = DiffId(tar.digest);
    let mut config = ImageConfig::empty(&Platform::new("linux", "amd64"));
    config.rootfs.diff_ids.push(diff_id);
    let config = blobs.insert(&serde_json::to_vec(&config).unwrap()).unwrap();
    let descriptor =
        |media_type: MediaType, info: BlobInfo| Descriptor::new(media_type, info.digest, info.size);
    let manifest = serde_json::json!({
        "schemaVersion": 2,
        "config": descriptor(MediaType::OciConfig, config),
        "layers": [descriptor(MediaType::OciLayer, tar)],
    });
    let manifest = blobs.insert(manifest.to_string().as_bytes()).unwrap();
    let layer = store.layers().begin(diff_id).unwrap();
    std::fs::write(layer.path().join("file"), text).unwrap();
    layer.commit(tar.size).unwrap();
    let gzip = blobs.insert(format!("compressed {text}").as_bytes()).unwrap();
    let form =
        LayerBlob { digest: gzip.digest, size: gzip.size, media_type: MediaType::OciLayerGzip, level: None };
    store.layers().add_blob(diff_id, form).unwrap();
    (descriptor(MediaType::OciManifest, manifest), diff_id)
}

#[test]
fn what_images_and_records_need_stays() {
    let (dir, store) = temporary();
    let (kept, kept_layer) = image(&store, "kept");
    let (gone, gone_layer) = image(&store, "gone");
    let index = serde_json::json!({ "schemaVersion": 2, "manifests": [kept] }).to_string();
    let index = store.blobs().insert(index.as_bytes()).unwrap();
    let index = Descriptor::new(MediaType::OciIndex, index.digest, index.size);
    store.images().tag("docker.io/library/app:kept", &index).unwrap();
    store.images().tag("docker.io/library/app:gone", &gone).unwrap();
    let key = ContentId::of(b"key");
    let cached = run_step(&store, &key, "cached");
    let lost = store.snapshots().begin().unwrap().commit(meta(ContentId::of(b"lost"))).unwrap();

    assert_eq!(store.collect(Keep::Cache).unwrap().snapshots, 1, "no record names it");
    assert!(store.snapshots().get(&lost.id).is_none());
    assert_eq!(store.collect(Keep::Cache).unwrap(), Collected::default());
    store.images().untag("docker.io/library/app:gone").unwrap();
    let collected = store.collect(Keep::Cache).unwrap();
    assert_eq!((collected.blobs, collected.layers, collected.snapshots), (4, 1, 0));
    assert!(store.layers().get(gone_layer).is_none() && store.layers().blobs_of(gone_layer).is_empty());
    assert!(store.layers().get(kept_layer).is_some());
    assert_eq!(store.layers().blobs_of(kept_layer).len(), 1);
    assert_eq!(store.blobs().list().unwrap().len(), 5, "index, manifest, config, layer, its compressed form");
    assert!(store.records().get(&key).is_some());

    assert_eq!(store.collect(Keep::Images).unwrap().snapshots, 1);
    assert!(store.records().get(&key).is_none());
    let told = store.records().described(&key).and_then(|record| record.gone);
    assert_eq!(told.map(|gone| gone.why).as_deref(), Some("the image that it was part of was removed"));
    assert!(store.records().by_content(&cached.parent, &cached.diff).is_none());
    assert!(store.layers().get(kept_layer).is_some());
    drop(store);
    assert_eq!(std::fs::read_dir(dir.path().join("store/tmp")).unwrap().count(), 0);
}

#[test]
fn a_snapshot_that_is_a_layer_of_an_image_stays_with_it() {
    let (_dir, store) = temporary();
    let (manifest, diff_id) = image(&store, "layer");
    store.layers().remove(&store.layers().get(diff_id).unwrap()).unwrap();
    let record = run_step(&store, &ContentId::of(b"key"), "layer");
    store.layers().link_snapshot(LayerMeta { diff_id, size: 5 }, record.snapshot).unwrap();
    store.images().add(&manifest, &[]).unwrap();
    assert_eq!(store.collect(Keep::Images).unwrap(), Collected::default());
    assert_eq!(store.layers().get(diff_id).unwrap().snapshot, Some(record.snapshot));
    store.images().remove(&manifest.digest).unwrap();
    let collected = store.collect(Keep::Images).unwrap();
    assert_eq!((collected.blobs, collected.layers, collected.snapshots), (4, 1, 1));
}

#[test]
fn a_store_in_use_is_left_alone() {
    let (_dir, store) = temporary();
    let other = Store::open(store.root(), XattrFlavor::Trusted).unwrap();
    store.blobs().insert(b"garbage").unwrap();
    assert!(matches!(store.collect(Keep::Cache), Err(StoreError::InUse { .. })));
    assert_eq!(store.blobs().list().unwrap().len(), 1);
    drop(other);
    assert_eq!(store.collect(Keep::Cache).unwrap().blobs, 1);
}
