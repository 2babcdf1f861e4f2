//! `ONBUILD instruction`.

use super::{Context, Meaning};
use crate::ast::{Instruction, Onbuild};
use crate::statement::Arguments;

pub(super) fn parse(cx: &mut Context<'_>) -> Option<Onbuild> {
    cx.no_flags();
    let statement = cx.statement;
    let Arguments::Nested(trigger) = &statement.arguments else {
        cx.missing("an instruction", "ONBUILD COPY . /app");
        return None;
    };
    let name = trigger.name();
    if matches!(name.as_str(), "ONBUILD" | "FROM" | "MAINTAINER") {
        let message = format!("{name} cannot be a trigger");
        cx.error_help(
            "bad-trigger",
            trigger.keyword.span,
            message,
            "ONBUILD takes any instruction but FROM, MAINTAINER and ONBUILD",
        );
        return None;
    }
    let mut text = trigger.source.text.clone();
    for heredoc in &cx.heredocs {
        text.push('\n');
        text.push_str(&heredoc.body);
        text.push_str(&heredoc.name);
    }
    let end = cx.heredocs.last().map_or(0, |h| h.body_span.end);
    let mut inner = Context {
        name,
        statement: trigger,
        joined: cx.joined,
        escape: cx.escape,
        comments: &[],
        heredocs: std::mem::take(&mut cx.heredocs),
        diagnostics: std::mem::take(&mut cx.diagnostics),
    };
    let meaning = super::parse(&mut inner);
    cx.diagnostics = inner.diagnostics;
    let Some(Meaning::Kind(kind)) = meaning else { return None };
    let mut span = trigger.source.span;
    span.end = span.end.max(end);
    let instruction = Instruction {
        span,
        keyword: trigger.keyword.clone(),
        source: trigger.source.text.clone(),
        comments: Vec::new(),
        kind,
    };
    Some(Onbuild { trigger: text, instruction: Box::new(instruction) })
}
