//! `CMD` and `ENTRYPOINT`.

use super::{Context, command_line};
use crate::ast::CommandLine;

pub(super) fn parse(cx: &mut Context<'_>) -> Option<CommandLine> {
    cx.no_flags();
    if !cx.diagnostics.is_empty() {
        // What looked like a flag may be the command.
        return None;
    }
    let command = command_line(cx.take_arguments());
    if command.is_none() {
        let message = format!("{} needs a command", cx.name);
        let help = format!("to clear an inherited one, write {} []", cx.name);
        cx.error_help("missing-argument", cx.statement.source.span, message, help);
    }
    command
}
