//! What there is to say about each rule, for people: the pages of the documentation are made from it.

use super::{EXPERIMENTAL, NO_ADDRESS, RULES, elsewhere};

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

/// The address that BuildKit gives for a rule; `None` for one that it does not have.
pub fn url(rule: &str) -> Option<String> {
    let has_one = all().any(|(name, _)| name == rule) && !NO_ADDRESS.contains(&rule);
    has_one.then(|| format!("https://docs.docker.com/go/dockerfile/rule/{}/", kebab(rule)))
}

/// `JSONArgsRecommended` as `json-args-recommended`.
fn kebab(name: &str) -> String {
    let letters: Vec<char> = name.chars().collect();
    let mut text = String::new();
    for (i, letter) in letters.iter().enumerate() {
        let after_small = i > 0 && letters[i - 1].is_lowercase();
        let before_small = i > 0 && letters.get(i + 1).is_some_and(|next| next.is_lowercase());
        if letter.is_uppercase() && (after_small || before_small) {
            text.push('-');
        }
        text.extend(letter.to_lowercase());
    }
    text
}

fn text(name: &str, guide: &Guide) -> String {
    let Guide { summary, why, bad, good } = guide;
    // A carriage return would not be seen.
    let bad = bad.replace('\r', "\u{240d}");
    let off = if EXPERIMENTAL.contains(&name) { "; it is off unless it is asked for" } else { "" };
    format!(
        "# {name}\n\n{summary}.\n\n{why}\n\n## With this finding\n\n```dockerfile\n{bad}```\n\n## Without\n\n```dockerfile\n{good}```\n\n\
         ## Switching it off\n\n`# check=skip={name}` at the top of the file does it for all of it, in the comment above one instruction for \
         that one{off}. `# check=error=true` makes the findings of all checks errors.\n"
    )
}
