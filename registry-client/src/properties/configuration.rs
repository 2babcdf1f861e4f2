use super::damaged;
use crate::{
    configuration::{Configuration, ConfigurationFiles},
    credentials::Store,
    reference::Reference,
};
use proptest::prelude::*;
use std::fs;

const CONF: &str = r#"unqualified-search-registries = ["docker.io"]
[[registry]]
prefix = "*.example.com"
[[registry]]
prefix = "docker.io/library"
location = "mirror.example:5000/hub"
insecure = true
blocked = false
[[registry.mirror]]
location = "a.example/x"
pull-from-mirror = "digest-only"
"#;
const AUTH: &str = r#"{"auths":{"docker.io":{"auth":"dXNlcjpzM2NyM3Q="},"b":{"identitytoken":"s3cr3t"}},"credHelpers":{"c":"none"}}"#;

proptest! {
    // Files are written: fewer cases than elsewhere.
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn damaged_registries_conf_is_refused_or_read(text in damaged(CONF)) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("registries.conf");
        fs::write(&path, &text).unwrap();
        let files = ConfigurationFiles { main: vec![path.clone()], ..ConfigurationFiles::default() };
        match Configuration::read(&files) {
            Err(error) => prop_assert!(error.to_string().contains(path.to_str().unwrap()), "{}", error),
            Ok(configuration) => {
                for name in ["debian:12", "a.example.com/b:1", "localhost:5000/x"] {
                    let reference: Reference = name.parse().unwrap();
                    if let Ok(endpoints) = configuration.endpoints(&reference) {
                        // The place has what is asked for under the same tag, whatever its name there.
                        prop_assert_eq!(endpoints.own.reference.tag(), reference.tag());
                    }
                }
            }
        }
    }

    #[test]
    fn damaged_credentials_show_no_secret(text in damaged(AUTH)) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config.json");
        fs::write(&path, &text).unwrap();
        let store = Store::new(vec![path]);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        for registry in ["docker.io", "b"] {
            match runtime.block_on(store.get(registry, None)) {
                Ok(found) => {
                    let shown = format!("{found:?}");
                    prop_assert!(!shown.contains("s3cr3t"), "{}", shown);
                }
                Err(error) => {
                    let shown = format!("{error} {error:?}");
                    prop_assert!(!shown.contains("s3cr3t") && !shown.contains("dXNlcjpzM2"), "{}", shown);
                }
            }
        }
    }
}
