use super::damaged;
use crate::{
    config::ImageConfig,
    digest::Digest,
    manifest::{ManifestBytes, ParsedManifest},
    transport::error::{ServerErrors, is_obeyed},
};
use bytes::Bytes;
use proptest::prelude::*;

const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":0,"urls":["https://example.org/x"]}],"annotations":{"a":"b"}}"#;
const INDEX: &str = r#"{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2,"platform":{"architecture":"arm","os":"linux","variant":"v7","os.features":["x"]}}]}"#;
const CONFIG: &str = r#"{"architecture":"amd64","os":"linux","config":{"Env":["A=b"],"ExposedPorts":{"80/tcp":{}},"Volumes":null,"Healthcheck":{"Interval":1}},"rootfs":{"type":"layers","diff_ids":["sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"]},"history":[{"created_by":"x","empty_layer":true}]}"#;

proptest! {
    #[test]
    fn damaged_manifests_are_refused_or_read(
        text in prop_oneof![damaged(MANIFEST), damaged(INDEX)],
        content_type in prop::sample::select(vec![None, Some("application/json"), Some(OCI_INDEX)]),
    ) {
        let bytes = Bytes::from(text.clone());
        let digest = Digest::of(&bytes);
        match ManifestBytes::new(content_type, digest, bytes.clone()) {
            Err(error) => prop_assert!(error.to_string().contains(&digest.to_string())),
            Ok(received) => {
                prop_assert_eq!(&received.bytes, &bytes, "what was received stays as it is");
                match received.parse() {
                    Err(error) => prop_assert!(error.to_string().contains(&digest.to_string())),
                    // What was understood can be written and understood again.
                    Ok(ParsedManifest::Manifest(manifest)) => {
                        let again = serde_json::to_string(&manifest).unwrap();
                        prop_assert_eq!(serde_json::from_str(&again).ok(), Some(manifest));
                    }
                    Ok(ParsedManifest::Index(index)) => {
                        let again = serde_json::to_string(&index).unwrap();
                        prop_assert_eq!(serde_json::from_str(&again).ok(), Some(index));
                    }
                }
            }
        }
    }

    #[test]
    fn damaged_configs_are_refused_or_read(text in damaged(CONFIG)) {
        if let Ok(config) = serde_json::from_str::<ImageConfig>(&text) {
            let again = serde_json::to_string(&config).unwrap();
            prop_assert_eq!(serde_json::from_str(&again).ok(), Some(config));
        }
    }

    #[test]
    fn errors_of_servers_are_one_harmless_line(text in prop_oneof![
        "(?s).{0,600}",
        damaged(r#"{"errors":[{"code":"DENIED","message":"no\u001b[2J","detail":"x"}]}"#),
    ]) {
        let shown = ServerErrors::parse(text.as_bytes()).to_string();
        prop_assert!(!shown.contains(is_obeyed), "{:?}", shown);
        prop_assert!(shown.chars().count() < 500);
    }
}
