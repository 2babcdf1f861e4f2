//! What bind mounts show, and what they cost.

use super::{AWAIT, TOOLS, build, busybox};
use crate::support::lab::{Lab, Serving, as_everyone, entries};
use rustix::process::Signal;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

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
            "FROM {base} AS start\nRUN sleep 0.3\n\
             FROM start AS bound\nRUN --mount=target=/m cat /m/file > /file\n\
             FROM start AS long\nRUN sleep 3 && echo > /long\nRUN true\nRUN true\n\
             FROM {base}\nCOPY --from=long /long /\nCOPY --from=bound /file /\nRUN cat /file\n"
        ),
    );
    let file = lab.path("context/file");
    let text = context.to_str().expect("the path is text");
    let mut attempts = 1..=20;
    let before = loop {
        let before = format!("before {}\n", attempts.next().expect("the RUN never had to wait"));
        fs::write(&file, &before).expect("the context is writable");
        let words = ["build", "--progress=plain", "--parallelism=1", "--no-cache", text];
        let mut building = Serving::start(lab, &words);
        building.wait_for("RUN sleep 0.3");
        sleep(Duration::from_secs(1));
        fs::write(&file, "after!\n").expect("the context is writable");
        assert_eq!(building.wait(), Some(0), "{}", building.printed());
        let first = building.printed();
        if first.contains("cat /m/file > /file: files of the context changed") {
            assert!(first.contains(" after!"), "{first}");
            break before;
        }
        // It had the place before the other stage wanted it.
        assert!(first.contains(before.trim()), "{first}");
    };

    fs::write(&file, before).expect("the context is writable");
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
