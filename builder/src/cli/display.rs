//! Which renderer shows a build, and taking it off the screen again.

use super::build::args::ProgressMode;
use super::failure::UsageError;
use super::style::Style;
use crate::environment::Environment;
use crate::progress::{Sink, plain::Plain, rawjson::RawJson, tty::Tty};
use clap::ValueEnum;
use indicatif::ProgressDrawTarget;
use std::io;
use std::sync::Arc;

/// A renderer on standard error.
pub enum Display {
    /// Redrawn in place.
    Tty(Arc<Tty>),
    /// Lines.
    Lines(Arc<dyn Sink>),
    /// Nothing.
    Silent,
}

impl Display {
    /// The renderer of a mode; [`mode`] never gives `Auto`.
    pub fn new(mode: ProgressMode, style: Style) -> Self {
        // As the messages that end a build.
        let paint = Box::new(move |line: &str| style.diagnostic(line));
        match mode {
            ProgressMode::Tty | ProgressMode::Auto => {
                let target = ProgressDrawTarget::stderr();
                Self::Tty(Arc::new(Tty::new(target, Box::new(size), style.colours()).painted(paint)))
            }
            ProgressMode::Plain => Self::Lines(Arc::new(Plain::new(Box::new(io::stderr())).painted(paint))),
            ProgressMode::RawJson => Self::Lines(Arc::new(RawJson::new(Box::new(io::stderr())))),
            ProgressMode::Quiet | ProgressMode::None => Self::Silent,
        }
    }

    /// What takes the events.
    pub fn sink(&self) -> Option<Arc<dyn Sink>> {
        match self {
            Self::Tty(tty) => Some(Arc::clone(tty) as Arc<dyn Sink>),
            Self::Lines(sink) => Some(Arc::clone(sink)),
            Self::Silent => None,
        }
    }

    /// Leaves the terminal to others.
    pub fn close(&self) {
        if let Self::Tty(tty) = self {
            tty.close();
        }
    }
}

/// The mode: `-q`, else `--progress`, else `$BUILDKIT_PROGRESS`, else what suits standard error.
///
/// # Errors
/// A variable that says nothing known, and a live display that is asked for without a terminal.
pub fn mode(
    flag: Option<ProgressMode>,
    quiet: bool,
    environment: &Environment,
    stderr_is_terminal: bool,
) -> Result<ProgressMode, UsageError> {
    if quiet {
        return Ok(ProgressMode::Quiet);
    }
    let asked = match (flag, &environment.buildkit_progress) {
        (Some(mode), _) => mode,
        (None, Some(text)) => {
            ProgressMode::from_str(text, false).map_err(|_| UsageError::ProgressVariable(text.clone()))?
        }
        (None, None) => ProgressMode::Auto,
    };
    let dumb = environment.term.as_deref() == Some("dumb");
    match asked {
        ProgressMode::Auto if stderr_is_terminal && !dumb => Ok(ProgressMode::Tty),
        ProgressMode::Auto => Ok(ProgressMode::Plain),
        ProgressMode::Tty if !stderr_is_terminal => Err(UsageError::NoTerminal),
        mode => Ok(mode),
    }
}

/// Columns and rows of the terminal on standard error; the classic ones when it does not say.
fn size() -> (u16, u16) {
    match rustix::termios::tcgetwinsize(io::stderr()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => (size.ws_col, size.ws_row),
        _ => (80, 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cancel::Cancellation;
    use crate::cli::environment::resolve;

    #[test]
    fn modes() {
        use ProgressMode::{Auto, Plain, Quiet, RawJson, Tty};
        for (flag, quiet, variable, term, terminal, want) in [
            (None, false, "", "xterm", true, Ok(Tty)),
            (None, false, "", "dumb", true, Ok(Plain)),
            (None, false, "", "xterm", false, Ok(Plain)),
            (None, false, "rawjson", "xterm", true, Ok(RawJson)),
            (Some(Plain), false, "rawjson", "xterm", true, Ok(Plain)),
            (Some(Plain), true, "", "xterm", true, Ok(Quiet)),
            (Some(Auto), false, "quiet", "xterm", false, Ok(Plain)),
            (
                Some(Tty),
                false,
                "",
                "xterm",
                false,
                Err("--progress=tty needs a terminal on standard error; write --progress=plain"),
            ),
            (
                None,
                false,
                "fancy",
                "xterm",
                true,
                Err(
                    "BUILDKIT_PROGRESS=\"fancy\" is not understood: write auto, tty, plain, quiet, rawjson or none",
                ),
            ),
        ] {
            let lookup = |name: &str| match name {
                "BUILDKIT_PROGRESS" => Some(variable.into()),
                "TERM" => Some(term.into()),
                _ => None,
            };
            let environment = resolve(&lookup, 0, Cancellation::never()).unwrap();
            let got = mode(flag, quiet, &environment, terminal).map_err(|error| error.to_string());
            assert_eq!(got, want.map_err(str::to_owned), "{flag:?} {quiet} {variable:?} {term} {terminal}");
        }
    }
}
