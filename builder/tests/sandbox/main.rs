//! The sandbox, with a busybox image, as root or as whoever runs this: it enters a user namespace by itself.
//!
//! As root, with SLIPWAY_TEST_USER naming a user with subordinate ids, it runs again as that user, and as `nobody`, who
//! has none and gets a namespace with a single id.
//!
//! Not run by the usual harness, because a process with threads cannot enter one. Arguments are parts of test names.
//! Where the machine cannot (no /bin/busybox, no namespaces), everything is skipped, unless SLIPWAY_REQUIRE_TOOLS=1.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this is a test harness")]

mod image;
mod isolation;
mod layers;
mod mounts;
mod programs;

use builder::userns::{self, Privilege};
use std::os::unix::fs::PermissionsExt;
use std::panic::catch_unwind;
use std::process::{Command, ExitCode};
use std::time::Instant;

type Test = (&'static str, fn());

macro_rules! tests {
    ($($module:ident { $($name:ident)* })*) => {
        const TESTS: &[Test] = &[$($((concat!(stringify!($module), "::", stringify!($name)), $module::$name),)*)*];
    };
}

tests! {
    programs {
        exit_codes signals environment_is_exact working_directory identity measured limits output_and_error terminal
        failing_to_start kill_from_another_thread background_processes_die input_is_empty drop_ends_it
        inherited_streams dies_with_its_builder many_at_once programs_by_path
    }
    isolation {
        processes descriptors mounts_of_the_host capabilities seccomp masked_paths devices no_network host_name
        insecure default_signals device_nodes_are_dead
    }
    layers {
        whiteouts_and_opaque_directories nothing_is_left_behind mount_points_look_untouched views read_only_root
        many_layers from_scratch dangling_resolv_conf
    }
    mounts {
        binds tmpfs secrets nested bad_targets detached_views dns_and_hosts
    }
}

fn main() -> ExitCode {
    let filters: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let required = std::env::var_os("SLIPWAY_REQUIRE_TOOLS").is_some_and(|value| value == "1");
    if let Err(reason) = prepare() {
        println!("sandbox tests skipped: {reason}");
        return if required { ExitCode::FAILURE } else { ExitCode::SUCCESS };
    }
    match std::env::args().nth(1).as_deref() {
        Some("--bench") => {
            image::measure();
            return ExitCode::SUCCESS;
        }
        Some("--victim") => {
            programs::victim();
            return ExitCode::SUCCESS;
        }
        _ => {}
    }
    let mut failed = Vec::new();
    let chosen = TESTS
        .iter()
        .filter(|(name, _)| filters.is_empty() || filters.iter().any(|part| name.contains(part.as_str())));
    for (name, test) in chosen {
        let start = Instant::now();
        let passed = catch_unwind(test).is_ok();
        println!("test {name} ... {} ({:.1?})", if passed { "ok" } else { "FAILED" }, start.elapsed());
        if !passed {
            failed.push(*name);
        }
    }
    if !failed.is_empty() {
        println!("failed: {}", failed.join(" "));
        return ExitCode::FAILURE;
    }
    let others = std::env::var("SLIPWAY_TEST_USER").ok().filter(|_| Privilege::detect() == Privilege::Root);
    let Some(user) = others else { return ExitCode::SUCCESS };
    let passed = [user.as_str(), "nobody"].map(|user| again_as(user, &filters));
    if passed == [true, true] { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs the same tests as another user, who may be unable to see this program where it is.
fn again_as(user: &str, filters: &[String]) -> bool {
    println!("again as {user}");
    let directory = tempfile::tempdir().unwrap();
    let copy = directory.path().join("sandbox");
    std::fs::copy(std::env::current_exe().unwrap(), &copy).unwrap();
    for path in [directory.path(), &copy] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let mut command = Command::new("runuser");
    command
        .args(["-u", user, "--"])
        .arg(&copy)
        .args(filters)
        .current_dir("/")
        .env_remove("SLIPWAY_TEST_USER");
    command.status().is_ok_and(|status| status.success())
}

fn prepare() -> Result<(), String> {
    let start = Instant::now();
    // As the command does: entered by a new start of the program, which has no threads yet.
    let entered = userns::enter_if_asked(std::env::var_os(userns::MARKER).as_deref());
    let entered = entered.map_err(|error| error.to_string())?;
    println!("{:?}, {entered:?} in {:.1?}", Privilege::detect(), start.elapsed());
    if !std::path::Path::new(image::BUSYBOX).exists() {
        return Err(format!("{} is missing (Debian: busybox-static)", image::BUSYBOX));
    }
    if Privilege::detect() != Privilege::Unprivileged {
        return Ok(());
    }
    // The threads of a program are no obstacle.
    std::thread::spawn(|| std::thread::sleep(std::time::Duration::from_secs(10)));
    Err(userns::reexec().to_string())
}
