//! What a step's key is made of (docs/architecture.md, "Keys").
//!
//! In: the operation with every name expanded, the content ids of what it reads, the platform of a RUN, and whether there was but
//! one id, so that the files of images have lost their owners. Out: times, values of
//! secrets, proxies, addresses of hosts, limits. What goes in is kept with the result as [`Ingredients`], and explains why a later key is another one.

use super::state::Rootfs;
use crate::content::{ContentId, Ingredients};
use crate::explain::BELOW;
use crate::fetch::git::Commit;
use crate::graph::{CopyOp, CopySource, HttpOp, Op, Origin, RunMount, RunOp, UserName, Vertex};
use crate::remote::GitSource;
use crate::request::NetworkMode;
use crate::rootfs::Owners;
use crate::solve::Inputs;
use dockerfile_parser::ast::{MountKind, Security};
use dockerfile_parser::lint::is_secret;
use registry_client::digest::Digest;

#[cfg(test)]
mod tests;

/// What a step reads besides its parent, by content: one for each origin in the operation, in order.
pub(super) type Reads<'a> = &'a dyn Fn(usize, &Origin) -> Option<ContentId>;

/// How a vertex is looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// By its whole inputs.
    Definition,
    /// By what it really reads.
    Content,
    /// By what a server says.
    Source,
}

/// The key made of `ingredients`.
pub(super) fn of(ingredients: &Ingredients, how: How) -> ContentId {
    ingredients.key(match how {
        How::Definition => "slipway step by definition v2",
        How::Content => "slipway step by content v2",
        How::Source => "slipway source v2",
    })
}

/// What the key of a vertex is made of, by its whole inputs.
pub(super) fn definition(vertex: &Vertex, inputs: &Inputs<Rootfs>, owners: Owners) -> Option<Ingredients> {
    ingredients(vertex, inputs, owners, &|_, origin| match origin {
        Origin::Context | Origin::Named(_) => None,
        Origin::Step(id) => inputs.reads.get(id).map(|rootfs| rootfs.content),
        Origin::Empty => Some(Rootfs::empty().content),
    })
}

/// The content that the result of a vertex depends on and lies on: its parent's, or nothing for COPY --link, whose layer
/// is the same on every base.
pub(super) fn start(vertex: &Vertex, inputs: &Inputs<Rootfs>) -> ContentId {
    let apart = match &vertex.op {
        // A name is looked up in the accounts of the base.
        Op::Copy(copy) => copy.link && !copy.chown.as_ref().is_some_and(UserName::is_looked_up),
        _ => false,
    };
    match &inputs.parent {
        Some(parent) if !apart => parent.content,
        _ => Rootfs::empty().content,
    }
}

/// What the key of a vertex is made of, when every read has a content id.
pub(super) fn ingredients(
    vertex: &Vertex,
    inputs: &Inputs<Rootfs>,
    owners: Owners,
    reads: Reads<'_>,
) -> Option<Ingredients> {
    let mut list = Ingredients::default();
    if owners == Owners::Flattened {
        // What the step starts from has the id of its layers, but not their owners.
        list.text("owners", "flattened");
    }
    match &vertex.op {
        // Which commit is meant, a server has to be asked.
        Op::Scratch | Op::Image(_) | Op::Git(_) => return None,
        Op::Http(http) => {
            list.text("file", http.name.as_str()).text("checksum", http.checksum.as_ref()?.to_string());
        }
        Op::Run(run) => {
            // Files are put in place in the same way on every platform; programs are not.
            list.text("platform", vertex.platform.to_string());
            run_op(&mut list, run, reads)?;
            list.content(BELOW, start(vertex, inputs));
        }
        Op::Copy(copy) => {
            copy_op(&mut list, copy, inputs, reads)?;
            list.content(BELOW, start(vertex, inputs));
        }
        Op::Workdir(workdir) => {
            list.text("directory", workdir.path.as_str()).text("user", workdir.user.text.as_str());
            list.content(BELOW, start(vertex, inputs));
        }
    }
    Some(list)
}

fn run_op(list: &mut Ingredients, run: &RunOp, reads: Reads<'_>) -> Option<()> {
    list.list("command", &run.args);
    for (name, value) in &run.env {
        let named = format!("variable {name}");
        if is_secret(name) {
            list.hidden(named, value)
        } else {
            list.text(named, value.as_str())
        };
    }
    list.text("directory", run.cwd.as_str()).text("user", run.user.text.as_str());
    list.text("host name", run.hostname.as_str());
    list.text(
        "network",
        match run.network {
            NetworkMode::Default => "default",
            NetworkMode::Host => "host",
            NetworkMode::None => "none",
        },
    );
    list.text(
        "security",
        match run.security {
            Security::Sandbox => "sandbox",
            Security::Insecure => "insecure",
        },
    );
    if let Some(script) = &run.script {
        list.text("script", script.text.as_str());
    }
    for (index, bound) in run.mounts.iter().enumerate() {
        mount(list, bound, reads(index, &bound.from))?;
    }
    Some(())
}

/// `RUN --mount`, and the content of what it takes its files from.
fn mount(list: &mut Ingredients, bound: &RunMount, content: Option<ContentId>) -> Option<()> {
    let mount = &bound.mount;
    let target = mount.target.as_deref().unwrap_or_default();
    let mut said = Vec::new();
    let mut say =
        |name: &str, value: Option<String>| said.extend(value.map(|value| format!("{name}={value}")));
    let octal = |number: Option<u32>| number.map(|number| format!("{number:o}"));
    let owner = |number: Option<u32>| number.map(|number| number.to_string());
    let text = |text: &Option<String>| text.as_ref().map(|text| format!("{text:?}"));
    let with_files = match mount.kind {
        MountKind::Bind => {
            say("type", Some("bind".to_owned()));
            say("ro", Some(mount.read_only.to_string()));
            true
        }
        // What is in the cache, and under which id, does not decide the result. How it begins does.
        MountKind::Cache => {
            say("type", Some("cache".to_owned()));
            say("ro", Some(mount.read_only.to_string()));
            say("source", text(&mount.source));
            say("mode", octal(mount.mode));
            say("uid", owner(mount.uid));
            say("gid", owner(mount.gid));
            bound.from != Origin::Empty
        }
        MountKind::Tmpfs => {
            say("type", Some("tmpfs".to_owned()));
            say("ro", Some(mount.read_only.to_string()));
            say("size", mount.size.map(|size| size.to_string()));
            false
        }
        MountKind::Secret => {
            say("type", Some("secret".to_owned()));
            say("id", text(&mount.id));
            say("env", text(&mount.env));
            say("mode", octal(mount.mode));
            say("uid", owner(mount.uid));
            say("gid", owner(mount.gid));
            false
        }
        MountKind::Ssh => {
            say("type", Some("ssh".to_owned()));
            say("id", text(&mount.id));
            false
        }
    };
    list.text(format!("mount {target}"), said.join(","));
    if with_files {
        list.content(mounted_files(target), content?);
    }
    Some(())
}

fn copy_op(list: &mut Ingredients, copy: &CopyOp, inputs: &Inputs<Rootfs>, reads: Reads<'_>) -> Option<()> {
    list.text("instruction", if copy.add { "ADD" } else { "COPY" });
    list.text("destination", copy.destination.as_str());
    let chown = copy.chown.as_ref().map(|chown| &chown.text);
    for (name, value) in [("--chown", chown), ("--chmod", copy.chmod.as_ref())] {
        if let Some(value) = value {
            list.text(name, value.as_str());
        }
    }
    for (name, flag) in [("--link", copy.link), ("--parents", copy.parents)] {
        if flag {
            list.text(name, "true");
        }
    }
    if let Some(unpack) = copy.unpack {
        list.text("--unpack", unpack.to_string());
    }
    if !copy.excludes.is_empty() {
        list.list("--exclude", &copy.excludes);
    }
    let mut paths = false;
    for source in &copy.sources {
        match source {
            // Where the files are taken from does not matter; what they are and where they land does.
            CopySource::Path(..) => paths = true,
            CopySource::File { vertex, name, unpack } => {
                list.text("downloaded file", format!("{name:?} unpacked={unpack}"));
                list.content(format!("content of {name}"), inputs.reads.get(vertex)?.content);
            }
            CopySource::Repository(vertex) => {
                list.content("files of the repository", inputs.reads.get(vertex)?.content);
            }
            CopySource::Inline { name, text } => {
                list.text(format!("here-document {name}"), text.as_str());
            }
        }
    }
    if paths {
        // Files of the context belong to root in the image; those of a stage keep their owners.
        list.text(
            "taken from",
            match copy.origin {
                Origin::Context | Origin::Named(_) => "a context",
                Origin::Step(_) | Origin::Empty => "a stage",
            },
        );
        list.content(FILES, reads(0, &copy.origin)?);
    }
    Some(())
}

/// The files that are mounted on `target`.
pub(super) fn mounted_files(target: &str) -> String {
    format!("files of mount {target}")
}

/// The files that a COPY takes.
pub(super) const FILES: &str = "files";

/// What the key of a file by HTTP is made of: its bytes and its name.
pub(super) fn file(http: &HttpOp, digest: &Digest) -> Ingredients {
    let mut list = Ingredients::default();
    list.text("file", http.name.as_str()).text("digest", digest.to_string());
    list
}

/// What the key of a directory of a repository is made of.
pub(super) fn repository(source: &GitSource, commit: &Commit) -> Ingredients {
    let mut list = Ingredients::default();
    list.text("commit", commit.id.as_str()).text("directory", source.subdir.as_str());
    list.text("submodules", (!source.skip_submodules).to_string());
    // URLs of submodules may be relative to that of the repository; .git holds it and the name of the branch.
    list.text("repository", crate::remote::redacted(&source.remote));
    if source.keep_git_dir == Some(true) {
        list.text("reference", commit.reference.as_deref().unwrap_or_default());
    }
    list
}
