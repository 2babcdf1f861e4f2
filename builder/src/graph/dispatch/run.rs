//! RUN.

use super::super::op::{InlineScript, Op, Origin, RunMount, RunOp};
use super::super::scope::PROXY_ARGS;
use super::Dispatch;
use crate::request::NetworkMode;
use dockerfile_parser::ast::{CommandLine, Heredoc, Mount, MountFlag, MountKind, Network, Run, Security};
use dockerfile_parser::diagnostic::Diagnostic;

/// What programs see as the machine's name, as in BuildKit.
const HOSTNAME: &str = "buildkitsandbox";

/// The build argument that keeps the cache mounts of one kind of builds apart from those of others, as in BuildKit.
const CACHE_MOUNT_NS: &str = "BUILDKIT_CACHE_MOUNT_NS";

impl Dispatch<'_, '_> {
    pub(super) fn run(&mut self, run: &Run) -> Result<(), Diagnostic> {
        let (args, script) = self.run_arguments(run)?;
        let network = self.run_network(run)?;
        let security = self.run_security(run)?;
        if let Some(device) = run.devices.first() {
            return Err(Diagnostic::error(
                "device",
                self.place(device.span),
                "RUN --device is not there yet: CDI devices are not handed to a RUN",
            ));
        }
        let mut mounts = Vec::with_capacity(run.mounts.len());
        let mut reads = Vec::new();
        for flag in &run.mounts {
            let mount = self.mount(flag)?;
            if let Origin::Step(vertex) = mount.from {
                reads.push(vertex);
            }
            mounts.push(mount);
        }
        let said = format!("RUN {}{} # buildkit", self.state.scope.history_prefix(), args.join(" "));
        let config = &self.state.config.config;
        let op = RunOp {
            args,
            env: self.state.scope.env().to_vec(),
            arguments: self.state.scope.arguments(),
            proxy_env: self.proxies(),
            cwd: config.working_dir.clone(),
            user: self.state.user(),
            network,
            security,
            mounts,
            script,
            hostname: self.build_arg("BUILDKIT_SANDBOX_HOSTNAME").unwrap_or(HOSTNAME).to_owned(),
        };
        let shown = match run.heredocs.as_slice() {
            [] => self.arguments(),
            [heredoc, ..] => format!("{} ({})", self.arguments(), summary(&heredoc.body)),
        };
        let vertex = self.step(Op::Run(Box::new(op)), reads, &shown);
        self.state.remember(said, Some(vertex));
        Ok(())
    }

    /// A bare here-document is the whole program: run directly when it starts with `#!`, otherwise one argument of the
    /// shell. With anything beside it the shell gets all of it as text and must understand here-documents itself.
    fn run_arguments(&self, run: &Run) -> Result<(Vec<String>, Option<InlineScript>), Diagnostic> {
        let CommandLine::Shell(line) = &run.command else { return Ok((self.command(&run.command), None)) };
        Ok(match run.heredocs.as_slice() {
            [] => (self.command(&run.command), None),
            [only] if only.span == line.span => match only.body.strip_prefix("#!") {
                Some(_) => {
                    let script = InlineScript { name: self.heredoc_name(only)?, text: only.body.clone() };
                    (vec![format!("/dev/pipes/{}", script.name)], Some(script))
                }
                None => (self.in_shell(&only.body), None),
            },
            heredocs => {
                let mut text = line.text.clone();
                for Heredoc { name, body, .. } in heredocs {
                    text.push('\n');
                    text.push_str(body);
                    text.push_str(name);
                }
                (self.in_shell(&text), None)
            }
        })
    }

    fn run_network(&self, run: &Run) -> Result<NetworkMode, Diagnostic> {
        let asked = self.planner.options.network;
        match run.network {
            None | Some(Network::Default) => Ok(asked),
            Some(Network::None) => Ok(NetworkMode::None),
            Some(Network::Host)
                if asked == NetworkMode::Host || self.planner.options.allowed.network_host =>
            {
                Ok(NetworkMode::Host)
            }
            Some(Network::Host) => Err(Diagnostic::error(
                "network-host",
                self.place(self.instruction.span),
                "RUN --network=host is not allowed: a Dockerfile may not take the host's network by itself",
            )
            .help("allow it on the command line: --allow network.host, or --network=host for every RUN")),
        }
    }

    fn run_security(&self, run: &Run) -> Result<Security, Diagnostic> {
        match run.security {
            None | Some(Security::Sandbox) => Ok(Security::Sandbox),
            Some(Security::Insecure) if self.planner.options.allowed.security_insecure => {
                Ok(Security::Insecure)
            }
            Some(Security::Insecure) => Err(Diagnostic::error(
                "security-insecure",
                self.place(self.instruction.span),
                "RUN --security=insecure is not allowed: a Dockerfile may not leave the sandbox by itself",
            )
            .help("allow it on the command line: --allow security.insecure")),
        }
    }

    fn mount(&mut self, flag: &MountFlag) -> Result<RunMount, Diagnostic> {
        let place = self.place(flag.spec.span);
        let scope = &self.state.scope;
        let expander = &self.planner.expander;
        let mut mount: Mount = dockerfile_parser::mount::parse(&flag.spec.text, &mut |text| {
            expander.word(text, &|name| scope.get(name)).map(|expanded| expanded.text)
        })
        .map_err(|error| {
            let place = self.place(error.span_in(&flag.spec));
            let diagnostic = Diagnostic::error("bad-mount", place, format!("--mount: {error}"));
            match error.help() {
                Some(help) => diagnostic.help(help),
                None => diagnostic,
            }
        })?;
        // Without a target it is where the RUN starts.
        let is_placed = mount.target.is_some() || !matches!(mount.kind, MountKind::Secret | MountKind::Ssh);
        if is_placed {
            let target = self.absolute(mount.target.as_deref().unwrap_or_default());
            if target == "/" {
                let diagnostic =
                    Diagnostic::error("mount-on-root", place, "a mount cannot take the place of /");
                return Err(match mount.target {
                    Some(_) => diagnostic,
                    None => diagnostic
                        .help("without target= it is the working directory: add target=, or a WORKDIR"),
                });
            }
            mount.target = Some(target);
        }
        if let (MountKind::Cache, Some(space)) = (mount.kind, self.build_arg(CACHE_MOUNT_NS)) {
            mount.id = mount.id.map(|id| format!("{space}/{id}"));
        }
        let from = match (mount.kind, mount.from.clone()) {
            (MountKind::Bind, None) => Origin::Context,
            (MountKind::Bind | MountKind::Cache, Some(name)) => {
                self.origin(&name, dockerfile_parser::mount::from_span(&flag.spec))?
            }
            _ => Origin::Empty,
        };
        if mount.kind == MountKind::Ssh && mount.required {
            let id = mount.id.as_deref().unwrap_or("default");
            if !self.planner.options.ssh.contains(id) {
                let message = format!("this RUN requires the SSH agent {id:?}, and it was not given");
                return Err(Diagnostic::error("ssh", place, message)
                    .help(format!("give it with --ssh {id}, or --ssh {id}=KEY")));
            }
        }
        let source_span = self.place(dockerfile_parser::mount::source_span(&flag.spec));
        if let (MountKind::Secret, true, Some(given)) =
            (mount.kind, mount.required, &self.planner.options.secrets)
        {
            let id = mount.id.as_deref().unwrap_or_default();
            if !given.contains(id) {
                let message = format!("the secret {id:?} is required, and was not given");
                return Err(Diagnostic::error("missing-secret", place, message)
                    .help(format!("give it with --secret id={id},src=FILE")));
            }
        }
        Ok(RunMount { mount, from, span: place, source_span })
    }

    /// A build argument that needs no ARG.
    fn build_arg(&self, name: &str) -> Option<&str> {
        self.planner.options.build_args.get(name).map(String::as_str)
    }

    /// Proxy settings given as build arguments and not declared by ARG.
    fn proxies(&self) -> Vec<(String, String)> {
        let given = &self.planner.options.build_args;
        PROXY_ARGS
            .iter()
            .filter(|name| self.state.scope.get(name).is_none())
            .filter_map(|name| Some(((*name).to_owned(), given.get(*name)?.clone())))
            .collect()
    }
}

/// The first line of a here-document, for progress.
fn summary(body: &str) -> String {
    let body = body.trim();
    match body.split_once('\n') {
        None => body.to_owned(),
        Some((first, _)) => format!("{}...", first.trim_end()),
    }
}
