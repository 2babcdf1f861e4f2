//! `RUN --mount`: every key of every type.

mod binds;
mod caches;
mod locks;

use crate::support::bases;
use crate::support::lab::{Lab, as_everyone};
use crate::support::output::Build;
use crate::support::registry::Registry;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
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
    assert_eq!(built.text.matches("***").count(), 3 * lines.len() + 7);
});

/// A program that waits until there is a file, but not for ever.
const AWAIT: &str =
    "await() { n=0; until test -e $1; do n=$((n+1)); test $n -lt 300 || exit 9; sleep 0.1; done; }";

as_everyone!(tmpfs, TOOLS, |lab| {
    let (_registry, base) = busybox(lab);
    let context = lab.dockerfile(
        "context",
        &format!(
            "FROM {base}\nWORKDIR /work\n\
             RUN --mount=type=tmpfs,target=/t test \"$(stat -f -c %T /t) $(stat -c '%a %u:%g' /t)\" = 'tmpfs 1777 0:0' && echo x > /t/x\n\
             RUN --mount=type=tmpfs,dst=t --mount=type=tmpfs,destination=/u,size=1m test -z \"$(ls -A t)\" && touch t/x && \
             test \"$(df -k /u | tail -n 1 | tr -s ' ' | cut -d ' ' -f 2)\" = 1024 && ! head -c 2000000 /dev/zero > /u/x\n\
             RUN --mount=type=tmpfs,target=/t,size=4096 test \"$(df -k /t | tail -n 1 | tr -s ' ' | cut -d ' ' -f 2)\" = 4\n\
             RUN --mount=type=tmpfs,target=/t,ro --mount=type=tmpfs,target=/u,rw --mount=type=tmpfs,target=/v,readonly=false ! touch /t/x && touch /u/x /v/x\n\
             RUN test ! -e /t && test ! -e /work/t && test ! -e /u\n"
        ),
    );
    build(lab, &[], &context);
    lab.assert_nothing_left();
});

as_everyone!(keys_that_a_type_does_not_have, TOOLS, |lab| {
    let context = lab.path("context");
    for (mount, wanted) in [
        ("target=/t,mode=0700", "\"mode\" has no effect on a mount of type bind"),
        ("target=/t,uid=1", "\"uid\" has no effect on a mount of type bind"),
        ("target=/t,sharing=locked", "\"sharing\" has no effect on a mount of type bind"),
        ("type=tmpfs,target=/t,mode=0700", "\"mode\" has no effect on a mount of type tmpfs"),
        ("type=tmpfs,target=/t,source=a", "\"source\" has no effect on a mount of type tmpfs"),
        ("type=cache,target=/t,size=1m", "\"size\" has no effect on a mount of type cache"),
        ("type=cache,target=/t,required", "\"required\" has no effect on a mount of type cache"),
        ("type=cache,target=/t,mode=rwx", "mode: \"rwx\" is not a number"),
        ("type=cache,target=/t,mode=0888", "mode: \"0888\" is not a number"),
        ("type=cache,target=/t,uid=root", "uid: \"root\" is not a number"),
        ("type=cache,target=/t,sharing=mine", "sharing cannot be \"mine\""),
        ("type=tmpfs,target=/t,size=big", "\"big\" is not a size"),
        ("type=secret,id=a,rw", "has no effect on a mount of type secret"),
        ("type=secret,id=a,src=b", "a secret has one name"),
        ("type=secret", "a secret needs an id"),
        ("type=ssh,from=a", "\"from\" has no effect on a mount of type ssh"),
        ("type=ssh,env=A", "\"env\" has no effect on a mount of type ssh"),
        ("target=/t,ro,rw", "are about the same thing"),
        ("target=/t,dst=/u", "are about the same thing"),
        ("target=/t,tarqet=/u", "there is no key \"tarqet\""),
        ("target", "\"target\" needs a value"),
    ] {
        lab.dockerfile("context", &format!("FROM scratch\nRUN --mount={mount} true\n"));
        lab.try_build([&context]).assert_refused(1, &[wanted, "Dockerfile:2:"]);
    }
});

as_everyone!(ssh_sockets, TOOLS, |lab| {
    let (_registry, base) = busybox(lab);
    // Nobody asks it anything: what counts here is where it is shown, and how.
    let place = lab.directory("agent").join("socket");
    let _agent = UnixListener::bind(&place).expect("the laboratory is writable");
    fs::set_permissions(&place, fs::Permissions::from_mode(0o666)).expect("it was made");
    let context = lab.dockerfile(
        "context",
        &format!(
            "FROM {base}\nWORKDIR /work\n\
             RUN --mount=type=ssh test -S $SSH_AUTH_SOCK && test \"$SSH_AUTH_SOCK $(stat -c '%a %u:%g' $SSH_AUTH_SOCK)\" = '/run/buildkit/ssh_agent.0 600 0:0'\n\
             RUN --mount=type=ssh,required=true,id=default,dst=here test -S /work/here && test $SSH_AUTH_SOCK = /work/here\n\
             RUN --mount=type=ssh,id=other,destination=/a,mode=0640,uid=33,gid=44 --mount=type=ssh,target=/b,ro test \"$(stat -c '%a %u:%g' /a) $(stat -c %a /b) $SSH_AUTH_SOCK\" = '640 33:44 600 /a'\n\
             RUN --mount=type=ssh,id=other --mount=type=ssh test -S /run/buildkit/ssh_agent.0 && test -S /run/buildkit/ssh_agent.1\n\
             RUN --mount=type=ssh,id=absent,required=false test -z \"${{SSH_AUTH_SOCK+set}}\" && test ! -e /run/buildkit && test ! -e /a\n"
        ),
    );
    let (default, other) =
        (format!("--ssh=default={}", place.display()), format!("--ssh=other={}", place.display()));
    build(lab, &[&default, &other], &context);
    lab.assert_nothing_left();
});
