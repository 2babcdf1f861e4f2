//! What the solver gets: vertices with operations, and the image each target becomes.

use dockerfile_parser::ast::{Mount, Security};
use dockerfile_parser::diagnostic::Diagnostic;
use dockerfile_parser::span::Span;
use registry_client::config::{History, ImageConfig};
use registry_client::digest::{DiffId, Digest};
use registry_client::platform::Platform;
use std::collections::BTreeMap;
use std::path::PathBuf;
use url::Url;

use crate::remote::{Checksum, GitSource};
use crate::request::NetworkMode;

/// Numbers the vertices of one graph; a vertex comes after all its inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VertexId(pub usize);

/// All steps of a build.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    /// The vertices, inputs first.
    pub vertices: Vec<Vertex>,
    /// The images to make, one for each platform.
    pub images: Vec<ImagePlan>,
    /// Findings that do not stop the build.
    pub warnings: Vec<Diagnostic>,
    /// `SOURCE_DATE_EPOCH` as a build argument, or else by the default of an ARG before the first FROM.
    pub source_date_epoch: Option<String>,
}

impl Graph {
    /// The vertex of that number.
    pub fn vertex(&self, id: VertexId) -> &Vertex {
        &self.vertices[id.0]
    }
}

/// One step: it makes a root file system.
#[derive(Clone, Debug)]
pub struct Vertex {
    /// What it does.
    pub op: Op,
    /// The vertex whose root file system it starts from.
    pub parent: Option<VertexId>,
    /// Further vertices it reads from (COPY --from, RUN --mount=from).
    pub reads: Vec<VertexId>,
    /// What progress shows: `[build 2/5] RUN make`.
    pub name: String,
    /// Name of its stage, or its number.
    pub stage: String,
    /// The instruction; `None` for one that came with a base image's trigger.
    pub span: Span,
    /// An earlier result must not be used (`--no-cache`, `--no-cache-filter`).
    pub ignore_cache: bool,
    /// What it runs on.
    pub platform: Platform,
}

impl Vertex {
    /// Everything that must be done before it.
    pub fn inputs(&self) -> impl Iterator<Item = VertexId> + '_ {
        self.parent.iter().chain(&self.reads).copied()
    }

    /// Whether this is the same instruction with the same effect. The platform counts where it has a say: programs run
    /// on it; files that are put in place do not.
    pub(super) fn is_same_step(&self, other: &Self) -> bool {
        let on_same_platform = match self.op {
            Op::Image(_) | Op::Run(_) => self.platform == other.platform,
            Op::Scratch | Op::Copy(_) | Op::Workdir(_) | Op::Http(_) | Op::Git(_) => true,
        };
        on_same_platform
            && (self.parent, self.span, self.ignore_cache) == (other.parent, other.span, other.ignore_cache)
            && self.stage == other.stage
            && self.reads == other.reads
            && self.op == other.op
    }
}

/// What a vertex does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// `FROM scratch`: no files.
    Scratch,
    /// The root file system of an image.
    Image(BaseKey),
    /// Runs a program.
    Run(Box<RunOp>),
    /// Puts files in place.
    Copy(Box<CopyOp>),
    /// Makes a directory and its parents.
    Workdir(WorkdirOp),
    /// A file by HTTP, alone in a root file system.
    Http(Box<HttpOp>),
    /// A directory of a git repository.
    Git(Box<GitSource>),
}

impl Op {
    /// Whether it brings files from elsewhere, and starts from nothing.
    pub fn is_fetch(&self) -> bool {
        matches!(self, Self::Http(_) | Self::Git(_))
    }
}

/// A file by HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpOp {
    /// Where it is.
    pub url: Url,
    /// Its name in the root file system.
    pub name: String,
    /// What it must be.
    pub checksum: Option<Checksum>,
}

/// Which image, for which platform.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BaseKey {
    /// Where it is.
    pub name: BaseName,
    /// The platform wanted.
    pub platform: Platform,
}

/// Where a base image is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum BaseName {
    /// A reference of the store or of a registry, canonical: `docker.io/library/debian:12`.
    Reference(String),
    /// An OCI image layout directory.
    OciLayout {
        /// The directory.
        path: PathBuf,
        /// Tag or digest in it.
        reference: Option<String>,
    },
}

impl std::fmt::Display for BaseName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Reference(text) => f.write_str(text),
            Self::OciLayout { path, reference: None } => write!(f, "oci-layout://{}", path.display()),
            Self::OciLayout { path, reference: Some(reference) } if reference.contains(':') => {
                write!(f, "oci-layout://{}@{reference}", path.display())
            }
            Self::OciLayout { path, reference: Some(reference) } => {
                write!(f, "oci-layout://{}:{reference}", path.display())
            }
        }
    }
}

/// What is known of a base image.
#[derive(Clone, Debug)]
pub struct ResolvedBase {
    /// Digest of its manifest.
    pub digest: Digest,
    /// Its config.
    pub config: ImageConfig,
    /// Nobody could be asked, and this stands in its place: what its environment defines is not known.
    pub guessed: bool,
}

/// The base images resolved so far.
pub type BaseImages = BTreeMap<BaseKey, ResolvedBase>;

/// A user, and perhaps a group, by name or number: not looked up yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserName {
    /// `user[:group]`.
    pub text: String,
    /// Where the Dockerfile says so; `None` when a base image does.
    pub span: Option<Span>,
}

impl UserName {
    /// Whether it takes an account file to know who that is.
    pub fn is_looked_up(&self) -> bool {
        !self.text.bytes().all(|b| b.is_ascii_digit() || b == b':')
    }
}

/// RUN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunOp {
    /// Program and arguments, the shell of the shell form included.
    pub args: Vec<String>,
    /// ENV and ARG, in order.
    pub env: Vec<(String, String)>,
    /// Which of them are ARG, for people.
    pub arguments: Vec<String>,
    /// Proxy settings: in the environment, not in the key.
    pub proxy_env: Vec<(String, String)>,
    /// WORKDIR.
    pub cwd: String,
    /// USER; an empty name is root.
    pub user: UserName,
    /// `--network`.
    pub network: NetworkMode,
    /// `--security`.
    pub security: Security,
    /// `--mount`.
    pub mounts: Vec<RunMount>,
    /// A here-document that starts with `#!`.
    pub script: Option<InlineScript>,
    /// Name of the machine inside.
    pub hostname: String,
}

/// A here-document that is run as a program: `/dev/pipes/<name>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InlineScript {
    /// Its name.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// `RUN --mount`, with its source bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunMount {
    /// The mount; its target is absolute.
    pub mount: Mount,
    /// Where a bind or cache mount takes its files from.
    pub from: Origin,
    /// All that the flag says.
    pub span: Span,
    /// The value of `source`, or all of it.
    pub source_span: Span,
}

/// Where files come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The build context.
    Context,
    /// A named directory context.
    Named(String),
    /// What a step made.
    Step(VertexId),
    /// Nothing: a cache mount without a seed.
    Empty,
}

/// COPY and ADD.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyOp {
    /// ADD: archives are unpacked, URLs are fetched.
    pub add: bool,
    /// Where the paths are looked up.
    pub origin: Origin,
    /// What to copy.
    pub sources: Vec<CopySource>,
    /// Where to; absolute. A trailing `/` or `/.` says that it is a directory.
    pub destination: String,
    /// `--chown`.
    pub chown: Option<UserName>,
    /// `--chmod`.
    pub chmod: Option<String>,
    /// `--link`.
    pub link: bool,
    /// `--parents`.
    pub parents: bool,
    /// `--exclude`.
    pub excludes: Vec<String>,
    /// `--unpack`.
    pub unpack: Option<bool>,
}

impl CopyOp {
    /// Whether anything is looked up in its origin.
    pub fn takes_paths(&self) -> bool {
        self.sources.iter().any(|source| matches!(source, CopySource::Path(..)))
    }
}

/// One source of a COPY.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CopySource {
    /// A path or pattern, with its place in the Dockerfile.
    Path(String, Span),
    /// The file that a vertex fetched.
    File {
        /// The vertex.
        vertex: VertexId,
        /// Its name there.
        name: String,
        /// `ADD --unpack`: it is extracted if it is an archive.
        unpack: bool,
    },
    /// All files of the repository that a vertex fetched.
    Repository(VertexId),
    /// A here-document.
    Inline {
        /// File name.
        name: String,
        /// Its text, expanded.
        text: String,
    },
}

/// WORKDIR.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkdirOp {
    /// Absolute and clean.
    pub path: String,
    /// USER: owner of the directories that are made; an empty name is root.
    pub user: UserName,
}

/// An image to make.
#[derive(Clone, Debug)]
pub struct ImagePlan {
    /// Its platform.
    pub platform: Platform,
    /// The step whose root file system it has.
    pub vertex: VertexId,
    /// Its config; layers and history are still those of the base image.
    pub config: ImageConfig,
    /// Its USER, as the config has it.
    pub user: UserName,
    /// Layers of the base image.
    pub base_layers: Vec<DiffId>,
    /// History since the base image.
    pub history: Vec<HistoryEntry>,
}

/// One entry of an image's history.
#[derive(Clone, Debug)]
pub struct HistoryEntry {
    /// As it will stand in the config, but for `created`.
    pub history: History,
    /// The step that made its layer; `None` for metadata.
    pub vertex: Option<VertexId>,
    /// The instruction, or the FROM whose image brought it.
    pub span: Span,
    /// What ENV, LABEL and ARG set.
    pub values: Vec<NamedValue>,
}

/// A name that ENV, LABEL or ARG sets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedValue {
    /// The name.
    pub name: String,
    /// Its value, expanded.
    pub value: String,
    /// Where they stand, or the FROM whose image brought them.
    pub span: Span,
}
