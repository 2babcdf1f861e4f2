//! `--explain` and `build explain`: why steps ran, as a tree.

use crate::cli::style::Style;
use crate::explain::{BuildHistory, FileChange, FileChanges, HistoricStep, Outcome, Reason, What};
use crate::progress::sanitize;
use serde_json::{Value, json};

mod values;

/// Files of one step that are shown; the rest is counted.
const SHOWN: usize = 12;
/// The most that is shown of one value, in characters.
const WIDTH: usize = 100;

/// The whole build: what ran and why, and how much did not.
pub fn text(history: &BuildHistory, style: Style) -> String {
    let of = |outcome: Outcome| history.steps.iter().filter(|step| step.outcome == outcome).count();
    let (cached, missed) = (of(Outcome::Cached), of(Outcome::NotReached));
    let mut text = String::new();
    for step in &history.steps {
        let note = match step.outcome {
            Outcome::Cached | Outcome::NotReached => continue,
            Outcome::Ran if step.same_result => " gave what it had given before",
            Outcome::Ran => "",
            Outcome::Failed => " failed",
        };
        text.push_str(&format!("{}{note}\n", style.bold(&sanitize::line(step.name.as_bytes()))));
        let lines = step_lines(step);
        let last = lines.len().saturating_sub(1);
        for (at, line) in lines.iter().enumerate() {
            text.push_str(&format!("{} {line}\n", if at == last { "└─" } else { "├─" }));
        }
    }
    let steps = |number: usize| format!("{number} {}", if number == 1 { "step" } else { "steps" });
    let mut counts = Vec::new();
    if cached > 0 {
        counts.push(format!("{} cached", steps(cached)));
    }
    if missed > 0 {
        counts.push(format!("{} not reached", steps(missed)));
    }
    if cached == history.steps.len() {
        return "every step was cached\n".to_owned();
    }
    if !counts.is_empty() {
        text.push_str(&format!("{}\n", counts.join(", ")));
    }
    text
}

fn step_lines(step: &HistoricStep) -> Vec<String> {
    if step.reasons.is_empty() {
        return vec!["why is not known: what it was made of before is gone".to_owned()];
    }
    step.reasons.iter().flat_map(reason_lines).collect()
}

fn reason_lines(reason: &Reason) -> Vec<String> {
    match reason {
        Reason::Asked { flag } => vec![format!("{flag} says so")],
        Reason::First => vec!["no earlier build had this step".to_owned()],
        Reason::Gone { when, why } => {
            let when = when.as_ref().map(|when| format!(" at {when}")).unwrap_or_default();
            let why = why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
            vec![format!("it was known, and its result was removed{when}{why}")]
        }
        Reason::Input { name, hidden: true, .. } => vec![format!("{name} changed (its value is not shown)")],
        Reason::Input { name, from, to, .. } => vec![match (from, to) {
            (None, Some(to)) => format!("{name} is new: {}", value(to)),
            (Some(from), None) => format!("{name} is gone; it was {}", value(from)),
            (Some(from), Some(to)) => {
                let (from, to) = values::changed(&shown_as(from), &shown_as(to), WIDTH);
                format!("{name}: {from} → {to}")
            }
            (None, None) => format!("{name} changed"),
        }],
        Reason::Base { image, from, to } => {
            vec![format!(
                "the base image {} moved: {} → {}",
                sanitize::line(image.as_bytes()),
                short(from),
                short(to)
            )]
        }
        Reason::Below { step } => {
            vec![format!(
                "what is below it changed: {}",
                sanitize::fit(&sanitize::line(step.as_bytes()), WIDTH)
            )]
        }
        Reason::Files { place, changes: None } => {
            vec![format!(
                "files of {} changed; which is not known any more",
                sanitize::line(place.as_bytes())
            )]
        }
        Reason::Files { place, changes: Some(changes) } => files(place, changes),
    }
}

fn files(place: &str, changes: &FileChanges) -> Vec<String> {
    let place = sanitize::line(place.as_bytes());
    if changes.files.is_empty() {
        return vec![format!("files of {place} are taken in another way")];
    }
    let mut lines: Vec<String> =
        changes.files.iter().take(SHOWN).map(|file| format!("{place}: {}", change(file))).collect();
    let all = changes.added + changes.removed + changes.changed;
    if all > SHOWN {
        lines.push(format!(
            "{place}: {all} in all: {} new, {} gone, {} changed",
            changes.added, changes.removed, changes.changed
        ));
    }
    lines
}

fn change(file: &FileChange) -> String {
    let path = sanitize::line(file.path.as_bytes());
    let what = file.what.iter().map(|what| match what {
        What::Added => "is new".to_owned(),
        What::Removed => "is gone".to_owned(),
        What::Content => "content".to_owned(),
        What::Kind(from, to) => format!("{from} → {to}"),
        What::Mode(from, to) => format!("mode {from:04o} → {to:04o}"),
        What::Owner(from, to) => format!("owner {}:{} → {}:{}", from.0, from.1, to.0, to.1),
        What::Attributes => "extended attributes".to_owned(),
    });
    format!("{path} {}", what.collect::<Vec<_>>().join(", "))
}

/// One value, cut where it is long.
fn value(text: &str) -> String {
    sanitize::fit(&shown_as(text), WIDTH)
}

/// A text in quotes; a list, whose texts have their own, as a command line.
fn shown_as(text: &str) -> String {
    let shown = values::command(text).unwrap_or_else(|| format!("\"{text}\""));
    sanitize::line(shown.as_bytes())
}

fn short(digest: &str) -> &str {
    digest.get(..19).unwrap_or(digest)
}

/// The whole build as JSON.
pub fn json(history: &BuildHistory) -> Value {
    json!(history)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree() {
        let step = |name: &str, outcome, reasons: Vec<Reason>| HistoricStep {
            stage: "build".to_owned(),
            name: name.to_owned(),
            platform: "linux/amd64".to_owned(),
            key: None,
            base: None,
            outcome,
            reasons,
            same_result: false,
        };
        let input = |name: &str, from: Option<&str>, to: Option<&str>, hidden| Reason::Input {
            name: name.to_owned(),
            from: from.map(str::to_owned),
            to: to.map(str::to_owned),
            hidden,
        };
        let change = |path: &str, what: Vec<What>| FileChange { path: path.to_owned(), what };
        let changes = FileChanges {
            added: 1,
            removed: 0,
            changed: 1,
            files: vec![
                change("a.c", vec![What::Content, What::Mode(0o644, 0o755)]),
                change("b\u{1b}[31mred.c", vec![What::Added]),
            ],
        };
        let mut same = step(
            "[build 4/5] RUN make",
            Outcome::Ran,
            vec![Reason::Below { step: "COPY . /src".to_owned() }],
        );
        same.same_result = true;
        let history = BuildHistory {
            steps: vec![
                step("[build 1/5] FROM x", Outcome::Cached, Vec::new()),
                step(
                    "[build 2/5] RUN x",
                    Outcome::Ran,
                    vec![
                        input("ARG V", Some("1"), Some("2"), false),
                        input(
                            "command",
                            Some(r#""/bin/sh" "-c" "echo \"a\"""#),
                            Some(r#""/bin/sh" "-c" "echo \"b\"""#),
                            false,
                        ),
                        input("ENV TOKEN", None, None, true),
                    ],
                ),
                step(
                    "[build 3/5] COPY . /src",
                    Outcome::Ran,
                    vec![Reason::Files { place: "the build context".to_owned(), changes: Some(changes) }],
                ),
                same,
                step("[build 5/5] RUN y", Outcome::Failed, vec![Reason::First]),
            ],
            ..BuildHistory::default()
        };
        assert_eq!(
            text(&history, Style::new(false)),
            "[build 2/5] RUN x\n├─ ARG V: \"1\" → \"2\"\n├─ command: echo \"a\" → echo \"b\"\n└─ ENV TOKEN changed (its value is not shown)\n\
             [build 3/5] COPY . /src\n├─ the build context: a.c content, mode 0644 → 0755\n\
             └─ the build context: bred.c is new\n\
             [build 4/5] RUN make gave what it had given before\n└─ what is below it changed: COPY . /src\n\
             [build 5/5] RUN y failed\n└─ no earlier build had this step\n1 step cached\n"
        );
        let cached =
            BuildHistory { steps: vec![step("x", Outcome::Cached, Vec::new())], ..BuildHistory::default() };
        assert_eq!(text(&cached, Style::new(false)), "every step was cached\n");
    }
}
