//! `RUN [--mount=..] [--network=..] [--security=..] [--device=..] command`.

use super::{Context, command_line};
use crate::ast::{CommandLine, MountFlag, Network, Run, Security, Word};
use crate::diagnostic::{Diagnostic, MAX_ERRORS};
use crate::flags::Takes;
use crate::{device, mount, suggest};

pub(super) fn parse(cx: &mut Context<'_>) -> Option<Run> {
    let mut flags = cx.flags(&[
        ("mount", Takes::Values),
        ("network", Takes::Value),
        ("security", Takes::Value),
        ("device", Takes::Values),
    ]);
    let mounts: Vec<MountFlag> = flags.values("mount").into_iter().map(|spec| MountFlag { spec }).collect();
    for MountFlag { spec } in &mounts {
        if cx.diagnostics.len() >= MAX_ERRORS {
            break;
        }
        if let Err(error) = mount::check(&spec.text, cx.escape) {
            let mut diagnostic =
                Diagnostic::error("bad-mount", error.span_in(spec), format!("--mount: {error}"));
            diagnostic.help = error.help();
            cx.diagnostics.push(diagnostic);
        }
    }
    let devices = flags.values("device");
    for spec in &devices {
        if cx.diagnostics.len() >= MAX_ERRORS {
            break;
        }
        if let Err(error) = device::parse(&spec.text) {
            let mut diagnostic = Diagnostic::error("bad-device", spec.span, format!("--device: {error}"));
            diagnostic.help = error.help();
            cx.diagnostics.push(diagnostic);
        }
    }
    let network = flags.given_value("network");
    let modes = [("default", Network::Default), ("none", Network::None), ("host", Network::Host)];
    let network = network.and_then(|word| choice(cx, "network", &word, &modes));
    let security = flags.given_value("security");
    let modes = [("sandbox", Security::Sandbox), ("insecure", Security::Insecure)];
    let security = security.and_then(|word| choice(cx, "security", &word, &modes));
    let Some(command) = command_line(cx.take_arguments()).filter(|c| *c != CommandLine::Exec(Vec::new()))
    else {
        cx.missing("a command", "RUN make install");
        return None;
    };
    Some(Run { command, heredocs: std::mem::take(&mut cx.heredocs), mounts, network, security, devices })
}

fn choice<T: Copy>(
    cx: &mut Context<'_>,
    flag: &str,
    word: &Word,
    choices: &[(&'static str, T)],
) -> Option<T> {
    let found = choices.iter().find(|(name, _)| *name == word.text);
    if found.is_none() {
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        let help = match suggest::nearest(&word.text, names.iter().copied()) {
            Some(near) => format!("did you mean {near}?"),
            None => format!("it is one of {}", names.join(", ")),
        };
        cx.error_help("flag-value", word.span, format!("--{flag} cannot be \"{}\"", word.text), help);
    }
    found.map(|(_, value)| *value)
}
