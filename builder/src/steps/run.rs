//! RUN: a program in a sandbox.

use super::error::Cause;
use super::mask::Mask;
use super::mounts::Prepared;
use super::state::Rootfs;
use super::variables::Variables;
use super::{StepWorker, leftovers, logs, put};
use crate::blocking::blocking;
use crate::cgroup::Cgroups;
use crate::emulation::EmulationError;
use crate::graph::{RunOp, VertexId};
use crate::progress::measure::Measure;
use crate::request::NetworkMode;
use crate::rootfs::overlay::{overlay_rw, overlay_view};
use crate::rootfs::user::{ResolvedUser, resolve_user};
use crate::sandbox::{self, Mount, MountKind, Network, RootFs, Sandbox, Stdio};
use crate::solve::Inputs;
use crate::store::ActiveSnapshot;
use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

impl StepWorker {
    /// Runs the program of a RUN; an exit status other than 0 is a failure.
    pub(super) async fn run(
        &self,
        vertex: VertexId,
        run: &RunOp,
        inputs: &Inputs<Rootfs>,
        lowers: Vec<PathBuf>,
    ) -> Result<ActiveSnapshot, Cause> {
        let user_namespace = self.emulated(vertex, run).await?;
        let active = self.begin(&lowers)?;
        let Prepared { mut mounts, env, secrets, held, caches, as_looked_up } =
            self.mounts(vertex, run, inputs).await?;
        if !as_looked_up {
            self.takes_other(vertex);
        }
        if self.is_stopped() {
            return Err(Cause::Cancelled);
        }
        if let Some(script) = &run.script {
            mounts.push(Mount {
                target: Path::new("/dev/pipes").join(&script.name),
                kind: MountKind::File {
                    bytes: script.text.clone().into_bytes(),
                    read_only: true,
                    mode: 0o755,
                    uid: 0,
                    gid: 0,
                },
            });
        }
        let network = match run.network {
            NetworkMode::Default | NetworkMode::Host => Network::Host,
            NetworkMode::None => Network::None,
        };
        let step = Self::step(vertex);
        let (progress, around) = (self.around.progress.clone(), &self.around);
        let sandbox = Sandbox {
            rootfs: RootFs::Writable { lowers, upper: active.upper(), work: active.work() },
            scratch: around.store.scratch_dir()?,
            args: run.args.iter().map(OsString::from).collect(),
            env: Vec::new(),
            cwd: PathBuf::from(&run.cwd),
            user: ResolvedUser::root(),
            hostname: run.hostname.clone(),
            network,
            mounts,
            extra_hosts: around.extra_hosts.clone(),
            resolv_conf: sandbox::net::resolv_conf(network).map_err(Cause::io("read resolv.conf"))?,
            rlimits: around.ulimits.clone(),
            cgroup: None,
            shm_size: around.shm_size.unwrap_or(sandbox::DEFAULT_SHM_SIZE),
            security: match run.security {
                dockerfile_parser::ast::Security::Sandbox => sandbox::Security::Sandboxed,
                dockerfile_parser::ast::Security::Insecure => sandbox::Security::Insecure,
            },
            user_namespace,
            stdio: Stdio::Pipes,
        };
        let mask =
            Mask::new(&secrets).map_err(|e| Cause::io("hide secrets in the log")(io::Error::other(e)))?;
        let mut variables = Variables::default();
        for (name, value) in run.env.iter().chain(&run.proxy_env) {
            variables.set(name, value);
        }
        for (name, value) in env {
            variables.set(&name, value);
        }
        let (user, cwd) = (run.user.text.clone(), run.cwd.clone());
        let cgroups = around.cgroups.clone();
        let (killer_sender, killer) = tokio::sync::oneshot::channel();
        let work = blocking(move || {
            let mut sandbox = sandbox;
            sandbox.cgroup = cgroups.as_deref().map(Cgroups::make).transpose()?;
            sandbox.user = prepare(&sandbox.rootfs, &cwd, &user)?;
            if !variables.has("HOME") {
                variables.set("HOME", &sandbox.user.home);
            }
            sandbox.env = variables.into_environment();
            let mut child =
                if progress.is_measured() { sandbox.spawn_measured()? } else { sandbox.spawn()? };
            // Nobody to kill it is nobody who waits for it.
            let _ = killer_sender.send(child.killer().map_err(Cause::io("watch the program"))?);
            let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
            logs::pump(stdout, stderr, &mask, step, &progress).map_err(Cause::io("read the output"))?;
            let status = child.wait()?;
            if let Some(usage) = child.usage() {
                progress.measure(step, Measure::Used(usage));
            }
            // Locks of cache mounts and the like are held until here.
            drop(held);
            Ok::<_, Cause>(status)
        });
        let _measured = Measured { caches, worker: self };
        let mut work = std::pin::pin!(work);
        let status = tokio::select! {
            status = &mut work => status?,
            () = self.stop.cancelled() => {
                if let Ok(killer) = killer.await {
                    killer.kill();
                }
                // It ends now, and its mounts with it.
                let _ = work.await;
                return Err(Cause::Cancelled);
            }
        };
        if status.success() {
            if !secrets.is_empty() {
                let (upper, span) = (active.upper(), self.vertex(vertex).span);
                let found =
                    blocking(move || Ok::<_, Cause>(leftovers::secrets(&upper, &secrets, span))).await?;
                self.found(found);
            }
            return Ok(active);
        }
        Err(Cause::Exit { command: run.args.join(" "), status })
    }

    /// The user namespace in which the kernel runs programs of the vertex's platform, when it takes one.
    async fn emulated(&self, vertex: VertexId, run: &RunOp) -> Result<Option<OwnedFd>, Cause> {
        let platform = self.vertex(vertex).platform.clone();
        let insecure = run.security == dockerfile_parser::ast::Security::Insecure;
        let (emulators, store) = (Arc::clone(&self.around.emulators), self.around.store.clone());
        blocking(move || {
            let scratch = || store.scratch_dir().map_err(std::io::Error::other);
            let Some(emulator) = emulators.for_platform(&platform, &scratch)? else { return Ok(None) };
            if insecure {
                return Err(EmulationError::Insecure { platform: platform.to_string() }.into());
            }
            emulator.namespace().map(Some).map_err(Cause::io("keep a user namespace open"))
        })
        .await
    }
}

/// Looks how large cache mounts are when the program has ended, however it did.
struct Measured<'a> {
    caches: Vec<String>,
    worker: &'a StepWorker,
}

impl Drop for Measured<'_> {
    fn drop(&mut self) {
        let caches = std::mem::take(&mut self.caches);
        if !caches.is_empty() {
            self.worker.measure_caches(caches);
        }
    }
}

/// Looks up the user; makes the working directory where the image has none, as runtimes do.
fn prepare(rootfs: &RootFs, cwd: &str, user: &str) -> Result<ResolvedUser, Cause> {
    let mount = "mount the root file system";
    let RootFs::Writable { lowers, upper, work } = rootfs else { return Ok(ResolvedUser::root()) };
    let view = overlay_view(lowers).map_err(Cause::io(mount))?;
    let name = if user.is_empty() { "0" } else { user };
    let resolved = resolve_user(&view, name)?;
    if cwd != "/" && view.stat(Path::new(cwd)).is_err() {
        let root = overlay_rw(lowers, upper, work).map_err(Cause::io(mount))?;
        put::make_owned(&root, cwd, user)?;
    }
    Ok(resolved)
}
