use super::*;
use crate::userns::Privilege;
use std::os::unix::fs::{PermissionsExt, symlink};

#[test]
fn programs_are_told_apart() {
    let mut seen = std::collections::BTreeSet::new();
    for name in architectures() {
        let machine = elf::machine(name).unwrap();
        let program = machine.program();
        let (magic, mask) = machine.telling();
        assert!(program.starts_with(&magic), "{name}");
        assert!(magic.iter().zip(&mask).all(|(byte, bits)| byte & bits == *byte), "{name}: all of it counts");
        assert!(seen.insert(magic), "{name}");
        let movable = {
            let mut bytes = magic;
            bytes[if name == "s390x" { 17 } else { 16 }] = 3;
            bytes
        };
        assert!(
            movable.iter().zip(mask).zip(magic).all(|((byte, bits), want)| byte & bits == want),
            "{name}"
        );
    }
    assert!(elf::machine("vax").is_none());
}

#[test]
fn the_line_has_a_separator_of_its_own() {
    let machine = elf::machine("arm64").unwrap();
    let line = |path: &str| String::from_utf8(Interpreter { path: path.into() }.line(machine)).unwrap();
    assert_eq!(
        line("/usr/bin/qemu-aarch64-static"),
        r":slipway-aarch64:M::\x7f\x45\x4c\x46\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00:\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff:/usr/bin/qemu-aarch64-static:FPC"
    );
    assert!(line("/a:b/qemu").starts_with("|slipway"));
    assert!(line("/a:b|c/qemu").ends_with(",/a:b|c/qemu,FPC"));
}

#[test]
fn only_static_emulators_are_taken() {
    let dir = tempfile::tempdir().unwrap();
    let machine = elf::machine("arm64").unwrap();
    let found = || interpreter::find(machine, Some(dir.path().as_os_str()));
    assert!(found().usable.is_none() && found().dynamic.is_none());
    // This test is linked dynamically, or it could not be built here without more.
    let dynamic = dir.path().join("qemu-aarch64");
    symlink("/bin/sh", &dynamic).unwrap();
    assert_eq!((found().usable.is_none(), found().dynamic), (true, Some(dynamic)));
    let script = dir.path().join("qemu-aarch64-static");
    std::fs::write(&script, "#!/bin/sh\n").unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    assert!(found().usable.is_none(), "a script is none");
    std::fs::write(&script, elf::machine("amd64").unwrap().program()).unwrap();
    assert_eq!(found().usable.unwrap().path, script);
}

#[test]
fn other_systems_are_refused() {
    let emulators = Emulators::new(None);
    let none = || -> io::Result<PathBuf> { panic!("nothing needs to be tried") };
    let error = emulators.for_platform(&Platform::new("windows", "amd64"), &none).unwrap_err();
    assert_eq!(error.to_string(), "programs for windows/amd64 cannot be run on Linux");
    assert!(emulators.for_platform(&Platform::host(), &none).unwrap().is_none());
}

/// Every processor whose emulator this machine has.
#[test]
#[allow(clippy::print_stderr)]
fn every_processor_runs() {
    if Privilege::detect() == Privilege::Unprivileged {
        eprintln!("skipped: user namespaces with ids need root");
        return;
    }
    let path = Some(OsString::from("/usr/local/bin:/usr/bin"));
    for name in architectures() {
        let dir = tempfile::tempdir().unwrap();
        let scratch = || Ok(dir.path().to_owned());
        let platform = Platform::new("linux", name);
        let without = Emulators::new(None).for_platform(&platform, &scratch);
        let with = Emulators::new(path.clone()).for_platform(&platform, &scratch);
        match (without, with) {
            (Ok(found), _) => assert!(found.is_none(), "{name} runs by itself"),
            (Err(_), Ok(found)) => assert!(found.is_some(), "{name} is emulated"),
            (Err(EmulationError::Unknown { wanted, .. }), Err(EmulationError::Unknown { .. })) => {
                eprintln!("skipped: {name}: {} is not installed", wanted.unwrap_or_default());
            }
            (_, Err(error)) => panic!("{name}: {error}: {:?}", std::error::Error::source(&error)),
        }
    }
}

#[test]
#[allow(clippy::print_stderr)]
fn an_interpreter_that_images_lack_is_noticed() {
    let machine = elf::machine("arm64").unwrap();
    let qemu = interpreter::find(machine, Some("/usr/local/bin:/usr/bin".as_ref())).usable;
    let (Some(qemu), true) = (qemu, Privilege::detect() != Privilege::Unprivileged) else {
        eprintln!("skipped: it takes root and qemu-aarch64-static");
        return;
    };
    let Ok(made) = namespace::with_table() else {
        eprintln!("skipped: user namespaces have no tables of their own here");
        return;
    };
    let mut line = qemu.line(machine);
    assert_eq!(line.split_off(line.len() - 3), b"FPC");
    line.push(b'P');
    namespace::write_entry(&made.table, &line).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let outcome = probe::run(machine, dir.path(), Some(&made.namespace)).unwrap();
    assert_eq!(outcome, Outcome::NoInterpreter);
    // The same name twice is an error, and the table is otherwise as it was.
    assert!(namespace::write_entry(&made.table, &line).is_err());
}
