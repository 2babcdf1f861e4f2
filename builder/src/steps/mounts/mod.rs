//! `RUN --mount`: what each becomes in the sandbox.

mod bind;
mod cache;
mod source;

pub(super) use bind::{Copies, Temporary};
pub(super) use cache::Renewed;

use super::StepWorker;
use super::error::Cause;
use super::key;
use super::state::Rootfs;
use crate::agent::Proxy;
use crate::blocking::blocking;
use crate::content::ContentId;
use crate::graph::{Origin, RunOp, VertexId};
use crate::request::SecretSource;
use crate::sandbox::{BindSource, Mount, MountKind};
use crate::solve::Inputs;
use crate::store::CacheMount;
use dockerfile_parser::ast;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use url::Url;

/// The most that is read of a secret, in bytes, as in BuildKit.
const SECRET_LIMIT: u64 = 500 << 10;

/// The mounts of one RUN, ready for the sandbox.
pub(super) struct Prepared {
    pub(super) mounts: Vec<Mount>,
    /// Environment variables that are secrets.
    pub(super) env: Vec<(String, OsString)>,
    /// Values that must not be seen in the log.
    pub(super) secrets: Vec<Vec<u8>>,
    /// Held while the program runs.
    pub(super) held: Vec<Held>,
    /// The cache mounts among them, by name.
    pub(super) caches: Vec<String>,
    /// What is shown of contexts is what was there when the RUN was looked up.
    pub(super) as_looked_up: bool,
}

/// Something that ends with the program. It is only dropped.
pub(super) enum Held {
    Cache(#[expect(dead_code, reason = "held")] CacheMount),
    Copy(#[expect(dead_code, reason = "held")] Arc<Temporary>),
    Changes(#[expect(dead_code, reason = "held")] Temporary),
    Agent(#[expect(dead_code, reason = "held")] Proxy),
}

impl StepWorker {
    /// The content of what each mount of a RUN takes its files from, as far as it decides the result; `None` for the
    /// others. The files of bind mounts are kept for explaining.
    pub(super) async fn mount_contents(
        &self,
        vertex: VertexId,
        run: &RunOp,
        inputs: &Inputs<Rootfs>,
    ) -> Result<Vec<Option<ContentId>>, Cause> {
        let mut contents = Vec::with_capacity(run.mounts.len());
        for bound in &run.mounts {
            contents.push(match (bound.mount.kind, &bound.from) {
                (ast::MountKind::Bind, Origin::Empty) => Some(Rootfs::empty().content),
                (ast::MountKind::Bind, from) => match self.origin(from, inputs).await? {
                    None => Some(Rootfs::empty().content),
                    Some(tree) => {
                        let (wanted, place) = (bound.clone(), self.place_of(from));
                        let (id, entries) = blocking(move || source::listed(&wanted, &tree)).await?;
                        let target = bound.mount.target.as_deref().unwrap_or_default();
                        let place = format!("{place}, mounted on {target}");
                        self.explained.takes(vertex, key::mounted_files(target), place, id, entries);
                        Some(id)
                    }
                },
                (ast::MountKind::Cache, _) => self.seed(bound, inputs).await?,
                _ => None,
            });
        }
        Ok(contents)
    }

    /// Makes the mounts of a RUN.
    pub(super) async fn mounts(
        &self,
        vertex: VertexId,
        run: &RunOp,
        inputs: &Inputs<Rootfs>,
    ) -> Result<Prepared, Cause> {
        let contents = self.taken.reads(vertex);
        let mut prepared = Prepared {
            mounts: Vec::new(),
            env: Vec::new(),
            secrets: Vec::new(),
            held: Vec::new(),
            caches: Vec::new(),
            as_looked_up: true,
        };
        let mut mounts = Vec::with_capacity(run.mounts.len());
        for (index, bound) in run.mounts.iter().enumerate() {
            let mount = &bound.mount;
            let made = match mount.kind {
                ast::MountKind::Bind => {
                    let content = contents.get(index).copied().flatten();
                    Some(self.bind(bound, content, inputs, &mut prepared).await?)
                }
                // Locks of caches are taken last, so that nobody waits for our copies.
                ast::MountKind::Cache => None,
                ast::MountKind::Tmpfs => {
                    let kind =
                        MountKind::Tmpfs { size: mount.size, mode: 0o1777, read_only: mount.read_only };
                    Some(Mount { target: target(mount), kind })
                }
                ast::MountKind::Secret => self.secret(mount, &mut prepared)?,
                ast::MountKind::Ssh => self.ssh(mount, &mut prepared).await?,
            };
            mounts.extend(made.map(|mount| (index, mount)));
        }
        mounts.extend(self.caches(vertex, run, inputs, &contents, &mut prepared).await?);
        // As in the Dockerfile: of two at one place, the later is seen.
        mounts.sort_by_key(|(index, _)| *index);
        prepared.mounts = mounts.into_iter().map(|(_, mount)| mount).collect();
        Ok(prepared)
    }

    /// An SSH agent: a socket, and for the first of them the variable that says where. Planning refused a required one
    /// that was not given; of another there is nothing to show.
    async fn ssh(&self, mount: &ast::Mount, prepared: &mut Prepared) -> Result<Option<Mount>, Cause> {
        let id = mount.id.clone().unwrap_or_else(|| "default".to_owned());
        let (agents, store) = (Arc::clone(&self.around.agents), self.around.store.clone());
        let agent =
            blocking(move || agents.socket(&id, &|| store.scratch_dir().map_err(std::io::Error::other)));
        let Some(agent) = agent.await? else { return Ok(None) };
        let socket = self.around.store.scratch_dir()?.join("agent");
        let owner = (mount.uid.unwrap_or(0), mount.gid.unwrap_or(0));
        let proxy = Proxy::listen(socket, agent, owner, mount.mode.unwrap_or(0o600))?;
        let number = prepared.held.iter().filter(|held| matches!(held, Held::Agent(_))).count();
        let target = match &mount.target {
            Some(target) => PathBuf::from(target),
            None => PathBuf::from(format!("/run/buildkit/ssh_agent.{number}")),
        };
        if number == 0 {
            prepared.env.push(("SSH_AUTH_SOCK".to_owned(), target.clone().into_os_string()));
        }
        let source = BindSource::Path(proxy.socket().to_owned());
        prepared.held.push(Held::Agent(proxy));
        Ok(Some(Mount { target, kind: MountKind::Bind { source, read_only: false, recursive: false } }))
    }

    /// A secret: a file in memory, an environment variable, or both. One that was not given is not there.
    fn secret(&self, mount: &ast::Mount, prepared: &mut Prepared) -> Result<Option<Mount>, Cause> {
        let from_target = || mount.target.as_deref().and_then(|t| Path::new(t).file_name()?.to_str());
        let id = mount.id.as_deref().or_else(from_target).unwrap_or_default().to_owned();
        let Some(source) = self.around.secrets.get(&id) else {
            return if mount.required { Err(Cause::Secret { id }) } else { Ok(None) };
        };
        let bytes = read_secret(source).map_err(Cause::io(format!("read the secret {id:?}")))?;
        prepared.secrets.push(bytes.clone());
        if let Some(name) = &mount.env {
            if bytes.contains(&0) {
                let why =
                    format!("the secret has a NUL byte, so it cannot be the environment variable {name}");
                return Err(Cause::Mount { target: id, why });
            }
            prepared.env.push((name.clone(), OsString::from_vec(bytes.clone())));
        }
        if mount.env.is_some() && mount.target.is_none() {
            return Ok(None);
        }
        let default = || PathBuf::from("/run/secrets").join(&id);
        Ok(Some(Mount {
            target: mount.target.as_ref().map_or_else(default, PathBuf::from),
            kind: MountKind::File {
                bytes,
                read_only: true,
                mode: mount.mode.unwrap_or(0o400),
                uid: mount.uid.unwrap_or(0),
                gid: mount.gid.unwrap_or(0),
            },
        }))
    }
}

fn target(mount: &ast::Mount) -> PathBuf {
    PathBuf::from(mount.target.as_deref().unwrap_or("/"))
}

/// The `Authorization` for the host of `url`, by the secrets that BuildKit has for it: `HTTP_AUTH_HEADER_host` is all of it,
/// `HTTP_AUTH_TOKEN_host` is a token.
///
/// # Errors
/// As [`read_secret`], and when it is no text.
pub fn http_authorization(
    secrets: &BTreeMap<String, SecretSource>,
    url: &Url,
) -> std::io::Result<Option<String>> {
    let Some(host) = url.host_str() else { return Ok(None) };
    for (name, scheme) in [("HEADER", ""), ("TOKEN", "Bearer ")] {
        let id = format!("HTTP_AUTH_{name}_{}", host.trim_matches(['[', ']']));
        let Some(source) = secrets.get(&id) else { continue };
        let value = String::from_utf8(read_secret(source)?)
            .map_err(|_| std::io::Error::other(format!("the secret {id:?} is no text")))?;
        return Ok(Some(format!("{scheme}{}", value.trim())));
    }
    Ok(None)
}

/// The value of a secret.
///
/// # Errors
/// When its file cannot be read, or is larger than BuildKit takes.
pub fn read_secret(source: &SecretSource) -> std::io::Result<Vec<u8>> {
    use std::io::Read;
    let path = match source {
        SecretSource::Value(value) => return Ok(value.clone()),
        SecretSource::File(path) => path,
    };
    let named =
        |error: std::io::Error| std::io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(named)?;
    file.take(SECRET_LIMIT + 1).read_to_end(&mut bytes).map_err(named)?;
    if bytes.len() as u64 > SECRET_LIMIT {
        let why = format!("{} is larger than {} KiB", path.display(), SECRET_LIMIT >> 10);
        return Err(std::io::Error::other(why));
    }
    Ok(bytes)
}
