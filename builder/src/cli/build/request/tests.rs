use super::*;
use crate::cancel::Cancellation;
use crate::cli::environment::resolve;
use crate::cli::verb::{Command, parse};
use crate::request::{EpochOf, NetworkMode, SecretSource};
use std::ffi::OsString;
use std::time::Duration;

const VARIABLES: [(&str, &str); 3] = [("TOKEN", "s3"), ("PROXY", "http://p"), ("EMPTY", "")];

fn lookup(name: &str) -> Option<OsString> {
    VARIABLES.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into())
}

fn requested(line: &str, epoch: &str, terminal: bool) -> Result<BuildRequest, UsageError> {
    let words: Vec<OsString> =
        std::iter::once("build").chain(line.split_whitespace()).map(Into::into).collect();
    let Ok(Command::Build(args)) = parse(&words) else { panic!("{line} is no build") };
    let variables = |name: &str| (name == "SOURCE_DATE_EPOCH").then(|| OsString::from(epoch));
    let environment = resolve(&variables, 0, Cancellation::never()).expect("root has a store");
    request(*args, &environment, &lookup, terminal)
}

fn request_of(line: &str) -> BuildRequest {
    requested(line, "", true).unwrap_or_else(|error| panic!("{line}: {error}"))
}

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn everything_at_once() {
    let request = request_of(
        "-t a:1 --tag b:2 -f sub/Dockerfile --target x --build-arg A=1 --build-arg PROXY --build-arg UNSET \
         --build-arg EMPTY --build-context src=../src --label l=1 --label bare --platform linux/arm64/v8 \
         --network=none --no-cache --pull --add-host db:10.0.0.7,web:10.0.0.8 --ulimit nofile=1:2 --shm-size 64m \
         --iidfile id --metadata-file meta --secret id=t,env=TOKEN --parallelism 3 --push ctx",
    );
    assert_eq!(request.context, ContextSource::Directory("ctx".into()));
    assert_eq!(request.dockerfile, DockerfileSource::Path("sub/Dockerfile".into()));
    assert_eq!(request.tags, ["a:1", "b:2"]);
    assert_eq!(request.target.as_deref(), Some("x"));
    assert_eq!(request.build_args, map(&[("A", "1"), ("PROXY", "http://p"), ("EMPTY", "")]));
    assert_eq!(request.build_contexts.len(), 1);
    assert_eq!(request.labels, map(&[("l", "1"), ("bare", "")]));
    assert_eq!(request.platforms, ["linux/arm64".parse().unwrap()]);
    assert_eq!(request.network, NetworkMode::None);
    assert_eq!(request.no_cache, NoCache::All);
    assert!(request.pull);
    assert_eq!(request.extra_hosts.len(), 2);
    assert_eq!(request.ulimits[0].hard, Some(2));
    assert_eq!(request.shm_size, Some(64 << 20));
    assert_eq!(request.iid_file, Some("id".into()));
    assert_eq!(request.metadata_file, Some("meta".into()));
    assert_eq!(request.secrets["t"], SecretSource::Value(b"s3".to_vec()));
    assert_eq!(request.parallelism, Some(3));
    assert_eq!(request.outputs, [output::shorthand(true)]);
    assert_eq!(request.source_date_epoch, None);
}

#[test]
fn defaults() {
    let request = request_of(".");
    assert_eq!(request.context, ContextSource::Directory(".".into()));
    assert_eq!(request.dockerfile, DockerfileSource::Default);
    assert_eq!((request.network, request.no_cache), (NetworkMode::Default, NoCache::Nothing));
    assert!(request.outputs.is_empty() && request.platforms.is_empty() && request.build_args.is_empty());
    assert!(request.shm_size.is_none() && request.parallelism.is_none());
}

#[test]
fn early_cutoff() {
    assert!(request_of(".").early_cutoff && request_of("--no-early-cutoff=false .").early_cutoff);
    assert!(!request_of("--no-early-cutoff .").early_cutoff);
}

#[test]
fn stages_without_cache() {
    assert_eq!(request_of("--no-cache=false .").no_cache, NoCache::Nothing);
    let stages = ["a", "b", "c"].map(str::to_owned).to_vec();
    assert_eq!(request_of("--no-cache-filter a,b --no-cache-filter c .").no_cache, NoCache::Stages(stages));
}

#[test]
fn the_last_of_a_name_counts() {
    assert_eq!(request_of("--build-arg A=1 --build-arg A=2 .").build_args, map(&[("A", "2")]));
    assert_eq!(request_of("--build-arg A=1 --build-arg A .").build_args, map(&[]));
}

#[test]
fn dashes() {
    let from_stdin = request_of("-");
    assert_eq!(from_stdin.context, ContextSource::Stdin);
    assert_eq!(from_stdin.dockerfile, DockerfileSource::Default);
    let inside = request_of("-f sub/Dockerfile -");
    assert_eq!(inside.context, ContextSource::Stdin);
    assert_eq!(inside.dockerfile, DockerfileSource::Path("sub/Dockerfile".into()));
    assert_eq!(request_of("-f - .").dockerfile, DockerfileSource::Stdin);
    assert_eq!(request_of("-f- .").dockerfile, DockerfileSource::Stdin);
}

#[test]
fn push_and_load() {
    let kinds = |line: &str| {
        let outputs = request_of(line).outputs;
        outputs.iter().map(|output| (output.kind, output.push, output.load)).collect::<Vec<_>>()
    };
    use OutputKind::*;
    for (line, want) in [
        ("-t a --push .", &[(Image, true, false)][..]),
        ("--load .", &[(Docker, false, true)]),
        ("-t a --push --load .", &[(Image, true, false), (Docker, false, true)]),
        ("-t a --push -o type=image,compression=zstd .", &[(Image, true, false)]),
        ("--load -o type=docker .", &[(Docker, false, true)]),
        ("--load -o type=docker,dest=x.tar .", &[(Docker, false, false), (Docker, false, true)]),
        ("-t a --push -o out .", &[(Local, false, false), (Image, true, false)]),
    ] {
        assert_eq!(kinds(line), want, "{line}");
    }
}

#[test]
fn source_date_epoch() {
    let at = |line: &str, variable: &str| requested(line, variable, true).unwrap().source_date_epoch;
    let seconds = |seconds| Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
    assert_eq!(at(".", "1700000000"), seconds(1_700_000_000));
    assert_eq!(at("--build-arg SOURCE_DATE_EPOCH=7 .", "1700000000"), seconds(7));
    assert_eq!(at("--build-arg SOURCE_DATE_EPOCH= .", "1700000000"), None);
    assert_eq!(at(".", "0"), seconds(0));
    let of_context = request_of("--build-arg SOURCE_DATE_EPOCH=context .");
    assert_eq!((of_context.source_date_epoch, of_context.epoch_of), (None, Some(EpochOf::Context)));
    for line in ["--build-arg SOURCE_DATE_EPOCH=git .", "--build-arg SOURCE_DATE_EPOCH=git https://h/app.git"]
    {
        let of_commit = request_of(line);
        assert_eq!(
            (of_commit.source_date_epoch, of_commit.epoch_of),
            (None, Some(EpochOf::Commit)),
            "{line}"
        );
        assert_eq!(of_commit.build_args, map(&[("SOURCE_DATE_EPOCH", "")]), "{line}");
    }
    for context in ["-", "https://h/app.tar"] {
        assert_eq!(
            requested(context, "git", true).unwrap_err().to_string(),
            "SOURCE_DATE_EPOCH \"git\": the context is no git repository, and no directory of one"
        );
    }
    // Steps that declare it as an ARG see it.
    assert_eq!(requested(".", "7", true).unwrap().build_args, map(&[("SOURCE_DATE_EPOCH", "7")]));
    for bad in ["yesterday", "-1", "1.5", "1700000000000"] {
        assert_eq!(
            requested(".", bad, true).unwrap_err().to_string(),
            format!("SOURCE_DATE_EPOCH {bad:?}: it is a number of seconds since 1970, or git, or context")
        );
    }
}

#[test]
fn platforms() {
    let of = |line: &str| {
        let request = request_of(line);
        let names: Vec<String> = request.platforms.iter().map(ToString::to_string).collect();
        (names.join(" "), request.multi_platform)
    };
    for (line, want, several) in [
        (".", "", false),
        ("--platform linux/arm64 .", "linux/arm64", false),
        ("--platform linux/arm64,amd64 --platform armhf .", "linux/arm64 linux/amd64 linux/arm/v7", true),
        ("--platform linux/arm64,linux/arm64/v8,aarch64 .", "linux/arm64", false),
        ("--platform linux/amd64/v2 .", "linux/amd64/v2", false),
        ("--platform arm64 --build-arg BUILDKIT_MULTI_PLATFORM=1 .", "linux/arm64", true),
    ] {
        assert_eq!(of(line), (want.to_owned(), several), "{line}");
    }
}

#[test]
fn annotations_reach_every_image() {
    let outputs = request_of("--annotation manifest,manifest-descriptor:a=b -o type=image -o out .").outputs;
    assert_eq!((outputs[0].annotations.len(), outputs[1].annotations.len()), (2, 0));
    assert_eq!(request_of("--annotation a=b .").outputs[0].kind, OutputKind::Image);
    let outputs = request_of("-t a --annotation a=b --push --load .").outputs;
    assert_eq!((outputs[0].annotations.len(), outputs[1].annotations.len()), (1, 0));
}

#[test]
fn wrong_together() {
    for (line, want) in [
        ("--push .", "an image that is pushed needs a name: give it one with -t"),
        ("-t a -o out .", "-t a: no output of this build holds an image that could have a name"),
        ("-t a -o type=cacheonly .", "-t a: no output of this build holds an image that could have a name"),
        (
            "--check -t a --push .",
            "--push is about what a build makes, and with --check, --call, --show-context or --lock nothing is built",
        ),
        (
            "--lock --iidfile i .",
            "--iidfile is about what a build makes, and with --check, --call, --show-context or --lock nothing is built",
        ),
        ("-t x", "the build context is missing; for the current directory write: build ."),
        (
            "--no-cache --no-cache-filter a .",
            "--no-cache runs every step already; leave out --no-cache-filter, or it",
        ),
        ("-f - -", "standard input cannot be both the build context and the Dockerfile"),
        (
            "https://example.org/app.git#--upload-pack=x",
            "\"--upload-pack=x\" is no name of a branch, tag or commit",
        ),
        (
            "-f https://example.org/app.git .",
            "-f https://example.org/app.git is a git repository; make it the context, and name the file in it with -f",
        ),
        (
            "--platform linux/amd64,linux/arm64 --load .",
            "type=docker and --load take an image of one platform: name one by --platform, or write type=oci or \
             type=image",
        ),
        (
            "--platform linux/amd64,linux/arm64 --build-arg BUILDKIT_MULTI_PLATFORM=0 .",
            "BUILDKIT_MULTI_PLATFORM \"0\": several platforms are one index",
        ),
        ("--iidfile id -o out .", "--iidfile: no output of this build holds an image"),
        ("--annotation a=b -o out .", "--annotation: no output of this build holds an image"),
        (
            "--annotation a=b --load .",
            "annotation \"a\": Docker's media types have no annotations: use oci-mediatypes=true",
        ),
        ("--annotation index:a=b .", "annotation \"a\": an image of one platform has no index"),
        (
            "--platform linux/arm64 --annotation manifest[linux/s390x]:a=b .",
            "annotation \"a\": the image is not built for linux/s390x",
        ),
        (
            "-o type=docker,annotation.a=b,dest=x .",
            "annotation \"a\": Docker's media types have no annotations: use oci-mediatypes=true",
        ),
        (
            "--build-arg SOURCE_DATE_EPOCH=1 -o type=image,rewrite-timestamp=false .",
            "rewrite-timestamp=false: with SOURCE_DATE_EPOCH no file that the build makes is newer than that; leave one \
             of both out",
        ),
        ("-o - .", "an archive is not written to a terminal; add dest=FILE to the output, or redirect it"),
        (
            "-o type=oci .",
            "an archive is not written to a terminal; add dest=FILE to the output, or redirect it",
        ),
        ("-o - -o type=oci .", "only one output can go to standard output; give the others a dest="),
        (
            "-q --explain=json .",
            "--explain=json writes to standard output, and so does -q; leave out one of them",
        ),
        (
            "--secret id=a,src=/nonexistent/token .",
            "--secret \"id=a\": it cannot be read: /nonexistent/token: No such file or directory (os error 2)",
        ),
        ("--secret id=a,src=/ .", "--secret \"id=a\": it cannot be read: /: it is a directory"),
        (
            "--secret id=a,env=NOPE .",
            "--secret \"id=a\": env=\"NOPE\" is not understood: no such variable is set in the environment",
        ),
    ] {
        assert_eq!(requested(line, "", true).unwrap_err().to_string(), want, "{line}");
    }
    assert!(requested("-o - .", "", false).is_ok());
}
