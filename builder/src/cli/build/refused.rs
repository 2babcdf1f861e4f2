//! Flags of `docker buildx build` (and of the `docker build` before it) that are not there: each is refused by name,
//! because a build that ignores a flag is not the build that was asked for.

use clap::{Arg, ArgAction, ArgMatches, Command};

/// A flag that is refused.
struct Refused {
    /// Its long name.
    long: &'static str,
    /// Its letter.
    short: Option<char>,
    /// Whether a value follows.
    value: bool,
    /// Values that ask for what happens anyway: these are taken.
    holds: &'static [&'static str],
    /// Why it is not there, or what to do instead.
    why: &'static str,
}

/// What is not there can be switched off.
const OFF: &[&str] = &["false", "0"];
/// What is always so can be switched on, by the flag alone too.
const ON: &[&str] = &["", "true", "1"];

const fn flag(long: &'static str, holds: &'static [&'static str], why: &'static str) -> Refused {
    Refused { long, short: None, value: false, holds, why }
}

const fn option(long: &'static str, holds: &'static [&'static str], why: &'static str) -> Refused {
    Refused { long, short: None, value: true, holds, why }
}

const ATTESTATIONS: &str = "attestations are not made yet";
const CACHE: &str = "steps are cached in the store of this machine only";

#[rustfmt::skip]
const REFUSED: &[Refused] = &[
    option("attest", &[], ATTESTATIONS),
    option("builder", &[], "there are no builders to choose from: the build runs in this process"),
    option("cache-from", &[], CACHE),
    option("cache-to", &[], CACHE),
    flag("compress", OFF, "a context is read in place and not sent anywhere"),
    Refused { long: "debug", short: Some('D'), value: false, holds: OFF, why: "the full log of a build is kept, and named when it fails" },
    flag("force-rm", ON, "no containers are left behind"),
    option("isolation", &["default"], "a RUN has one kind of sandbox"),
    option("policy", &[], "sources are not checked against policies"),
    option("print", &[], "write --call=outline or --call=targets"),
    option("provenance", OFF, ATTESTATIONS),
    flag("rm", ON, "no containers are left behind"),
    option("sbom", OFF, ATTESTATIONS),
    option("security-opt", &[], "a RUN has one kind of sandbox"),
    flag("squash", OFF, "copy the result into a stage FROM scratch instead"),
];

/// Teaches the parser the names, hidden from the help.
pub fn declare(command: Command) -> Command {
    command.args(REFUSED.iter().map(|refused| {
        let arg = Arg::new(refused.long).long(refused.long).short(refused.short).hide(true).num_args(0..=1);
        // A flag may still have `=true` behind it, and a value may look like a flag: both are refused all the same.
        let arg = if refused.value { arg.allow_hyphen_values(true) } else { arg.require_equals(true) };
        arg.action(ArgAction::Append)
    }))
}

/// Why one of the flags that were given is refused; the first of the table when there are several.
pub fn find(matches: &ArgMatches) -> Option<(&'static str, &'static str)> {
    let is_refused = |refused: &&Refused| {
        let given = matches.get_raw_occurrences(refused.long).into_iter().flatten();
        let mut values = given.map(|mut values| values.next().unwrap_or_default().to_str());
        values.any(|value| value.is_none_or(|value| !refused.holds.contains(&value)))
    };
    REFUSED.iter().find(is_refused).map(|refused| (refused.long, refused.why))
}

/// The names, for the help.
pub fn names() -> impl Iterator<Item = &'static str> {
    REFUSED.iter().map(|refused| refused.long)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_found() {
        for refused in REFUSED {
            let long = format!("--{}", refused.long);
            let mut forms = vec![vec![long.clone()], vec![format!("{long}=x")]];
            if refused.value {
                forms.push(vec![long, "-x".to_owned()]);
            }
            forms.extend(refused.short.map(|short| vec![format!("-{short}")]));
            for form in forms {
                let words = std::iter::once("build".to_owned()).chain(form.iter().cloned());
                let matches = declare(Command::new("build")).try_get_matches_from(words);
                let matches = matches.unwrap_or_else(|error| panic!("{form:?}: {error}"));
                let is_fine = form.len() == 1 && !form[0].contains('=') && refused.holds.contains(&"");
                let expected = (!is_fine).then_some((refused.long, refused.why));
                assert_eq!(find(&matches), expected, "{form:?}");
            }
        }
    }

    #[test]
    fn what_happens_anyway_may_be_asked_for() {
        let find = |words: &str| {
            let matches = declare(Command::new("build")).try_get_matches_from(words.split(' ')).unwrap();
            find(&matches).map(|(flag, _)| flag)
        };
        assert_eq!(find("build --provenance=false --sbom false --rm --force-rm=true --squash=false"), None);
        assert_eq!(find("build --provenance=false --provenance=mode=max"), Some("provenance"));
        assert_eq!(find("build --rm=false"), Some("rm"));
    }
}
