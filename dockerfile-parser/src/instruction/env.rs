//! `ENV` and `LABEL`.

use super::Context;
use crate::ast::KeyValues;
use crate::statement::Arguments;

pub(super) fn parse(cx: &mut Context<'_>) -> Option<KeyValues> {
    cx.no_flags();
    let (pairs, legacy) = match cx.take_arguments() {
        Arguments::Pairs(pairs) => (pairs, false),
        Arguments::Legacy(key, value) => (vec![(key, value)], true),
        _ => {
            cx.missing("name=value", &format!("{} name=value", cx.name));
            return None;
        }
    };
    for (key, value) in &pairs {
        if key.text.is_empty() {
            cx.error(
                "blank-name",
                key.span.to(value.span),
                format!("{} has a value without a name", cx.name),
            );
        }
    }
    Some(KeyValues { pairs, legacy })
}
