//! COPY, ADD and WORKDIR: steps that put files in place.

use super::super::names::not_locked;
use super::super::op::{CopyOp, CopySource, HttpOp, Op, Origin, UserName, Vertex, VertexId, WorkdirOp};
use super::super::scope::bad_substitution;
use super::Dispatch;
use crate::copy::Chmod;
use crate::lockfile::LockFile;
use crate::remote::{self, Checksum, Remote};
use dockerfile_parser::ast::{Add, Copy, CopyOptions, Heredoc, Source, Word};
use dockerfile_parser::diagnostic::Diagnostic;
use std::fmt::Write;

/// What COPY and ADD do not share.
struct Particulars {
    add: bool,
    origin: Origin,
    parents: bool,
    unpack: Option<bool>,
    /// For each source what brings it, when it is elsewhere.
    fetched: Vec<Option<CopySource>>,
}

impl Dispatch<'_, '_> {
    pub(super) fn copy(&mut self, copy: &Copy) -> Result<(), Diagnostic> {
        let origin = match &copy.from {
            None => Origin::Context,
            Some(from) => self.origin(&from.text, from.span)?,
        };
        let particulars =
            Particulars { add: false, origin, parents: copy.parents, unpack: None, fetched: Vec::new() };
        self.put(&copy.sources, &copy.destination, &copy.options, particulars)
    }

    pub(super) fn add(&mut self, add: &Add) -> Result<(), Diagnostic> {
        let sources = self.remotes(add)?;
        let local = sources.iter().any(Option::is_none);
        let git = sources.iter().flatten().any(|remote| matches!(remote, Remote::Git(_)));
        if let Some(checksum) = &add.checksum {
            if local {
                return Err(Diagnostic::error(
                    "checksum-of-local",
                    self.place(checksum.span),
                    "--checksum needs a URL or a git repository as the source",
                )
                .help("the build context is not checked against a digest; remove --checksum"));
            }
            if sources.len() > 1 {
                return Err(Diagnostic::error(
                    "checksum-of-several",
                    self.place(checksum.span),
                    "--checksum is of one source, and there are several",
                )
                .help("write an ADD for each"));
            }
        }
        if add.keep_git_dir.is_some() && !git {
            return Err(Diagnostic::error(
                "keep-git-dir-of-local",
                self.place(self.instruction.span),
                "--keep-git-dir needs a git repository as the source",
            ));
        }
        let checksum = self.option(add.checksum.as_ref())?;
        let mut fetched = Vec::with_capacity(sources.len());
        for (source, remote) in add.sources.iter().zip(sources) {
            let Source::Path(word) = source else {
                fetched.push(None);
                continue;
            };
            fetched.push(match remote {
                None => None,
                Some(remote) => Some(self.fetch(remote, word, checksum.as_deref(), add)?),
            });
        }
        let particulars =
            Particulars { add: true, origin: Origin::Context, parents: false, unpack: add.unpack, fetched };
        self.put(&add.sources, &add.destination, &add.options, particulars)
    }

    /// What of the sources is elsewhere.
    fn remotes(&mut self, add: &Add) -> Result<Vec<Option<Remote>>, Diagnostic> {
        let mut remotes = Vec::with_capacity(add.sources.len());
        for source in &add.sources {
            remotes.push(match source {
                Source::Heredoc(_) => None,
                Source::Path(word) => {
                    let text = self.expand_quietly(word);
                    remote::of_add(&text).map_err(|error| self.bad_url(word, &error.to_string()))?
                }
            });
        }
        Ok(remotes)
    }

    fn bad_url(&self, word: &Word, why: &str) -> Diagnostic {
        Diagnostic::error("bad-url", self.place(word.span), why.to_owned())
    }

    /// The vertex that brings a source from elsewhere.
    fn fetch(
        &mut self,
        remote: Remote,
        word: &Word,
        checksum: Option<&str>,
        add: &Add,
    ) -> Result<CopySource, Diagnostic> {
        match remote {
            Remote::Http(url) => {
                let checksum = checksum.map(str::parse::<Checksum>).transpose();
                let mut checksum = checksum.map_err(|why| {
                    let value = add.checksum.as_ref().unwrap_or(word);
                    self.bad_url(value, &format!("--checksum: {why}"))
                })?;
                let name = remote::file_name(&url);
                let shown = remote::redacted(url.as_str());
                if let (None, Some(locked)) = (&checksum, &self.planner.options.locked) {
                    let known = locked.files.get(&shown);
                    let known = known.ok_or_else(|| not_locked(&shown, self.place(word.span)))?;
                    let parsed = known.to_string().parse();
                    checksum = Some(parsed.map_err(|why: &str| self.bad_url(word, why))?);
                }
                let op = Op::Http(Box::new(HttpOp { url, name: name.clone(), checksum }));
                let vertex = self.source(op, &shown, word);
                Ok(CopySource::File { vertex, name, unpack: add.unpack == Some(true) })
            }
            Remote::Git(mut source) => {
                if let Some(checksum) = checksum {
                    let checksum = checksum.to_ascii_lowercase();
                    let is_commit = checksum.len() >= 7 && checksum.bytes().all(|b| b.is_ascii_hexdigit());
                    if !is_commit {
                        return Err(self.bad_url(word, "--checksum of a repository is the id of a commit"));
                    }
                    if source.checksum.as_ref().is_some_and(|other| *other != checksum) {
                        return Err(self.bad_url(word, "--checksum and the URL name different commits"));
                    }
                    source.checksum = Some(checksum);
                }
                match (add.keep_git_dir, source.keep_git_dir) {
                    (Some(flag), Some(query)) if flag != query => {
                        return Err(self.bad_url(word, "--keep-git-dir and the URL say different things"));
                    }
                    (flag, query) => source.keep_git_dir = query.or(flag),
                }
                let shown = source.to_string();
                if let Some(locked) = &self.planner.options.locked {
                    let name = LockFile::repository(&source);
                    let known = locked.repositories.get(&name);
                    match known {
                        // The name of the branch is in .git: the server is asked, and must say the same.
                        Some(commit) if source.keep_git_dir == Some(true) => {
                            source.checksum.get_or_insert_with(|| commit.clone());
                        }
                        Some(commit) => source.reference = Some(commit.clone()),
                        None if source.is_pinned() => {}
                        None => return Err(not_locked(&name, self.place(word.span))),
                    }
                }
                Ok(CopySource::Repository(self.source(Op::Git(source), &shown, word)))
            }
        }
    }

    /// A vertex that depends on nothing, and so is fetched at once.
    fn source(&mut self, op: Op, shown: &str, word: &Word) -> VertexId {
        let ignore_cache = self.state.ignore_cache && !self.planner.options.offline;
        if let Some(known) = self.planner.fetching(&op, ignore_cache) {
            return known;
        }
        let vertex = Vertex {
            op,
            parent: None,
            reads: Vec::new(),
            name: format!("[internal] fetch {shown}"),
            stage: String::new(),
            span: self.place(word.span),
            ignore_cache,
            platform: self.state.platform.clone(),
        };
        self.planner.push(vertex)
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
        if let (Some(value), Some(word)) = (&chmod, &options.chmod) {
            value.parse::<Chmod>().map_err(|error| {
                Diagnostic::error("bad-chmod", self.place(word.span), format!("--chmod: {error}"))
            })?;
        }
        for (name, value) in [("chown", &chown), ("chmod", &chmod)] {
            if let Some(value) = value {
                let _ = write!(said, " --{name}={value}");
            }
        }
        let mut bound = Vec::with_capacity(sources.len());
        let mut fetched = particulars.fetched.into_iter();
        for source in sources {
            let remote = fetched.next().flatten();
            if let Source::Path(word) = source {
                let path = self.expand(word)?;
                let _ = write!(said, " {}", remote::redacted(&path));
                bound.push(match remote {
                    Some(remote) => remote,
                    None => {
                        self.refuse_remote(keyword, &path, word)?;
                        CopySource::Path(path, self.place(word.span))
                    }
                });
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
                            let body = Word { text: heredoc.body.clone(), span: heredoc.body_span };
                            let error = bad_substitution(&error, &body);
                            Diagnostic { span: self.place(error.span), ..error }
                        })?
                        .text
                } else {
                    heredoc.body.clone()
                };
                let _ = write!(said, " <<{}", heredoc.name);
                bound.push(CopySource::Inline { name: self.heredoc_name(heredoc)?, text });
            }
        }
        let written = self.expand(destination)?;
        let _ = write!(said, " {written}");
        let destination = self.destination(&written);
        let excludes = options.excludes.iter().map(|word| word.text.clone()).collect();
        let mut reads = match particulars.origin {
            Origin::Step(vertex) => vec![vertex],
            _ => Vec::new(),
        };
        reads.extend(bound.iter().filter_map(|source| match source {
            CopySource::File { vertex, .. } | CopySource::Repository(vertex) => Some(*vertex),
            CopySource::Path(..) | CopySource::Inline { .. } => None,
        }));
        let shown = self.expanded_arguments();
        let op = CopyOp {
            add: particulars.add,
            origin: particulars.origin,
            sources: bound,
            destination,
            // As in BuildKit: a mode is given to directories on the way, too, which without the layers below would be all of
            // them, /tmp and /home included.
            link: options.link && chmod.is_none(),
            chown: chown.map(|text| UserName {
                text,
                span: options.chown.as_ref().map(|word| self.place(word.span)),
            }),
            chmod,
            parents: particulars.parents,
            excludes,
            unpack: particulars.unpack,
        };
        let vertex = self.step(Op::Copy(Box::new(op)), reads, &shown);
        self.state.remember(format!("{said} # buildkit"), Some(vertex));
        Ok(())
    }

    /// The name of the file that a here-document becomes: as in BuildKit the last part of what it is called.
    pub(super) fn heredoc_name(&self, heredoc: &Heredoc) -> Result<String, Diagnostic> {
        let name = heredoc.name.rsplit('/').find(|part| !part.is_empty()).unwrap_or_default();
        if matches!(name, "" | "." | "..") || name.contains('\0') {
            let message = format!("the here-document {:?} cannot become a file of that name", heredoc.name);
            return Err(Diagnostic::error("bad-heredoc-name", self.place(heredoc.span), message));
        }
        Ok(name.to_owned())
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

    /// COPY takes local files alone.
    fn refuse_remote(&self, keyword: &str, path: &str, word: &Word) -> Result<(), Diagnostic> {
        if !matches!(remote::of_add(path), Ok(Some(_))) {
            return Ok(());
        }
        let shown = remote::redacted(path);
        let message = format!("{keyword} cannot take files from {shown}");
        Err(Diagnostic::error("remote-source", self.place(word.span), message)
            .help("COPY copies local files only; ADD is the instruction for URLs"))
    }

    pub(super) fn workdir(&mut self, word: &Word) -> Result<(), Diagnostic> {
        let written = self.expand(word)?;
        let path = self.absolute(&written);
        self.state.config.config.working_dir.clone_from(&path);
        if path == "/" {
            self.state.remember(format!("WORKDIR {path}"), None);
            return Ok(());
        }
        let op = Op::Workdir(WorkdirOp { path: path.clone(), user: self.state.user() });
        let shown = self.expanded_arguments();
        let vertex = self.step(op, Vec::new(), &shown);
        self.state.remember(format!("WORKDIR {path}"), Some(vertex));
        Ok(())
    }
}
