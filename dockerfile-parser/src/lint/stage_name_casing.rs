//! Stage names should be lower case: they are compared without case, and written in lower case everywhere else.

use super::{Guide, Report, Rule, Subject};

pub(super) const RULE: Rule = Rule { name: "StageNameCasing", check, guide: &GUIDE };

const GUIDE: Guide = Guide {
    summary: "Stage names should be lower case",
    why: "Stage names are compared without regard to case; in lower case they look the same everywhere, as those of images do.",
    bad: "FROM scratch AS App\n",
    good: "FROM scratch AS app\n",
};

fn check(subject: &Subject<'_>, report: &mut Report<'_>) {
    for stage in subject.stages() {
        let Some(name) = &stage.from.name else { continue };
        let lower = name.text.to_lowercase();
        if name.text != lower {
            let message = format!("stage name \"{}\" should be lower case", name.text);
            report.add(&stage.comments, name.span, message, format!("write {lower}"));
        }
    }
}
