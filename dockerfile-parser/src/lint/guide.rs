//! What there is to say about each rule, for people: the pages of the documentation are made from it.

use super::{EXPERIMENTAL, RULES, elsewhere};

/// What a rule is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guide {
    /// What should be, in one line.
    pub summary: &'static str,
    /// Why, and what to do.
    pub why: &'static str,
    /// A Dockerfile with one finding of this rule.
    pub bad: &'static str,
    /// The same without.
    pub good: &'static str,
}

/// All rules, in no order.
pub(super) fn all() -> impl Iterator<Item = (&'static str, &'static Guide)> {
    RULES
        .iter()
        .map(|rule| (rule.name, rule.guide))
        .chain(elsewhere::GUIDES.iter().map(|(name, guide)| (*name, guide)))
}

/// The names of all rules with their pages in Markdown, in order of the alphabet.
pub fn pages() -> Vec<(&'static str, String)> {
    let mut pages: Vec<_> = all().map(|(name, guide)| (name, text(name, guide))).collect();
    pages.sort_unstable();
    pages
}

/// The page of one rule; `None` if there is no such rule.
pub fn page(rule: &str) -> Option<String> {
    all().find(|(name, _)| *name == rule).map(|(name, guide)| text(name, guide))
}

fn text(name: &str, guide: &Guide) -> String {
    let Guide { summary, why, bad, good } = guide;
    let off = if EXPERIMENTAL.contains(&name) { "; it is off unless it is asked for" } else { "" };
    format!(
        "# {name}\n\n{summary}.\n\n{why}\n\n## With this finding\n\n```dockerfile\n{bad}```\n\n## Without\n\n```dockerfile\n{good}```\n\n\
         ## Switching it off\n\n`# check=skip={name}` at the top of the file does it for all of it, in the comment above one instruction for \
         that one{off}. `# check=error=true` makes the findings of all checks errors.\n"
    )
}
