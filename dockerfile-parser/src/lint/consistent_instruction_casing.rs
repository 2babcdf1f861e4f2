//! Instructions should all be in upper case, or all in lower case, as most of the file is.

use super::{Guide, Report, Rule, Subject, from_keyword};
use crate::span::Span;

pub(super) const RULE: Rule = Rule { name: "ConsistentInstructionCasing", check, guide: &GUIDE };

const GUIDE: Guide = Guide {
    summary: "Instructions should be written in one case",
    why: "Instructions are found whatever their case, so a mixture works; but a reader who looks for `RUN` does not see `run`. What most of the file does is taken for what is meant.",
    bad: "FROM scratch\nENV A=b\ncopy . /\n",
    good: "FROM scratch\nENV A=b\nCOPY . /\n",
};

fn check(subject: &Subject<'_>, report: &mut Report<'_>) {
    let keywords = || {
        subject.stages().flat_map(|stage| {
            let from = from_keyword(stage);
            let span = Span::new(stage.span.start, stage.span.start + from.len());
            let others = stage.instructions.iter();
            let others = others.map(|i| (&*i.keyword.text, i.keyword.span, &i.comments[..]));
            std::iter::once((from, span, &stage.comments[..])).chain(others)
        })
    };
    // Keywords of known instructions are ASCII.
    let is_lower = |keyword: &str| !keyword.bytes().any(|b| b.is_ascii_uppercase());
    let is_upper = |keyword: &str| !keyword.bytes().any(|b| b.is_ascii_lowercase());
    let (mut all, mut lower, mut upper) = (0_usize, 0_usize, 0_usize);
    for (keyword, ..) in keywords() {
        all += 1;
        lower += usize::from(is_lower(keyword));
        upper += usize::from(is_upper(keyword));
    }
    if upper == all {
        return;
    }
    for (keyword, span, comments) in keywords() {
        let consistent = if lower > upper { is_lower(keyword) } else { is_upper(keyword) };
        if !consistent {
            let wanted = if lower > upper { keyword.to_lowercase() } else { keyword.to_uppercase() };
            let message = format!("\"{keyword}\" is not in the case of most instructions of this file");
            report.add(comments, span, message, format!("write {wanted}"));
        }
    }
}
