//! Instructions with one argument, the rest of the line: `MAINTAINER`, `STOPSIGNAL`, `USER`, `WORKDIR`.

use super::Context;
use crate::ast::Word;
use crate::statement::Arguments;

pub(super) fn parse(cx: &mut Context<'_>, what: &str, example: &str) -> Option<Word> {
    cx.no_flags();
    match cx.take_arguments() {
        Arguments::Text(text) => Some(text),
        _ => {
            cx.missing(what, example);
            None
        }
    }
}
