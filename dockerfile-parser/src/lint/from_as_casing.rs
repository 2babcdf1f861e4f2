//! `AS` should be written in the case of its `FROM`.

use super::{Guide, Report, Rule, Subject, from_keyword};
use crate::span::Span;

pub(super) const RULE: Rule = Rule { name: "FromAsCasing", check, guide: &GUIDE };

const GUIDE: Guide = Guide {
    summary: "AS should be written in the case of its FROM",
    why: "`FROM image as name` works, and reads as if `as` belonged to the image.",
    bad: "FROM scratch as app\n",
    good: "FROM scratch AS app\n",
};

fn check(subject: &Subject<'_>, report: &mut Report<'_>) {
    for stage in subject.stages() {
        let Some(name) = &stage.from.name else { continue };
        let from = from_keyword(stage);
        // The keyword is the one word between image and name, perhaps with a continuation before or behind it.
        let between = &subject.source[stage.from.image.span.end.min(name.span.start)..name.span.start];
        let Some(at) = between.windows(2).position(|pair| pair.eq_ignore_ascii_case(b"as")) else { continue };
        let start = stage.from.image.span.end + at;
        let written = String::from_utf8_lossy(&between[at..at + 2]).into_owned();
        let wanted = match (from == from.to_uppercase(), from == from.to_lowercase()) {
            (true, _) => "AS",
            (_, true) => "as",
            // A FROM in mixed case is reported by ConsistentInstructionCasing.
            _ => continue,
        };
        if written != wanted {
            let message = format!("\"{written}\" and \"{from}\" are not in the same case");
            report.add(&stage.comments, Span::new(start, start + 2), message, format!("write {wanted}"));
        }
    }
}
