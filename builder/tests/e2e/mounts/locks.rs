//! Cache mounts that several RUNs want at once.

use super::{AWAIT, TOOLS, build, busybox};
use crate::support::lab::{Lab, Serving, as_everyone};
use crate::support::output::Build;
use rustix::process::Signal;
use std::path::Path;

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
