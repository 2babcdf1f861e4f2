//! Registries that do not give what is asked.

use crate::support::bases;
use crate::support::lab::{Lab, as_everyone};
use crate::support::output::Build;
use crate::support::registry::{Registry, free_address};
use crate::support::tools::{both, output, run, tool};
use std::path::{Path, PathBuf};
use std::process::Stdio;

const TOOLS: &[&str] = &["docker-registry", "skopeo", "htpasswd", bases::TOOLS[1], bases::TOOLS[2]];

fn from(lab: &Lab, reference: &str) -> PathBuf {
    lab.dockerfile("context", &format!("FROM {reference}\nLABEL a=b\n"))
}

as_everyone!(nobody_listens, &[], |lab| {
    let reference = format!("{}/app:1", free_address());
    lab.try_build([&from(lab, &reference)]).assert_refused(1, &["error:", &reference, "Dockerfile:1:"]);
    let context = lab.dockerfile("push", "FROM scratch\nLABEL a=b\n");
    lab.try_build([Path::new("--push"), Path::new("-t"), Path::new(&reference), &context])
        .assert_refused(1, &["error: the registry output failed: cannot ", &reference]);
    lab.assert_nothing_left();
});

as_everyone!(no_such_image, TOOLS, |lab| {
    let registry = Registry::start(&lab.path("docker"));
    let base = registry.push_base("busybox");
    for reference in [format!("{base}:absent"), registry.reference("absent/app:1")] {
        lab.try_build([&from(lab, &reference)]).assert_refused(1, &["error:", &reference, "not found"]);
    }
    let digest = format!("{base}@sha256:{}", "0".repeat(64));
    lab.try_build([&from(lab, &digest)]).assert_refused(1, &["error:", &digest]);
    lab.assert_nothing_left();
});

as_everyone!(passwords, TOOLS, |lab| {
    let registry = Registry::with_password(&lab.path("docker"), "someone", "opensesame");
    let reference = registry.reference("private/busybox:1");
    run(tool("skopeo")
        .args(["copy", "--quiet", "--insecure-policy", "--dest-tls-verify=false"])
        .args(["--dest-creds=someone:opensesame"])
        .arg(format!("dir:{}", bases::base("busybox").display()))
        .arg(format!("docker://{reference}")));
    let context = from(lab, &reference);
    lab.try_build([&context]).assert_refused(1, &["error:", &reference, "login"]);

    let configuration =
        |secret: &str| format!("{{\"auths\":{{\"{}\":{{\"auth\":\"{secret}\"}}}}}}", registry.name());
    // "someone:wrong" and "someone:opensesame".
    lab.file("docker/config.json", configuration("c29tZW9uZTp3cm9uZw=="));
    let refused = lab.try_build([&context]);
    refused.assert_refused(1, &["error:", &reference]);
    assert!(!refused.text.contains("c29tZW9uZTp3cm9uZw"), "the secret is shown:\n{}", refused.text);
    lab.file("docker/config.json", configuration("c29tZW9uZTpvcGVuc2VzYW1l"));
    let pushed = registry.reference("private/result:1");
    lab.build([Path::new("--push"), Path::new("-t"), Path::new(&pushed), &context]);

    // The same in a variable, as CI services do.
    std::fs::remove_file(lab.path("docker/config.json")).expect("the file was made");
    for (secret, status) in [("c29tZW9uZTp3cm9uZw==", Some(1)), ("c29tZW9uZTpvcGVuc2VzYW1l", Some(0))] {
        let mut pull = lab.command(["pull", "-q", &pushed]);
        let pulled = output(pull.env("DOCKER_AUTH_CONFIG", configuration(secret)));
        assert_eq!(pulled.status.code(), status, "{}", both(&pulled));
    }

    // The same by `login`, which reads the password from standard input.
    for (password, succeeds) in [("wrong", false), ("opensesame", true)] {
        let input = lab.file("password", password);
        let mut login = lab.command(["login", "-u", "someone", "--password-stdin", &registry.name()]);
        login.stdin(std::fs::File::open(input).expect("the file was made")).stdout(Stdio::null());
        assert_eq!(
            login.status().expect("the program starts").success(),
            succeeds,
            "login with {password:?}"
        );
    }
    lab.verb(["pull", &pushed]);
    lab.verb(["logout", &registry.name()]);
    lab.try_build([Path::new("--pull"), &context]).assert_refused(1, &["error:", &reference]);
    lab.assert_nothing_left();
});

as_everyone!(a_stage_of_nearly_that_name, &[], |lab| {
    for name in ["COPY --from=biuld / /x", "RUN --mount=from=biuld,target=/x true"] {
        let context =
            lab.dockerfile("context", &format!("FROM scratch AS build\nLABEL a=b\nFROM scratch\n{name}\n"));
        let mut command = lab.command(["build", "--progress=plain"]);
        // The name is that of an image of Docker Hub, which nobody is to be asked for.
        let nowhere = format!("http://{}", free_address());
        command.arg(&context).env("HTTPS_PROXY", &nowhere).env("https_proxy", &nowhere);
        Build::from(output(&mut command)).assert_refused(
            1,
            &[
                "docker.io/library/biuld",
                "this Dockerfile has a stage named \"build\"; did you mean that?",
                "Dockerfile:4:",
            ],
        );
    }
    lab.assert_nothing_left();
});
