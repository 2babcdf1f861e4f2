//! Mirrors and blocked names: what the machine and the command line say about registries.

use crate::support::bases;
use crate::support::lab::as_everyone;
use crate::support::registry::{Registry, free_address};
use crate::support::tools::{run, tool};
use std::path::Path;

const TOOLS: &[&str] = &["docker-registry", "skopeo", bases::TOOLS[1], bases::TOOLS[2]];

as_everyone!(mirrors, TOOLS, |lab| {
    let registry = Registry::start(&lab.path("docker"));
    run(tool("skopeo")
        .args(["copy", "--quiet", "--insecure-policy", "--dest-tls-verify=false"])
        .arg(format!("dir:{}", bases::base("busybox").display()))
        .arg(format!("docker://{}", registry.reference("hub/library/tools:1"))));
    let context = lab.dockerfile("context", "FROM tools:1\nRUN echo from the mirror\n");
    let nobody = free_address();

    // The first mirror is not there; the second is, and serves what docker.io is asked for.
    let built = lab.build([
        "--no-cache",
        "--registry-mirror",
        &format!("http://{nobody}"),
        "--registry-mirror",
        &format!("http://{}/hub", registry.name()),
        context.to_str().expect("the path is text"),
    ]);
    assert!(built.text.contains("this mirror was of no use"), "{}", built.text);

    // The same by a file, for a registry that does not exist.
    let conf = lab.file(
        "registries.conf",
        format!(
            "[[registry]]\nprefix = 'images.example'\nlocation = '{nobody}'\n[[registry.mirror]]\nlocation = '{}/hub'\n\
             [[registry]]\nprefix = 'images.example/secret'\nlocation = 'images.example/secret'\nblocked = true\n",
            registry.name()
        ),
    );
    let with_conf = |arguments: &[&Path]| {
        let mut command = lab.command(["build", "--progress=plain"]);
        command.args(arguments).env("CONTAINERS_REGISTRIES_CONF", &conf);
        crate::support::output::Build::from(crate::support::tools::output(&mut command))
    };
    let context = lab.dockerfile("mirrored", "FROM images.example/library/tools:1\nRUN echo mirrored\n");
    let built = with_conf(&[&context]);
    assert_eq!(built.status, Some(0), "{}", built.text);
    assert!(!built.text.contains("of no use"), "{}", built.text);

    let context = lab.dockerfile("blocked", "FROM images.example/secret/app:1\nRUN echo\n");
    with_conf(&[&context])
        .assert_refused(1, &["\"images.example/secret\" is blocked by", "registries.conf", "Dockerfile:1:"]);

    // A file that nobody can understand is not passed over.
    lab.file("registries.conf", "[[registry]]\nplace = 'x'\n");
    let context = lab.dockerfile("broken", "FROM images.example/other:1\nRUN echo\n");
    with_conf(&[&context]).assert_refused(1, &["registries.conf cannot be used", "unknown field `place`"]);
    lab.assert_nothing_left();
});

as_everyone!(flags_that_make_no_sense, &[], |lab| {
    let context = lab.dockerfile("context", "FROM scratch\nLABEL a=b\n");
    for (flag, value, want) in [
        ("--registry-mirror", "not a host", "write [REGISTRY=]HOST[:PORT][/PATH]"),
        ("--insecure-registry", "a/b c", "a/b c"),
        ("--registry-ca", "/absent.pem", "it cannot be read"),
    ] {
        lab.try_build([Path::new(flag), Path::new(value), &context]).assert_refused(2, &["error:", want]);
    }
});
