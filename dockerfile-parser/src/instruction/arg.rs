//! `ARG name[=default] ...`.

use super::Context;
use crate::ast::ArgDeclaration;
use crate::statement::Arguments;

pub(super) fn parse(cx: &mut Context<'_>) -> Option<Vec<ArgDeclaration>> {
    cx.no_flags();
    let statement = cx.statement;
    let Arguments::Declarations(words) = &statement.arguments else {
        cx.missing("a name", "ARG VERSION=1.0");
        return None;
    };
    let mut declarations = Vec::with_capacity(words.len());
    for (name, default) in words {
        if let Some(default) = default
            && name.text.is_empty()
        {
            cx.error("blank-name", name.span.to(default.span), "ARG has a default without a name");
        }
        let comment = describe(cx.comments, &name.text);
        declarations.push(ArgDeclaration { name: name.clone(), default: default.clone(), comment });
    }
    Some(declarations)
}

/// The text after `name ` in the first comment that starts so.
fn describe(comments: &[String], name: &str) -> Option<String> {
    let text = comments.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
    (!name.is_empty()).then(|| text.to_owned())
}
