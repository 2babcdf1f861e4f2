//! Builds that are stopped half-way.

use crate::support::bases;
use crate::support::lab::{Lab, Serving, as_everyone, entries, processes};
use crate::support::proxy::Proxy;
use crate::support::registry::Registry;
use crate::support::tools::{run, tool};
use rustix::process::Signal;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

const TOOLS: &[&str] = &["docker-registry", "skopeo", bases::TOOLS[1], bases::TOOLS[2]];

/// Starts a build whose second step never ends, and waits until it runs.
fn endless(lab: &Lab) -> (Registry, Serving) {
    let registry = Registry::start(&lab.path("docker"));
    let base = registry.push_base("busybox");
    lab.dockerfile(
        "context",
        &format!("FROM {base}\nRUN touch /first\nRUN touch /half; echo it runs; sleep 100000\n"),
    );
    let context = lab.path("context");
    let context = context.to_str().expect("the path is text");
    let mut build = Serving::start(lab, &["build", "--progress=plain", context]);
    build.wait_for(" it runs\n");
    (registry, build)
}

/// The next build finds what was finished, and makes the rest.
fn works_again(lab: &Lab) {
    let file = lab.path("context/Dockerfile");
    let text = std::fs::read_to_string(&file).expect("the file was made");
    lab.file("context/Dockerfile", text.replace("sleep 100000", "true"));
    let build = lab.build([lab.path("context")]);
    assert_eq!(build.executed(), ["RUN touch /half; echo it runs; true"]);
    lab.assert_nothing_left();
}

as_everyone!(by_control_c, TOOLS, |lab| {
    let (_registry, mut build) = endless(lab);
    build.signal(Signal::INT);
    assert_eq!(build.wait(), Some(1), "{}", build.printed());
    lab.assert_nothing_left();
    works_again(lab);
});

as_everyone!(by_a_polite_kill, TOOLS, |lab| {
    let (_registry, mut build) = endless(lab);
    build.signal(Signal::TERM);
    assert_eq!(build.wait(), Some(1), "{}", build.printed());
    lab.assert_nothing_left();
    works_again(lab);
});

as_everyone!(by_a_closed_terminal, TOOLS, |lab| {
    let (_registry, mut build) = endless(lab);
    build.signal(Signal::HUP);
    assert_eq!(build.wait(), Some(1), "{}", build.printed());
    lab.assert_nothing_left();
    works_again(lab);
});

as_everyone!(by_a_kill, TOOLS, |lab| {
    let (_registry, mut build) = endless(lab);
    build.signal(Signal::KILL);
    assert_eq!(build.wait(), None);
    // Nobody was left to end the step but the kernel.
    let end = Instant::now() + Duration::from_secs(10);
    while sleepers(lab) > 0 {
        assert!(Instant::now() < end, "the step lives on");
        sleep(Duration::from_millis(10));
    }
    works_again(lab);
});

/// Processes that still see the laboratory's store as their root, or run its program.
fn sleepers(lab: &Lab) -> usize {
    let program = lab.program();
    let store = lab.store();
    processes()
        .filter(|(pid, executable)| {
            let mounts = std::fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap_or_default();
            *executable == program || mounts.contains(&*Path::new(&store).to_string_lossy())
        })
        .count()
}

as_everyone!(while_it_waits_for_a_pipe, &[], |lab| {
    let context = lab.dockerfile("context", "FROM scratch\n");
    let (context, pipe) = (context.to_str().expect("text").to_owned(), lab.path("home/pipe"));
    let mode = rustix::fs::Mode::from_raw_mode(0o666);
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0)
        .expect("a pipe can be made");
    run(tool("chmod").arg("666").arg(&pipe));
    let pipe = pipe.to_str().expect("text").to_owned();

    let mut build = Serving::start(lab, &["build", "--progress=plain", "-f", &pipe, &context]);
    sleep(Duration::from_millis(300));
    build.signal(Signal::INT);
    assert_eq!(build.wait(), Some(1), "{}", build.printed());

    // It is read once, also by a user, whose build starts over in a namespace.
    let mut build = Serving::start(lab, &["build", "--progress=plain", "-f", &pipe, &context]);
    std::fs::write(&pipe, "FROM scratch\nCOPY Dockerfile /by-pipe\n").expect("the pipe has a reader");
    assert_eq!(build.wait(), Some(0), "{}", build.printed());
    assert!(build.printed().contains("COPY Dockerfile /by-pipe"), "{}", build.printed());
    lab.assert_nothing_left();
});

/// Stops a command that waits for a registry, once it says `waits`: it ends at once, and leaves nothing.
fn stopped(lab: &Lab, arguments: &[&str], input: Option<&str>, waits: &str) {
    let mut verb = match input {
        Some(input) => Serving::reading(lab, arguments, input),
        None => Serving::start(lab, arguments),
    };
    match waits {
        // It says nothing while it waits.
        "" => sleep(Duration::from_secs(1)),
        waits => verb.wait_for(waits),
    }
    sleep(Duration::from_millis(200));
    let asked = Instant::now();
    verb.signal(Signal::INT);
    let status = if arguments[0] == "run" { 125 } else { 1 };
    assert_eq!(verb.wait(), Some(status), "{arguments:?}: {}", verb.printed());
    // A fifth of a second on an idle machine; the timeouts of a registry take a minute.
    assert!(asked.elapsed() < Duration::from_secs(2), "{arguments:?} takes {:?}", asked.elapsed());
    assert!(verb.printed().ends_with("error: stopped\n"), "{arguments:?}: {}", verb.printed());
    assert_eq!(entries(&lab.store().join("tmp")), [""; 0], "{arguments:?}");
    lab.assert_nothing_left();
}

as_everyone!(while_a_registry_is_silent, TOOLS, |lab| {
    let registry = Registry::with_password(&lab.path("docker"), "someone", "opensesame");
    let open = Registry::start(&lab.path("home"));
    // A layer that cannot be compressed, so that the silence comes in the middle of it.
    let mut state = 1_u64;
    let noise: Vec<u8> = (0..3_000_000)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        })
        .collect();
    lab.file("context/noise", noise);
    let context = lab.dockerfile("context", "FROM scratch\nCOPY noise /\n");
    let there = open.reference("app:1");
    lab.build(["--push", "-t", &there, context.to_str().expect("the path is text")]);

    let silent = Proxy::stalling(open.name(), 1_000_000);
    let name = silent.reference("app:1");
    lab.verb(["tag", &there, &silent.reference("new:1")]);
    stopped(lab, &["push", &silent.reference("new:1")], None, "262.1 kB / 3.0 MB");
    stopped(lab, &["copy", &name, &open.reference("copied:1")], None, "copying ");
    lab.verb(["rmi", "-f", &there]);
    lab.verb(["rmi", "-f", &silent.reference("new:1")]);
    lab.verb(["prune", "--all", "-f"]);
    stopped(lab, &["pull", &name], None, " / 3.0 MB");
    stopped(lab, &["run", &name, "/noise"], None, "fetching ");
    // It was not kept, and nobody was logged in.
    lab.verb(["pull", "-q", &there]);

    let mute = Proxy::stalling(registry.name(), 0);
    let login = ["login", "-u", "someone", "--password-stdin", &mute.name()];
    stopped(lab, &login, Some("opensesame"), "");
    assert!(!lab.path("docker/config.json").exists());
    stopped(lab, &["inspect", "--raw", &mute.reference("app:1")], None, "");
});
