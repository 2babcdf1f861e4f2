//! `EXPOSE port[/protocol] ...`. Ports are checked when names are expanded: one name may hold several.

use super::Context;
use crate::ast::Word;

pub(super) fn parse(cx: &mut Context<'_>) -> Option<Vec<Word>> {
    cx.no_flags();
    let ports = cx.take_words();
    if ports.is_empty() {
        cx.missing("a port", "EXPOSE 8080/tcp");
        return None;
    }
    Some(ports)
}
