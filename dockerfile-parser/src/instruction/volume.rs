//! `VOLUME path ...` or `VOLUME ["path", ...]`.

use super::Context;
use crate::ast::Word;

pub(super) fn parse(cx: &mut Context<'_>) -> Option<Vec<Word>> {
    cx.no_flags();
    let mut volumes = cx.take_words();
    if volumes.is_empty() {
        cx.missing("a path", "VOLUME /data");
        return None;
    }
    for volume in &mut volumes {
        volume.text = volume.text.trim().to_owned();
    }
    for volume in &volumes {
        if volume.text.is_empty() {
            cx.error("empty-argument", volume.span, "a volume's path cannot be empty");
        }
    }
    Some(volumes)
}
