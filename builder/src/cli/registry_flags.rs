//! The flags about registries, the same for every verb that asks one.

use super::failure::UsageError;
use super::remote::registry_name;
use super::spec::{SpecError, mirror};
use crate::environment::Environment;
use registry_client::configuration::MirrorAddress;
use std::path::PathBuf;

/// `--registry-mirror`, `--insecure-registry`, `--registry-ca`; they add to what the files of the machine say.
#[derive(clap::Args, Debug, Default)]
pub struct RegistryFlags {
    /// Pull from this mirror first, from the registry itself when it fails [default: of docker.io]
    #[arg(long, value_name = "[REGISTRY=]LOCATION", value_parser = mirror::parse, help_heading = "Registries")]
    pub registry_mirror: Vec<(String, MirrorAddress)>,

    /// Reach this registry with any certificate, or by plain HTTP where it has none
    #[arg(long, value_name = "HOST[:PORT]", help_heading = "Registries")]
    pub insecure_registry: Vec<String>,

    /// Trust the CA certificates of this PEM file, too
    #[arg(long, value_name = "FILE", help_heading = "Registries")]
    pub registry_ca: Vec<PathBuf>,
}

impl RegistryFlags {
    /// Whether none was given.
    pub fn is_empty(&self) -> bool {
        self.registry_mirror.is_empty() && self.insecure_registry.is_empty() && self.registry_ca.is_empty()
    }

    /// The surroundings as the flags change them.
    ///
    /// # Errors
    /// A name that is none; a file that cannot be read.
    pub fn applied(self, environment: &Environment) -> Result<Environment, UsageError> {
        let mut environment = environment.clone();
        let registries = &mut environment.registries;
        for (registry, mirror) in self.registry_mirror {
            registries.mirrors.entry(registry).or_default().push(mirror);
        }
        for name in self.insecure_registry {
            registries.insecure.insert(registry_name(&name)?);
        }
        for path in self.registry_ca {
            let read = std::fs::read(&path);
            registries.authorities.push(read.map_err(|error| UsageError::Value {
                flag: "--registry-ca",
                value: path.display().to_string(),
                why: SpecError::Unreadable(error.to_string()),
            })?);
        }
        Ok(environment)
    }
}
