//! From two lists of ingredients to reasons.

use super::{FileChanges, FileList, Reason};
use crate::content::{Ingredient, Ingredients};

/// What is known about a step now, besides its ingredients.
#[derive(Clone, Debug, Default)]
pub struct Now<'a> {
    /// The step whose result it starts from; `None` for an image or nothing.
    pub parent: Option<&'a str>,
    /// `name@digest` of the image that it starts from, and of the one it started from.
    pub base: (Option<&'a str>, Option<&'a str>),
    /// What is known of the files that it takes.
    pub files: Vec<NowFiles>,
    /// The names of variables that are build arguments.
    pub arguments: Vec<&'a str>,
}

/// Files that a step takes.
#[derive(Clone, Debug)]
pub struct NowFiles {
    /// The ingredient.
    pub name: String,
    /// Where they are, for people.
    pub place: String,
    /// They, as they were.
    pub then: Option<FileList>,
    /// They, as they are.
    pub now: Option<FileList>,
}

/// The ingredient that names the root file system below a step.
pub const BELOW: &str = "below";

/// Why `new` makes another key than `old`; empty when it does not.
pub fn compare(old: &Ingredients, new: &Ingredients, now: &Now<'_>) -> Vec<Reason> {
    let mut reasons = Vec::new();
    let value = |list: &Ingredients, name: &str, nth: usize| -> Option<Ingredient> {
        list.0.iter().filter(|(known, _)| known == name).nth(nth).map(|(_, value)| value.clone())
    };
    let mut seen: Vec<(String, usize)> = Vec::new();
    for (name, _) in new.0.iter().chain(&old.0) {
        let limit = |list: &Ingredients| list.0.iter().filter(|(known, _)| known == name).count();
        let nth = seen.iter().filter(|(known, _)| known == name).count();
        if nth >= limit(old).max(limit(new)) {
            continue;
        }
        seen.push((name.clone(), nth));
        let (from, to) = (value(old, name, nth), value(new, name, nth));
        if from == to {
            continue;
        }
        reasons.push(match (&from, &to) {
            (Some(Ingredient::Content(_)), Some(Ingredient::Content(_))) if name == BELOW => below(now),
            (Some(Ingredient::Content(_)), Some(Ingredient::Content(_))) => {
                let known = now.files.iter().find(|files| files.name == *name);
                let changes = known
                    .and_then(|files| Some(FileChanges::between(files.then.as_ref()?, files.now.as_ref()?)));
                Reason::Files {
                    place: known.map_or_else(|| name.clone(), |files| files.place.clone()),
                    changes,
                }
            }
            _ => {
                let text = |value: &Option<Ingredient>| match value {
                    Some(Ingredient::Text(text)) => Some(text.clone()),
                    _ => None,
                };
                let hidden = [&from, &to].iter().any(|v| matches!(v, Some(Ingredient::Hidden(_))));
                Reason::Input { name: shown(name, now), from: text(&from), to: text(&to), hidden }
            }
        });
    }
    reasons
}

fn below(now: &Now<'_>) -> Reason {
    let parts = |name: &str| name.rsplit_once('@').map(|(name, digest)| (name.to_owned(), digest.to_owned()));
    if let (Some(new), Some(old)) = now.base
        && let (Some((image, to)), Some((_, from))) = (parts(new), parts(old))
        && to != from
    {
        return Reason::Base { image, from, to };
    }
    Reason::Below { step: now.parent.or(now.base.0).unwrap_or("scratch").to_owned() }
}

/// `ARG X` or `ENV X` for a variable.
fn shown(name: &str, now: &Now<'_>) -> String {
    match name.strip_prefix("variable ") {
        Some(variable) if now.arguments.contains(&variable) => format!("ARG {variable}"),
        Some(variable) => format!("ENV {variable}"),
        None => name.to_owned(),
    }
}
