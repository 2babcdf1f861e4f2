//! What `--progress=plain` said.

use super::tools::both;
use std::collections::BTreeMap;
use std::process::Output;

/// One finished run of the program.
pub(crate) struct Build {
    /// The exit status; `None` when a signal ended it.
    pub status: Option<i32>,
    /// Standard output and standard error.
    pub text: String,
    /// Standard output alone.
    pub stdout: Vec<u8>,
}

impl From<Output> for Build {
    fn from(output: Output) -> Build {
        Build { status: output.status.code(), text: both(&output), stdout: output.stdout }
    }
}

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Cached,
    Done,
    Failed,
}

impl Build {
    /// The steps of instructions, `[stage 2/5] RUN make` without the numbers (`RUN make`), and how each ended. Steps that
    /// start a stage (`FROM`) are left out: resolving a name is no work that a cache could save.
    pub(crate) fn steps(&self) -> Vec<(String, End)> {
        let mut names: BTreeMap<u32, String> = BTreeMap::new();
        let mut steps = Vec::new();
        for line in self.text.lines() {
            let Some((number, rest)) = line.strip_prefix('#').and_then(|rest| rest.split_once(' ')) else {
                continue;
            };
            let Ok(number) = number.parse::<u32>() else { continue };
            if let Some(name) = instruction(rest) {
                names.entry(number).or_insert_with(|| name.to_owned());
                continue;
            }
            let end = match rest.split(' ').next() {
                Some("CACHED") => End::Cached,
                Some("DONE") => End::Done,
                Some("ERROR") | Some("ERROR:") => End::Failed,
                _ => continue,
            };
            if let Some(name) = names.remove(&number).filter(|name| !name.starts_with("FROM ")) {
                steps.push((name, end));
            }
        }
        steps
    }

    /// The instructions that were carried out, in the order they ended.
    pub(crate) fn executed(&self) -> Vec<String> {
        self.steps().into_iter().filter(|(_, end)| *end != End::Cached).map(|(name, _)| name).collect()
    }

    /// Fails when any instruction was carried out, or none was there to be.
    #[track_caller]
    pub(crate) fn assert_all_cached(&self) {
        assert!(!self.steps().is_empty(), "no steps are shown:\n{}", self.text);
        assert!(self.executed().is_empty(), "not cached: {:#?}\n{}", self.executed(), self.text);
    }

    /// Fails unless the program ended with `status` and said each of `texts`.
    #[track_caller]
    pub(crate) fn assert_refused(&self, status: i32, texts: &[&str]) {
        assert_eq!(self.status, Some(status), "{}", self.text);
        for text in texts {
            assert!(self.text.contains(text), "{text:?} is not said in:\n{}", self.text);
        }
        assert!(!self.text.contains("panicked at"), "{}", self.text);
    }
}

/// `RUN make` of `[stage 2/5] RUN make`.
fn instruction(text: &str) -> Option<&str> {
    let (label, name) = text.strip_prefix('[')?.split_once("] ")?;
    let count = label.rsplit(' ').next()?;
    let (position, all) = count.split_once('/')?;
    (position.parse::<u32>().is_ok() && all.parse::<u32>().is_ok()).then_some(name)
}
