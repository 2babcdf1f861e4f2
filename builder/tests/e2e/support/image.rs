//! Images as other tools see them: pulled by skopeo, unpacked by umoci, run by runc or podman.

use super::listing::Listing;
use super::tools::{output, run, tool};
use serde_json::{Value, json};
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// What `Pulled::from_registry` needs.
pub(crate) const TOOLS: [&str; 2] = ["skopeo", "umoci"];

/// An image of a registry, on disk.
pub(crate) struct Pulled {
    /// The configuration document as it is stored.
    pub config: Value,
    /// The manifest as it is stored.
    pub manifest: Value,
    /// The unpacked image.
    pub tree: Listing,
    directory: PathBuf,
}

impl Pulled {
    /// Pulls `reference` into `directory`, which must not exist.
    pub(crate) fn from_registry(reference: &str, directory: &Path) -> Pulled {
        fs::create_dir(directory).expect("the directory is new");
        let remote = format!("docker://{reference}");
        run(tool("skopeo")
            .args(["copy", "--quiet", "--insecure-policy", "--src-tls-verify=false", &remote])
            .arg(format!("oci:{}:image", directory.join("layout").display())));
        Pulled::unpack(inspect(&remote, true), inspect(&remote, false), directory)
    }

    /// Takes the only image of the OCI layout in `layout`.
    pub(crate) fn from_layout(layout: &Path, tag: &str, directory: &Path) -> Pulled {
        fs::create_dir(directory).expect("the directory is new");
        let local = format!("oci:{}:{tag}", layout.display());
        run(tool("skopeo")
            .args(["copy", "--quiet", "--insecure-policy", &local])
            .arg(format!("oci:{}:image", directory.join("layout").display())));
        Pulled::unpack(inspect(&local, true), inspect(&local, false), directory)
    }

    fn unpack(config: Value, manifest: Value, directory: &Path) -> Pulled {
        run(tool("umoci")
            .args(["unpack", "--image"])
            .arg(format!("{}:image", directory.join("layout").display()))
            .arg(directory.join("bundle")));
        let tree = Listing::of(&directory.join("bundle/rootfs"));
        Pulled { config, manifest, tree, directory: directory.to_owned() }
    }

    /// A file of the unpacked image.
    pub(crate) fn file(&self, path: &str) -> PathBuf {
        self.directory.join("bundle/rootfs").join(path.trim_start_matches('/'))
    }

    /// Fails unless the configurations agree: what runs, for which platform. `allowed` are JSON pointers, with reasons.
    #[track_caller]
    pub(crate) fn assert_same_config(&self, peer: &Pulled, allowed: &[(&str, &str)]) {
        let (mut ours, mut theirs) = (effective(&self.config), effective(&peer.config));
        for (pointer, _) in allowed {
            remove(&mut ours, pointer);
            remove(&mut theirs, pointer);
        }
        let (ours, theirs) = (tidy(ours), tidy(theirs));
        assert_eq!(ours, theirs, "configurations differ: ours, then the peer's");
    }

    /// Fails unless history and layers agree with each other, as image-spec config.md asks.
    #[track_caller]
    pub(crate) fn assert_consistent(&self) {
        let count = |value: &Value| value.as_array().map_or(0, Vec::len);
        let layers = count(&self.manifest["layers"]);
        assert_eq!(count(&self.config["rootfs"]["diff_ids"]), layers, "one DiffID for each layer");
        let history = self.config["history"].as_array().expect("there is a history");
        let filled = history.iter().filter(|entry| entry["empty_layer"] != json!(true)).count();
        assert_eq!(filled, layers, "one history entry for each layer: {history:#?}");
    }

    /// Runs the image with runc, on the host's network; `command` replaces its own when there is any.
    pub(crate) fn run(&self, command: &[&str], environment: &[(&str, &str)]) -> Output {
        self.prepare(command, environment);
        output(&mut self.runc(&container_name()))
    }

    /// Starts the image with runc; it is killed when the handle is dropped.
    pub(crate) fn start(&self, environment: &[(&str, &str)]) -> Running {
        self.prepare(&[], environment);
        let name = container_name();
        let log = fs::File::create(self.directory.join("runc.log")).expect("the directory is writable");
        let child = self
            .runc(&name)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file can be opened twice"))
            .stderr(log)
            .spawn()
            .expect("runc starts");
        Running { name, state: self.directory.join("runc"), child }
    }

    fn runc(&self, name: &str) -> std::process::Command {
        let mut command = tool("runc");
        command.arg("--root").arg(self.directory.join("runc")).args(["run", "--bundle"]);
        command.arg(self.directory.join("bundle")).arg(name);
        command
    }

    /// Turns umoci's configuration into one that asks neither for a terminal nor for cgroup limits or a network.
    fn prepare(&self, command: &[&str], environment: &[(&str, &str)]) {
        let file = self.directory.join("bundle/config.json");
        let text = fs::read(&file).expect("umoci wrote a configuration");
        let mut config: Value = serde_json::from_slice(&text).expect("umoci wrote JSON");
        config["process"]["terminal"] = json!(false);
        if !command.is_empty() {
            config["process"]["args"] = json!(command);
        }
        if let Some(list) = config["process"]["env"].as_array_mut() {
            list.extend(environment.iter().map(|(name, value)| json!(format!("{name}={value}"))));
        }
        if let Some(linux) = config["linux"].as_object_mut() {
            linux.remove("resources");
        }
        if let Some(namespaces) = config["linux"]["namespaces"].as_array_mut() {
            namespaces.retain(|namespace| namespace["type"] != "network");
        }
        fs::write(&file, config.to_string()).expect("the bundle is writable");
    }
}

/// A container of runc.
pub(crate) struct Running {
    name: String,
    state: PathBuf,
    child: Child,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = tool("runc").arg("--root").arg(&self.state).args(["kill", &self.name, "KILL"]).output();
        let _ = self.child.wait();
        let _ = tool("runc").arg("--root").arg(&self.state).args(["delete", "--force", &self.name]).output();
    }
}

/// Runs an image of a registry with podman, with runc below it (crun refuses some hosts that have both versions of
/// cgroups) and limits that a container of ours may set too.
pub(crate) fn podman_run(reference: &str, directory: &Path, arguments: &[&str]) -> Output {
    output(
        tool("podman")
            .arg("--root")
            .arg(directory.join("root"))
            .arg("--runroot")
            .arg(directory.join("run"))
            .args([
                "--cgroup-manager=cgroupfs",
                "--runtime=runc",
                "run",
                "--rm",
                "--quiet",
                "--tls-verify=false",
            ])
            .args(["--network=host", "--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024"])
            .arg(reference)
            .args(arguments),
    )
}

/// An address for a server inside a container on the host's network.
pub(crate) fn free_port() -> SocketAddr {
    super::registry::free_address()
}

fn container_name() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("slipway-e2e-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

fn inspect(reference: &str, config: bool) -> Value {
    let mut command = tool("skopeo");
    command.args(["inspect", "--raw"]);
    if config {
        command.arg("--config");
    }
    if reference.starts_with("docker:") {
        command.arg("--tls-verify=false");
    }
    serde_json::from_str(&run(command.arg(reference))).expect("skopeo prints JSON")
}

/// The part of a configuration that decides what runs.
pub(crate) fn effective(config: &Value) -> Value {
    let mut chosen = json!({ "architecture": config["architecture"], "os": config["os"] });
    if let Some(fields) = config["config"].as_object() {
        chosen["config"] = fields.clone().into();
    }
    chosen
}

/// Takes empty values out of a runtime configuration: absent and empty mean the same.
pub(crate) fn tidy(mut config: Value) -> Value {
    if let Some(fields) = config["config"].as_object_mut() {
        fields.retain(|_, value| match value {
            Value::Null => false,
            Value::Bool(value) => *value,
            Value::String(text) => !text.is_empty(),
            Value::Array(items) => !items.is_empty(),
            Value::Object(items) => !items.is_empty(),
            Value::Number(_) => true,
        });
    }
    config
}

/// Takes the member at a JSON pointer away.
pub(crate) fn remove(value: &mut Value, pointer: &str) {
    let (parent, name) = pointer.rsplit_once('/').expect("a JSON pointer starts with /");
    if let Some(fields) = value.pointer_mut(parent).and_then(Value::as_object_mut) {
        fields.remove(name);
    }
}
