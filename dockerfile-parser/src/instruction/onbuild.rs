//! `ONBUILD instruction`.

use super::{Context, Meaning};
use crate::ast::{Instruction, Onbuild};
use crate::statement::Arguments;

/// What cannot be a trigger.
const NO_TRIGGERS: [&str; 3] = ["FROM", "MAINTAINER", "ONBUILD"];
const TRIGGERS: &str = "ONBUILD takes any instruction but FROM, MAINTAINER and ONBUILD";

pub(super) fn parse(cx: &mut Context<'_>) -> Option<Onbuild> {
    cx.no_flags();
    let Arguments::Nested(mut trigger) = cx.take_arguments() else {
        cx.missing("an instruction", "ONBUILD COPY . /app");
        return None;
    };
    let name = trigger.name;
    if NO_TRIGGERS.contains(&name) {
        let message = format!("{name} cannot be a trigger");
        cx.error_help("bad-trigger", trigger.keyword.span, message, TRIGGERS);
        return None;
    }
    let mut text = trigger.source.text.clone();
    for heredoc in &cx.heredocs {
        // The body as it stands: tabs are stripped when the trigger is parsed.
        let body = &cx.source[heredoc.body_span.start..heredoc.body_span.end];
        text.push('\n');
        text.push_str(&String::from_utf8_lossy(body));
        text.push_str(&heredoc.name);
    }
    let arguments = std::mem::take(&mut trigger.arguments);
    let flags = std::mem::take(&mut trigger.flags);
    let mut inner = Context {
        name,
        statement: &trigger,
        flags,
        arguments,
        joined: cx.joined,
        source: cx.source,
        escape: cx.escape,
        comments: &[],
        heredocs: std::mem::take(&mut cx.heredocs),
        heredocs_end: cx.heredocs_end,
        diagnostics: std::mem::take(&mut cx.diagnostics),
    };
    let known = inner.diagnostics.len();
    let meaning = super::parse(&mut inner);
    cx.diagnostics = inner.diagnostics;
    for diagnostic in &mut cx.diagnostics[known..] {
        let of_none = |help: &String| {
            let help = help.to_uppercase();
            NO_TRIGGERS.iter().any(|name| help == format!("DID YOU MEAN {name}?"))
        };
        if diagnostic.code == "unknown-instruction" && diagnostic.help.as_ref().is_some_and(of_none) {
            diagnostic.help = Some(TRIGGERS.to_owned());
        }
    }
    let Some(Meaning::Kind(kind)) = meaning else { return None };
    let mut span = trigger.source.span;
    span.end = cx.heredocs_end.unwrap_or(span.end);
    let instruction = Instruction {
        span,
        keyword: trigger.keyword,
        source: trigger.source.text,
        comments: Vec::new(),
        kind,
    };
    Some(Onbuild { trigger: text, instruction: Box::new(instruction) })
}
