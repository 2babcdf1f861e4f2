//! `HEALTHCHECK NONE` and `HEALTHCHECK [options] CMD command`.

use super::{Context, command_line};
use crate::ast::{CommandLine, Healthcheck, Word};
use crate::duration;
use crate::flags::{Flags, Takes};
use crate::statement::Arguments;
use crate::suggest;
use std::time::Duration;

const OPTIONS: [(&str, Takes); 5] = [
    ("interval", Takes::Value),
    ("timeout", Takes::Value),
    ("start-period", Takes::Value),
    ("start-interval", Takes::Value),
    ("retries", Takes::Value),
];

pub(super) fn parse(cx: &mut Context<'_>) -> Option<Healthcheck> {
    let mut flags = cx.flags(&OPTIONS);
    let Arguments::Health(kind, command) = cx.take_arguments() else {
        cx.missing("NONE or CMD", "HEALTHCHECK --interval=30s CMD curl -f http://localhost/");
        return None;
    };
    match kind.text.to_ascii_uppercase().as_str() {
        "NONE" => none(cx, &flags, &kind, &command),
        "CMD" => cmd(cx, &mut flags, &kind, *command),
        _ => {
            let message = format!("HEALTHCHECK is followed by CMD or NONE, not by \"{}\"", kind.text);
            let help = match suggest::nearest(&kind.text, ["CMD", "NONE"]) {
                Some(near) => format!("did you mean {near}?"),
                None => "put CMD before the command".to_owned(),
            };
            cx.error_help("healthcheck-type", kind.span, message, help);
            None
        }
    }
}

fn none(cx: &mut Context<'_>, flags: &Flags, kind: &Word, command: &Arguments) -> Option<Healthcheck> {
    if !matches!(command, Arguments::None) {
        let rest = &cx.joined.text()[cx.statement.rest.clone()];
        let more = rest.strip_prefix(kind.text.as_str()).unwrap_or(rest).trim_start();
        let span = cx.joined.span_of(more);
        cx.error("extra-argument", span, "HEALTHCHECK NONE takes nothing more");
        return None;
    }
    if let Some((name, span)) = flags.first() {
        let message = format!("--{name} has no effect on HEALTHCHECK NONE");
        cx.error_help("useless-flag", span, message, "remove it");
        return None;
    }
    Some(Healthcheck::None)
}

fn cmd(cx: &mut Context<'_>, flags: &mut Flags, kind: &Word, command: Arguments) -> Option<Healthcheck> {
    let interval = interval(cx, flags, "interval");
    let timeout = self::interval(cx, flags, "timeout");
    let start_period = self::interval(cx, flags, "start-period");
    let start_interval = self::interval(cx, flags, "start-interval");
    let retries = retries(cx, flags);
    let Some(command) = command_line(command).filter(|c| *c != CommandLine::Exec(Vec::new())) else {
        cx.error("missing-argument", kind.span, "HEALTHCHECK CMD needs a command");
        return None;
    };
    Some(Healthcheck::Cmd { command, interval, timeout, start_period, start_interval, retries })
}

fn interval(cx: &mut Context<'_>, flags: &mut Flags, name: &str) -> Option<Duration> {
    let word = flags.value(name)?;
    let Some(parsed) = duration::parse(&word.text) else {
        let message = format!("--{name}: \"{}\" is not a duration", word.text);
        let help = "write a number with a unit (ms, s, m, h), as in 30s or 1m30s";
        cx.error_help("bad-duration", word.span, message, help);
        return None;
    };
    let zero = parsed.magnitude.is_zero();
    if !zero && (parsed.negative || parsed.magnitude < Duration::from_millis(1)) {
        let message = format!("--{name} cannot be shorter than one millisecond");
        cx.error_help("bad-duration", word.span, message, "0 means the default");
        return None;
    }
    Some(parsed.magnitude)
}

fn retries(cx: &mut Context<'_>, flags: &mut Flags) -> Option<u32> {
    let word = flags.value("retries")?;
    let number = word.text.parse::<i32>().ok().and_then(|n| u32::try_from(n).ok());
    if number.is_none() {
        let message = format!("--retries: \"{}\" is not a number of retries", word.text);
        cx.error_help("bad-number", word.span, message, "write a whole number from 0; 0 means the default");
    }
    number
}
