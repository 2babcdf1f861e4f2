//! `RUN --mount`: what each becomes in the sandbox.

use super::StepWorker;
use super::error::Cause;
use super::state::Rootfs;
use crate::agent::Proxy;
use crate::blocking::blocking;
use crate::content::ContentId;
use crate::context::digest_sources;
use crate::copy::{self, CopySpec, Ownership};
use crate::graph::{Origin, RunMount, RunOp, VertexId};
use crate::request::SecretSource;
use crate::rootfs::Root;
use crate::sandbox::{BindSource, Mount, MountKind};
use crate::solve::Inputs;
use crate::store::{KeyLock, Store};
use dockerfile_parser::ast::{self, Sharing};
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The most that is read of a secret, in bytes, as in BuildKit.
const SECRET_LIMIT: u64 = 500 << 10;
/// What the copy of a bind mount's source is called.
const COPIED: &str = "copied";
/// Copies of a `sharing=private` cache mount that may be in use at once.
const PRIVATE_COPIES: usize = 1024;

/// The mounts of one RUN, ready for the sandbox.
#[derive(Default)]
pub(super) struct Prepared {
    pub(super) mounts: Vec<Mount>,
    /// Environment variables that are secrets.
    pub(super) env: Vec<(String, OsString)>,
    /// Values that must not be seen in the log.
    pub(super) secrets: Vec<Vec<u8>>,
    /// Held while the program runs.
    pub(super) held: Vec<Held>,
}

/// Something that ends with the program. It is only dropped.
pub(super) enum Held {
    Lock(#[expect(dead_code, reason = "held")] KeyLock),
    Agent(#[expect(dead_code, reason = "held")] Proxy),
}

impl StepWorker {
    /// The content of what each mount of a RUN shows, as far as it decides the result; `None` for the others.
    pub(super) async fn mount_contents(
        &self,
        run: &RunOp,
        inputs: &Inputs<Rootfs>,
    ) -> Result<Vec<Option<ContentId>>, Cause> {
        let mut contents = Vec::with_capacity(run.mounts.len());
        for bound in &run.mounts {
            contents.push(match (bound.mount.kind, &bound.from) {
                (ast::MountKind::Bind, Origin::Empty) => Some(Rootfs::empty().content),
                (ast::MountKind::Bind, from) => {
                    let spec = bind_spec(bound);
                    match self.origin(from, inputs).await? {
                        None => None,
                        Some(tree) => blocking(move || {
                            Ok::<_, Cause>(Some(digest_sources(&spec, &tree.tree(), tree.index())?.id))
                        })
                        .await
                        .map(Some)?
                        .flatten(),
                    }
                }
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
        let anew = self.vertex(vertex).ignore_cache;
        let mut prepared = Prepared::default();
        for bound in &run.mounts {
            let mount = &bound.mount;
            match mount.kind {
                ast::MountKind::Bind => {
                    let mount = self.bind(bound, inputs).await?;
                    prepared.mounts.push(mount);
                }
                ast::MountKind::Cache => self.cache(bound, anew, inputs, &mut prepared).await?,
                ast::MountKind::Tmpfs => prepared.mounts.push(Mount {
                    target: target(mount),
                    kind: MountKind::Tmpfs { size: mount.size, mode: 0o1777 },
                }),
                ast::MountKind::Secret => self.secret(mount, &mut prepared)?,
                ast::MountKind::Ssh => self.ssh(mount, &mut prepared).await?,
            }
        }
        Ok(prepared)
    }

    /// A bind mount shows a copy: writing to it must not change its source, and what an ignore file hides must not be
    /// seen. What a step made is shown as it is when it cannot be written.
    async fn bind(&self, bound: &RunMount, inputs: &Inputs<Rootfs>) -> Result<Mount, Cause> {
        let mount = &bound.mount;
        let where_to = target(mount);
        let source = mount.source.clone().unwrap_or_else(|| "/".to_owned());
        let kind = |source, read_only| MountKind::Bind { source, read_only, recursive: false };
        if let (Origin::Step(id), true) = (&bound.from, mount.read_only)
            && let Some(rootfs) = inputs.reads.get(id)
        {
            let lowers = self.directories(rootfs).await?;
            let source = BindSource::View { lowers, path: PathBuf::from(source) };
            return Ok(Mount { target: where_to, kind: kind(source, true) });
        }
        let into = self.around.store.scratch_dir()?;
        let tree = self.origin(&bound.from, inputs).await?;
        let spec = bind_spec(bound);
        let copied = into.clone();
        blocking(move || {
            let Some(tree) = tree else { return Ok(()) };
            let to = Root::open(&copied).map_err(Cause::io("open a scratch directory"))?;
            copy::copy(&spec, &tree.tree(), &to)?;
            Ok::<_, Cause>(())
        })
        .await?;
        let shown = into.join(COPIED);
        Ok(Mount { target: where_to, kind: kind(BindSource::Path(shown), mount.read_only) })
    }

    /// A cache mount: a directory that outlives the build. One with a seed is another for each content of the seed.
    ///
    /// When the step is to be carried out `anew`, whatever is cached, so is the seed of the mount, `from=` or a mode or an
    /// owner: the build starts it from there. Without any of these its contents stay, as in BuildKit.
    async fn cache(
        &self,
        bound: &RunMount,
        anew: bool,
        inputs: &Inputs<Rootfs>,
        prepared: &mut Prepared,
    ) -> Result<(), Cause> {
        let mount = &bound.mount;
        let mut id = mount.id.clone().unwrap_or_else(|| target(mount).display().to_string());
        let spec = seed_spec(bound);
        let tree = match bound.from {
            Origin::Empty => None,
            _ => self.origin(&bound.from, inputs).await?,
        };
        let is_seeded = tree.is_some();
        let (tree, spec) = match tree {
            None => (None, spec),
            Some(tree) => {
                let (seed, tree, spec) = blocking(move || {
                    let seed = digest_sources(&spec, &tree.tree(), tree.index())?.id;
                    Ok::<_, Cause>((seed, tree, spec))
                })
                .await?;
                id = format!("{id}\0{seed}");
                (Some(tree), spec)
            }
        };
        let has_seed = is_seeded || mount.mode.is_some() || mount.uid.is_some() || mount.gid.is_some();
        if anew && has_seed {
            self.renew_cache_mount(&id)?;
        }
        let store = self.around.store.clone();
        let sharing = mount.sharing;
        let (directory, lock) = blocking(move || cache_directory(&store, &id, sharing)).await?;
        prepared.held.extend(lock.map(Held::Lock));
        let fresh = std::fs::read_dir(&directory).is_ok_and(|mut entries| entries.next().is_none());
        if fresh {
            let (mode, owner) = (mount.mode, (mount.uid, mount.gid));
            let seeded_into = directory.clone();
            blocking(move || {
                if let Some(tree) = tree {
                    let to = Root::open(&seeded_into).map_err(Cause::io("open a cache mount"))?;
                    copy::copy(&spec, &tree.tree(), &to)?;
                }
                own(&seeded_into, mode.unwrap_or(0o755), owner)
            })
            .await?;
        }
        prepared.mounts.push(Mount {
            target: target(mount),
            kind: MountKind::Bind {
                source: BindSource::Path(directory),
                read_only: mount.read_only,
                recursive: false,
            },
        });
        Ok(())
    }

    /// An SSH agent: a socket, and for the first of them the variable that says where. Planning refused a required one
    /// that was not given; of another there is nothing to show.
    async fn ssh(&self, mount: &ast::Mount, prepared: &mut Prepared) -> Result<(), Cause> {
        let id = mount.id.clone().unwrap_or_else(|| "default".to_owned());
        let (agents, store) = (Arc::clone(&self.around.agents), self.around.store.clone());
        let agent =
            blocking(move || agents.socket(&id, &|| store.scratch_dir().map_err(std::io::Error::other)));
        let Some(agent) = agent.await? else { return Ok(()) };
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
        prepared
            .mounts
            .push(Mount { target, kind: MountKind::Bind { source, read_only: false, recursive: false } });
        prepared.held.push(Held::Agent(proxy));
        Ok(())
    }

    /// A secret: a file in memory, an environment variable, or both. One that was not given is not there.
    fn secret(&self, mount: &ast::Mount, prepared: &mut Prepared) -> Result<(), Cause> {
        let from_target = || mount.target.as_deref().and_then(|t| Path::new(t).file_name()?.to_str());
        let id = mount.id.as_deref().or_else(from_target).unwrap_or_default().to_owned();
        let Some(source) = self.around.secrets.get(&id) else {
            return if mount.required { Err(Cause::Secret { id }) } else { Ok(()) };
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
        if mount.env.is_none() || mount.target.is_some() {
            let default = || PathBuf::from("/run/secrets").join(&id);
            prepared.mounts.push(Mount {
                target: mount.target.as_ref().map_or_else(default, PathBuf::from),
                kind: MountKind::File {
                    bytes,
                    read_only: true,
                    mode: mount.mode.unwrap_or(0o400),
                    uid: mount.uid.unwrap_or(0),
                    gid: mount.gid.unwrap_or(0),
                },
            });
        }
        Ok(())
    }
}

fn target(mount: &ast::Mount) -> PathBuf {
    PathBuf::from(mount.target.as_deref().unwrap_or("/"))
}

/// A copy of a mount's source, for showing and for its content id: it becomes the file or directory [`COPIED`].
fn bind_spec(bound: &RunMount) -> CopySpec {
    let source = bound.mount.source.clone().unwrap_or_else(|| "/".to_owned());
    let mut spec = CopySpec::new([escape(&source)], Path::new("/").join(COPIED));
    spec.ownership = owners(&bound.from);
    spec
}

fn seed_spec(bound: &RunMount) -> CopySpec {
    let source = bound.mount.source.clone().unwrap_or_else(|| "/".to_owned());
    let mut spec = CopySpec::new([escape(&source)], "/");
    spec.ownership = owners(&bound.from);
    spec
}

fn owners(from: &Origin) -> Ownership {
    match from {
        Origin::Context | Origin::Named(_) => Ownership::Zero,
        Origin::Step(_) | Origin::Empty => Ownership::Keep,
    }
}

/// The source of a mount is a path, not a pattern.
fn escape(path: &str) -> String {
    let mut escaped = String::with_capacity(path.len());
    for c in path.chars() {
        if matches!(c, '*' | '?' | '[' | '\\') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

/// The directory of a cache mount, and the lock that `sharing` asks for.
fn cache_directory(store: &Store, id: &str, sharing: Sharing) -> Result<(PathBuf, Option<KeyLock>), Cause> {
    match sharing {
        Sharing::Shared => Ok((store.cache_mount(id)?, None)),
        Sharing::Locked => {
            let lock = store.lock("cache mount", id)?;
            Ok((store.cache_mount(id)?, Some(lock)))
        }
        Sharing::Private => {
            for copy in 0..PRIVATE_COPIES {
                let name = if copy == 0 { id.to_owned() } else { format!("{id}\0{copy}") };
                if let Some(lock) = store.try_lock("cache mount", &name)? {
                    return Ok((store.cache_mount(&name)?, Some(lock)));
                }
            }
            Err(Cause::Mount {
                target: id.to_owned(),
                why: format!("more than {PRIVATE_COPIES} builds use this cache"),
            })
        }
    }
}

/// Gives a new cache mount its owner and mode.
fn own(directory: &Path, mode: u32, (uid, gid): (Option<u32>, Option<u32>)) -> Result<(), Cause> {
    use std::os::unix::fs::{PermissionsExt, chown};
    let failed = || Cause::io("give a cache mount its owner and mode");
    if uid.is_some() || gid.is_some() {
        chown(directory, uid, gid).map_err(failed())?;
    }
    std::fs::set_permissions(directory, PermissionsExt::from_mode(mode)).map_err(failed())
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
