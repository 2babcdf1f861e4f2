use super::*;
use serde_json::{Value, json};

const IN_TOTO: &str = "application/vnd.in-toto+json";

fn document(media_type: MediaType, json: &Value) -> (MediaType, Bytes) {
    (media_type, Bytes::from(json.to_string()))
}

/// A manifest of a family, with layers of these types.
fn image(family: Family, layers: &[MediaType]) -> Value {
    let layers: Vec<_> =
        layers.iter().map(|layer| Descriptor::of(layer.clone(), layer.as_str().as_bytes())).collect();
    json!({
        "schemaVersion": 2, "mediaType": family.manifest(), "config": Descriptor::of(family.config(), b"{}"),
        "layers": layers,
    })
}

fn alone(family: Family, manifest: &Value) -> Manifests {
    Manifests { children: Vec::new(), top: document(family.manifest(), manifest) }
}

fn entry((media_type, bytes): &(MediaType, Bytes), architecture: &str) -> Value {
    let mut entry = serde_json::to_value(Descriptor::of(media_type.clone(), bytes)).unwrap();
    entry["platform"] = json!({ "os": "linux", "architecture": architecture });
    entry
}

fn read(document: &(MediaType, Bytes)) -> Value {
    serde_json::from_slice(&document.1).unwrap()
}

#[test]
fn an_image_there_and_back() {
    let layers = [MediaType::OciLayer, MediaType::OciLayerGzip, MediaType::OciForeignLayerGzip];
    let oci = alone(Family::Oci, &image(Family::Oci, &layers));
    let docker = oci.converted(Family::Docker).unwrap();
    assert!(!docker.without_annotations);
    let docker = docker.manifests;
    assert_eq!(docker.top.0, MediaType::DockerManifest);
    let json = read(&docker.top);
    assert_eq!(json["mediaType"], "application/vnd.docker.distribution.manifest.v2+json");
    assert_eq!(json["config"]["mediaType"], "application/vnd.docker.container.image.v1+json");
    let types: Vec<&str> =
        json["layers"].as_array().unwrap().iter().map(|layer| layer["mediaType"].as_str().unwrap()).collect();
    assert_eq!(
        types,
        [
            "application/vnd.docker.image.rootfs.diff.tar",
            "application/vnd.docker.image.rootfs.diff.tar.gzip",
            "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
        ]
    );
    // What is named stays the same: bytes, sizes, order.
    let digests = |manifests: &Manifests| {
        let json = read(&manifests.top);
        let layers = json["layers"].as_array().unwrap().clone();
        layers.iter().chain([&json["config"]]).map(|blob| blob["digest"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(digests(&docker), digests(&oci));
    let back = docker.converted(Family::Oci).unwrap().manifests;
    assert_eq!(read(&back.top), read(&oci.top));
    assert!(matches!(oci.converted(Family::Oci), Err(ConvertError::Same { .. })));
}

#[test]
fn an_index_names_its_images_anew() {
    let child = |name: &str| {
        let mut json = image(Family::Oci, &[MediaType::OciLayerGzip]);
        json["annotations"] = json!({ "name": name });
        document(MediaType::OciManifest, &json)
    };
    let children = vec![child("one"), child("two")];
    let index = json!({
        "schemaVersion": 2, "mediaType": MediaType::OciIndex,
        "manifests": [entry(&children[0], "amd64"), entry(&children[1], "arm64")],
    });
    let oci = Manifests { children, top: document(MediaType::OciIndex, &index) };
    let Converted { manifests: docker, without_annotations } = oci.converted(Family::Docker).unwrap();
    assert!(without_annotations);
    assert_eq!(docker.top.0, MediaType::DockerManifestList);
    // Without annotations both images are the same.
    assert_eq!(docker.children[0], docker.children[1]);
    assert_eq!(
        read(&docker.top)["manifests"],
        json!([entry(&docker.children[0], "amd64"), entry(&docker.children[1], "arm64")])
    );
    assert!(
        docker
            .children
            .iter()
            .chain([&docker.top])
            .all(|(_, bytes)| { !String::from_utf8_lossy(bytes).contains("annotations") })
    );
}

#[test]
fn what_is_of_the_family_already_stays_byte_for_byte() {
    // An index of OCI that lists a manifest of Docker's, in an order of its own.
    let docker = (MediaType::DockerManifest, {
        let text = image(Family::Docker, &[MediaType::DockerLayerGzip]).to_string();
        Bytes::from(format!(" {text} "))
    });
    let index = json!({
        "schemaVersion": 2, "mediaType": MediaType::OciIndex, "manifests": [entry(&docker, "amd64")],
    });
    let mixed = Manifests { children: vec![docker.clone()], top: document(MediaType::OciIndex, &index) };
    let converted = mixed.converted(Family::Docker).unwrap().manifests;
    assert_eq!(converted.children, [docker]);
    assert_eq!(read(&converted.top)["manifests"], index["manifests"]);
    // And an index that changes only because of what it lists.
    let converted = mixed.converted(Family::Oci).unwrap().manifests;
    assert_eq!(converted.top.0, MediaType::OciIndex);
    assert_eq!(read(&converted.top)["manifests"], json!([entry(&converted.children[0], "amd64")]));
    // What the index lists and nobody has cannot be written anew.
    let alone = Manifests { children: Vec::new(), ..mixed };
    assert!(matches!(alone.converted(Family::Oci), Err(ConvertError::Absent { .. })));
}

#[test]
fn what_docker_has_no_types_for() {
    let error = |json: &Value| alone(Family::Oci, json).converted(Family::Docker).unwrap_err();
    let zstd = error(&image(Family::Oci, &[MediaType::OciLayerGzip, MediaType::OciLayerZstd]));
    let digest = Digest::of(MediaType::OciLayerZstd.as_str().as_bytes());
    assert!(zstd.to_string().starts_with(&format!("they have no type for {digest}")), "{zstd}");
    assert!(zstd.to_string().ends_with("tar+zstd; compress with gzip"), "{zstd}");
    let attestation = error(&image(Family::Oci, &[MediaType::from(IN_TOTO)]));
    assert!(attestation.to_string().ends_with("leave attestations out"), "{attestation}");
    for (field, value) in [
        ("artifactType", json!("application/vnd.example")),
        ("subject", serde_json::to_value(Descriptor::of(MediaType::OciManifest, b"x")).unwrap()),
    ] {
        let mut artifact = image(Family::Oci, &[]);
        artifact[field] = value;
        let error = error(&artifact);
        assert!(matches!(error, ConvertError::Artifact { .. }), "{error}");
    }
    // To OCI a config of another type would do, but it is no image, and its registry will say so.
    let mut chart = image(Family::Docker, &[]);
    chart["config"]["mediaType"] = json!("application/vnd.example.config");
    let error = alone(Family::Docker, &chart).converted(Family::Oci).unwrap_err();
    assert!(matches!(error, ConvertError::Artifact { .. }), "{error}");
}

#[test]
fn no_manifest() {
    let bad = Manifests { children: Vec::new(), top: (MediaType::OciManifest, Bytes::from_static(b"{}")) };
    assert!(matches!(bad.converted(Family::Docker), Err(ConvertError::Manifest(_))));
}
