//! What is asked of a build: plain data, checked by the command line, read by everything below it.

use crate::remote::Remote;
use registry_client::platform::Platform;
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::SystemTime;
use url::Url;

/// One build.
#[derive(Clone, Debug)]
pub struct BuildRequest {
    /// Where `COPY` and `ADD` take files from.
    pub context: ContextSource,
    /// Which Dockerfile.
    pub dockerfile: DockerfileSource,
    /// `--target`.
    pub target: Option<String>,
    /// `-t`, unparsed references.
    pub tags: Vec<String>,
    /// `--build-arg NAME=value`; a name without value took it from the environment, or is absent here.
    pub build_args: BTreeMap<String, String>,
    /// `--build-context name=...`.
    pub build_contexts: BTreeMap<String, NamedContext>,
    /// `--label`.
    pub labels: BTreeMap<String, String>,
    /// `--platform`; the host's when empty.
    pub platforms: Vec<Platform>,
    /// The result is an index of platforms: for several always, for one on request (`BUILDKIT_MULTI_PLATFORM`).
    pub multi_platform: bool,
    /// `--network`.
    pub network: NetworkMode,
    /// `--no-cache` and `--no-cache-filter`.
    pub no_cache: NoCache,
    /// Unless `--no-early-cutoff`: what depends on a step that ran again stays cached when that step made the same as before.
    pub early_cutoff: bool,
    /// `--explain`: progress is told what the build did, and why.
    pub explain: bool,
    /// `--locked`: names mean what the lock file says, and what it does not have is refused.
    pub locked: bool,
    /// `--pull`: ask the registry even when the store knows the image.
    pub pull: bool,
    /// `--add-host name:address`.
    pub extra_hosts: Vec<(String, String)>,
    /// `--ulimit`.
    pub ulimits: Vec<Ulimit>,
    /// `--shm-size`, in bytes.
    pub shm_size: Option<u64>,
    /// `--resource`: limits of each RUN.
    pub resources: ResourceLimits,
    /// `--cgroup-parent`.
    pub cgroup_parent: Option<String>,
    /// Outputs; the store when empty.
    pub outputs: Vec<Output>,
    /// `--iidfile`.
    pub iid_file: Option<PathBuf>,
    /// `--metadata-file`.
    pub metadata_file: Option<PathBuf>,
    /// `SOURCE_DATE_EPOCH`: nothing this build makes is newer. An ARG before the first FROM can set it, too.
    pub source_date_epoch: Option<SystemTime>,
    /// Where the epoch comes from when a word stands for it; `source_date_epoch` is none then.
    pub epoch_of: Option<EpochOf>,
    /// `--secret`, by id.
    pub secrets: BTreeMap<String, SecretSource>,
    /// `--ssh`, by id.
    pub ssh: BTreeMap<String, SshSource>,
    /// `--allow`.
    pub allowed: Entitlements,
    /// How many steps may run at once; the number of processors when absent.
    pub parallelism: Option<usize>,
}

/// What `SOURCE_DATE_EPOCH` may name in place of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EpochOf {
    /// `context`: when the context was made. One that is a directory of this machine has no time.
    Context,
    /// `git`: when the commit was made that is checked out where the context is.
    Commit,
}

/// Where the build context is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ContextSource {
    /// A directory, read in place.
    Directory(PathBuf),
    /// A tar archive, or a Dockerfile alone, on standard input.
    Stdin,
    /// A git repository; an archive or a Dockerfile by HTTP.
    Remote(Remote),
}

impl ContextSource {
    /// What messages call a context that is not read where it is; `None` for a directory.
    pub fn from_elsewhere(&self) -> Option<String> {
        match self {
            Self::Directory(_) => None,
            Self::Stdin => Some("the context from standard input".to_owned()),
            Self::Remote(remote) => Some(format!("the context {}", remote.shown())),
        }
    }
}

/// Where the Dockerfile is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DockerfileSource {
    /// `Dockerfile` (or `dockerfile`) of the context.
    Default,
    /// `-f PATH`, relative to the current directory; with a context on standard input, inside its archive.
    Path(PathBuf),
    /// `-f -`.
    Stdin,
    /// `-f URL`.
    Remote(Url),
}

/// A `--build-context`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NamedContext {
    /// A directory.
    Directory(PathBuf),
    /// A git repository; an archive or another file by HTTP.
    Remote(Remote),
    /// `docker-image://reference`, unparsed.
    Image(String),
    /// `oci-layout://path[:tag][@digest]`.
    OciLayout {
        /// The layout directory.
        path: PathBuf,
        /// Which image of it: tag or digest.
        reference: Option<String>,
    },
    /// `target:stage`: a stage of the Dockerfile.
    Target(String),
}

/// Network of RUN steps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "named after the value")]
pub enum NetworkMode {
    #[default]
    Default,
    Host,
    None,
}

/// Which steps run although an earlier result is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum NoCache {
    /// None.
    #[default]
    Nothing,
    /// All: `--no-cache`.
    All,
    /// Those of the named stages: `--no-cache-filter`.
    Stages(Vec<String>),
}

/// `--ulimit name=soft[:hard]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ulimit {
    /// `nofile`...
    pub name: String,
    /// Soft limit; `None` is unlimited.
    pub soft: Option<u64>,
    /// Hard limit; `None` is unlimited.
    pub hard: Option<u64>,
}

/// `--resource`: what the programs of one RUN may take together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResourceLimits {
    /// Memory, in bytes.
    pub memory: Option<u64>,
    /// Memory and swap; twice the memory when absent.
    pub memory_swap: Option<MemorySwap>,
    /// Relative weight among those who want processors: 2 to 262144, 1024 unless said.
    pub cpu_shares: Option<u64>,
    /// The period of `cpu_quota`, in microseconds.
    pub cpu_period: Option<u64>,
    /// Processor time in each period, in microseconds; of all processors together.
    pub cpu_quota: Option<u64>,
    /// Processors: `0-3,7`.
    pub cpuset_cpus: Option<String>,
    /// Memory nodes: `0-3,7`.
    pub cpuset_mems: Option<String>,
}

/// How much memory and swap together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemorySwap {
    /// So many bytes.
    Total(u64),
    /// All that there is of swap.
    Unlimited,
}

/// Where an SSH agent comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SshSource {
    /// The socket of a running one.
    Agent(PathBuf),
    /// Private keys, for one of our own.
    Keys(Vec<PathBuf>),
}

/// What a Dockerfile may ask for beyond the usual.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Entitlements {
    /// `network.host`: RUN --network=host.
    pub network_host: bool,
    /// `security.insecure`: RUN --security=insecure.
    pub security_insecure: bool,
}

/// Where a secret comes from; its value is read when a RUN needs it.
#[derive(Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// A file.
    File(PathBuf),
    /// A value that the command line took from an environment variable.
    Value(Vec<u8>),
}

/// Requests are shown while looking for mistakes; secrets are not.
impl fmt::Debug for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Value(_) => f.write_str("Value(redacted)"),
        }
    }
}

/// `-o`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// `type=`.
    pub kind: OutputKind,
    /// `dest=`; `None` with tar-like kinds is standard output.
    pub dest: Option<PathBuf>,
    /// `name=`, unparsed references; `-t` when empty.
    pub names: Vec<String>,
    /// `push=true`.
    pub push: bool,
    /// `registry.insecure=true`: the registries that it is pushed to need not prove who they are.
    pub insecure: bool,
    /// `push-by-digest=true`: the names are repositories, in which the image gets no tag.
    pub push_by_digest: bool,
    /// `store=false`: the image is not listed in the store.
    pub store: bool,
    /// `name-canonical=true`: each name also with the digest of the image.
    pub name_canonical: bool,
    /// `dangling-name-prefix=`: the image is also named `PREFIX@DIGEST`.
    pub dangling_prefix: Option<String>,
    /// `danging-name-empty-only=true` (BuildKit's spelling): only when it has no other name.
    pub dangling_empty_only: bool,
    /// `compression=`.
    pub compression: Option<CompressionKind>,
    /// `compression-level=`.
    pub compression_level: Option<i32>,
    /// `force-compression=true`: also layers that exist compressed otherwise.
    pub force_compression: bool,
    /// `oci-mediatypes=`; `None` takes the kind's default.
    pub oci_mediatypes: Option<bool>,
    /// `tar=false` of `type=oci`: a directory.
    pub tar: bool,
    /// `platform-split=`: a directory for each platform; `None` when there are several.
    pub platform_split: Option<bool>,
    /// `mode=delete` of `type=local`: what is in the directory and not in the result is removed.
    pub delete: bool,
    /// `rewrite-timestamp=`; `None` when it was not said.
    pub rewrite_timestamp: Option<bool>,
    /// `annotation...=`, and `--annotation`; of the same annotation the last counts.
    pub annotations: Vec<Annotation>,
    /// `load`: into a Docker or podman of this machine (`--load`).
    pub load: bool,
}

impl Output {
    /// An output of this kind with nothing else said.
    pub fn new(kind: OutputKind) -> Self {
        Self {
            kind,
            dest: None,
            names: Vec::new(),
            push: false,
            insecure: false,
            push_by_digest: false,
            store: true,
            name_canonical: false,
            dangling_prefix: None,
            dangling_empty_only: false,
            compression: None,
            compression_level: None,
            force_compression: false,
            oci_mediatypes: None,
            tar: true,
            platform_split: None,
            delete: false,
            rewrite_timestamp: None,
            annotations: Vec::new(),
            load: false,
        }
    }

    /// Whether it carries layers.
    pub fn has_layers(&self) -> bool {
        matches!(self.kind, OutputKind::Image | OutputKind::Oci | OutputKind::Docker)
    }

    /// Whether it has OCI's media types, not Docker's.
    pub fn is_oci(&self) -> bool {
        self.oci_mediatypes.unwrap_or(self.kind != OutputKind::Docker)
    }

    /// The annotations of `place` in an image for `platform`.
    pub fn annotations_of(
        &self,
        place: AnnotationPlace,
        platform: Option<&Platform>,
    ) -> BTreeMap<String, String> {
        let here =
            |a: &&Annotation| a.place == place && (a.platform.is_none() || a.platform.as_ref() == platform);
        self.annotations.iter().filter(here).map(|a| (a.key.clone(), a.value.clone())).collect()
    }
}

/// An annotation of a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Annotation {
    /// Of what.
    pub place: AnnotationPlace,
    /// Only for this platform.
    pub platform: Option<Platform>,
    /// Its name.
    pub key: String,
    /// Its value.
    pub value: String,
}

/// What an annotation is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AnnotationPlace {
    /// The manifest.
    Manifest,
    /// What points to the manifest: an index, the `index.json` of a layout.
    ManifestDescriptor,
    /// The index of several platforms.
    Index,
    /// What points to that index.
    IndexDescriptor,
}

/// `type=` of an output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "named after the value")]
pub enum OutputKind {
    Image,
    Oci,
    Docker,
    Tar,
    Local,
    CacheOnly,
}

/// `compression=` of an output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "named after the value")]
pub enum CompressionKind {
    Uncompressed,
    Gzip,
    Zstd,
}
