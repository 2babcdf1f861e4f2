//! The registry client of this process, from its surroundings.

use crate::environment::Environment;
use registry_client::client::{Client, ClientOptions};
use registry_client::credentials;

/// A client that finds credentials where Docker and the containers tools keep them. Cheap: nothing is read or connected
/// before the first request.
pub fn client(environment: &Environment) -> Client {
    let docker = environment.docker_config.as_ref().map(|directory| directory.join("config.json"));
    let read = docker.iter().chain(&environment.auth_files).cloned().collect();
    let helper_directories =
        environment.path.as_ref().map(|path| std::env::split_paths(path).collect()).unwrap_or_default();
    let credentials =
        credentials::Store { read, write: docker, helper_directories, ..credentials::Store::default() };
    Client::new(ClientOptions {
        user_agent: concat!("slipway/", env!("CARGO_PKG_VERSION")).to_owned(),
        credentials,
        ..ClientOptions::default()
    })
}
