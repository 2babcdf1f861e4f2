//! A name one letter away from that of an earlier stage: it is taken for an image, and asked of a registry.

use super::{Guide, Report, Rule, Subject};
use crate::ast::{InstructionKind, Stage};
use crate::span::Span;
use crate::suggest;
use std::cell::OnceCell;
use std::collections::HashMap;

pub(super) const RULE: Rule = Rule { name: "FromNearStage", check, guide: &GUIDE };

const GUIDE: Guide = Guide {
    summary: "FROM and --from should not nearly name a stage",
    why: "A name that no stage above has is that of an image, and somebody may have put one there. Correct the name; where the image is meant, write it with its tag. This is not one of BuildKit's checks.",
    bad: "FROM scratch AS build\nCOPY . /app\nFROM scratch\nCOPY --from=buidl /app /app\n",
    good: "FROM scratch AS build\nCOPY . /app\nFROM scratch\nCOPY --from=build /app /app\n",
};

/// Of shorter names many are one letter away from each other.
const SHORTEST: usize = 3;

/// Nor does anybody read a longer one letter by letter. What is kept of a name grows with the square of this.
const LONGEST: usize = 40;

fn check(subject: &Subject<'_>, report: &mut Report<'_>) {
    let stages = &subject.dockerfile.stages;
    if stages.iter().all(|stage| stage.from.name.is_none()) {
        return;
    }
    let near_names = NearNames { stages, first: &subject.names().first, by_rest: OnceCell::new() };
    for (number, stage) in stages.iter().enumerate() {
        let mut look = |comments: &[String], what: &str, name: &str, span: Span| {
            if !may_be_a_stage(name) {
                return;
            }
            if let Some(near) = near_names.near(name, number) {
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

/// Whether `name` could be meant as that of a stage. One with a tag or a path is an image beyond doubt.
fn may_be_a_stage(name: &str) -> bool {
    let length = name.chars().take(LONGEST + 1).count();
    (SHORTEST..=LONGEST).contains(&length)
        && !name.contains(['/', ':', '@', '$'])
        && name != "scratch"
        && name.parse::<usize>().is_err()
}

/// So many stages are looked at for one rest of a name: more are made up.
const CANDIDATES: usize = 64;

/// The names of all stages, to be asked for the near ones in a time that does not depend on how many there are.
struct NearNames<'a> {
    stages: &'a [Stage],
    /// All names in lower case, each with the first stage of that name.
    first: &'a HashMap<String, usize>,
    /// Stages by their name in lower case, and by what is left of it without any one letter: names that are one edit
    /// apart have one of these in common. Made when a name is no stage's: mostly never.
    by_rest: OnceCell<HashMap<String, Vec<usize>>>,
}

impl<'a> NearNames<'a> {
    fn by_rest(&self) -> HashMap<String, Vec<usize>> {
        let mut by_rest: HashMap<String, Vec<usize>> = HashMap::new();
        let mut names: Vec<_> =
            self.first.iter().filter(|(name, _)| name.chars().count() <= LONGEST + 1).collect();
        names.sort_unstable_by_key(|(_, number)| **number);
        for (name, &number) in names {
            for rest in rests(name) {
                let stages = by_rest.entry(rest).or_default();
                if stages.len() < CANDIDATES {
                    stages.push(number);
                }
            }
        }
        by_rest
    }

    /// The first stage above stage `number` that is nearly called `name`, unless `name` is a stage, or the base of that
    /// very stage (`FROM alpine AS alpine1`).
    fn near(&self, name: &str, number: usize) -> Option<&'a str> {
        let lower = name.to_lowercase();
        if self.first.contains_key(&lower) {
            return None;
        }
        let by_rest = self.by_rest.get_or_init(|| self.by_rest());
        let candidates = rests(&lower).filter_map(|rest| by_rest.get(&rest)).flatten().copied();
        let named =
            |stage: usize| self.stages[stage].from.name.as_ref().map_or("", |word| word.text.as_str());
        let is_near = |&stage: &usize| {
            stage < number
                && self.stages[stage].from.image.text != name
                && suggest::is_one_edit_away(name, named(stage))
        };
        candidates.filter(is_near).min().map(named)
    }
}

/// The name itself, and what is left of it without its first letter, its second, and so on.
fn rests(name: &str) -> impl Iterator<Item = String> + '_ {
    let without =
        name.char_indices().map(|(at, letter)| [&name[..at], &name[at + letter.len_utf8()..]].concat());
    std::iter::once(name.to_owned()).chain(without)
}
