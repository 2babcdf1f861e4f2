//! What is in a cache mount: whose it is, and how it begins.

use super::{TOOLS, build, busybox};
use crate::support::lab::{Serving, as_everyone, entries};
use rustix::process::Signal;
use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

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
