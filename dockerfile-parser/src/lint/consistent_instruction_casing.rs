//! Instructions should all be in upper case, or all in lower case, as most of the file is.

use super::{Report, Rule, Subject, from_keyword};
use crate::span::Span;

pub(super) const RULE: Rule = Rule { name: "ConsistentInstructionCasing", check };

fn check(subject: &Subject<'_>, report: &mut Report<'_>) {
    let mut keywords: Vec<(&str, Span, &[String])> = Vec::new();
    for stage in subject.stages() {
        let from = from_keyword(stage);
        let span = Span::new(stage.span.start, stage.span.start + from.len());
        keywords.push((from, span, &stage.comments));
        keywords.extend(
            stage.instructions.iter().map(|i| (i.keyword.text.as_str(), i.keyword.span, &i.comments[..])),
        );
    }
    // Keywords of known instructions are ASCII.
    let is_lower = |keyword: &str| !keyword.bytes().any(|b| b.is_ascii_uppercase());
    let is_upper = |keyword: &str| !keyword.bytes().any(|b| b.is_ascii_lowercase());
    let lower = keywords.iter().filter(|(keyword, ..)| is_lower(keyword)).count();
    let upper = keywords.iter().filter(|(keyword, ..)| is_upper(keyword)).count();
    for (keyword, span, comments) in keywords {
        let consistent = if lower > upper { is_lower(keyword) } else { is_upper(keyword) };
        if !consistent {
            let wanted = if lower > upper { keyword.to_lowercase() } else { keyword.to_uppercase() };
            let message = format!("\"{keyword}\" is not in the case of most instructions of this file");
            report.add(comments, span, message, format!("write {wanted}"));
        }
    }
}
