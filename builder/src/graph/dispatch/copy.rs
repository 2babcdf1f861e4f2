//! COPY, ADD and WORKDIR: steps that put files in place.

use super::super::op::{CopyOp, CopySource, Op, Origin, WorkdirOp};
use super::Dispatch;
use dockerfile_parser::ast::{Add, Copy, CopyOptions, Source, Word};
use dockerfile_parser::diagnostic::Diagnostic;
use std::fmt::Write;

/// What COPY and ADD do not share.
struct Particulars {
    add: bool,
    origin: Origin,
    parents: bool,
    unpack: Option<bool>,
}

impl Dispatch<'_, '_> {
    pub(super) fn copy(&mut self, copy: &Copy) -> Result<(), Diagnostic> {
        let origin = match &copy.from {
            None => Origin::Context,
            Some(from) => self.origin(&from.text, from.span)?,
        };
        let particulars = Particulars { add: false, origin, parents: copy.parents, unpack: None };
        self.put(&copy.sources, &copy.destination, &copy.options, particulars)
    }

    pub(super) fn add(&mut self, add: &Add) -> Result<(), Diagnostic> {
        if let Some(checksum) = &add.checksum {
            return Err(Diagnostic::error(
                "checksum-of-local",
                self.place(checksum.span),
                "--checksum needs a URL or a git repository as the source",
            )
            .help("the build context is not checked against a digest; remove --checksum"));
        }
        if add.keep_git_dir.is_some() {
            return Err(Diagnostic::error(
                "keep-git-dir-of-local",
                self.place(self.instruction.span),
                "--keep-git-dir needs a git repository as the source",
            ));
        }
        let particulars =
            Particulars { add: true, origin: Origin::Context, parents: false, unpack: add.unpack };
        self.put(&add.sources, &add.destination, &add.options, particulars)
    }

    fn put(
        &mut self,
        sources: &[Source],
        destination: &Word,
        options: &CopyOptions,
        particulars: Particulars,
    ) -> Result<(), Diagnostic> {
        let keyword = if particulars.add { "ADD" } else { "COPY" };
        let mut said = String::from(keyword);
        if particulars.parents {
            said.push_str(" --parents");
        }
        let chown = self.option(options.chown.as_ref())?;
        let chmod = self.option(options.chmod.as_ref())?;
        for (name, value) in [("chown", &chown), ("chmod", &chmod)] {
            if let Some(value) = value {
                let _ = write!(said, " --{name}={value}");
            }
        }
        let mut bound = Vec::with_capacity(sources.len());
        for source in sources {
            if let Source::Path(word) = source {
                let path = self.expand(word)?;
                self.refuse_remote(keyword, &path, word)?;
                let _ = write!(said, " {path}");
                bound.push(CopySource::Path(path, self.place(word.span)));
            }
        }
        for source in sources {
            if let Source::Heredoc(heredoc) = source {
                let text = if heredoc.expand {
                    let scope = &self.state.scope;
                    self.planner
                        .expander
                        .heredoc(&heredoc.body, &|name| scope.get(name))
                        .map_err(|error| {
                            Diagnostic::error(
                                "bad-substitution",
                                self.place(heredoc.body_span),
                                error.to_string(),
                            )
                        })?
                        .text
                } else {
                    heredoc.body.clone()
                };
                let _ = write!(said, " <<{}", heredoc.name);
                bound.push(CopySource::Inline { name: heredoc.name.clone(), text });
            }
        }
        let written = self.expand(destination)?;
        let _ = write!(said, " {written}");
        let destination = self.destination(&written);
        let excludes = options.excludes.iter().map(|word| word.text.clone()).collect();
        let reads = match particulars.origin {
            Origin::Step(vertex) => vec![vertex],
            _ => Vec::new(),
        };
        let shown = self.expanded_arguments();
        let op = CopyOp {
            add: particulars.add,
            origin: particulars.origin,
            sources: bound,
            destination,
            chown,
            chmod,
            link: options.link,
            parents: particulars.parents,
            excludes,
            unpack: particulars.unpack,
        };
        let vertex = self.step(Op::Copy(Box::new(op)), reads, &shown);
        self.state.remember(format!("{said} # buildkit"), Some(vertex));
        Ok(())
    }

    fn option(&mut self, word: Option<&Word>) -> Result<Option<String>, Diagnostic> {
        word.map(|word| self.expand(word)).transpose().map(|value| value.filter(|value| !value.is_empty()))
    }

    /// The absolute destination; a trailing `/` or `/.` is kept, for it says that the destination is a directory.
    fn destination(&self, written: &str) -> String {
        let mut path = self.absolute(written);
        let directory =
            matches!(written, "" | "." | "..") || written.ends_with('/') || written.ends_with("/.");
        if directory && !path.ends_with('/') {
            path.push('/');
        }
        path
    }

    /// URLs and git repositories cannot be copied from yet.
    fn refuse_remote(&self, keyword: &str, path: &str, word: &Word) -> Result<(), Diagnostic> {
        let remote = ["http://", "https://", "git://", "ssh://", "git@"].iter().any(|p| path.starts_with(p));
        if !remote {
            return Ok(());
        }
        let error = Diagnostic::error(
            "remote-source",
            self.place(word.span),
            format!("{keyword} cannot take files from {path}"),
        );
        Err(if keyword == "COPY" {
            error.help("COPY copies local files only; ADD is the instruction for URLs")
        } else {
            error.help("ADD of URLs and git repositories is not there yet; fetch it in a RUN")
        })
    }

    pub(super) fn workdir(&mut self, word: &Word) -> Result<(), Diagnostic> {
        let written = self.expand(word)?;
        let path = self.absolute(&written);
        self.state.config.config.working_dir.clone_from(&path);
        if path == "/" {
            self.state.remember(format!("WORKDIR {path}"), None);
            return Ok(());
        }
        let op = Op::Workdir(WorkdirOp { path: path.clone(), user: self.state.config.config.user.clone() });
        let shown = self.expanded_arguments();
        let vertex = self.step(op, Vec::new(), &shown);
        self.state.remember(format!("WORKDIR {path}"), Some(vertex));
        Ok(())
    }
}
