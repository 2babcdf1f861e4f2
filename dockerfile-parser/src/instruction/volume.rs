//! `VOLUME path ...` or `VOLUME ["path", ...]`.

use super::Context;
use crate::ast::Word;

pub(super) fn parse(cx: &mut Context<'_>) -> Option<Vec<Word>> {
    cx.no_flags();
    let words = cx.words();
    if words.is_empty() {
        cx.missing("a path", "VOLUME /data");
        return None;
    }
    let volumes: Vec<Word> =
        words.iter().map(|word| Word { text: word.text.trim().to_owned(), span: word.span }).collect();
    for volume in &volumes {
        if volume.text.is_empty() {
            cx.error("empty-argument", volume.span, "a volume's path cannot be empty");
        }
    }
    Some(volumes)
}
