//! `ARG name[=default] ...`.

use super::Context;
use crate::ast::ArgDeclaration;
use crate::statement::Arguments;
use std::collections::BTreeMap;

pub(super) fn parse(cx: &mut Context<'_>) -> Option<Vec<ArgDeclaration>> {
    cx.no_flags();
    let Arguments::Declarations(words) = cx.take_arguments() else {
        cx.missing("a name", "ARG VERSION=1.0");
        return None;
    };
    let descriptions = descriptions(cx.comments);
    let mut declarations = Vec::with_capacity(words.len());
    for (name, default) in words {
        if let Some(default) = &default
            && name.text.is_empty()
        {
            cx.error("blank-name", name.span.to(default.span), "ARG has a default without a name");
        }
        let comment = descriptions.get(name.text.as_str()).map(|text| (*text).to_owned());
        declarations.push(ArgDeclaration { name, default, comment });
    }
    Some(declarations)
}

/// Comments of the form `name text`, by name; of several the first.
fn descriptions(comments: &[String]) -> BTreeMap<&str, &str> {
    comments.iter().rev().filter_map(|line| line.split_once(' ')).collect()
}
