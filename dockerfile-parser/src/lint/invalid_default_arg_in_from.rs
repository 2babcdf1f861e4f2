//! A base image whose name is empty or malformed unless `--build-arg` says more.

use super::{GLOBAL_ARGS, Guide, Report, Rule, Subject};
use crate::expand::Expander;

pub(super) const RULE: Rule = Rule { name: "InvalidDefaultArgInFrom", check, guide: &GUIDE };

const GUIDE: Guide = Guide {
    summary: "Defaults of global ARGs should give a valid base image",
    why: "Without `--build-arg` the base image is named by the defaults. When they are missing or wrong, a plain `build .` fails.",
    bad: "ARG TAG\nFROM debian:${TAG}\n",
    good: "ARG TAG=stable\nFROM debian:${TAG}\n",
};

fn check(subject: &Subject<'_>, report: &mut Report<'_>) {
    let defaults = subject.global_arguments();
    let expander = Expander::new(subject.dockerfile.directives.escape);
    let lookup = |name: &str| match defaults.iter().rfind(|(known, _)| *known == name) {
        Some((_, value)) => value.clone(),
        // The build gives them values; which, does not matter here.
        None => GLOBAL_ARGS.contains(&name).then(|| "x".to_owned()),
    };
    for stage in subject.stages() {
        let word = &stage.from.image;
        let Ok(expanded) = expander.word(&word.text, &lookup) else { continue };
        let uses_default = word.text.contains('$')
            && expanded.undefined.iter().all(|name| {
                // A name nobody declares is the matter of another check.
                defaults.iter().any(|(known, _)| known == name)
            });
        if uses_default && !is_reference(&expanded.text) {
            let message = format!("without --build-arg, {} names no image: {:?}", word.text, expanded.text);
            report.add(&stage.comments, word.span, message, "give the ARG a default");
        }
    }
}

/// Whether it may be the reference of an image (distribution reference grammar), as far as defaults can break it.
fn is_reference(text: &str) -> bool {
    let (name, digest) = match text.split_once('@') {
        Some((name, digest)) => (name, Some(digest)),
        None => (text, None),
    };
    let last = name.rsplit('/').next().unwrap_or_default();
    let (last, tag) = match last.split_once(':') {
        Some((last, tag)) => (last, Some(tag)),
        None => (last, None),
    };
    let is_tag = |tag: &str| {
        !tag.is_empty()
            && tag.len() <= 128
            && !tag.starts_with(['.', '-'])
            && tag.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
    };
    let is_component = |part: &str| {
        let alphanumeric = |c: char| c.is_ascii_alphanumeric();
        part.starts_with(alphanumeric)
            && part.ends_with(alphanumeric)
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-:".contains(&b))
    };
    let path = &name[..name.len() - name.rsplit('/').next().unwrap_or_default().len()];
    is_component(last)
        && path.trim_end_matches('/').split('/').all(|part| path.is_empty() || is_component(part))
        && tag.is_none_or(is_tag)
        && digest.is_none_or(|digest| digest.contains(':') && !digest.ends_with(':'))
}
