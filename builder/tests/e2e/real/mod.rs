//! The four real inputs of `testdata/real/`, each built as root and unprivileged, and by buildah.

mod language;
mod node_app;
mod python_flask;
mod static_c;

use crate::support::bases;
use crate::support::image::{self, Pulled};
use crate::support::lab::{Lab, Who};
use crate::support::peer;
use crate::support::registry::Registry;
use std::env;
use std::fs;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// One real input at a time: each fills a machine of two cores, and the engines they are tried with share control groups.
static TURN: Mutex<()> = Mutex::new(());

/// One real input, ready to be built by each user in turn.
struct Input {
    name: &'static str,
    registry: Registry,
    /// Where the registry and buildah work; its user is root.
    bench: Lab,
    /// Held while it lives.
    _turn: MutexGuard<'static, ()>,
}

/// What every tree may differ in.
const ANYWHERE: [(&str, &str); 2] = [
    ("/etc/resolv.conf", "buildah leaves the file it binds for RUN in the image"),
    ("/etc/hosts", "buildah leaves the file it binds for RUN in the image"),
];

/// What every configuration may differ in.
const BUILDAHS: [(&str, &str); 3] = [
    ("/config/Hostname", "buildah stores the name of its working container"),
    ("/config/Labels/io.buildah.version", "buildah signs its images"),
    ("/config/ArgsEscaped", "BuildKit sets it with every CMD, and so do we"),
];

impl Input {
    /// Starts a registry with base images, unless this machine lacks something.
    fn prepare(name: &'static str, base_images: &[&str]) -> Option<Input> {
        let tools: Vec<&str> = ["docker-registry", "runc", "podman"]
            .into_iter()
            .chain(bases::TOOLS)
            .chain(image::TOOLS)
            .chain(peer::TOOLS)
            .collect();
        let bench = Lab::new(name, Who::Root, &tools)?;
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let registry = Registry::start(&bench.directory("registry"));
        for base in base_images {
            registry.push_base(base);
        }
        Some(Input { name, registry, bench, _turn: turn })
    }

    /// The laboratories in which the input is built.
    fn users(&self) -> impl Iterator<Item = Lab> {
        [Who::Root, Who::Unprivileged].into_iter().filter_map(|who| Lab::new(self.name, who, &[]))
    }

    /// Where `lab`'s user pushes its result.
    fn reference(&self, lab: &Lab) -> String {
        let who = if lab.who() == Who::Root { "root" } else { "unprivileged" };
        self.registry.reference(&format!("{who}/{}:latest", self.name))
    }

    /// What buildah makes of the input, with `more` arguments.
    fn peer(&self, dockerfile: Option<fn(&Path) -> std::path::PathBuf>, more: &[&str]) -> Pulled {
        let context = self.bench.real_input(self.name);
        let mut arguments = build_arguments(&self.registry, &context);
        arguments.extend(more.iter().map(|argument| (*argument).to_owned()));
        if let Some(choose) = dockerfile {
            arguments.extend(["--file".to_owned(), choose(&context).display().to_string()]);
        }
        peer::build(self.name, &context, &arguments, &self.registry, &self.bench.path("peer"))
    }

    /// Builds and pushes, sees that a second build runs nothing, and pulls the result back.
    fn build(&self, lab: &Lab, context: &Path, more: &[&str]) -> Pulled {
        let reference = self.reference(lab);
        let mut arguments = build_arguments(&self.registry, context);
        arguments.extend(["--tag".to_owned(), reference.clone(), "--push".to_owned()]);
        arguments.extend(more.iter().map(|argument| (*argument).to_owned()));
        arguments.push(context.display().to_string());

        let first = lab.build(&arguments);
        assert!(!first.executed().is_empty(), "nothing was carried out:\n{}", first.text);
        lab.build(&arguments).assert_all_cached();
        lab.assert_nothing_left();

        let pulled = Pulled::from_registry(&reference, &lab.path("pulled"));
        pulled.assert_consistent();
        pulled
    }

    /// Builds once more after an edit; exactly `expected` is carried out.
    #[track_caller]
    fn rebuild(&self, lab: &Lab, context: &Path, more: &[&str], expected: &[&str]) {
        let mut arguments = build_arguments(&self.registry, context);
        arguments.extend(more.iter().map(|argument| (*argument).to_owned()));
        arguments.push(context.display().to_string());
        let build = lab.build(&arguments);
        assert_eq!(build.executed(), expected, "{}", build.text);
    }
}

/// The build arguments that the inputs declare, taken from this machine: the registry, package indexes, proxies, and the
/// certificates that `Lab::real_input` put into the context.
fn build_arguments(registry: &Registry, context: &Path) -> Vec<String> {
    let mut arguments = vec![("REGISTRY".to_owned(), registry.name())];
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"] {
        arguments.extend(env::var(name).ok().map(|value| (name.to_owned(), value)));
    }
    let dockerfile = fs::read_to_string(context.join("Dockerfile")).expect("the input has a Dockerfile");
    for declared in dockerfile.lines().filter_map(|line| line.strip_prefix("ARG ")) {
        let certificates = matches!(declared, "PIP_CERT" | "NODE_EXTRA_CA_CERTS");
        if certificates && context.join("certificates/host.crt").exists() {
            arguments.push((declared.to_owned(), "/usr/local/share/ca-certificates/host.crt".to_owned()));
        } else if declared.starts_with("PIP_") || declared.starts_with("NPM_") {
            arguments.extend(env::var(declared).ok().map(|value| (declared.to_owned(), value)));
        }
    }
    arguments
        .into_iter()
        .flat_map(|(name, value)| ["--build-arg".to_owned(), format!("{name}={value}")])
        .collect()
}

/// Appends a line to a file of a context, made when it is not there.
fn append(context: &Path, file: &str, line: &str) {
    let path = context.join(file);
    let mut text = fs::read_to_string(&path).unwrap_or_default();
    text.push_str(line);
    text.push('\n');
    fs::write(path, text).expect("the copy is writable");
}
