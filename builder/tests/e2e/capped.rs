//! A store that may hold a few megabytes.

use crate::support::bases;
use crate::support::lab::{Lab, as_everyone, entries};
use crate::support::output::Build;
use crate::support::registry::Registry;
use crate::support::tools::{both, output};
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

const TOOLS: &[&str] = &["docker-registry", "skopeo", bases::TOOLS[1], bases::TOOLS[2]];

/// What the store may hold. The base takes some three megabytes.
const LIMIT: u64 = 14 << 20;

/// Builds `context` in a store that may hold `limit`.
fn build(lab: &Lab, limit: &str, arguments: &[&str], context: &Path) -> Build {
    let mut command = lab.command(["build", "--progress=plain"]);
    let built = output(command.args(arguments).arg(context).env("SLIPWAY_MAX_STORE", limit));
    assert!(built.status.success(), "{}", both(&built));
    Build::from(built)
}

/// Bytes of everything in the store.
fn size(lab: &Lab) -> u64 {
    let text = lab.verb(["du", "--format", "json"]);
    let rows = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"));
    rows.map(|row| row["Bytes"].as_u64().expect("a row has a size")).sum()
}

as_everyone!(the_limit_is_kept, TOOLS, |lab| {
    let registry = Registry::start(&lab.path("docker"));
    let base = registry.push_base("busybox");
    let text = |number: u32| {
        format!(
            "FROM {base}\nRUN --mount=type=cache,id=c{number},target=/c head -c 500000 /dev/urandom > /c/file\n\
             RUN head -c 2000000 /dev/urandom > /file{number}; sleep 0.1\n"
        )
    };
    let kept = lab.dockerfile("kept", &text(0));
    build(lab, "14MB", &["-t", "kept:1"], &kept);
    // One that runs all the time: what it has made already is needed.
    let running = lab.dockerfile(
        "running",
        &format!(
            "FROM {base}\nRUN head -c 1000000 /dev/urandom > /own\n\
             RUN --mount=type=cache,id=go,target=/go until [ -e /go/now ]; do sleep 0.05; done\nRUN [ -s /own ]\n"
        ),
    );
    let mut command = lab.command(["build", "--progress=plain", "--output=type=cacheonly"]);
    command.arg(&running).env("SLIPWAY_MAX_STORE", "14MB").stdout(Stdio::null()).stderr(Stdio::null());
    let before = entries(&lab.store().join("mounts"));
    let mut runs = command.spawn().expect("the program starts");
    let end = Instant::now() + Duration::from_secs(30);
    let mount = loop {
        let now = entries(&lab.store().join("mounts"));
        if let Some(new) = now.into_iter().find(|name| !before.contains(name)) {
            break lab.store().join("mounts").join(new);
        }
        assert!(Instant::now() < end, "it does not come to its second step");
        std::thread::sleep(Duration::from_millis(20));
    };
    let contexts: Vec<_> = (1..7).map(|n| lab.dockerfile(&format!("context-{n}"), &text(n))).collect();
    for (number, context) in contexts.iter().enumerate() {
        let kind = if number % 2 == 0 { "type=cacheonly" } else { "type=image" };
        let built = build(lab, "14MB", &["--output", kind], context);
        assert!(!built.text.contains("warning: the store holds"), "{}", built.text);
        let size = size(lab);
        assert!(size <= LIMIT, "{size} after {number}");
    }
    fs::write(mount.join("now"), "").expect("root may write everything");
    assert!(runs.wait().expect("it is our child").success());

    // The image with a name is whole, and so is what was made last; what came first is not.
    build(lab, "14MB", &[], &kept).assert_all_cached();
    build(lab, "14MB", &["--output=type=cacheonly"], &running).assert_all_cached();
    let again = build(lab, "14MB", &["--explain", "--output=type=cacheonly"], &contexts[0]);
    assert!(again.executed().iter().any(|step| step.contains("/file1")), "{}", again.text);
    assert!(again.text.contains("room was made for newer results"), "{}", again.text);
    assert!(size(lab) <= LIMIT);
    assert!(lab.verb(["run", "kept:1", "wc", "-c", "/file0"]).contains("2000000"));
    lab.assert_nothing_left();
});

as_everyone!(a_limit_that_is_too_small_is_told, TOOLS, |lab| {
    let registry = Registry::start(&lab.path("docker"));
    let base = registry.push_base("busybox");
    let text = format!("FROM {base}\nRUN head -c 500000 /dev/zero > /a\nRUN head -c 500000 /dev/zero > /b\n");
    let context = lab.dockerfile("context", &text);
    let built = build(lab, "1MB", &[], &context);
    assert_eq!(built.text.matches("warning: the store holds").count(), 1, "{}", built.text);
    assert!(built.text.contains("SLIPWAY_MAX_STORE"), "{}", built.text);
    // A build that makes nothing does not look.
    let again = build(lab, "1MB", &[], &context);
    again.assert_all_cached();
    assert!(!again.text.contains("warning: the store holds"), "{}", again.text);
    let refused = output(lab.command(["build", "."]).env("SLIPWAY_MAX_STORE", "much"));
    assert!(both(&refused).contains("SLIPWAY_MAX_STORE=\"much\""), "{}", both(&refused));
});
