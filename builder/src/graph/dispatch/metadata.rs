//! Instructions that change the config and no file.

use super::super::op::NamedValue;
use super::super::scope::expand;
use super::super::text;
use super::Dispatch;
use dockerfile_parser::ast::{ArgDeclaration, CommandLine, Healthcheck, KeyValues, Onbuild, Word};
use dockerfile_parser::diagnostic::Diagnostic;
use dockerfile_parser::span::Span;
use dockerfile_parser::suggest;
use registry_client::config::{Empty, HealthConfig};
use std::time::Duration;

/// Names of signals, without SIG.
#[rustfmt::skip]
const SIGNALS: [&str; 36] = [
    "ABRT", "ALRM", "BUS", "CHLD", "CLD", "CONT", "FPE", "HUP", "ILL", "INT", "IO", "IOT", "KILL", "PIPE", "POLL", "PROF", "PWR",
    "QUIT", "SEGV", "STKFLT", "STOP", "SYS", "TERM", "TRAP", "TSTP", "TTIN", "TTOU", "URG", "USR1", "USR2", "VTALRM", "WINCH",
    "XCPU", "XFSZ", "RTMIN", "RTMAX",
];

impl Dispatch<'_, '_> {
    /// All values are expanded before the first one is set: `ENV a=1 b=$a` uses the old `a`.
    fn pairs(&mut self, pairs: &KeyValues) -> Result<Vec<NamedValue>, Diagnostic> {
        let pairs = pairs.pairs.iter().map(|(name, value)| {
            let span = self.place(Span::new(name.span.start, value.span.end.max(name.span.end)));
            Ok(NamedValue { name: self.expand(name)?, value: self.expand(value)?, span })
        });
        pairs.collect()
    }

    pub(super) fn env(&mut self, pairs: &KeyValues) -> Result<(), Diagnostic> {
        let pairs = self.pairs(pairs)?;
        let mut said = String::from("ENV");
        for NamedValue { name, value, span } in &pairs {
            if name.is_empty() {
                return Err(Diagnostic::error("blank-name", *span, "a name is blank once expanded"));
            }
            said.push_str(&format!(" {name}={value}"));
            self.state.scope.set(name, value);
            let env = self.state.config.config.env.get_or_insert_default();
            let entry = format!("{name}={value}");
            match env.iter_mut().find(|e| e.split_once('=').map_or(e.as_str(), |(n, _)| n) == name) {
                Some(old) => *old = entry,
                None => env.push(entry),
            }
        }
        self.state.remember_values(said, None, pairs);
        Ok(())
    }

    pub(super) fn label(&mut self, pairs: &KeyValues) -> Result<(), Diagnostic> {
        let pairs = self.pairs(pairs)?;
        let mut said = String::from("LABEL");
        for NamedValue { name, value, .. } in &pairs {
            said.push_str(&format!(" {name}={value}"));
            let labels = self.state.config.config.labels.get_or_insert_default();
            labels.insert(name.clone(), value.clone());
        }
        self.state.remember_values(said, None, pairs);
        Ok(())
    }

    /// The value, in this order: `--build-arg`; the default; without a default, the global value.
    pub(super) fn arg(&mut self, arguments: &[ArgDeclaration]) -> Result<(), Diagnostic> {
        let (mut said, mut values) = (Vec::new(), Vec::new());
        for argument in arguments {
            let name = expand(&self.planner.expander, &argument.name, &|name| self.state.scope.get(name))
                .map_err(|error| Diagnostic { span: self.place(error.span), ..error })?
                .0;
            let value = match (self.planner.options.build_args.get(&name), &argument.default) {
                (Some(given), _) => Some(given.clone()),
                (None, Some(default)) => Some(self.expand(default)?),
                (None, None) => self.planner.globals.get(&name).cloned(),
            };
            if value.is_some() && self.is_env(&name) {
                self.planner.warnings.push(
                    Diagnostic::warning(
                        "ArgOverridesEnv",
                        self.place(argument.name.span),
                        format!("ARG {name} hides ENV {name} in the RUNs that follow"),
                    )
                    .help("the image keeps the value of ENV; give one of them another name"),
                );
            }
            self.state.scope.declare(&name, value.as_deref());
            said.push(match value {
                Some(value) => {
                    let default = argument.default.as_ref().map_or(argument.name.span, |word| word.span);
                    let span = self.place(Span::new(argument.name.span.start, default.end));
                    let said = format!("{name}={value}");
                    values.push(NamedValue { name, value, span });
                    said
                }
                None => name,
            });
        }
        self.state.remember_values(format!("ARG {}", said.join(" ")), None, values);
        Ok(())
    }

    fn is_env(&self, name: &str) -> bool {
        let env = self.state.config.config.env.as_deref().unwrap_or_default();
        env.iter().any(|entry| entry.split_once('=').is_some_and(|(n, _)| n == name))
    }

    pub(super) fn maintainer(&mut self, word: &Word) -> Result<(), Diagnostic> {
        self.state.config.author = Some(word.text.clone());
        self.state.remember(format!("MAINTAINER {}", word.text), None);
        Ok(())
    }

    pub(super) fn user(&mut self, word: &Word) -> Result<(), Diagnostic> {
        let user = self.expand(word)?;
        if user.is_empty() {
            return Err(Diagnostic::error(
                "blank-user",
                self.place(word.span),
                "USER is blank once expanded",
            ));
        }
        if user.matches(':').count() > 1 {
            let message = format!("{user:?} names no user");
            return Err(Diagnostic::error("bad-user", self.place(word.span), message)
                .help("write user, user:group, uid or uid:gid"));
        }
        self.state.config.config.user.clone_from(&user);
        self.state.user_span = Some(self.place(word.span));
        self.state.remember(format!("USER {user}"), None);
        Ok(())
    }

    pub(super) fn volume(&mut self, words: &[Word]) -> Result<(), Diagnostic> {
        let mut paths = Vec::new();
        for word in words {
            let path = self.expand(word)?;
            if path.is_empty() {
                return Err(Diagnostic::error(
                    "blank-volume",
                    self.place(word.span),
                    "a VOLUME is blank once expanded",
                ));
            }
            paths.push(path);
        }
        let volumes = self.state.config.config.volumes.get_or_insert_default();
        volumes.extend(paths.iter().map(|path| (path.clone(), Empty {})));
        self.state.remember(format!("VOLUME {}", text::list(&paths)), None);
        Ok(())
    }

    pub(super) fn stopsignal(&mut self, word: &Word) -> Result<(), Diagnostic> {
        let signal = self.expand(word)?;
        if !is_signal(&signal) {
            let name = signal.to_uppercase();
            let near = suggest::nearest(name.strip_prefix("SIG").unwrap_or(&name), SIGNALS);
            let help = match near {
                Some(near) => format!("did you mean SIG{near}?"),
                None => "write a name such as SIGTERM or a number from 1 to 64".to_owned(),
            };
            return Err(Diagnostic::error(
                "bad-signal",
                self.place(word.span),
                format!("{signal:?} is no signal"),
            )
            .help(help));
        }
        self.state.remember(format!("STOPSIGNAL {signal}"), None);
        self.state.config.config.stop_signal = Some(signal);
        Ok(())
    }

    pub(super) fn shell(&mut self, words: &[Word]) -> Result<(), Diagnostic> {
        let shell: Vec<String> = words.iter().map(|word| word.text.clone()).collect();
        self.state.remember(format!("SHELL {}", text::list(&shell)), None);
        self.state.config.config.shell = Some(shell);
        Ok(())
    }

    /// Program and arguments of a command line; the shell form goes through SHELL.
    pub(super) fn command(&self, command: &CommandLine) -> Vec<String> {
        match command {
            CommandLine::Exec(words) => words.iter().map(|word| word.text.clone()).collect(),
            CommandLine::Shell(word) => self.in_shell(&word.text),
        }
    }

    /// `text` as the argument of the stage's shell.
    pub(super) fn in_shell(&self, text: &str) -> Vec<String> {
        let shell = self.state.config.config.shell.clone().filter(|shell| !shell.is_empty());
        let mut args = shell.unwrap_or_else(|| vec!["/bin/sh".to_owned(), "-c".to_owned()]);
        args.push(text.to_owned());
        args
    }

    pub(super) fn cmd(&mut self, command: &CommandLine) -> Result<(), Diagnostic> {
        let args = self.command(command);
        self.state.remember(format!("CMD {}", text::quoted_list(&args)), None);
        self.state.cmd_set = true;
        let config = &mut self.state.config.config;
        config.cmd = Some(args).filter(|args| !args.is_empty());
        config.args_escaped = Some(true);
        Ok(())
    }

    /// CMD of the base belongs to the base's ENTRYPOINT, so it goes, unless this stage has set its own.
    pub(super) fn entrypoint(&mut self, command: &CommandLine) -> Result<(), Diagnostic> {
        let args = self.command(command);
        self.state.remember(format!("ENTRYPOINT {}", text::quoted_list(&args)), None);
        let config = &mut self.state.config.config;
        config.entrypoint = Some(args).filter(|args| !args.is_empty());
        if !self.state.cmd_set {
            config.cmd = None;
        }
        Ok(())
    }

    pub(super) fn healthcheck(&mut self, check: &Healthcheck) -> Result<(), Diagnostic> {
        let health = match check {
            Healthcheck::None => HealthConfig { test: vec!["NONE".to_owned()], ..HealthConfig::default() },
            Healthcheck::Cmd { command, interval, timeout, start_period, start_interval, retries } => {
                // SHELL plays no part here: the runtime runs CMD-SHELL through the image's shell by itself.
                let test = match command {
                    CommandLine::Shell(word) => vec!["CMD-SHELL".to_owned(), word.text.clone()],
                    CommandLine::Exec(words) => std::iter::once("CMD".to_owned())
                        .chain(words.iter().map(|w| w.text.clone()))
                        .collect(),
                };
                HealthConfig {
                    test,
                    interval: nanos(*interval),
                    timeout: nanos(*timeout),
                    start_period: nanos(*start_period),
                    start_interval: nanos(*start_interval),
                    retries: u64::from(retries.unwrap_or_default()),
                }
            }
        };
        let time = |nanos| text::duration(Duration::from_nanos(nanos));
        self.state.remember(
            format!(
                "HEALTHCHECK {{Test:{} Interval:{} Timeout:{} StartPeriod:{} StartInterval:{} Retries:{}}}",
                text::list(&health.test),
                time(health.interval),
                time(health.timeout),
                time(health.start_period),
                time(health.start_interval),
                health.retries
            ),
            None,
        );
        self.state.config.config.healthcheck = Some(health);
        Ok(())
    }

    /// The trigger is stored unexpanded; names in it belong to the image that is built from this one.
    pub(super) fn onbuild(&mut self, onbuild: &Onbuild) -> Result<(), Diagnostic> {
        self.state.config.config.on_build.get_or_insert_default().push(onbuild.trigger.clone());
        Ok(())
    }
}

fn nanos(duration: Option<Duration>) -> u64 {
    duration.map_or(0, |duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX))
}

/// A signal's number, or its name with or without `SIG`; real-time signals as `RTMIN+n` and `RTMAX-n`.
fn is_signal(text: &str) -> bool {
    if let Ok(number) = text.parse::<u32>() {
        return (1..=64).contains(&number);
    }
    let name = text.to_uppercase();
    let name = name.strip_prefix("SIG").unwrap_or(&name);
    let real_time = |rest: Option<&str>| {
        rest.and_then(|digits| digits.parse::<u32>().ok()).is_some_and(|number| (1..=15).contains(&number))
    };
    SIGNALS.contains(&name)
        || real_time(name.strip_prefix("RTMIN+"))
        || real_time(name.strip_prefix("RTMAX-"))
}
