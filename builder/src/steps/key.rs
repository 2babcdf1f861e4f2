//! What a step's key is made of (docs/architecture.md, "Keys").
//!
//! In: the operation with every name expanded, the content ids of what it reads, the platform of a RUN, and whether there was but
//! one id, so that the files of images have lost their owners. Out: times, values of
//! secrets, proxies, addresses of hosts, limits. `definition` takes whole inputs; `content` takes [`Read`] parts.

use super::state::Rootfs;
use crate::content::{ContentId, Encoder};
use crate::fetch::git::Commit;
use crate::graph::{CopyOp, CopySource, HttpOp, Op, Origin, RunOp, Vertex};
use crate::remote::GitSource;
use crate::request::NetworkMode;
use crate::rootfs::Owners;
use crate::solve::Inputs;
use dockerfile_parser::ast::{MountKind, Security};
use registry_client::digest::Digest;

#[cfg(test)]
mod tests;

/// What a step reads besides its parent, by content: one for each origin in the operation, in order.
pub(super) type Reads<'a> = &'a dyn Fn(usize, &Origin) -> Option<ContentId>;

/// The key of a vertex by its whole inputs.
pub(super) fn definition(vertex: &Vertex, inputs: &Inputs<Rootfs>, owners: Owners) -> Option<ContentId> {
    key(vertex, inputs, owners, "definition", &|_, origin| match origin {
        Origin::Context | Origin::Named(_) => None,
        Origin::Step(id) => inputs.reads.get(id).map(|rootfs| rootfs.content),
        Origin::Empty => Some(Rootfs::empty().content),
    })
}

/// The key of a vertex by what it really reads.
pub(super) fn content(
    vertex: &Vertex,
    inputs: &Inputs<Rootfs>,
    owners: Owners,
    reads: Reads<'_>,
) -> Option<ContentId> {
    key(vertex, inputs, owners, "content", reads)
}

/// The content that the result of a vertex depends on and lies on: its parent's, or nothing for COPY --link, whose layer
/// is the same on every base.
pub(super) fn start(vertex: &Vertex, inputs: &Inputs<Rootfs>) -> ContentId {
    let apart = match &vertex.op {
        // A name is looked up in the accounts of the base.
        Op::Copy(copy) => copy.link && copy.chown.as_deref().is_none_or(is_numeric),
        _ => false,
    };
    match &inputs.parent {
        Some(parent) if !apart => parent.content,
        _ => Rootfs::empty().content,
    }
}

fn is_numeric(owner: &str) -> bool {
    owner.bytes().all(|b| b.is_ascii_digit() || b == b':')
}

/// The key, when every read has a content id. `how` keeps whole inputs and parts of them apart.
fn key(
    vertex: &Vertex,
    inputs: &Inputs<Rootfs>,
    owners: Owners,
    how: &str,
    reads: Reads<'_>,
) -> Option<ContentId> {
    let parent = start(vertex, inputs);
    let mut encoder = Encoder::new("slipway step v1");
    if owners == Owners::Flattened {
        // What the step starts from has the id of its layers, but not their owners.
        encoder.text("flattened");
    }
    encoder.text(how);
    match &vertex.op {
        Op::Scratch | Op::Image(_) => return None,
        Op::Http(http) => {
            encoder.text("http").text(&http.name).text(&http.checksum.as_ref()?.to_string());
        }
        // Which commit is meant, a server has to be asked.
        Op::Git(_) => return None,
        Op::Run(run) => {
            // Files are put in place in the same way on every platform; programs are not.
            encoder.text("run").text(&vertex.platform.to_string()).id(&parent);
            run_op(&mut encoder, run, reads)?;
        }
        Op::Copy(copy) => {
            encoder.text("copy").id(&parent);
            copy_op(&mut encoder, copy, inputs, reads)?;
        }
        Op::Workdir(workdir) => {
            encoder.text("workdir").id(&parent);
            encoder.text(&workdir.path).text(&workdir.user);
        }
    }
    Some(encoder.finish())
}

fn run_op(encoder: &mut Encoder, run: &RunOp, reads: Reads<'_>) -> Option<()> {
    encoder.list(&run.args).number(run.env.len() as u64);
    for (name, value) in &run.env {
        encoder.text(name).text(value);
    }
    encoder.text(&run.cwd).text(&run.user).text(&run.hostname);
    encoder.text(match run.network {
        NetworkMode::Default => "default",
        NetworkMode::Host => "host",
        NetworkMode::None => "none",
    });
    encoder.text(match run.security {
        Security::Sandbox => "sandbox",
        Security::Insecure => "insecure",
    });
    encoder.option(run.script.as_ref().map(|script| script.text.as_bytes()));
    encoder.number(run.mounts.len() as u64);
    for (index, bound) in run.mounts.iter().enumerate() {
        let mount = &bound.mount;
        let number = |n: Option<u32>| n.map(u32::to_le_bytes);
        encoder.option(mount.target.as_deref().map(str::as_bytes));
        match mount.kind {
            MountKind::Bind => {
                encoder.text("bind").number(u64::from(mount.read_only));
                encoder.id(&reads(index, &bound.from)?);
            }
            // What is in the cache, and under which id, does not decide the result. How it begins does.
            MountKind::Cache => {
                encoder.text("cache").number(u64::from(mount.read_only));
                for n in [number(mount.mode), number(mount.uid), number(mount.gid)] {
                    encoder.option(n.as_ref().map(|n| n.as_slice()));
                }
                encoder.option(mount.source.as_deref().map(str::as_bytes));
                if bound.from != Origin::Empty {
                    encoder.id(&reads(index, &bound.from)?);
                }
            }
            MountKind::Tmpfs => {
                encoder.text("tmpfs").number(u64::from(mount.read_only));
                encoder.number(mount.size.unwrap_or_default());
            }
            MountKind::Secret => {
                encoder.text("secret").option(mount.id.as_deref().map(str::as_bytes));
                encoder.option(mount.env.as_deref().map(str::as_bytes));
                for n in [number(mount.mode), number(mount.uid), number(mount.gid)] {
                    encoder.option(n.as_ref().map(|n| n.as_slice()));
                }
            }
            MountKind::Ssh => {
                encoder.text("ssh").option(mount.id.as_deref().map(str::as_bytes));
            }
        }
    }
    Some(())
}

fn copy_op(encoder: &mut Encoder, copy: &CopyOp, inputs: &Inputs<Rootfs>, reads: Reads<'_>) -> Option<()> {
    encoder.text(&copy.destination);
    for text in [&copy.chown, &copy.chmod] {
        encoder.option(text.as_deref().map(str::as_bytes));
    }
    for flag in [copy.add, copy.link, copy.parents, copy.unpack.is_some(), copy.unpack == Some(true)] {
        encoder.number(u64::from(flag));
    }
    encoder.list(&copy.excludes).number(copy.sources.len() as u64);
    let mut paths = false;
    for source in &copy.sources {
        match source {
            // Where the files are taken from does not matter; what they are and where they land does.
            CopySource::Path(..) => paths = true,
            CopySource::File { vertex, name, unpack } => {
                let content = &inputs.reads.get(vertex)?.content;
                encoder.text("file").text(name).number(u64::from(*unpack)).id(content);
            }
            CopySource::Repository(vertex) => {
                encoder.text("repository").id(&inputs.reads.get(vertex)?.content);
            }
            CopySource::Inline { name, text } => {
                encoder.text("inline").text(name).text(text);
            }
        }
    }
    if paths {
        // Files of the context belong to root in the image; those of a stage keep their owners.
        encoder.text(match copy.origin {
            Origin::Context | Origin::Named(_) => "context",
            Origin::Step(_) | Origin::Empty => "stage",
        });
        encoder.id(&reads(0, &copy.origin)?);
    }
    Some(())
}

/// The key of a file by HTTP: its bytes and its name.
pub(super) fn file(http: &HttpOp, digest: &Digest) -> ContentId {
    let mut encoder = Encoder::new("slipway fetched file v1");
    encoder.text(&http.name).text(&digest.to_string());
    encoder.finish()
}

/// The key of a directory of a repository.
pub(super) fn repository(source: &GitSource, commit: &Commit) -> ContentId {
    let mut encoder = Encoder::new("slipway repository v1");
    encoder.text(&commit.id).text(&source.subdir).number(u64::from(source.skip_submodules));
    // URLs of submodules may be relative to that of the repository; .git holds it and the name of the branch.
    encoder.text(&crate::remote::redacted(&source.remote));
    if source.keep_git_dir == Some(true) {
        encoder.option(commit.reference.as_deref().map(str::as_bytes));
    }
    encoder.finish()
}

/// What the key of a vertex is made of, in words: kept with the record, for explaining why a later key differs.
pub(super) fn described(vertex: &Vertex, inputs: &Inputs<Rootfs>) -> Vec<(String, String)> {
    let mut described = vec![
        ("step".to_owned(), vertex.name.clone()),
        ("platform".to_owned(), vertex.platform.to_string()),
        ("parent".to_owned(), start(vertex, inputs).hex()),
    ];
    let mut add = |name: &str, value: &str| described.push((name.to_owned(), value.to_owned()));
    match &vertex.op {
        Op::Scratch | Op::Image(_) => {}
        Op::Http(http) => add("url", &crate::remote::redacted(http.url.as_str())),
        Op::Git(source) => add("repository", &source.to_string()),
        Op::Run(run) => {
            add("args", &run.args.join("\0"));
            for (name, value) in &run.env {
                add(&format!("env {name}"), value);
            }
            add("cwd", &run.cwd);
            add("user", &run.user);
            for mount in &run.mounts {
                add("mount", &format!("{mount:?}"));
            }
        }
        Op::Copy(copy) => {
            add("destination", &copy.destination);
            for (name, value) in [("chown", &copy.chown), ("chmod", &copy.chmod)] {
                add(name, value.as_deref().unwrap_or_default());
            }
        }
        Op::Workdir(workdir) => {
            add("path", &workdir.path);
            add("user", &workdir.user);
        }
    }
    for (id, rootfs) in &inputs.reads {
        add(&format!("reads {}", id.0), &rootfs.content.hex());
    }
    described
}
