//! `RUN --mount`: every key of every type.

use crate::support::bases;
use crate::support::lab::{Lab, as_everyone};
use crate::support::output::Build;
use crate::support::registry::Registry;
use std::path::{Path, PathBuf};

const TOOLS: &[&str] = &["docker-registry", "skopeo", bases::TOOLS[1], bases::TOOLS[2]];

/// A registry with the busybox base; its reference.
fn busybox(lab: &Lab) -> (Registry, String) {
    let registry = Registry::start(&lab.path("docker"));
    let base = registry.push_base("busybox");
    (registry, base)
}

/// Builds `context` with `arguments`; fails the test unless that works.
#[track_caller]
fn build(lab: &Lab, arguments: &[&str], context: &Path) -> Build {
    lab.build(arguments.iter().map(Path::new).chain([context]))
}

/// A file of the laboratory as the value of `--secret`.
fn secret(lab: &Lab, id: &str, value: impl AsRef<[u8]>) -> String {
    let file: PathBuf = lab.file(&format!("secrets/{id}"), value);
    format!("--secret=id={id},src={}", file.display())
}

as_everyone!(secrets_as_files, TOOLS, |lab| {
    let (_registry, base) = busybox(lab);
    let context = lab.dockerfile(
        "context",
        &format!(
            "FROM {base}\n\
             RUN --mount=type=secret,id=one test \"$(stat -c '%a %u:%g' /run/secrets/one)\" = '400 0:0' && test \"$(wc -c < /run/secrets/one)\" = 9\n\
             RUN --mount=type=secret,id=one,target=/deep/er,mode=0444,uid=33,gid=44 test \"$(stat -c '%a %u:%g' /deep/er)\" = '444 33:44' && test ! -e /run/secrets/one\n\
             RUN --mount=type=secret,source=one,dst=/a --mount=type=secret,destination=/b/one --mount=type=secret,src=one,target=/c cmp /a /b/one && cmp /a /c && ! touch /a\n\
             RUN --mount=type=secret,id=absent --mount=type=secret,id=absent,env=ABSENT test ! -e /run/secrets/absent && test -z \"${{ABSENT+set}}\"\n\
             USER 33\nRUN --mount=type=secret,id=one --mount=type=secret,id=one,target=/mine,uid=33 ! cat /run/secrets/one && cat /mine\n\
             USER 0\nRUN test ! -e /deep && test ! -e /a && test ! -e /mine && ! ls /run/secrets/one\n"
        ),
    );
    let one = secret(lab, "one", "value one");
    build(lab, &[&one], &context);
    // Another value is no reason to run again.
    build(lab, &[&secret(lab, "one", "value two")], &context).assert_all_cached();
    let required =
        lab.dockerfile("required", &format!("FROM {base}\nRUN --mount=type=secret,id=two,required true\n"));
    lab.try_build([&required])
        .assert_refused(1, &["the secret \"two\" is required", "--secret id=two", "Dockerfile:2:"]);
    lab.assert_nothing_left();
});

as_everyone!(secrets_as_variables, TOOLS, |lab| {
    let (_registry, base) = busybox(lab);
    // A program may take the first of two variables of one name, and a shell the last: there must be one.
    let context = lab.dockerfile(
        "context",
        &format!(
            "FROM {base}\nENV TOKEN=placeholder HOME=/there\nARG http_proxy\n\
             RUN --mount=type=secret,id=token,env=TOKEN tr '\\0' '\\n' < /proc/self/environ > /seen; grep -c . /seen; \
             test \"$(grep ^TOKEN= /seen)\" = TOKEN=real-value && test \"$(grep ^HOME= /seen)\" = HOME=/there && \
             test ! -e /run/secrets/token; rm /seen\n\
             RUN --mount=type=secret,id=token,env= test \"$token\" = real-value && test \"$TOKEN\" = placeholder\n\
             RUN --mount=type=secret,id=token,env=BOTH,target=/both test \"$(cat /both)\" = \"$BOTH\"\n\
             RUN --mount=type=secret,id=bytes,env=BYTES test \"$(printf %s \"$BYTES\" | wc -c)\" = 4\n\
             RUN test \"$TOKEN\" = placeholder\n"
        ),
    );
    let secrets = [secret(lab, "token", "real-value"), secret(lab, "bytes", b"\xff\xfe\xfd\xfc")];
    let secrets: Vec<&str> = secrets.iter().map(String::as_str).collect();
    build(lab, &secrets, &context);
    let nul = lab.dockerfile("nul", &format!("FROM {base}\nRUN --mount=type=secret,id=nul,env=NUL true\n"));
    lab.try_build([Path::new(&secret(lab, "nul", b"a\0b")), &nul])
        .assert_refused(1, &["NUL byte", "environment variable NUL", "Dockerfile:2:"]);
});

as_everyone!(secrets_stay_out_of_the_log, TOOLS, |lab| {
    let (_registry, base) = busybox(lab);
    let lines =
        ["-----BEGIN PRIVATE KEY-----", "bm90IGEga2V5", "c2Vjb25kIGxpbmU=", "-----END PRIVATE KEY-----"];
    // The long line is told in pieces of 64 KiB, and one end of a piece is within the secret wherever it is printed.
    let long = "0123456789abcdef".repeat(64);
    let context = lab.dockerfile(
        "context",
        &format!(
            "FROM {base}\nRUN --mount=type=secret,id=pem cat /run/secrets/pem; cat /run/secrets/pem >&2; echo k=$(cat /run/secrets/pem)\n\
             RUN --mount=type=secret,id=long,env=LONG for n in 1 2 3 4 5 6 7; do head -c 65000 /dev/zero | tr '\\0' .; printf %s \"$LONG\"; done; echo; echo the end\n"
        ),
    );
    let (pem, long_secret) = (secret(lab, "pem", lines.join("\n") + "\n"), secret(lab, "long", &long));
    let built = build(lab, &[&pem, &long_secret], &context);
    for line in lines {
        assert!(!built.text.contains(line), "{line} is in the log:\n{}", built.text);
    }
    assert!(built.text.contains("k=*** *** *** ***"), "{}", built.text);
    assert!(built.text.contains("the end"), "{}", built.text);
    assert!(!built.text.contains("0123456789abcdef"), "a part of the secret is in the log");
    assert_eq!(built.text.matches(".***").count(), 7);
});
