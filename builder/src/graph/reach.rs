//! Which stages the target needs, and in which order.

use super::op::BaseImages;
use super::plan::{Planner, froms};
use dockerfile_parser::ast::Instruction;
use dockerfile_parser::diagnostic::Diagnostic;
use std::collections::BTreeSet;

/// The stages reachable from `target`, by number, in source order. Every dependency of a stage stands before it:
/// reading from a later stage is refused where the instruction is dispatched.
///
/// Triggers of base images that are not resolved yet are not seen; the caller asks again when they are.
pub(super) fn reachable(
    planner: &Planner<'_>,
    bases: &BaseImages,
    target: usize,
) -> Result<BTreeSet<usize>, Vec<Diagnostic>> {
    let mut found = BTreeSet::new();
    let mut open = vec![target];
    while let Some(stage) = open.pop() {
        if !found.insert(stage) {
            continue;
        }
        let base = planner.base_of(stage).map_err(|error| vec![error])?;
        if let super::names::Base::Stage(parent) = base {
            open.push(parent);
        }
        for trigger in planner.triggers(stage, bases)? {
            open.extend(reads(planner, &trigger, stage));
        }
        for instruction in &planner.file.stages[stage].instructions {
            open.extend(reads(planner, instruction, stage));
        }
    }
    Ok(found)
}

/// The earlier stages an instruction reads from.
fn reads(planner: &Planner<'_>, instruction: &Instruction, stage: usize) -> Vec<usize> {
    froms(instruction).iter().filter_map(|(name, _)| planner.earlier_stage(name, stage)).collect()
}
