//! `--offline`, `--lock` and `--locked`.

use crate::support::bases;
use crate::support::lab::as_everyone;
use crate::support::output::Build;
use crate::support::registry::Registry;
use crate::support::server::{Files, Repositories};
use crate::support::tools::{run, tool};
use std::fs;
use std::path::Path;

const TOOLS: &[&str] = &["docker-registry", "skopeo", "git", bases::TOOLS[1], bases::TOOLS[2]];

fn strings<'a>(arguments: &[&'a str], context: &'a Path) -> Vec<&'a str> {
    let mut all = arguments.to_vec();
    all.push(context.to_str().expect("the path is text"));
    all
}

as_everyone!(offline, TOOLS, |lab| {
    let registry = Registry::start(&lab.path("docker"));
    let base = registry.push_base("busybox");
    let server = Files::start();
    server.put("file", "one");
    let repositories = Repositories::start(&lab.path("served"));
    repositories.commit("app", &[("a", "1")]);
    let repository = repositories.url("app");
    let text = format!(
        "FROM {base}\nRUN echo made > /made\nADD {} /file\nADD {repository}#main /app\n",
        server.url("file")
    );
    let context = lab.dockerfile("context", &text);
    // All that is missing is named at once, and nobody was asked.
    let two = lab.dockerfile("two", &format!("FROM {base} AS a\nFROM {base}-other\nCOPY --from=a /x /x\n"));
    lab.try_build(strings(&["--offline"], &two))
        .assert_refused(1, &["nothing may be fetched (offline)", "Dockerfile:1:6", "Dockerfile:2:6"]);
    lab.try_build(strings(&["--offline"], &context)).assert_refused(1, &["Dockerfile:1:6"]);
    lab.build(strings(&["-t", "made:1"], &context));
    drop(registry);
    drop(repositories);
    drop(server);

    lab.build(strings(&["--offline"], &context)).assert_all_cached();
    // Running everything does not mean fetching everything, where nothing can be fetched.
    let again = lab.build(strings(&["--offline", "--no-cache"], &context));
    assert_eq!(again.executed()[0], "RUN echo made > /made");
    let more = lab.dockerfile("more", &format!("{text}RUN cat /file /app/a /made\n"));
    let built = lab.build(strings(&["--offline"], &more));
    assert_eq!(built.executed(), ["RUN cat /file /app/a /made"]);
    let other = lab.dockerfile("other", &format!("FROM scratch\nADD {repository}#other /app\n"));
    lab.try_build(strings(&["--offline"], &other))
        .assert_refused(1, &["nothing may be fetched (offline)", "app"]);
    lab.try_build(strings(&["--offline", "--push", "-t", "example.org/x"], &context))
        .assert_refused(2, &["--offline: the image cannot be pushed"]);
    lab.assert_nothing_left();
});

as_everyone!(lock_and_locked, TOOLS, |lab| {
    let registry = Registry::start(&lab.path("docker"));
    let base = registry.push_base("busybox");
    let server = Files::start();
    server.put("file", "one");
    let repositories = Repositories::start(&lab.path("served"));
    let first = repositories.commit("app", &[("a", "1")]);
    let text = format!(
        "FROM {base} AS one\nADD {} /file\nFROM scratch AS two\nADD {}#main /app\nFROM one\nCOPY --from=two /app /app\n\
         RUN cat /file /app/a\n",
        server.url("file"),
        repositories.url("app")
    );
    let context = lab.dockerfile("context", &text);
    lab.try_build(strings(&["--locked"], &context))
        .assert_refused(1, &["Dockerfile.lock; build --lock writes it"]);
    let said = lab.verb(strings(&["--lock"], &context));
    assert!(said.contains("Dockerfile.lock: 1 image, 1 file, 1 repository"), "{said}");
    let path = lab.path("context/Dockerfile.lock");
    let written = fs::read_to_string(&path).expect("it was written");
    let lock: serde_json::Value = serde_json::from_str(&written).expect("it is JSON");
    assert_eq!(
        lock["repositories"].as_object().and_then(|all| all.values().next()),
        Some(&first.clone().into())
    );
    lab.build(strings(&["--locked"], &context));
    let images = lab.verb(["images", "-q", base.as_str()]);
    assert_eq!(images.lines().count(), 1, "the image that the digest names has its name already: {images}");

    // The names mean something else now; the lock file does not.
    server.put("file", "two");
    repositories.commit("app", &[("a", "2")]);
    let other = registry.push_base("onbuild");
    run(tool("skopeo")
        .args(["copy", "--quiet", "--insecure-policy", "--src-tls-verify=false", "--dest-tls-verify=false"])
        .args([format!("docker://{other}:latest"), format!("docker://{base}:latest")]));
    lab.file("context/app/x", "for its trigger");
    lab.build(strings(&["--locked"], &context)).assert_all_cached();
    let fresh = lab.directory("fresh");
    let mut command = lab.command(strings(&["build", "--progress=plain", "--locked"], &context));
    let refused = crate::support::tools::output(command.env("SLIPWAY_ROOT", fresh.join("store")));
    Build::from(refused).assert_refused(1, &["and must have sha256:", "Dockerfile:2:5"]);

    assert!(lab.verb(strings(&["--lock"], &context)).contains("1 image"));
    assert_ne!(fs::read_to_string(&path).expect("it was written"), written);
    let rebuilt = lab.build(strings(&["--locked"], &context));
    assert!(rebuilt.text.contains("two2"), "{}", rebuilt.text);

    fs::write(lab.path("context/Dockerfile"), format!("{text}FROM {base}-other\n")).expect("writable");
    lab.try_build(strings(&["--locked"], &context)).assert_refused(
        1,
        &[
            "-other:latest is not in the lock file, and --locked takes nothing else",
            "help: build --lock writes",
            "Dockerfile:8:6",
        ],
    );
    fs::write(&path, "{}").expect("writable");
    lab.try_build(strings(&["--locked"], &context))
        .assert_refused(1, &["cannot use", "Dockerfile.lock", "it is no lock file"]);
    lab.try_build(["--lock", "https://example.invalid/x.git"])
        .assert_refused(1, &["a lock file stands beside the Dockerfile"]);
    lab.assert_nothing_left();
});
