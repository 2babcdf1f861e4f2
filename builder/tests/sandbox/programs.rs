//! What a program gets, and how it ends.

use crate::image::{Image, finish, has_other_ids, run, text};
use builder::request::Ulimit;
use builder::rootfs::user::ResolvedUser;
use builder::sandbox::{Exit, RootFs, Sandbox, SandboxError, Stdio, WindowSize};
use rustix::process::Signal;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::{Duration, Instant};

pub(crate) fn exit_codes() {
    let image = Image::new();
    for code in [0, 1, 7, 127, 255] {
        let output = run(image.sandbox(&["sh", "-c", &format!("exit {code}")])).unwrap();
        assert_eq!(output.status.exit, Exit::Code(code));
        assert_eq!((output.status.success(), output.status.code()), (code == 0, code));
        assert!(!output.status.out_of_memory);
    }
    assert!(image.written().is_empty() && image.scratch_is_empty());
}

pub(crate) fn signals() {
    let image = Image::new();
    // Process 1 of a namespace gets no signal that it does not handle, not even from itself; its children do.
    let output = run(image.sandbox(&["sh", "-c", "sh -c 'kill -9 $$'; echo $?"])).unwrap();
    assert_eq!(output.stdout.trim(), "137");
    let child = image.sandbox(&["sleep", "100"]).spawn().unwrap();
    child.killer().unwrap().kill();
    let output = finish(child);
    assert_eq!(output.status.exit, Exit::Signal(9));
    assert_eq!((output.status.code(), output.status.out_of_memory), (137, false));

    let mut child = image
        .sandbox(&["sh", "-c", "trap 'echo got it; exit 3' TERM; echo ready; sleep 100 & wait"])
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(File::from(child.stdout.take().unwrap())).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "ready");
    child.killer().unwrap().signal(Signal::TERM).unwrap();
    assert_eq!(lines.next().unwrap().unwrap(), "got it");
    assert_eq!(child.wait().unwrap().exit, Exit::Code(3));
}

pub(crate) fn environment_is_exact() {
    let image = Image::new();
    let env = ["A=1", "B=two words", "EMPTY=", "C=\u{e9}=x"];
    let sandbox = Sandbox { env: env.iter().map(|e| e.into()).collect(), ..image.sandbox(&["/bin/env"]) };
    assert_eq!(text(sandbox).lines().collect::<Vec<_>>(), env);
}

pub(crate) fn working_directory() {
    let image = Image::new();
    std::os::unix::fs::symlink("/root", image.lower().join("link")).unwrap();
    let sandbox = Sandbox { cwd: "/link".into(), ..image.sandbox(&["/bin/busybox", "pwd"]) };
    assert_eq!(text(sandbox), "/root\n");
    let sandbox = Sandbox { cwd: "/missing".into(), ..image.sandbox(&["true"]) };
    let error = sandbox.spawn().unwrap_err();
    assert!(
        matches!(&error, SandboxError::WorkingDirectory { path, source }
        if path.to_str() == Some("/missing") && source.raw_os_error() == Some(libc::ENOENT)),
        "{error:?}"
    );
    assert_eq!(error.exit_code(), None);
}

pub(crate) fn identity() {
    let image = Image::new();
    let show = "grep -E '^(Uid|Gid|Groups)' /proc/self/status; umask";
    if !has_other_ids() {
        let user = ResolvedUser { uid: 1000, gid: 1000, groups: vec![], home: "/".into() };
        let error = Sandbox { user, ..image.sandbox(&["true"]) }.spawn().unwrap_err();
        assert!(matches!(error, SandboxError::NotMapped { .. }), "{error:?}");
        assert!(error.help().unwrap().contains("/etc/subuid"));
        return;
    }
    let user = ResolvedUser { uid: 1000, gid: 1001, groups: vec![44, 29], home: "/".into() };
    let sandbox = Sandbox { user, cwd: "/root".into(), ..image.sandbox(&["sh", "-c", show]) };
    let want = "Uid:\t1000\t1000\t1000\t1000\nGid:\t1001\t1001\t1001\t1001\nGroups:\t29 44 \n0022\n";
    assert_eq!(text(sandbox), want);
    let root = image.sh(show);
    assert_eq!(root, "Uid:\t0\t0\t0\t0\nGid:\t0\t0\t0\t0\nGroups:\t \n0022\n");
    // Somebody who is not root can write to the streams that he got.
    let user = ResolvedUser { uid: 1000, gid: 1000, groups: vec![], home: "/".into() };
    let sandbox =
        Sandbox { user, ..image.sandbox(&["sh", "-c", "echo x > /dev/stdout; echo y > /dev/null"]) };
    assert_eq!(text(sandbox), "x\n");
}

/// What programs used is known however short they are and whoever runs them.
pub(crate) fn measured() {
    let image = Image::new();
    let mut child = image.sandbox(&["true"]).spawn().unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(child.usage(), None, "nobody asked");
    let copy = ["sh", "-c", "dd if=/dev/zero of=/file bs=1000 count=1000 2> /dev/null"];
    for uid in [0, 1000] {
        if uid != 0 && !has_other_ids() {
            continue;
        }
        for args in [&["true"][..], &copy].repeat(10) {
            let user = ResolvedUser { uid, gid: uid, groups: vec![], home: "/".into() };
            let file = image.upper().join("file");
            std::fs::write(&file, "").unwrap();
            std::fs::set_permissions(&file, PermissionsExt::from_mode(0o666)).unwrap();
            let mut child = Sandbox { user, ..image.sandbox(args) }.spawn_measured().unwrap();
            assert_eq!(child.usage(), None, "it runs");
            assert!(child.wait().unwrap().success());
            let usage = child.usage().expect("it has ended");
            let io = usage.io.unwrap_or_else(|| panic!("{uid} {args:?} {usage:?}"));
            assert_eq!(io.written >= 1_000_000, args.len() == 3, "{args:?} {usage:?}");
            assert!(!usage.cpu().is_zero() || args.len() == 1, "{args:?} {usage:?}");
        }
    }
}

pub(crate) fn limits() {
    let image = Image::new();
    assert_eq!(image.sh("ulimit -Sn").trim(), "1024");
    let limit = |name: &str, soft, hard| Ulimit { name: name.to_owned(), soft: Some(soft), hard: Some(hard) };
    let rlimits = vec![limit("nofile", 100, 200), limit("core", 0, 0)];
    let sandbox = Sandbox { rlimits, ..image.sandbox(&["sh", "-c", "ulimit -Sn; ulimit -Hn; ulimit -c"]) };
    assert_eq!(text(sandbox), "100\n200\n0\n");
    let error =
        Sandbox { rlimits: vec![limit("files", 1, 1)], ..image.sandbox(&["true"]) }.spawn().unwrap_err();
    assert!(
        error.to_string().starts_with("no resource limit is called \"files\": known are as, core"),
        "{error}"
    );
}

pub(crate) fn output_and_error() {
    let image = Image::new();
    let output =
        run(image.sandbox(&["sh", "-c", "echo out; echo err >&2; head -c 300000 /dev/zero"])).unwrap();
    assert_eq!((output.stdout.len(), output.stderr.as_str()), (300_004, "err\n"));
    assert!(output.stdout.starts_with("out\n"));
}

pub(crate) fn input_is_empty() {
    let image = Image::new();
    assert_eq!(image.sh("cat; readlink /proc/self/fd/0"), "/dev/null\n");
}

pub(crate) fn terminal() {
    let image = Image::new();
    let size = WindowSize { rows: 33, columns: 77 };
    let script = "tty; stty size; echo hello > /dev/tty; test -c /dev/console && echo console; cat";
    let sandbox = Sandbox { stdio: Stdio::Terminal(size), ..image.sandbox(&["sh", "-c", script]) };
    let mut child = sandbox.spawn().unwrap();
    child.resize(WindowSize { rows: 5, columns: 6 }).unwrap();
    let mut terminal = File::from(child.terminal.take().unwrap());
    terminal.write_all(b"typed\n\x04").unwrap();
    let mut shown = Vec::new();
    let end = terminal.read_to_end(&mut shown).unwrap_err();
    assert_eq!(end.raw_os_error(), Some(libc::EIO));
    assert!(child.wait().unwrap().success());
    let shown = String::from_utf8_lossy(&shown).replace('\r', "");
    for part in ["/dev/pts/0\n", "hello\n", "console\n", "typed\n"] {
        assert!(shown.contains(part), "{shown:?} has no {part:?}");
    }
    assert!(shown.contains("33 77\n") || shown.contains("5 6\n"), "{shown:?}");
}

pub(crate) fn failing_to_start() {
    let image = Image::new();
    std::fs::write(image.lower().join("bin/script"), "#!/no/such/interpreter\n").unwrap();
    std::fs::write(image.lower().join("bin/data"), "no program\n").unwrap();
    std::fs::write(image.lower().join("bin/private"), "#!/bin/sh\n").unwrap();
    let mode = |name: &str, mode| {
        let path = image.lower().join("bin").join(name);
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    mode("script", 0o755);
    mode("data", 0o755);
    mode("private", 0o644);
    let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    for (program, code, message) in [
        ("nothing", 127, format!("exec: \"nothing\": not found in PATH ({path})")),
        ("/bin/nothing", 127, "exec: \"/bin/nothing\": no such file".to_owned()),
        ("script", 127, "exec: \"script\" exists, but not its interpreter".to_owned()),
        (
            "data",
            126,
            "exec: \"data\" cannot be executed: it is no program for this kind of processor".to_owned(),
        ),
        (
            "private",
            126,
            "exec: \"private\" cannot be executed: it is a directory, or its permissions".to_owned(),
        ),
        ("/etc", 126, "exec: \"/etc\" cannot be executed: it is a directory".to_owned()),
    ] {
        let error = image.sandbox(&[program]).spawn().unwrap_err();
        assert!(error.to_string().starts_with(&message), "{program}: {error}");
        assert_eq!(error.exit_code(), Some(code), "{program}");
    }
    assert!(matches!(image.sandbox(&[]).spawn(), Err(SandboxError::NoProgram)));
    assert!(matches!(image.sandbox(&["a\0b"]).spawn(), Err(SandboxError::NulByte { .. })));
    let missing = RootFs::ReadOnly { lowers: vec!["/nowhere/lower".into()] };
    let error = Sandbox { rootfs: missing, ..image.sandbox(&["true"]) }.spawn().unwrap_err();
    assert!(
        matches!(&error, SandboxError::RootFs { source } if source.to_string().contains("/nowhere/lower")),
        "{error:?}"
    );
    assert!(image.scratch_is_empty());
}

pub(crate) fn kill_from_another_thread() {
    let image = Image::new();
    let child = image.sandbox(&["sh", "-c", "sleep 100 & sleep 100"]).spawn().unwrap();
    let killer = child.killer().unwrap();
    let start = Instant::now();
    let thread = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(50));
        killer.kill();
        killer
    });
    let output = finish(child);
    assert_eq!(output.status.exit, Exit::Signal(9));
    assert!(start.elapsed() < Duration::from_secs(10));
    let killer = thread.join().unwrap();
    killer.kill();
    assert_eq!(killer.signal(Signal::TERM).unwrap_err().raw_os_error(), Some(libc::ESRCH));
}

pub(crate) fn background_processes_die() {
    let image = Image::new();
    let start = Instant::now();
    // The one in the background holds the pipe: only its death ends the output.
    let output =
        run(image.sandbox(&["sh", "-c", "(trap '' HUP TERM; sleep 60; echo late) & echo early"])).unwrap();
    assert_eq!(output.stdout, "early\n");
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}

pub(crate) fn drop_ends_it() {
    let image = Image::bare();
    let mut child = image.sandbox(&["sh", "-c", "echo started; sleep 100"]).spawn().unwrap();
    let mut line = [0; 8];
    let mut output = File::from(child.stdout.take().unwrap());
    output.read_exact(&mut line).unwrap();
    drop(child);
    assert_eq!(output.read(&mut line).unwrap(), 0, "its end of the pipe is closed");
    assert!(image.scratch_is_empty());
}

/// What `--victim` does: runs something whose output is this process's, until killed.
pub(crate) fn victim() {
    let image = Image::new();
    let stdio = Stdio::Inherit { stdin: false };
    let sandbox = Sandbox { stdio, ..image.sandbox(&["sh", "-c", "echo started; sleep 1000"]) };
    // Made by a thread that ends long before it.
    let child = std::thread::spawn(|| sandbox.spawn().unwrap()).join().unwrap();
    finish(child);
}

pub(crate) fn dies_with_its_builder() {
    let own = std::env::current_exe().unwrap();
    // It has no chance to remove its files.
    let files = tempfile::tempdir().unwrap();
    let mut builder = Command::new(own);
    builder.arg("--victim").env("TMPDIR", files.path()).stdout(std::process::Stdio::piped());
    let mut builder = builder.spawn().unwrap();
    let mut lines = BufReader::new(builder.stdout.take().unwrap()).lines().map(|line| line.unwrap());
    assert!(lines.any(|line| line == "started"));
    // It outlives the thread that made it.
    std::thread::sleep(Duration::from_millis(100));
    assert!(builder.try_wait().unwrap().is_none());
    builder.kill().unwrap();
    assert!(!builder.wait().unwrap().success());
    let start = Instant::now();
    assert_eq!(lines.next(), None, "the pipe closes with the last process that has it");
    assert!(start.elapsed() < Duration::from_secs(10));
}

pub(crate) fn many_at_once() {
    let images: Vec<Image> = (0..8).map(|_| Image::new()).collect();
    std::thread::scope(|scope| {
        for image in &images {
            scope.spawn(|| {
                for round in 0..4 {
                    let script =
                        format!("echo {round} > /etc/round; cat /etc/round; ls /proc/self/fd | wc -l");
                    assert_eq!(image.sh(&script), format!("{round}\n4\n"));
                }
            });
        }
    });
}

pub(crate) fn programs_by_path() {
    let image = Image::new();
    std::fs::create_dir(image.lower().join("own")).unwrap();
    std::os::unix::fs::symlink("/bin/busybox", image.lower().join("own/echo")).unwrap();
    let with = |program: &str, path: &str| {
        let env = vec![format!("PATH={path}").into()];
        text(Sandbox { env, cwd: "/own".into(), ..image.sandbox(&[program, "found"]) })
    };
    for (program, path) in [
        ("./echo", "/none"),
        ("../bin/echo", "/none"),
        ("echo", "/none:/etc/passwd:/own"),
        ("echo", "/none:"),
        ("echo", "."),
        ("echo", ""),
    ] {
        assert_eq!(with(program, path), "found\n", "{program} in {path:?}");
    }
    let none = Sandbox { env: Vec::new(), ..image.sandbox(&["echo", "found"]) };
    assert_eq!(text(none), "found\n", "without PATH the usual places are searched");
}

pub(crate) fn inherited_streams() {
    let image = Image::new();
    let script = "test \"$(readlink /proc/self/fd/0)\" = /dev/null && exit 4; exit 5";
    let status = |stdin| {
        let sandbox = Sandbox { stdio: Stdio::Inherit { stdin }, ..image.sandbox(&["sh", "-c", script]) };
        finish(sandbox.spawn().unwrap()).status.exit
    };
    assert_eq!(status(false), Exit::Code(4));
    let own = std::fs::read_link("/proc/self/fd/0").unwrap();
    assert_eq!(status(true), Exit::Code(if own.to_str() == Some("/dev/null") { 4 } else { 5 }));
}
