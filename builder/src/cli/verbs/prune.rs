//! `prune`: removes what is in the store for the next builds.

use super::du;
use crate::cli::failure::{Failure, UsageError};
use crate::cli::spec::{SpecError, size};
use crate::cli::table;
use crate::progress::bytes;
use crate::store::{Kind, Prune, Store};
use std::io::{self, BufRead, Write};
use std::time::{Duration, SystemTime};

/// Flags of `build prune`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Remove images without a name, too, and what only they need
    #[arg(short, long)]
    pub all: bool,

    /// Remove only what was not used for a time (until=24h), or is of a kind (type=step, image, cache-mount or source);
    /// may be given several times
    #[arg(long, value_parser = filter, value_name = "FILTER", action = clap::ArgAction::Append)]
    pub filter: Vec<Filter>,

    /// Remove only until the store is not larger than this, as in 10g; the least valuable goes first
    #[arg(long, value_parser = size::parse, value_name = "SIZE")]
    pub keep_storage: Option<u64>,

    /// Do not ask
    #[arg(short, long)]
    pub force: bool,
}

/// A condition of what goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filter {
    /// It was not used for so long.
    Until(Duration),
    /// It is one of these.
    Type(Kind),
}

/// Reads the value of `--filter`.
///
/// # Errors
/// [`SpecError::Shape`] for what is no condition.
pub fn filter(text: &str) -> Result<Filter, SpecError> {
    let of_kind = |name: &str| {
        let kinds = [Kind::Step, Kind::Image, Kind::CacheMount, Kind::Source];
        kinds.into_iter().find(|kind| kind.name() == name).map(Filter::Type)
    };
    match text.split_once('=') {
        Some(("until" | "unused-for", time)) => humantime::parse_duration(time)
            .map(Filter::Until)
            .map_err(|_| SpecError::Shape("write a time as in until=24h or until=30d")),
        Some(("type", kind)) => {
            of_kind(kind).ok_or(SpecError::Shape("type= is one of step, image, cache-mount and source"))
        }
        _ => Err(SpecError::Shape("write until=TIME or type=KIND")),
    }
}

/// Asks a question; says whether the answer is yes.
pub type Ask<'a> = &'a dyn Fn(&str) -> io::Result<bool>;

/// Asks a question on the terminal; says whether the answer is yes.
///
/// # Errors
/// When the terminal fails.
pub fn ask(question: &str) -> io::Result<bool> {
    write!(io::stderr(), "{question} [y/N] ")?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// Removes, and says what and how many bytes. Without `-f` it asks first.
///
/// # Errors
/// When there is nobody to ask, the store is in use or fails, or standard output does.
pub fn run(
    args: &Args,
    store: &Store,
    out: &mut dyn Write,
    now: SystemTime,
    ask: Option<Ask<'_>>,
) -> Result<(), Failure> {
    if !args.force {
        let images = if args.all { ", images without a name" } else { "" };
        let question = format!(
            "Results of steps that no image needs, cache mounts, git repositories{images}: remove them?"
        );
        if !ask.ok_or(UsageError::PruneUnasked)?(&question)? {
            return Ok(());
        }
    }
    let mut wanted = Prune {
        all: args.all,
        kinds: Vec::new(),
        unused_for: None,
        keep: args.keep_storage,
        why: "build prune removed it".to_owned(),
    };
    for filter in &args.filter {
        match filter {
            Filter::Until(time) => wanted.unused_for = wanted.unused_for.max(Some(*time)),
            Filter::Type(kind) => wanted.kinds.push(*kind),
        }
    }
    let pruned = store.prune(&wanted, now)?;
    if !pruned.items.is_empty() {
        let cells: Vec<_> = pruned
            .items
            .iter()
            .map(|item| {
                let mut cells = du::cells(item, false, now);
                // All that goes is kept for the next builds.
                cells.remove(5);
                cells
            })
            .collect();
        table::write(out, &["ID", "TYPE", "SIZE", "SHARED", "LAST USED", "WHAT"], &cells)?;
        writeln!(out)?;
    }
    writeln!(out, "Reclaimed: {}", bytes::size(pruned.bytes))?;
    Ok(())
}
