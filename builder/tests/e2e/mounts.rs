//! `RUN --mount`: every key of every type; caches that several RUNs want, and those that a kill interrupts.

use crate::support::bases;
use crate::support::lab::{Lab, Serving, as_everyone, entries};
use crate::support::output::Build;
use crate::support::registry::Registry;
use rustix::process::Signal;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

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

/// Two builds at once, of the same stages under different names, so that neither waits for the other's results. `script`
/// is a RUN's, in which `$WHO` is `one` or `other`.
fn at_once(lab: &Lab, base: &str, mounts: &str, script: &str) -> [Build; 2] {
    let context = lab.dockerfile("at-once", &format!("FROM {base}\nARG WHO\nRUN {mounts} {script}\n"));
    let start = |who: &'static str| {
        let argument = format!("--build-arg=WHO={who}");
        let context = context.clone();
        move || lab.try_build([Path::new(&argument), Path::new("--no-cache"), &context])
    };
    std::thread::scope(|scope| {
        let one = scope.spawn(start("one"));
        let other = scope.spawn(start("other"));
        [one.join().expect("it was run"), other.join().expect("it was run")]
    })
}

#[track_caller]
fn assert_all_worked(builds: &[Build]) {
    for build in builds {
        assert_eq!(build.status, Some(0), "{}", build.text);
    }
}

/// A program that waits until there is a file, but not for ever.
const AWAIT: &str =
    "await() { n=0; until test -e $1; do n=$((n+1)); test $n -lt 300 || exit 9; sleep 0.1; done; }";

as_everyone!(caches_by_id, TOOLS, |lab| {
    let (_registry, base) = busybox(lab);
    let context = lab.dockerfile(
        "context",
        &format!(
            "FROM {base}\nWORKDIR /work\n\
             RUN --mount=type=cache,target=/c/../c touch /c/by-target\n\
             RUN --mount=type=cache,dst=/c --mount=type=cache,destination=/d,id=/c test -e /c/by-target && touch /d/by-id && test -e /c/by-id\n\
             RUN --mount=type=cache,target=/d test ! -e /d/by-id\n\
             RUN --mount=type=cache,target=relative,id=r pwd > relative/cwd && test \"$(cat /work/relative/cwd)\" = /work\n\
             RUN --mount=type=cache,target=/r,id=r,ro test -e /r/cwd && ! touch /r/x\n\
             RUN --mount=type=cache,target=/r,id=r,readonly=false touch /r/x\n\
             RUN --mount=type=cache,target=/r,id=r,rw=false ! touch /r/y\n\
             RUN --mount=type=cache,target=/r,id=r,readwrite mkdir /r/deep && echo deep > /r/deep/file && ln -s / /r/out || ls /r\n\
             RUN --mount=type=cache,target=/s,id=r,src=deep test \"$(ls /s)\" = file\n\
             RUN test ! -e /c && test ! -e /work/relative\n"
        ),
    );
    build(lab, &[], &context);
    let again = build(lab, &["--no-cache"], &context);
    assert!(again.text.contains("File exists"), "what an earlier build left is there: {}", again.text);
    // `out` leads to the top of the cache, not of anything else.
    for (source, status) in [("out/deep", 0), ("out/etc", 1), ("absent", 1), ("../../..", 0)] {
        let context = lab.dockerfile(
            "source",
            &format!(
                "FROM {base}\nRUN --mount=type=cache,target=/s,id=r,source={source} test ! -e /s/passwd\n"
            ),
        );
        let built = lab.try_build([&context]);
        assert_eq!(built.status, Some(status), "{source}: {}", built.text);
        if status != 0 {
            built.assert_refused(1, &["--mount of /s", source, "Dockerfile:2:"]);
        }
    }
    lab.assert_nothing_left();
});

as_everyone!(caches_have_mode_and_owner_from_the_first, TOOLS, |lab| {
    let (_registry, base) = busybox(lab);
    let text = |base: &str| {
        format!(
            "FROM {base}\nARG N\n\
             RUN --mount=type=cache,id=x,target=/x stat -c 'plain %a %u:%g' /x\n\
             RUN --mount=type=cache,id=x,target=/x,mode=0751,uid=33,gid=44 stat -c 'given %a %u:%g' /x; ls /x; chmod 0711 /x\n\
             RUN --mount=type=cache,id=x,target=/y,gid=44,uid=33,mode=751 stat -c 'later %a %u:%g' /y\n"
        )
    };
    let context = lab.dockerfile("context", &text(&base));
    let first = build(lab, &["--build-arg=N=1"], &context);
    for line in ["plain 755 0:0", "given 751 33:44", "later 711 33:44"] {
        assert!(first.text.contains(line), "{line}: {}", first.text);
    }
    // It is empty still, and yet not new.
    let second = build(lab, &["--build-arg=N=2"], &context);
    assert!(second.text.contains("given 711 33:44"), "{}", second.text);
    // A user who owns his cache can use it.
    let own = lab.dockerfile(
        "own",
        &format!(
            "FROM {base}\nUSER 33\nRUN --mount=type=cache,target=/c,uid=33 touch /c/file\n\
             RUN --mount=type=cache,target=/c,id=other ! touch /c/file\n"
        ),
    );
    build(lab, &[], &own);
});

as_everyone!(caches_begin_with_a_seed, TOOLS, |lab| {
    let (_registry, base) = busybox(lab);
    let text = |seed: &str, number: &str| {
        format!(
            "FROM {base} AS seed\nRUN mkdir -p /seed/deep && echo {seed} > /seed/deep/file && chmod 0750 /seed && chown 5:6 /seed && chown 7 /seed/deep\n\
             FROM {base}\nRUN --mount=type=cache,target=/c,from=seed,source=/seed echo {number} $(cat /c/deep/file) $(stat -c '%a %u:%g' /c) $(stat -c %u /c/deep) $(ls /c); touch /c/more\n\
             RUN --mount=type=cache,target=/n,from=named,source=sub echo {number} named $(cat /n/file) $(stat -c '%u:%g' /n /n/file)\n"
        )
    };
    lab.file("named/sub/file", "from a directory");
    let named = format!("--build-context=named={}", lab.path("named").display());
    let said = |seed: &str, number: &str, arguments: &[&str]| {
        let context = lab.dockerfile("context", &text(seed, number));
        let mut all = vec![named.as_str()];
        all.extend(arguments);
        build(lab, &all, &context).text
    };
    let first = said("one", "1", &[]);
    assert!(first.contains("1 one 750 5:6 7 deep\n"), "{first}");
    assert!(first.contains("1 named from a directory 0:0 0:0\n"), "{first}");
    let second = said("one", "2", &[]);
    assert!(second.contains("2 one 750 5:6 7 deep more\n"), "what was added is there: {second}");
    let third = said("two", "2", &[]);
    assert!(
        third.contains("2 two 750 5:6 7 deep\n"),
        "another seed begins anew, and is a reason to run: {third}"
    );
    let fourth = said("one", "3", &[]);
    assert!(fourth.contains("3 one 750 5:6 7 deep more\n"), "the first one is there still: {fourth}");
    // An earlier result must not be used: nor what an earlier build left.
    let fifth = said("one", "4", &["--no-cache"]);
    assert!(fifth.contains("4 one 750 5:6 7 deep\n"), "{fifth}");
    let sixth = said("one", "5", &[]);
    assert!(sixth.contains("5 one 750 5:6 7 deep more\n"), "{sixth}");

    lab.file(
        "context/Dockerfile",
        format!("FROM {base}\nRUN --mount=type=cache,target=/c,from={base},source=/bin/sh true\n"),
    );
    lab.try_build([&lab.path("context")])
        .assert_refused(1, &["--mount of /c", "a cache begins as a directory", "/bin/sh", "Dockerfile:2:"]);
    lab.assert_nothing_left();
});

as_everyone!(without_the_cache_caches_begin_anew, TOOLS, |lab| {
    let (_registry, base) = busybox(lab);
    let context = lab.dockerfile(
        "context",
        &format!(
            "FROM {base} AS a\nARG N\n\
             RUN --mount=type=cache,target=/plain echo plain $(ls /plain); touch /plain/$N\n\
             RUN --mount=type=cache,target=/given,mode=0773 echo given-a $(ls /given); touch /given/$N\n\
             RUN --mount=type=cache,target=/given,mode=0773,sharing=locked echo again-a $(ls /given)\n\
             FROM a AS b\nARG N\n\
             RUN --mount=type=cache,target=/other,uid=1 echo given-b $(ls /other); touch /other/$N\n"
        ),
    );
    let said = |number: &str, more: &[&str]| {
        let number = format!("--build-arg=N={number}");
        let mut arguments = vec![number.as_str()];
        arguments.extend(more);
        let text = build(lab, &arguments, &context).text;
        ["plain", "given-a", "again-a", "given-b"].map(|name| {
            let line = text.lines().find_map(|line| {
                line.split_once(&format!(" {name}")).filter(|(_, rest)| !rest.contains('$'))
            });
            line.unwrap_or_else(|| panic!("no {name}: {text}")).1.trim().to_owned()
        })
    };
    assert_eq!(said("1", &[]), ["", "", "1", ""]);
    assert_eq!(said("2", &[]), ["1", "1", "1 2", "1"]);
    // What begins in no way of its own goes on; within the build, the new one is one.
    assert_eq!(said("3", &["--no-cache"]), ["1 2", "", "3", ""]);
    assert_eq!(said("4", &["--no-cache-filter=b"]), ["1 2 3", "3", "3 4", ""]);
    assert_eq!(said("5", &[]), ["1 2 3 4", "3 4", "3 4 5", "4"]);
    lab.assert_nothing_left();
});

as_everyone!(caches_that_are_shared, TOOLS, |lab| {
    let (_registry, base) = busybox(lab);
    for mounts in ["--mount=type=cache,target=/c", "--mount=type=cache,target=/c,sharing=shared"] {
        let script = format!("{AWAIT}; touch /c/$WHO; await /c/one; await /c/other");
        assert_all_worked(&at_once(lab, &base, mounts, &script));
    }
    lab.assert_nothing_left();
});

as_everyone!(caches_that_are_private, TOOLS, |lab| {
    let (_registry, base) = busybox(lab);
    // Both are there at once, which the second mount shows, and neither sees the other's file.
    let mounts = "--mount=type=cache,target=/c,sharing=private --mount=type=cache,target=/meet";
    let script = format!(
        "{AWAIT}; ls /c; touch /c/$WHO /meet/$WHO; await /meet/one; await /meet/other; \
         test \"$(ls /c)\" = $WHO; touch /meet/$WHO-seen; await /meet/one-seen; await /meet/other-seen"
    );
    assert_all_worked(&at_once(lab, &base, mounts, &script));
    // The directory of one of them is used again.
    let context = lab.dockerfile(
        "later",
        &format!("FROM {base}\nRUN --mount=type=cache,target=/c,sharing=private ls /c | grep '^o'\n"),
    );
    build(lab, &[], &context);
});

as_everyone!(caches_that_are_locked, TOOLS, |lab| {
    let (_registry, base) = busybox(lab);
    let mounts = "--mount=type=cache,target=/c,sharing=locked";
    let script = "mkdir /c/busy && sleep 2 && rmdir /c/busy && touch /c/$WHO";
    let builds = at_once(lab, &base, mounts, script);
    assert_all_worked(&builds);
    let waited = "waiting for the cache mount /c, which another RUN uses";
    assert_eq!(
        builds.iter().filter(|build| build.text.contains(waited)).count(),
        1,
        "one of them had to wait"
    );
    lab.assert_nothing_left();
});

as_everyone!(locks_do_not_wait_for_each_other, TOOLS, |lab| {
    let (_registry, base) = busybox(lab);
    // One directory at two places.
    let context = lab.dockerfile(
        "twice",
        &format!(
            "FROM {base}\nRUN --mount=type=cache,id=x,target=/a,sharing=locked --mount=type=cache,id=x,target=/b,sharing=locked \
             --mount=type=cache,id=x,target=/c touch /a/file && test -e /b/file && test -e /c/file\n"
        ),
    );
    build(lab, &[], &context);
    // Two of them in opposite orders, in two stages of each of two builds.
    let run = |first: &str, second: &str| {
        format!(
            "RUN --mount=type=cache,id={first},target=/{first},sharing=locked --mount=type=cache,id={second},target=/{second},sharing=locked \
             mkdir /a/busy /b/busy && sleep 0.2 && rmdir /a/busy /b/busy && touch /done\n"
        )
    };
    let stages: String = (0..6)
        .map(|n| {
            let run = if n % 2 == 0 { run("a", "b") } else { run("b", "a") };
            format!("FROM {base} AS s{n}\nENV N={n}\n{run}")
        })
        .collect();
    let copies: String = (0..6).map(|n| format!("COPY --from=s{n} /done /{n}\n")).collect();
    let context = lab.dockerfile("opposite", &format!("{stages}FROM {base}\n{copies}"));
    let builds = std::thread::scope(|scope| {
        let build = || scope.spawn(|| lab.try_build([Path::new("--no-cache"), &context]));
        [build(), build()].map(|build| build.join().expect("it was run"))
    });
    assert_all_worked(&builds);
    lab.assert_nothing_left();
});

as_everyone!(control_c_ends_the_wait_for_a_lock, TOOLS, |lab| {
    let (_registry, base) = busybox(lab);
    let mount = "--mount=type=cache,target=/c,sharing=locked";
    let holder = lab.dockerfile("holder", &format!("FROM {base}\nRUN {mount} echo it runs; sleep 100000\n"));
    let waiter = lab.dockerfile("waiter", &format!("FROM {base}\nRUN {mount} true\n"));
    let start = |context: &Path| {
        Serving::start(lab, &["build", "--progress=plain", context.to_str().expect("the path is text")])
    };
    let mut holding = start(&holder);
    holding.wait_for(" it runs\n");
    let mut waiting = start(&waiter);
    waiting.wait_for("waiting for the cache mount /c");
    waiting.signal(Signal::INT);
    assert_eq!(waiting.wait(), Some(1), "{}", waiting.printed());
    // The end of a process is the end of its locks.
    let mut waiting = start(&waiter);
    waiting.wait_for("waiting for the cache mount /c");
    holding.signal(Signal::KILL);
    holding.wait();
    assert_eq!(waiting.wait(), Some(0), "{}", waiting.printed());
    lab.assert_nothing_left();
});

as_everyone!(a_kill_leaves_no_half_of_a_seed, TOOLS, |lab| {
    let (_registry, base) = busybox(lab);
    let count = 6_000;
    let context = lab.dockerfile(
        "context",
        &format!(
            "FROM {base} AS seed\nRUN mkdir /seed && cd /seed && for n in $(seq {count}); do echo $n > $n; done\n\
             FROM {base} AS one\nRUN --mount=type=cache,target=/c,from=seed,source=/seed ls /c | wc -l > /count\n\
             FROM {base} AS two\nRUN --mount=type=cache,target=/c,from=seed,source=/seed ls /c | wc -l > /count && touch /two\n\
             FROM scratch\nCOPY --from=one /count /one\nCOPY --from=two /count /two\n"
        ),
    );
    build(lab, &["--target=seed"], &context);
    let text = context.to_str().expect("the path is text");
    let out = lab.directory("out");
    let output = format!("--output=type=local,dest={}", out.display());
    let mut killed = Serving::start(lab, &["build", "--progress=plain", &output, text]);
    let tmp = lab.store().join("tmp");
    let half = || entries(&tmp).iter().any(|name| entries(&tmp.join(name)).len() > 100);
    let end = Instant::now() + Duration::from_secs(60);
    while !half() {
        assert!(Instant::now() < end, "it does not begin: {}", killed.printed());
        sleep(Duration::from_millis(1));
    }
    killed.signal(Signal::KILL);
    assert_eq!(killed.wait(), None, "it was quicker than this test: {}", killed.printed());
    assert!(entries(&lab.store().join("mounts")).is_empty(), "nothing is there by halves");
    // Both at once, too: one of them makes it.
    build(lab, &[&output], &context);
    for name in ["one", "two"] {
        let seen = fs::read_to_string(out.join(name)).expect("it was written");
        assert_eq!(seen.trim(), count.to_string());
    }
    assert_eq!(entries(&lab.store().join("mounts")).len(), 1);
    lab.assert_nothing_left();
});

as_everyone!(binds_of_contexts_and_stages, TOOLS, |lab| {
    let (_registry, base) = busybox(lab);
    lab.file("context/dir/file", "of the context");
    lab.file("context/dir/hidden", "ignored");
    lab.file("context/.dockerignore", "dir/hidden\n");
    fs::set_permissions(lab.path("context/dir"), fs::Permissions::from_mode(0o2750)).expect("it was made");
    lab.file("named/file", "of a directory");
    let named = format!("--build-context=named={}", lab.path("named").display());
    let context = lab.dockerfile(
        "context",
        &format!(
            "FROM {base} AS made\nRUN mkdir /out && echo made > /out/file && chown 5:6 /out && chmod 0711 /out\n\
             FROM {base}\nWORKDIR /work\n\
             RUN --mount=target=/m,source=dir test \"$(ls -A /m)\" = file && test \"$(stat -c '%a %u:%g' /m /m/file | tr '\\n' ,)\" = '2750 0:0,644 0:0,' && ! touch /m/file\n\
             RUN --mount=type=bind,dst=m,src=./dir/../dir/file,ro=true test \"$(cat /work/m)\" = 'of the context' && ! echo x > m\n\
             RUN --mount=target=/m,readonly --mount=destination=/n,readwrite=false ! touch /m/x && ! touch /n/x && test ! -e /m/dir/hidden && test \"$(stat -c '%a %u:%g' /m)\" = '755 0:0'\n\
             RUN --mount=target=/m,source=dir,rw --mount=target=/n,source=dir,readonly=false echo x > /m/file && echo y > /m/more && echo z > /n/file && test \"$(cat /m/file /n/file | tr '\\n' ,)\" = x,z, && test ! -e /n/more && rm -r /n/* && test \"$(stat -c '%a %u:%g' /m)\" = '2750 0:0'\n\
             RUN --mount=target=/m,source=dir test \"$(ls -A /m)\" = file && test \"$(cat /m/file)\" = 'of the context'\n\
             RUN --mount=target=/m,source=dir/file,readwrite echo x > /m && test \"$(cat /m)\" = x\n\
             RUN --mount=target=/m,from=named,rw test \"$(cat /m/file)\" = 'of a directory' && rm /m/file && mkdir /m/new && chown 33 /m\n\
             RUN --mount=target=/m,from=named test \"$(ls /m)\" = file\n\
             RUN --mount=target=/m,from=made,source=/out test \"$(cat /m/file) $(stat -c '%a %u:%g' /m)\" = 'made 711 5:6' && ! touch /m/x\n\
             RUN --mount=target=/m,from=made,source=/out,rw echo x > /m/file && touch /m/x && test \"$(stat -c '%a %u:%g' /m)\" = '711 5:6'\n\
             RUN --mount=target=/m,from=made,rw rm -r /m/bin /m/out && touch /m/x && test ! -e /m/bin\n\
             RUN --mount=target=/m,from={base},source=bin/sh --mount=target=/n,from=made test -x /m && test -x /n/bin/sh && test \"$(cat /n/out/file)\" = made && test ! -e /n/x\n\
             RUN --mount=target=/m,from=scratch test -z \"$(ls -A /m)\" && ! touch /m/x\n\
             RUN --mount=target=/m,from=scratch,rw touch /m/x && test \"$(ls -A /m)\" = x\n\
             RUN --mount=target=/m,source=dir,rw --mount=target=/m/within/it,source=dir/file test -s /m/within/it && test -s /m/file\n\
             RUN test ! -e /m && test ! -e /n && test -z \"$(ls -A /work)\"\n"
        ),
    );
    build(lab, &[&named], &context);
    assert_eq!(fs::read(lab.path("context/dir/file")).expect("it is there still"), b"of the context");
    assert_eq!(entries(&lab.path("context/dir")), ["file", "hidden"]);
    assert_eq!(entries(&lab.path("named")), ["file"]);
    build(lab, &[&named], &context).assert_all_cached();
    // What cannot be seen does not count, the mode of what is shown does.
    lab.file("context/dir/hidden", "changed");
    build(lab, &[&named], &context).assert_all_cached();
    fs::set_permissions(lab.path("context/dir"), fs::Permissions::from_mode(0o755)).expect("it was made");
    let other = lab.try_build([Path::new(&named), &context]);
    other.assert_refused(1, &["Dockerfile:5:"]);
    lab.assert_nothing_left();
});

/// The directories of the program's that hold something called `name`.
fn directories_with(lab: &Lab, name: &str) -> usize {
    let tmp = lab.store().join("tmp");
    let of_process = |process: String| {
        let process = tmp.join(process);
        entries(&process).into_iter().filter(|made| process.join(made).join(name).exists()).count()
    };
    entries(&tmp).into_iter().map(of_process).sum()
}

as_everyone!(one_copy_of_a_context_serves_all, TOOLS, |lab| {
    let (_registry, base) = busybox(lab);
    lab.file("context/file", "content");
    let stages: String = (0..4)
        .map(|n| {
            let rw = if n % 2 == 0 { "" } else { ",rw" };
            format!(
                "FROM {base} AS s{n}\nRUN --mount=target=/m{rw} --mount=type=cache,target=/meet {AWAIT}; touch /meet/{n}; \
                 for n in 0 1 2 3; do await /meet/$n; done; grep content /m/file && touch /done /meet/seen-{n}; await /meet/go\n"
            )
        })
        .collect();
    let copies: String = (0..4).map(|n| format!("COPY --from=s{n} /done /{n}\n")).collect();
    let context = lab.dockerfile(
        "context",
        &format!("{stages}FROM {base}\n{copies}RUN --mount=target=/m echo it runs; sleep 100000\n"),
    );
    let text = context.to_str().expect("the path is text");
    let mut building = Serving::start(lab, &["build", "--progress=plain", "--parallelism=4", text]);
    let meet = || {
        let caches = lab.store().join("mounts");
        entries(&caches).first().map(|cache| caches.join(cache))
    };
    let end = Instant::now() + Duration::from_secs(30);
    // All four are there.
    while meet().is_none_or(|meet| (0..4).any(|n| !meet.join(format!("seen-{n}")).exists())) {
        assert!(Instant::now() < end, "they do not meet: {}", building.printed());
        sleep(Duration::from_millis(10));
    }
    assert_eq!(directories_with(lab, "copied"), 1);
    assert_eq!(directories_with(lab, "upper"), 2, "those that write have a place to write to");
    fs::write(meet().expect("they met there").join("go"), "").expect("root may write everywhere");
    building.wait_for(" it runs\n");
    assert_eq!(directories_with(lab, "copied"), 1);
    assert_eq!(directories_with(lab, "upper"), 0, "what was written has gone with those who wrote it");
    building.signal(Signal::INT);
    assert_eq!(building.wait(), Some(1), "{}", building.printed());
    lab.assert_nothing_left();
});

// As for COPY: other stages hold the one place that steps may run in, while the RUN that binds waits, looked up already.
as_everyone!(a_context_that_changes_meanwhile_is_noticed, TOOLS, |lab| {
    let (_registry, base) = busybox(lab);
    let context = lab.dockerfile(
        "context",
        &format!(
            "FROM {base} AS bound\nRUN sleep 0.3\nRUN --mount=target=/m cat /m/file > /file\n\
             FROM {base} AS one\nRUN sleep 2 && echo > /one\n\
             FROM {base} AS two\nRUN sleep 2 && echo > /two\n\
             FROM {base}\nCOPY --from=one /one /\nCOPY --from=two /two /\nCOPY --from=bound /file /\nRUN cat /file\n"
        ),
    );
    let file = lab.file("context/file", "before\n");
    let text = context.to_str().expect("the path is text");
    let mut building = Serving::start(lab, &["build", "--progress=plain", "--parallelism=1", text]);
    building.wait_for("RUN sleep 0.3");
    sleep(Duration::from_secs(1));
    fs::write(&file, "after!\n").expect("the context is writable");
    assert_eq!(building.wait(), Some(0), "{}", building.printed());
    let first = building.printed();
    assert!(first.contains("cat /m/file > /file: files of the context changed"), "{first}");
    assert!(first.contains(" after!"), "{first}");

    fs::write(&file, "before\n").expect("the context is writable");
    let again = build(lab, &[], &context);
    assert!(again.text.contains(" before"), "{}", again.text);
    let bound = "RUN --mount=target=/m cat /m/file > /file";
    assert_eq!(again.executed(), [bound, "COPY --from=bound /file /", "RUN cat /file"]);
    build(lab, &[], &context).assert_all_cached();
});

as_everyone!(control_c_ends_a_copy, TOOLS, |lab| {
    let (_registry, base) = busybox(lab);
    let context =
        lab.dockerfile("context", &format!("FROM {base}\nRUN --mount=target=/m echo it $((1 + 1)) runs\n"));
    for directory in 0..20 {
        let directory = lab.directory(&format!("context/{directory}"));
        for file in 0..500 {
            fs::write(directory.join(file.to_string()), "x").expect("the laboratory is writable");
        }
    }
    let text = context.to_str().expect("the path is text");
    let mut building = Serving::start(lab, &["build", "--progress=plain", text]);
    let end = Instant::now() + Duration::from_secs(60);
    while directories_with(lab, "copied") == 0 {
        assert!(Instant::now() < end, "it does not begin: {}", building.printed());
        sleep(Duration::from_millis(1));
    }
    building.signal(Signal::INT);
    assert_eq!(building.wait(), Some(1), "{}", building.printed());
    assert!(!building.printed().contains("it 2 runs"), "{}", building.printed());
    lab.assert_nothing_left();
});

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

as_everyone!(a_failure_elsewhere_ends_the_wait_for_a_lock, TOOLS, |lab| {
    let (_registry, base) = busybox(lab);
    let mount = "--mount=type=cache,target=/c,sharing=locked";
    let holder = lab.dockerfile("holder", &format!("FROM {base}\nRUN {mount} echo it runs; sleep 100000\n"));
    let waiter = lab.dockerfile(
        "waiter",
        &format!(
            "FROM {base} AS waits\nRUN {mount} touch /done\n\
             FROM {base} AS fails\nRUN sleep 2; false\n\
             FROM {base}\nCOPY --from=waits /done /\nCOPY --from=fails /done /\n"
        ),
    );
    let mut holding =
        Serving::start(lab, &["build", "--progress=plain", holder.to_str().expect("the path is text")]);
    holding.wait_for(" it runs\n");
    let failed = lab.try_build([Path::new("--parallelism=2"), &waiter]);
    failed.assert_refused(1, &["waiting for the cache mount /c", "RUN sleep 2; false"]);
    holding.signal(Signal::INT);
    assert_eq!(holding.wait(), Some(1), "{}", holding.printed());
    lab.assert_nothing_left();
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
