//! What runs again, and what does not.

use crate::support::bases;
use crate::support::lab::{Lab, Serving, as_everyone, entries};
use crate::support::output::Build;
use crate::support::registry::Registry;
use crate::support::tools::output;
use std::fs;
use std::path::Path;

const TOOLS: &[&str] = &["docker-registry", "skopeo", bases::TOOLS[1], bases::TOOLS[2]];

/// A registry with the busybox base; its reference.
fn busybox(lab: &Lab) -> (Registry, String) {
    let registry = Registry::start(&lab.path("docker"));
    let base = registry.push_base("busybox");
    (registry, base)
}

fn image_id(lab: &Lab, context: &Path, more: &[&str]) -> String {
    let file = lab.path("home/iid");
    let mut arguments = vec!["--iidfile", file.to_str().expect("the path is text")];
    arguments.extend(more);
    arguments.push(context.to_str().expect("the path is text"));
    lab.build(arguments);
    fs::read_to_string(file).expect("--iidfile writes the file")
}

as_everyone!(a_second_build_runs_nothing, TOOLS, |lab| {
    let (_registry, base) = busybox(lab);
    let context = lab.dockerfile(
        "context",
        &format!(
            "FROM {base}\nRUN date > /date\nWORKDIR /work\nCOPY . .\nRUN mkdir made\nENV A=b\n\
             RUN [\"touch\", \"made/file\"]\nCMD [\"cat\", \"/date\"]\n"
        ),
    );
    lab.file("context/file", "content");
    let first = image_id(lab, &context, &[]);
    lab.build([&context]).assert_all_cached();
    assert_eq!(image_id(lab, &context, &[]), first);
    // A tag, a label: new images of the same layers.
    lab.build(["-t", "named:1", "--label", "a=b"].map(Path::new).into_iter().chain([&*context]))
        .assert_all_cached();
});

as_everyone!(a_second_build_needs_no_registry, TOOLS, |lab| {
    let (registry, base) = busybox(lab);
    let context = lab.dockerfile("context", &format!("FROM {base}\nRUN touch /a\n"));
    lab.build([&context]);
    drop(registry);
    lab.build([&context]).assert_all_cached();
    lab.try_build([Path::new("--pull"), &context]).assert_refused(1, &[&base]);
});

as_everyone!(an_edit_reruns_what_reads_it, TOOLS, |lab| {
    let (_registry, base) = busybox(lab);
    let context = lab.dockerfile(
        "context",
        &format!(
            "FROM {base} AS left\nCOPY left /in\nRUN cat /in > /out\n\
             FROM {base} AS right\nCOPY right /in\nRUN cat /in > /out\n\
             FROM {base}\nCOPY --from=left /out /left\nCOPY --from=right /out /right\nRUN cat /left /right > /both\n"
        ),
    );
    lab.file("context/left", "0");
    lab.file("context/right", "1");
    assert_eq!(lab.build([&context]).executed().len(), 7);
    lab.file("context/right", "2");
    assert_eq!(
        lab.build([&context]).executed(),
        [
            "COPY right /in",
            "RUN cat /in > /out",
            "COPY --from=right /out /right",
            "RUN cat /left /right > /both"
        ]
    );
    // Back to the content of the first build: its results are still known.
    lab.file("context/right", "1");
    lab.build([&context]).assert_all_cached();
    // Times and unread files do not matter.
    lab.file("context/unread", "3");
    let left = fs::File::open(context.join("left")).expect("the file was made");
    left.set_modified(std::time::UNIX_EPOCH).expect("root may set times");
    lab.build([&context]).assert_all_cached();
});

as_everyone!(the_same_content_stops_a_rerun, TOOLS, |lab| {
    let (_registry, base) = busybox(lab);
    let context = lab.dockerfile(
        "context",
        &format!(
            "FROM {base} AS made\nCOPY in /in\nRUN head -c1 /in > /out\n\
             FROM {base}\nCOPY --from=made /out /out\nRUN date > /date\n"
        ),
    );
    lab.file("context/in", "same, one");
    let first = image_id(lab, &context, &[]);
    lab.file("context/in", "same, two");
    assert_eq!(lab.build([&context]).executed(), ["COPY in /in", "RUN head -c1 /in > /out"]);
    assert_eq!(image_id(lab, &context, &[]), first);
    lab.file("context/in", "other");
    assert_eq!(lab.build([&context]).executed().len(), 4);
});

as_everyone!(without_early_cutoff_it_does_not, TOOLS, |lab| {
    let (_registry, base) = busybox(lab);
    let context = lab.dockerfile(
        "context",
        &format!(
            "FROM {base} AS made\nCOPY in /in\nRUN head -c1 /in > /out\nRUN touch /after\n\
             FROM {base}\nRUN touch /apart\nCOPY --from=made /out /out\nRUN --mount=from=made,target=/m date > /date\n"
        ),
    );
    let strict = [Path::new("--no-early-cutoff"), &*context];
    lab.file("context/in", "same, one");
    lab.build([&context]);
    // Keys by runs are others, but for steps on images.
    let again = lab.build(strict).executed();
    assert!(!again.contains(&"COPY in /in".to_owned()), "{again:?}");
    lab.build(strict).assert_all_cached();
    lab.file("context/in", "same, two");
    let after = [
        "COPY in /in",
        "RUN head -c1 /in > /out",
        "RUN touch /after",
        "COPY --from=made /out /out",
        "RUN --mount=from=made,target=/m date > /date",
    ];
    assert_eq!(lab.build(strict).executed(), after);
    lab.build(strict).assert_all_cached();
    // Both kinds of keys are there side by side.
    lab.file("context/in", "same, one");
    lab.build([&context]).assert_all_cached();
    let one_stage = [Path::new("--no-early-cutoff"), Path::new("--no-cache-filter=made"), &*context];
    assert_eq!(lab.build(one_stage).executed(), after);
});

as_everyone!(no_cache_runs_everything, TOOLS, |lab| {
    let (_registry, base) = busybox(lab);
    let context = lab.dockerfile(
        "context",
        &format!("FROM {base} AS a\nRUN touch /a\nFROM {base} AS b\nCOPY --from=a /a /a\nRUN touch /b\n"),
    );
    let all = lab.build([&context]).executed();
    assert_eq!(all.len(), 3);
    assert_eq!(lab.build([Path::new("--no-cache"), &context]).executed(), all);
    lab.build([&context]).assert_all_cached();
});

as_everyone!(a_build_argument_counts_from_where_it_is_declared, TOOLS, |lab| {
    let (_registry, base) = busybox(lab);
    let context = lab.dockerfile(
        "context",
        &format!("FROM {base}\nRUN touch /before\nARG WHO=nobody\nRUN echo $WHO > /after\n"),
    );
    assert_eq!(lab.build([&context]).executed().len(), 2);
    let someone = [Path::new("--build-arg=WHO=someone"), &context];
    assert_eq!(lab.build(someone).executed(), ["RUN echo $WHO > /after"]);
    lab.build(someone).assert_all_cached();
    // The default, given by name.
    lab.build([Path::new("--build-arg=WHO=nobody"), &context]).assert_all_cached();
});

as_everyone!(builds_share_one_store, TOOLS, |lab| {
    let (_registry, base) = busybox(lab);
    let contexts: Vec<_> = (0..4)
        .map(|number| {
            lab.dockerfile(
                &format!("context-{number}"),
                &format!("FROM {base}\nRUN echo shared > /shared\nRUN echo {number} > /own\n"),
            )
        })
        .collect();
    std::thread::scope(|scope| {
        for context in &contexts {
            scope.spawn(move || lab.build([context]));
        }
    });
    for context in &contexts {
        lab.build([context]).assert_all_cached();
    }
    lab.assert_nothing_left();
    assert!(!entries(&lab.store().join("snapshots")).is_empty());
});

// The stage with the longer way holds the one place that steps may run in while the COPY waits for it, looked up already.
as_everyone!(a_file_that_changes_meanwhile_is_noticed, TOOLS, |lab| {
    let registry = Registry::start(&lab.path("docker"));
    let base = registry.push_base("busybox");
    let context = lab.dockerfile(
        "context",
        &format!(
            "FROM {base} AS start\nRUN sleep 0.3\n\
             FROM start AS copied\nCOPY file /file\n\
             FROM start AS long\nRUN sleep 3 && echo > /long\nRUN true\nRUN true\n\
             FROM {base}\nCOPY --from=long /long /\nCOPY --from=copied /file /\nRUN cat /file\n"
        ),
    );
    let file = lab.path("context/file");
    let context = context.to_str().expect("text");
    let mut attempts = 1..=20;
    let before = loop {
        let before = format!("before {}\n", attempts.next().expect("the COPY never had to wait"));
        fs::write(&file, &before).expect("the context is writable");
        let words = ["build", "--progress=plain", "--parallelism=1", "--no-cache", context];
        let mut building = Serving::start(lab, &words);
        building.wait_for("RUN sleep 0.3");
        std::thread::sleep(std::time::Duration::from_secs(1));
        fs::write(&file, "after!\n").expect("the context is writable");
        assert_eq!(building.wait(), Some(0), "{}", building.printed());
        let first = building.printed();
        if first.contains("COPY file /file: files of the context changed") {
            assert!(first.contains(" after!"), "{first}");
            break before;
        }
        // It had the place before the other stage wanted it.
        assert!(first.contains(before.trim()), "{first}");
    };

    fs::write(&file, before).expect("the context is writable");
    let again = lab.build([context]);
    assert!(again.text.contains(" before"), "{}", again.text);
    assert_eq!(again.executed(), ["COPY file /file", "COPY --from=copied /file /", "RUN cat /file"]);
    lab.build([context]).assert_all_cached();
});

as_everyone!(a_store_that_was_damaged_by_hand_goes_on, TOOLS, |lab| {
    let (registry, base) = busybox(lab);
    let context = lab.dockerfile(
        "context",
        &format!("FROM {base}\nRUN --mount=type=cache,target=/c touch /c/a /a\nCOPY file /file\n"),
    );
    lab.file("context/file", "content");
    let first = image_id(lab, &context, &[]);
    // What ADD of a repository makes.
    lab.directory("store/git");
    let lose = |name: &str| {
        let path = lab.store().join(name);
        let lost = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
        lost.expect("root may remove everything");
    };
    for lost in [&["store.json"][..], &["locks"], &["store.json", "locks"]] {
        lost.iter().copied().for_each(lose);
        lab.build([&context]).assert_all_cached();
        assert_eq!(image_id(lab, &context, &[]), first, "without {lost:?}");
    }
    lose("cache");
    assert_eq!(lab.build([&context]).executed().len(), 2);
    lab.build([&context]).assert_all_cached();
    drop(registry);
});

/// A build in the boot `boot` of the machine.
fn build_in(lab: &Lab, boot: &str, context: &Path) -> Build {
    let mut command = lab.command(["build", "--progress=plain"]);
    let build = Build::from(output(command.arg(context).env("SLIPWAY_BOOT_ID", boot)));
    assert_eq!(build.status, Some(0), "{}", build.text);
    build
}

as_everyone!(what_was_built_outlives_a_boot, TOOLS, |lab| {
    let (registry, base) = busybox(lab);
    let context = lab.dockerfile("context", &format!("FROM {base}\nRUN touch /a\nCOPY file /file\n"));
    lab.file("context/file", "content");
    build_in(lab, "first", &context);
    let known =
        fs::read_to_string(lab.store().join("cache/synced")).expect("the build noted that it is on the disk");
    assert!(known.starts_with(r#"[["first","#), "{known}");
    // Nothing is fetched, unpacked or looked at again.
    drop(registry);
    let unpacked = || {
        let made =
            |name: &String| fs::metadata(lab.store().join("layers").join(name)).and_then(|m| m.modified());
        entries(&lab.store().join("layers"))
            .iter()
            .map(|name| made(name).expect("it is there"))
            .collect::<Vec<_>>()
    };
    let before = unpacked();
    let files = snapshot_files(lab);
    build_in(lab, "second", &context).assert_all_cached();
    assert_eq!((unpacked(), snapshot_files(lab)), (before, files));
    // There was nothing to note.
    assert_eq!(fs::read_to_string(lab.store().join("cache/synced")).expect("it is still there"), known);

    // A step that runs now is of this boot; what is not known to be on the disk is compared with its list.
    lab.file("context/file", "other content");
    assert_eq!(build_in(lab, "second", &context).executed(), ["COPY file /file"]);
    fs::remove_file(lab.store().join("cache/synced")).expect("root may remove everything");
    build_in(lab, "third", &context).assert_all_cached();
    let all = lab.store().join("snapshots");
    let verified = entries(&all)
        .iter()
        .filter(|name| {
            let meta = fs::read_to_string(all.join(name).join("meta.json"));
            meta.expect("every snapshot has one").contains(r#""boot":"""#)
        })
        .count();
    // RUN, and the second COPY.
    assert_eq!(verified, 2);
});

as_everyone!(a_boot_that_ended_too_early_is_noticed, TOOLS, |lab| {
    let (_registry, base) = busybox(lab);
    let context = lab.dockerfile("context", &format!("FROM {base}\nRUN echo a > /a\nRUN echo b > /b\n"));
    build_in(lab, "first", &context);
    fs::remove_file(lab.store().join("cache/synced")).expect("the build made it");
    for snapshot in snapshot_files(lab).into_iter().filter(|path| path.ends_with("b")) {
        fs::write(snapshot, "").expect("root may write everything");
    }
    assert_eq!(build_in(lab, "second", &context).executed(), ["RUN echo b > /b"]);
    // The base was unpacked again, from the store; all is known to be there now.
    let known = fs::read_to_string(lab.store().join("cache/synced")).expect("the build noted it");
    assert!(known.starts_with(r#"[["second","#), "{known}");
    build_in(lab, "third", &context).assert_all_cached();
});

/// Every file of every snapshot.
fn snapshot_files(lab: &Lab) -> Vec<std::path::PathBuf> {
    let all = lab.store().join("snapshots");
    let mut files = Vec::new();
    for snapshot in entries(&all) {
        let directory = all.join(snapshot).join("fs");
        files.extend(entries(&directory).into_iter().map(|name| directory.join(name)));
    }
    files
}

as_everyone!(what_is_in_a_key, TOOLS, |lab| {
    let (_registry, base) = busybox(lab);
    lab.file("context/a", "a");
    lab.file("context/same/a", "a");
    let plain = "RUN true\nRUN <<E\necho one\nE\nCOPY a /there/\n";
    let build = |text: &str, arguments: &[&str]| {
        let context = lab.dockerfile("context", &format!("FROM {base}\n{text}"));
        lab.build(arguments.iter().map(Path::new).chain([&*context]))
    };
    build(plain, &[]);
    // What a machine or a user brings along, and where files were.
    let brought = [
        "--build-arg=http_proxy=http://127.0.0.1:1",
        "--add-host=a:10.0.0.1",
        "--ulimit=nofile=99:99",
        "--shm-size=1m",
        "--label=a=b",
    ];
    build(plain, &brought).assert_all_cached();
    build(&plain.replace("COPY a ", "COPY same/a "), &[]).assert_all_cached();
    // What a program sees, and where files go.
    for (from, to, executed) in [
        ("echo one", "echo two", 2),
        ("/there/", "/elsewhere/", 1),
        ("RUN true", "RUN --network=none true", 3),
        ("RUN true", "ENV A=b\nRUN true", 3),
        ("RUN true", "ARG http_proxy\nRUN true", 3),
        ("RUN true", "RUN --mount=type=tmpfs,target=/x true", 3),
        ("COPY a", "USER 7\nCOPY --chown=7 a", 1),
    ] {
        let changed = build(&plain.replace(from, to), &["--build-arg=http_proxy=http://127.0.0.1:1"]);
        assert!(
            !changed.executed().is_empty() && changed.executed().len() <= executed,
            "{to}: {}",
            changed.text
        );
        build(plain, &[]).assert_all_cached();
    }
});
