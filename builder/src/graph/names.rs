//! What names mean: in FROM, in `--from` and in `--target`. Named contexts come first, then stages, then images.

use super::op::{BaseKey, BaseName};
use super::plan::{ContextKind, Planner};
use super::scope::expand;
use dockerfile_parser::diagnostic::Diagnostic;
use dockerfile_parser::span::Span;
use dockerfile_parser::suggest;
use registry_client::platform::Platform;
use registry_client::reference::Reference;

/// What a stage starts from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Base {
    /// Nothing.
    Scratch,
    /// An earlier stage.
    Stage(usize),
    /// An image.
    Image(BaseKey),
    /// A named directory context.
    Directory(String),
}

/// The form in which names of contexts are compared: in lower case, as Docker shows references, without `:latest`; behind
/// `::` a platform in its common form.
pub fn context_key(name: &str) -> String {
    let name = name.to_lowercase();
    let (name, platform) = match name.split_once("::") {
        Some((plain, platform)) => match platform.parse::<Platform>() {
            Ok(platform) => (plain, format!("::{platform}")),
            Err(_) => (name.as_str(), String::new()),
        },
        None => (name.as_str(), String::new()),
    };
    let familiar =
        name.parse::<Reference>().map_or_else(|_| name.to_owned(), |reference| reference.familiar());
    format!("{}{platform}", familiar.strip_suffix(":latest").unwrap_or(&familiar))
}

impl Planner<'_> {
    /// The stage `--target` names, or the last one.
    pub(super) fn target(&self) -> Result<usize, Vec<Diagnostic>> {
        let last = self.file.stages.len() - 1;
        let Some(name) = self.options.target.as_deref() else { return Ok(last) };
        self.stage_called(name).ok_or_else(|| {
            let (span, message) = (self.file.stages[last].span, format!("--target names no stage: {name:?}"));
            vec![Diagnostic::error("unknown-target", span, message).help(self.stages_help(name))]
        })
    }

    /// The last stage of that name, or the one of that number.
    fn stage_called(&self, name: &str) -> Option<usize> {
        let last = self.file.stages.len() - 1;
        let named = self.names.get(&name.to_lowercase()).and_then(|numbers| numbers.last()).copied();
        named.or_else(|| name.parse::<usize>().ok().filter(|number| *number <= last))
    }

    /// What to write in place of the unknown `name`.
    fn stages_help(&self, name: &str) -> String {
        let names: Vec<&str> = self.names.keys().map(String::as_str).collect();
        match suggest::nearest(name, names.iter().copied()) {
            Some(near) => format!("a stage is named {near:?}"),
            None if names.is_empty() => "no stage of this Dockerfile has a name".to_owned(),
            None => format!("the stages are named {}", names.join(", ")),
        }
    }

    /// The last stage before `stage` that is called `name`, or whose number `name` is. A named context of that name
    /// takes its place.
    pub(super) fn earlier_stage(&self, name: &str, stage: usize) -> Option<usize> {
        if let Ok(number) = name.parse::<usize>() {
            return Some(number).filter(|number| *number < stage);
        }
        match self.context(name) {
            Some((_, ContextKind::Target(target))) => {
                return self.stage_called(target).filter(|number| *number < stage);
            }
            Some(_) => return None,
            None => {}
        }
        let numbers = self.names.get(&name.to_lowercase())?;
        numbers.iter().copied().rfind(|number| *number < stage)
    }

    /// A stage of that name that stands at `stage` or after it.
    pub(super) fn later_stage(&self, name: &str, stage: usize) -> Option<usize> {
        if let Ok(number) = name.parse::<usize>() {
            return Some(number).filter(|number| (stage..self.file.stages.len()).contains(number));
        }
        self.names.get(&name.to_lowercase())?.iter().copied().find(|number| *number >= stage)
    }

    /// The named context that stands for `name` in what is built.
    pub(super) fn context(&self, name: &str) -> Option<(&str, &ContextKind)> {
        self.context_on(name, self.platform)
    }

    /// The named context that stands for `name`: `name::platform` first.
    pub(super) fn context_on(&self, name: &str, platform: &Platform) -> Option<(&str, &ContextKind)> {
        let contexts = &self.options.contexts;
        if contexts.is_empty() {
            return None;
        }
        let name = context_key(name);
        let (name, kind) = contexts
            .get_key_value(&format!("{name}::{platform}"))
            .or_else(|| contexts.get_key_value(&name))?;
        Some((name.as_str(), kind))
    }

    /// What stage `number` starts from.
    pub(super) fn base_of(&self, number: usize) -> Result<Base, Diagnostic> {
        let stage = &self.file.stages[number];
        let platform = self.platform_of(stage)?;
        if let Some(name) = &stage.from.name
            && let Some((name, kind)) = self.context_on(&name.text, &platform)
        {
            return self.context_base(name, kind, platform, number, stage.from.image.span);
        }
        let word = &stage.from.image;
        let (image, undefined) = expand(&self.expander, word, &|name| self.globals.get(name).cloned())?;
        if image.is_empty() {
            let error = Diagnostic::error(
                "blank-base",
                word.span,
                format!("the base image is blank: {:?} expands to nothing", word.text),
            );
            return Err(match undefined.first() {
                Some(name) => error.help(self.undefined_help(name)),
                None => {
                    error.help("give it a value by --build-arg, or a default in ARG before the first FROM")
                }
            });
        }
        if let Some((name, kind)) = self.context_on(&image, &platform) {
            return self.context_base(name, kind, platform, number, word.span);
        }
        let earlier = self.names.get(&image.to_lowercase());
        if let Some(earlier) = earlier.and_then(|numbers| numbers.iter().rfind(|n| **n < number)) {
            return Ok(Base::Stage(*earlier));
        }
        if image == "scratch" {
            return Ok(Base::Scratch);
        }
        let name = self.reference(&image, word.span)?;
        Ok(Base::Image(BaseKey { name, platform }))
    }

    /// What to do about a name without a value in FROM.
    pub(super) fn undefined_help(&self, name: &str) -> String {
        match suggest::nearest(name, self.globals.names()) {
            Some(near) => format!("{name} is not declared; did you mean {near}?"),
            None => format!("{name} is not declared: put ARG {name} before the first FROM"),
        }
    }

    /// An image reference in its canonical form, with its digest in the lock file.
    pub(super) fn reference(&self, text: &str, span: Span) -> Result<BaseName, Diagnostic> {
        let reference = match text.parse::<Reference>() {
            Ok(reference) => reference.with_default_tag(),
            Err(error) => return Err(Diagnostic::error("bad-reference", span, error.to_string())),
        };
        let name = reference.to_string();
        match &self.options.locked {
            Some(locked) if reference.digest().is_none() => match locked.images.get(&name) {
                Some(digest) => Ok(BaseName::Reference(reference.with_digest(*digest).to_string())),
                None => Err(not_locked(&name, span)),
            },
            _ => Ok(BaseName::Reference(name)),
        }
    }

    /// A named context as something to start from.
    pub(super) fn context_base(
        &self,
        name: &str,
        kind: &ContextKind,
        platform: Platform,
        stage: usize,
        span: Span,
    ) -> Result<Base, Diagnostic> {
        Ok(match kind {
            ContextKind::Target(target) => Base::Stage(self.target_of(name, target, stage, span)?),
            ContextKind::Directory => Base::Directory(name.to_owned()),
            ContextKind::Image(text) => Base::Image(BaseKey { name: self.reference(text, span)?, platform }),
            ContextKind::OciLayout { path, reference } => Base::Image(BaseKey {
                name: BaseName::OciLayout { path: path.clone(), reference: reference.clone() },
                platform,
            }),
        })
    }

    /// The stage that the context `name` stands for where stage `stage` reads it.
    fn target_of(&self, name: &str, target: &str, stage: usize, span: Span) -> Result<usize, Diagnostic> {
        let Some(number) = self.stage_called(target) else {
            let message = format!("the context {name:?} is target:{target}, and there is no such stage");
            return Err(Diagnostic::error("unknown-target", span, message).help(self.stages_help(target)));
        };
        if number >= stage {
            let message = format!(
                "the context {name:?} is target:{target}, which is defined after the stage that uses it"
            );
            return Err(Diagnostic::error("later-stage", span, message)
                .help("a stage can only read from stages above it: move it up"));
        }
        Ok(number)
    }

    /// The image that `--from=name` in stage `number` means; `None` when it means a stage or a directory.
    pub(super) fn origin_image(
        &self,
        name: &str,
        number: usize,
        span: Span,
    ) -> Result<Option<BaseKey>, Diagnostic> {
        if self.earlier_stage(name, number).is_some() || name == "scratch" {
            return Ok(None);
        }
        let platform = self.platform_of(&self.file.stages[number])?;
        if let Some((name, kind)) = self.context_on(name, &platform) {
            return Ok(match self.context_base(name, kind, platform, number, span)? {
                Base::Image(key) => Some(key),
                _ => None,
            });
        }
        if let Some(later) = self.later_stage(name, number) {
            let message = if later == number {
                format!("stage {name:?} cannot take files from itself")
            } else {
                format!("stage {name:?} is defined after the stage that takes files from it")
            };
            return Err(Diagnostic::error("later-stage", span, message)
                .help("a stage can only read from stages above it: move it up"));
        }
        if name.parse::<usize>().is_ok() {
            let count = self.file.stages.len();
            return Err(Diagnostic::error(
                "unknown-stage",
                span,
                format!("there is no stage {name}: the Dockerfile has {count}, counted from 0"),
            ));
        }
        let reference = self.reference(name, span).map_err(|error| {
            if error.code != "bad-reference" {
                return error;
            }
            let error = Diagnostic::error(
                "unknown-stage",
                span,
                format!("--from names no stage, context or image: {name:?}"),
            );
            match self.near_stage(name) {
                Some(help) => error.help(help),
                None => error,
            }
        })?;
        Ok(Some(BaseKey { name: reference, platform }))
    }

    /// "line 1 defines a stage named ...", when one is nearly called `name`.
    pub(super) fn near_stage(&self, name: &str) -> Option<String> {
        let near = suggest::nearest(&name.to_lowercase(), self.names.keys().map(String::as_str))?;
        Some(format!("this Dockerfile has a stage named {near:?}; did you mean that?"))
    }
}

/// What `--locked` says of a name that the lock file does not have.
pub(super) fn not_locked(name: &str, span: Span) -> Diagnostic {
    Diagnostic::error(
        "not-locked",
        span,
        format!("{name} is not in the lock file, and --locked takes nothing else"),
    )
    .help("build --lock writes what every name means now")
}
