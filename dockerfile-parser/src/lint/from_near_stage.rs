//! A name one letter away from that of an earlier stage: it is taken for an image, and asked of a registry.

use super::{Guide, Report, Rule, Subject};
use crate::ast::{InstructionKind, Stage};
use crate::span::Span;
use crate::suggest;

pub(super) const RULE: Rule = Rule { name: "FromNearStage", check, guide: &GUIDE };

const GUIDE: Guide = Guide {
    summary: "FROM and --from should not nearly name a stage",
    why: "A name that no stage above has is that of an image, and somebody may have put one there. Correct the name; where the image is meant, write it with its tag. This is not one of BuildKit's checks.",
    bad: "FROM scratch AS build\nCOPY . /app\nFROM scratch\nCOPY --from=buidl /app /app\n",
    good: "FROM scratch AS build\nCOPY . /app\nFROM scratch\nCOPY --from=build /app /app\n",
};

/// Of shorter names many are one letter away from each other.
const SHORTEST: usize = 3;

fn check(subject: &Subject<'_>, report: &mut Report<'_>) {
    let stages = &subject.dockerfile.stages;
    for (number, stage) in stages.iter().enumerate() {
        let mut look = |comments: &[String], what: &str, name: &str, span: Span| {
            if let Some(near) = near(name, stages, number) {
                let message =
                    format!("{what} {name:?} is an image, and the stage {near:?} is nearly named so");
                report.add(comments, span, message, format!("did you mean {near}?"));
            }
        };
        let image = &stage.from.image;
        look(&stage.comments, "FROM", &image.text, image.span);
        for instruction in &stage.instructions {
            match &instruction.kind {
                InstructionKind::Copy(copy) => {
                    if let Some(from) = &copy.from {
                        look(&instruction.comments, "--from", &from.text, from.span);
                    }
                }
                InstructionKind::Run(run) => {
                    for flag in &run.mounts {
                        if let Some(from) = crate::mount::from(&flag.spec.text) {
                            let span = crate::mount::from_span(&flag.spec);
                            look(&instruction.comments, "from", &from, span);
                        }
                    }
                }
                _ => {}
            }
        }
    }
}

/// The stage above stage `number` that is nearly called `name`, unless `name` is a stage, `scratch`, or beyond doubt an
/// image: written with a tag or a path, or the base of that very stage (`FROM alpine AS alpine1`).
fn near<'a>(name: &str, stages: &'a [Stage], number: usize) -> Option<&'a str> {
    let is_bare = !name.contains(['/', ':', '@', '$']) && name.len() >= SHORTEST;
    if !is_bare || name == "scratch" || name.parse::<usize>().is_ok() {
        return None;
    }
    let named = |stage: &'a Stage| stage.from.name.as_ref().map(|word| word.text.as_str());
    if stages.iter().filter_map(named).any(|known| known.eq_ignore_ascii_case(name)) {
        return None;
    }
    let others = stages.iter().take(number).filter(|stage| stage.from.image.text != name);
    others.filter_map(named).find(|known| suggest::is_one_edit_away(name, known))
}
