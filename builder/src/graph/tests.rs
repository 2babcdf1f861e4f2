use super::*;
use crate::request::{NetworkMode, NoCache};
use dockerfile_parser::diagnostic::Diagnostic;
use registry_client::config::ImageConfig;
use registry_client::digest::Digest;
use registry_client::platform::Platform;
use std::collections::BTreeMap;

fn options() -> PlanOptions {
    let platform = Platform::new("linux", "amd64");
    PlanOptions {
        target: None,
        build_args: BTreeMap::new(),
        labels: BTreeMap::new(),
        platforms: vec![platform.clone()],
        explicit_platform: false,
        multi_platform: false,
        build_platform: platform,
        contexts: BTreeMap::new(),
        network: NetworkMode::Default,
        allowed: Default::default(),
        ssh: Default::default(),
        secrets: None,
        no_cache: NoCache::Nothing,
        offline: false,
        locked: None,
    }
}

fn args(pairs: &[(&str, &str)]) -> PlanOptions {
    let build_args = pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    PlanOptions { build_args, ..options() }
}

/// Every image there is has this config, changed by `edit`.
fn planned(
    text: &str,
    options: &PlanOptions,
    edit: &dyn Fn(&str, &mut ImageConfig),
) -> Result<(Graph, Vec<String>), Vec<Diagnostic>> {
    let parsed = dockerfile_parser::parse(text.as_bytes())?;
    let mut bases = BaseImages::new();
    let mut asked = Vec::new();
    loop {
        match plan(&parsed.dockerfile, options, &bases)? {
            Plan::Ready(graph) => return Ok((*graph, asked)),
            Plan::Needs(requests) => {
                assert!(!requests.is_empty());
                for request in requests {
                    let name = request.key.name.to_string();
                    let mut config = ImageConfig::empty(&request.key.platform);
                    edit(&name, &mut config);
                    let digest = Digest::of(name.as_bytes());
                    asked.push(name);
                    assert!(
                        bases.insert(request.key, ResolvedBase { digest, config, guessed: false }).is_none(),
                        "asked twice"
                    );
                }
            }
        }
    }
}

fn graph(text: &str, options: &PlanOptions) -> Graph {
    planned(text, options, &|_, _| {}).unwrap().0
}

fn errors(text: &str, options: &PlanOptions) -> Vec<String> {
    let errors = planned(text, options, &|_, _| {}).unwrap_err();
    errors
        .iter()
        .map(|error| {
            let blamed = &text[error.span.start..error.span.end.min(text.len())];
            let help = error.help.as_ref().map(|help| format!(" | {help}")).unwrap_or_default();
            format!("{} @ {blamed} | {}{help}", error.code, error.message)
        })
        .collect()
}

fn steps(graph: &Graph) -> Vec<&str> {
    graph.vertices.iter().map(|v| v.name.as_str()).filter(|name| !name.is_empty()).collect()
}

fn history(graph: &Graph) -> Vec<&str> {
    let entries = &graph.images[0].history;
    entries.iter().map(|entry| entry.history.created_by.as_deref().unwrap()).collect()
}

fn run_ops(graph: &Graph) -> Vec<&RunOp> {
    let ops = graph.vertices.iter().filter_map(|v| match &v.op {
        Op::Run(run) => Some(&**run),
        _ => None,
    });
    ops.collect()
}

fn copy_ops(graph: &Graph) -> Vec<&CopyOp> {
    let ops = graph.vertices.iter().filter_map(|v| match &v.op {
        Op::Copy(copy) => Some(&**copy),
        _ => None,
    });
    ops.collect()
}

#[test]
fn one_stage() {
    let text = "FROM debian:12\nENV A=1 B=$A\nWORKDIR /app\nCOPY . .\nRUN make\nCMD [\"./app\"]\n";
    let (graph, asked) = planned(text, &options(), &|_, _| {}).unwrap();
    assert_eq!(asked, ["docker.io/library/debian:12"]);
    assert_eq!(
        steps(&graph),
        [
            "[stage-0 1/4] FROM docker.io/library/debian:12",
            "[stage-0 2/4] WORKDIR /app",
            "[stage-0 3/4] COPY . .",
            "[stage-0 4/4] RUN make",
        ]
    );
    assert_eq!(
        history(&graph),
        [
            "ENV A=1 B=",
            "WORKDIR /app",
            "COPY . . # buildkit",
            "RUN /bin/sh -c make # buildkit",
            "CMD [\"./app\"]"
        ]
    );
    let empty: Vec<bool> = graph.images[0].history.iter().map(|e| e.history.empty_layer).collect();
    assert_eq!(empty, [true, false, false, false, true]);
    let run = run_ops(&graph)[0];
    assert_eq!(run.args, ["/bin/sh", "-c", "make"]);
    assert_eq!(run.cwd, "/app");
    let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    let pair = |n: &str, v: &str| (n.to_owned(), v.to_owned());
    assert_eq!(run.env, [pair("PATH", path), pair("A", "1"), pair("B", "")]);
    assert_eq!(copy_ops(&graph)[0].destination, "/app/");
    let config = &graph.images[0].config.config;
    assert_eq!(config.cmd.as_deref(), Some(&["./app".to_owned()][..]));
    assert_eq!(config.env.as_deref().unwrap(), [format!("PATH={path}"), "A=1".to_owned(), "B=".to_owned()]);
}

#[test]
fn only_reachable_stages_are_looked_at() {
    let text = "FROM a AS one\nRUN 1\nFROM b AS two\nRUN $(\nFROM c AS three\nCOPY --from=ONE /x /y\n";
    let (graph, asked) = planned(text, &options(), &|_, _| {}).unwrap();
    assert_eq!(asked, ["docker.io/library/a:latest", "docker.io/library/c:latest"]);
    assert_eq!(
        steps(&graph),
        [
            "[one 1/2] FROM docker.io/library/a:latest",
            "[one 2/2] RUN 1",
            "[three 1/2] FROM docker.io/library/c:latest",
            "[three 2/2] COPY --from=ONE /x /y",
        ]
    );
    assert_eq!(copy_ops(&graph)[0].origin, Origin::Step(VertexId(1)));
    let (_, asked) =
        planned(text, &PlanOptions { target: Some("TWO".into()), ..options() }, &|_, _| {}).unwrap();
    assert_eq!(asked, ["docker.io/library/b:latest"]);
}

#[test]
fn stages_by_name_number_and_case() {
    let text = "FROM scratch AS Base\nCOPY a /\nFROM BASE\nCOPY --from=0 /a /b\nCOPY --from=base /a /c\n";
    let graph = graph(text, &options());
    let origins: Vec<&Origin> = copy_ops(&graph).iter().map(|copy| &copy.origin).collect();
    assert_eq!(origins, [&Origin::Context, &Origin::Step(VertexId(1)), &Origin::Step(VertexId(1))]);
    assert_eq!(graph.images[0].history.len(), 3, "the history of the parent stage comes along");
}

#[test]
fn a_stage_named_like_its_image_masks_it_only_afterwards() {
    let text = "FROM golang AS golang\nRUN 1\nFROM scratch\nCOPY --from=golang /x /\n";
    let (graph, asked) = planned(text, &options(), &|_, _| {}).unwrap();
    assert_eq!(asked, ["docker.io/library/golang:latest"]);
    assert_eq!(copy_ops(&graph)[0].origin, Origin::Step(VertexId(1)));
}

#[test]
fn wrong_froms() {
    assert_eq!(
        errors("FROM scratch AS a\nCOPY --from=b / /\nFROM scratch AS b\nCOPY --from=a / /\n", &options()),
        [
            "later-stage @ b | stage \"b\" is defined after the stage that takes files from it | a stage can only read \
             from stages above it: move it up"
        ]
    );
    assert_eq!(
        errors("FROM scratch AS a\nCOPY --from=a / /\n", &options()),
        [
            "later-stage @ a | stage \"a\" cannot take files from itself | a stage can only read from stages above it: \
             move it up"
        ]
    );
    assert_eq!(
        errors("FROM scratch\nCOPY --from=7 / /\n", &options()),
        ["unknown-stage @ 7 | there is no stage 7: the Dockerfile has 1, counted from 0"]
    );
    assert!(planned("FROM scratch\nARG X=a\nCOPY --from=$X / /\n", &options(), &|_, _| {}).is_err());
    assert_eq!(
        errors("FROM $NONE\n", &options()),
        [
            "blank-base @ $NONE | the base image is blank: \"$NONE\" expands to nothing | NONE is not declared: put ARG \
             NONE before the first FROM"
        ]
    );
    let unknown = PlanOptions { target: Some("biuld".into()), ..options() };
    assert_eq!(
        errors("FROM scratch AS build\n", &unknown),
        [
            "unknown-target @ FROM scratch AS build | --target names no stage: \"biuld\" | a stage is named \"build\""
        ]
    );
}

#[test]
fn global_and_stage_arguments() {
    let text = "ARG V=1\nARG IMAGE=base:$V\nFROM $IMAGE\nARG V\nARG UNSET\nARG OWN=x$V\nRUN env\nFROM scratch\nRUN env\n";
    let first = PlanOptions { target: Some("0".into()), ..args(&[("V", "2")]) };
    let (graph, asked) = planned(text, &first, &|_, _| {}).unwrap();
    assert_eq!(asked, ["docker.io/library/base:2"]);
    let run = run_ops(&graph)[0];
    let own: Vec<String> = run.env.iter().skip(1).map(|(n, v)| format!("{n}={v}")).collect();
    assert_eq!(own, ["V=2", "OWN=x2"]);
    assert_eq!(history(&graph)[3], "RUN |3 V=2 UNSET= OWN=x2 /bin/sh -c env # buildkit");
    // Another stage sees none of them.
    let graph = self::graph(text, &options());
    assert_eq!(run_ops(&graph)[0].env.len(), 1);
    // A default that cannot be expanded does no harm when it is not used.
    let text = "FROM scratch\nARG B=${A:?need}\nRUN $B\n";
    assert_eq!(graph_env(text, &args(&[("B", "given")])), ["B=given"]);
    assert!(planned(text, &options(), &|_, _| {}).is_err());
}

fn graph_env(text: &str, options: &PlanOptions) -> Vec<String> {
    let graph = graph(text, options);
    run_ops(&graph)[0].env.iter().skip(1).map(|(n, v)| format!("{n}={v}")).collect()
}

#[test]
fn environment_and_arguments_of_one_name() {
    assert_eq!(graph_env("FROM scratch\nARG X=a\nENV X=e\nRUN 1\n", &options()), ["X=e"]);
    let text = "FROM scratch\nENV X=e\nARG X=a\nRUN 1\n";
    assert_eq!(graph_env(text, &options()), ["X=a"]);
    let graph = graph(text, &options());
    assert_eq!(graph.warnings.iter().map(|w| w.code).collect::<Vec<_>>(), ["ArgOverridesEnv"]);
    assert_eq!(graph.images[0].config.config.env.as_deref().unwrap()[1], "X=e");
    assert_eq!(graph_env("FROM scratch\nENV a=1\nENV a=2 b=$a\nRUN 1\n", &options()), ["a=2", "b=1"]);
    assert_eq!(graph_env("FROM scratch AS p\nARG Z=1\nFROM p\nRUN 1\n", &options()), ["Z=1"]);
}

#[test]
fn automatic_arguments() {
    let text = "FROM scratch\nARG TARGETARCH\nARG TARGETVARIANT\nARG TARGETSTAGE TARGETOSVERSION BUILDOSVERSION BUILDPLATFORM\nRUN 1\n";
    let want = [
        "TARGETARCH=amd64",
        "TARGETVARIANT=",
        "TARGETSTAGE=default",
        "TARGETOSVERSION=",
        "BUILDOSVERSION=",
        "BUILDPLATFORM=linux/amd64",
    ];
    assert_eq!(graph_env(text, &options()), want);
    assert_eq!(graph_env(text, &args(&[("TARGETARCH", "z80")]))[0], "TARGETARCH=z80");
    let scan = "FROM scratch\nARG BUILDKIT_SBOM_SCAN_STAGE=1\nARG BUILDKIT_SBOM_SCAN_CONTEXT=1\nRUN 1\n";
    assert!(graph_env(scan, &options()).is_empty());
}

#[test]
fn proxies_are_neither_in_history_nor_declared() {
    let options = args(&[("HTTP_PROXY", "http://p"), ("no_proxy", "x")]);
    let graph = self::graph("FROM scratch\nRUN a\nARG HTTP_PROXY\nRUN b\n", &options);
    let runs = run_ops(&graph);
    assert_eq!(runs[0].proxy_env.len(), 2);
    assert_eq!(runs[0].env.len(), 1);
    assert_eq!(runs[1].proxy_env.len(), 1);
    assert_eq!(
        history(&graph),
        [
            "RUN /bin/sh -c a # buildkit",
            "ARG HTTP_PROXY=http://p",
            "RUN |1 HTTP_PROXY=http://p /bin/sh -c b # buildkit"
        ]
    );
}

#[test]
fn entrypoint_takes_away_the_inherited_cmd_only() {
    let base = |_: &str, config: &mut ImageConfig| config.config.cmd = Some(vec!["old".into()]);
    let cmd = |text: &str| planned(text, &options(), &base).unwrap().0.images[0].config.config.cmd.clone();
    assert_eq!(cmd("FROM b\nENTRYPOINT [\"e\"]\n"), None);
    assert_eq!(cmd("FROM b\nCMD [\"new\"]\nENTRYPOINT [\"e\"]\n"), Some(vec!["new".into()]));
    assert_eq!(cmd("FROM b AS p\nCMD [\"new\"]\nFROM p\nENTRYPOINT [\"e\"]\n"), None);
    assert_eq!(cmd("FROM b\n"), Some(vec!["old".into()]));
    assert_eq!(cmd("FROM b\nCMD []\nENTRYPOINT [\"e\"]\n"), None);
}

#[test]
fn triggers_run_first_and_once() {
    let base = |name: &str, config: &mut ImageConfig| {
        if name.contains("/on:") {
            config.config.on_build =
                Some(vec!["RUN first $X".into(), "COPY --from=tool /t /t".into(), "ENV X=1".into()]);
        }
    };
    let text =
        "FROM scratch AS tool\nCOPY t /t\nFROM on AS mid\nRUN own\nONBUILD RUN mine\nFROM mid\nRUN last\n";
    let (graph, asked) = planned(text, &options(), &base).unwrap();
    assert_eq!(asked, ["docker.io/library/on:latest"]);
    assert_eq!(
        steps(&graph),
        [
            "[tool 1/1] COPY t /t",
            "[mid 1/4] FROM docker.io/library/on:latest",
            "[mid 2/4] ONBUILD RUN first $X",
            "[mid 3/4] ONBUILD COPY --from=tool /t /t",
            "[mid 4/4] RUN own",
            "[stage-2 1/2] ONBUILD RUN mine",
            "[stage-2 2/2] RUN last",
        ]
    );
    assert_eq!(graph.images[0].config.config.on_build, None);
    let stored = self::graph("FROM scratch\nONBUILD RUN $X\n", &options());
    assert_eq!(stored.images[0].config.config.on_build.as_deref(), Some(&["RUN $X".to_owned()][..]));
    assert!(stored.images[0].history.is_empty());
}

#[test]
fn here_documents() {
    let text = "FROM scratch\nRUN <<E\necho a\nE\nRUN <<E\n#!/bin/py\nx\nE\nRUN cat <<A - <<B\na\nA\nb\nB\n\
                COPY <<F <<\"G\" /d/\n$PATH\nF\n$PATH\nG\n";
    let graph = self::graph(text, &options());
    let runs = run_ops(&graph);
    assert_eq!(runs[0].args, ["/bin/sh", "-c", "echo a\n"]);
    assert_eq!(runs[1].args, ["/dev/pipes/E"]);
    assert_eq!(runs[1].script.as_ref().unwrap().text, "#!/bin/py\nx\n");
    assert_eq!(runs[2].args, ["/bin/sh", "-c", "cat <<A - <<B\na\nA\nb\nB"]);
    let copy = copy_ops(&graph)[0];
    let inline = |n: usize| match &copy.sources[n] {
        CopySource::Inline { name, text } => (name.as_str(), text.as_str()),
        other => panic!("{other:?}"),
    };
    assert_eq!(inline(0), ("F", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"));
    assert_eq!(inline(1), ("G", "$PATH\n"));
    assert_eq!(steps(&graph)[0], "[stage-0 1/4] RUN <<E (echo a)");
}

#[test]
fn destinations_say_whether_they_are_directories() {
    let text =
        "FROM scratch\nWORKDIR /w/\nCOPY a b\nCOPY a b/\nCOPY a .\nCOPY a /x/.\nCOPY a ../c\nCOPY a /\n";
    let graph = graph(text, &options());
    let destinations: Vec<&str> = copy_ops(&graph).iter().map(|copy| copy.destination.as_str()).collect();
    assert_eq!(destinations, ["/w/b", "/w/b/", "/w/", "/x/", "/c", "/"]);
}

#[test]
fn named_contexts_take_the_place_of_images_and_stages() {
    let text = "FROM alpine:3 AS base\nRUN 1\nFROM base\nCOPY --from=Files a /\nCOPY --from=img b /\n";
    let contexts = BTreeMap::from([
        ("base".to_owned(), ContextKind::Image("debian".to_owned())),
        ("files".to_owned(), ContextKind::Directory),
        ("img".to_owned(), ContextKind::OciLayout { path: "/l".into(), reference: Some("t".into()) }),
    ]);
    let options = PlanOptions { contexts, ..options() };
    let (graph, mut asked) = planned(text, &options, &|_, _| {}).unwrap();
    asked.sort();
    assert_eq!(asked, ["docker.io/library/debian:latest", "oci-layout:///l:t"]);
    assert_eq!(copy_ops(&graph)[0].origin, Origin::Named("files".to_owned()));
    assert!(run_ops(&graph).is_empty());
    let contexts = BTreeMap::from([("files".to_owned(), ContextKind::Directory)]);
    let graph = self::graph("FROM files\nRUN 1\n", &PlanOptions { contexts, ..self::options() });
    assert_eq!(copy_ops(&graph)[0].origin, Origin::Named("files".to_owned()));
    assert_eq!(history(&graph)[0], "FROM files # buildkit");
}

#[test]
fn named_contexts_may_be_stages() {
    let text =
        "FROM scratch AS one\nCOPY a /a\nFROM scratch AS two\nRUN 2\nFROM two\nCOPY --from=files /a /b\n";
    let with = |contexts: &[(&str, &str)]| {
        let kind = |target: &str| ContextKind::Target(target.to_owned());
        let contexts = contexts.iter().map(|(name, target)| ((*name).to_owned(), kind(target))).collect();
        PlanOptions { contexts, ..options() }
    };
    let graph = graph(text, &with(&[("two", "ONE"), ("files", "0")]));
    assert!(run_ops(&graph).is_empty());
    assert_eq!(copy_ops(&graph)[1].origin, Origin::Step(VertexId(1)));
    assert_eq!(history(&graph), ["COPY a /a # buildkit", "COPY /a /b # buildkit"]);
    for (contexts, message, help) in [
        (&[("files", "oen")], "the context \"files\" is target:oen, and there is no such stage", "\"one\""),
        (&[("one", "two")], "is target:two, which is defined after the stage that uses it", "move it up"),
        (&[("two", "two")], "is target:two, which is defined after the stage that uses it", "move it up"),
    ] {
        let text = "FROM scratch AS one\nFROM scratch AS two\nCOPY --from=one /a /\nFROM two\nCOPY --from=files /a /\n";
        let Err(errors) = planned(text, &with(contexts), &|_, _| {}) else { panic!("{contexts:?}") };
        assert!(errors[0].message.contains(message), "{errors:?}");
        assert!(errors[0].help.as_deref().is_some_and(|text| text.contains(help)), "{errors:?}");
    }
}

#[test]
fn mounts_are_bound() {
    let text = "FROM scratch AS a\nCOPY x /x\nFROM scratch\nWORKDIR /w\n\
                RUN --mount=target=src --mount=type=cache,target=/c --mount=from=a,source=/x,target=/x true\n";
    let graph = graph(text, &options());
    let mounts = &run_ops(&graph)[0].mounts;
    assert_eq!(mounts[0].mount.target.as_deref(), Some("/w/src"));
    assert_eq!(mounts[0].from, Origin::Context);
    assert_eq!(mounts[1].from, Origin::Empty);
    assert_eq!(mounts[2].from, Origin::Step(VertexId(1)));
    assert_eq!(
        errors("FROM scratch\nRUN --mount=type=tmpfs,target=/ x\n", &options()),
        ["mount-on-root @ type=tmpfs,target=/ | a mount cannot take the place of /"]
    );
}

#[test]
fn what_a_dockerfile_may_not_take_by_itself() {
    let text = "FROM scratch\nRUN --network=host x\n";
    assert_eq!(errors(text, &options())[0].split(" @").next(), Some("network-host"));
    let host = PlanOptions { network: NetworkMode::Host, ..options() };
    assert_eq!(run_ops(&graph(text, &host))[0].network, NetworkMode::Host);
    let none = graph("FROM scratch\nRUN --network=none x\nRUN y\n", &options());
    assert_eq!(
        run_ops(&none).iter().map(|r| r.network).collect::<Vec<_>>(),
        [NetworkMode::None, NetworkMode::Default]
    );
    assert_eq!(errors("FROM scratch\nRUN --security=insecure x\n", &options()).len(), 1);
    assert_eq!(errors("FROM scratch\nCOPY http://h/x /\nCOPY git@h:x /\n", &options()).len(), 2);
}

#[test]
fn metadata_is_as_buildkit_writes_it() {
    let text = "FROM scratch\nLABEL a=1 b=\"x y\"\nEXPOSE 80 53/UDP 7-8\nVOLUME /d\nUSER u:g\nSTOPSIGNAL SIGINT\n\
                SHELL [\"/bin/b\",\"-c\"]\nHEALTHCHECK --interval=5s CMD x y\nENTRYPOINT run\nMAINTAINER me\n";
    let graph = graph(text, &options());
    assert_eq!(
        history(&graph),
        [
            "LABEL a=1 b=x y",
            "EXPOSE [53/udp 7/tcp 8/tcp 80/tcp]",
            "VOLUME [/d]",
            "USER u:g",
            "STOPSIGNAL SIGINT",
            "SHELL [/bin/b -c]",
            "HEALTHCHECK {Test:[CMD-SHELL x y] Interval:5s Timeout:0s StartPeriod:0s StartInterval:0s Retries:0}",
            "ENTRYPOINT [\"/bin/b\" \"-c\" \"run\"]",
            "MAINTAINER me",
        ]
    );
    let config = &graph.images[0].config;
    assert_eq!(config.author.as_deref(), Some("me"));
    assert_eq!(config.config.user, "u:g");
    assert_eq!(config.config.healthcheck.as_ref().unwrap().interval, 5_000_000_000);
    assert!(planned("FROM scratch\nSTOPSIGNAL SIGNOPE\n", &options(), &|_, _| {}).is_err());
}

#[test]
fn no_cache_for_all_or_for_some_stages() {
    let text = "FROM scratch AS a\nRUN 1\nFROM a AS b\nRUN 2\n";
    let ignored = |no_cache| {
        let graph = graph(text, &PlanOptions { no_cache, ..options() });
        graph.vertices.iter().filter(|v| v.ignore_cache).map(|v| v.stage.clone()).collect::<Vec<_>>()
    };
    assert_eq!(ignored(NoCache::All), ["a", "b"]);
    assert_eq!(ignored(NoCache::Stages(vec!["B".into()])), ["b"]);
    assert!(ignored(NoCache::Nothing).is_empty());
}

/// For amd64 and arm64 on an amd64 machine.
fn two_platforms() -> PlanOptions {
    let platforms = vec![Platform::new("linux", "amd64"), Platform::new("linux", "arm64")];
    PlanOptions { platforms, explicit_platform: true, multi_platform: true, ..options() }
}

#[test]
fn platforms_share_what_is_the_same() {
    let text = "FROM --platform=$BUILDPLATFORM tools AS fetch\nRUN fetch\nFROM fetch AS compile\nARG TARGETARCH\n\
                RUN compile $TARGETARCH\nFROM base\nCOPY --from=compile /out /app\nRUN check\n";
    let (graph, asked) = planned(text, &two_platforms(), &|_, _| {}).unwrap();
    assert_eq!(asked.len(), 3, "tools for one platform, base for both: {asked:?}");
    let names: Vec<&str> = graph.vertices.iter().map(|vertex| vertex.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "[linux/amd64 fetch 1/2] FROM docker.io/library/tools:latest",
            "[linux/amd64 fetch 2/2] RUN fetch",
            "[linux/amd64 compile 1/1] RUN compile $TARGETARCH",
            "[linux/amd64 stage-2 1/3] FROM docker.io/library/base:latest",
            "[linux/amd64 stage-2 2/3] COPY --from=compile /out /app",
            "[linux/amd64 stage-2 3/3] RUN check",
            "[linux/amd64->arm64 compile 1/1] RUN compile $TARGETARCH",
            "[linux/arm64 stage-2 1/3] FROM docker.io/library/base:latest",
            "[linux/arm64 stage-2 2/3] COPY --from=compile /out /app",
            "[linux/arm64 stage-2 3/3] RUN check",
        ]
    );
    let images: Vec<_> =
        graph.images.iter().map(|image| (image.platform.to_string(), image.vertex.0)).collect();
    assert_eq!(images, [("linux/amd64".to_owned(), 5), ("linux/arm64".to_owned(), 9)]);
    assert_eq!(graph.images[1].config.architecture, "arm64");
    assert_eq!(graph.vertices[8].reads, [VertexId(6)], "each platform takes what was made for it");
}

#[test]
fn files_are_put_in_place_once_for_all_platforms() {
    let graph = graph("FROM scratch\nCOPY . /\nWORKDIR /x\n", &two_platforms());
    assert_eq!(graph.vertices.len(), 3);
    let ends: Vec<_> = graph.images.iter().map(|image| image.vertex).collect();
    assert_eq!(ends, [VertexId(2), VertexId(2)]);
    let run = self::graph("FROM scratch\nCOPY . /\nRUN x\n", &two_platforms());
    assert_eq!(run.vertices.len(), 4, "programs run on each");
}

#[test]
fn a_step_runs_on_what_its_base_was_made_for() {
    let foreign = |_: &str, config: &mut ImageConfig| "arm64".clone_into(&mut config.architecture);
    let (graph, _) = planned("FROM only-arm\nRUN x\n", &options(), &foreign).unwrap();
    assert_eq!(graph.vertices[1].platform.to_string(), "linux/arm64");
    assert_eq!(graph.images[0].platform.to_string(), "linux/arm64", "nobody asked for another");
    let asked = PlanOptions { explicit_platform: true, ..options() };
    let (graph, _) = planned("FROM only-arm\nRUN x\n", &asked, &foreign).unwrap();
    assert_eq!(graph.vertices[1].platform.to_string(), "linux/arm64");
    assert_eq!(graph.images[0].platform.to_string(), "linux/amd64", "somebody did");
    assert_eq!(graph.warnings[0].code, "InvalidBaseImagePlatform");
}

#[test]
fn named_contexts_are_those_of_the_platform() {
    let image = |name: &str| ContextKind::Image(name.to_owned());
    let contexts = BTreeMap::from([
        ("tools::linux/arm64".to_owned(), image("arm")),
        ("tools".to_owned(), image("any")),
        ("base::linux/amd64".to_owned(), ContextKind::Directory),
    ]);
    let text = "FROM --platform=$BUILDPLATFORM tools AS here\nFROM tools\nCOPY --from=base x /\n";
    let options = PlanOptions { contexts, ..two_platforms() };
    let (graph, asked) = planned(&format!("{text}COPY --from=here y /\n"), &options, &|_, _| {}).unwrap();
    let from: Vec<&str> =
        graph.vertices.iter().map(|v| v.name.as_str()).filter(|n| n.contains("FROM ")).collect();
    assert!(from.contains(&"[linux/amd64 here 1/1] FROM docker.io/library/any:latest"), "{from:?}");
    assert!(from.contains(&"[linux/arm64 stage-1 1/3] FROM docker.io/library/arm:latest"), "{from:?}");
    assert!(
        asked.contains(&"docker.io/library/base:latest".to_owned()),
        "for arm64 it is an image: {asked:?}"
    );
}

#[test]
fn windows_on_a_base_for_linux_is_refused() {
    let platforms = vec![Platform::new("windows", "amd64")];
    let windows = PlanOptions { platforms, explicit_platform: true, ..options() };
    let linux =
        |_: &str, config: &mut ImageConfig| *config = ImageConfig::empty(&Platform::new("linux", "amd64"));
    let refused = planned("FROM base\nRUN true\n", &windows, &linux).unwrap_err();
    assert_eq!(refused[0].message, "images for windows/amd64 cannot be built here");
}

#[test]
fn a_user_with_two_colons() {
    assert_eq!(
        errors("FROM base\nUSER 1:2:3\n", &options()),
        ["bad-user @ 1:2:3 | \"1:2:3\" names no user | write user, user:group, uid or uid:gid"]
    );
}

#[test]
fn windows_is_refused() {
    let platforms = vec![Platform::new("windows", "amd64")];
    let windows = PlanOptions { platforms, explicit_platform: true, ..options() };
    let text = "FROM scratch\nCOPY x /\n";
    assert_eq!(
        errors(text, &windows),
        [
            "windows @ scratch | images for windows/amd64 cannot be built here | the layers of Windows hold its registry and \
          its own kinds of permissions; build them on Windows"
        ]
    );
}

#[test]
fn the_dockerfile_may_set_the_epoch() {
    let epoch = |text: &str, args: &[(&str, &str)]| graph(text, &self::args(args)).source_date_epoch;
    let text = "ARG X=7\nARG SOURCE_DATE_EPOCH=${X}00\nFROM scratch\nARG SOURCE_DATE_EPOCH\nRUN x\n";
    assert_eq!(epoch(text, &[]).as_deref(), Some("700"));
    assert_eq!(epoch(text, &[("SOURCE_DATE_EPOCH", "5")]).as_deref(), Some("5"));
    assert_eq!(epoch("FROM scratch\nARG SOURCE_DATE_EPOCH=1\nRUN x\n", &[]), None, "of a stage alone");
    let context = "ARG SOURCE_DATE_EPOCH=context\nFROM scratch\nARG SOURCE_DATE_EPOCH\nRUN x\n";
    assert_eq!(epoch(context, &[]).as_deref(), Some("context"));
    assert!(graph_env(context, &options()).contains(&"SOURCE_DATE_EPOCH=".to_owned()));
}

#[test]
fn stages_that_run_again_must_exist() {
    let of = |names: &[&str]| {
        let stages = names.iter().map(|name| (*name).to_owned()).collect();
        PlanOptions { no_cache: NoCache::Stages(stages), ..options() }
    };
    let text = "FROM scratch AS Build\nCOPY a /\nFROM scratch\nCOPY b /\n";
    let ignored = |options: &PlanOptions| {
        let graph = graph(text, options);
        graph.vertices.iter().filter(|vertex| vertex.ignore_cache).count()
    };
    assert_eq!(ignored(&of(&["BUILD", "stage-1"])), 1, "the target does not reach the first");
    let errors: Vec<String> =
        planned(text, &of(&["biuld"]), &|_, _| {}).unwrap_err().into_iter().map(|e| e.message).collect();
    assert_eq!(errors, ["--no-cache-filter names no stage: \"biuld\""]);
}

#[test]
fn a_mode_is_not_given_to_the_directories_of_a_linked_copy() {
    let links =
        |text: &str| copy_ops(&graph(text, &options())).iter().map(|copy| copy.link).collect::<Vec<_>>();
    assert_eq!(links("FROM scratch\nCOPY --link a /tmp/\nCOPY --link --chmod=700 a /tmp/\n"), [true, false]);
}

#[test]
fn ports_are_warned_of_once() {
    let codes = |text: &str| {
        let read = dockerfile_parser::parse(text.as_bytes()).unwrap().warnings;
        let planned = graph(text, &options()).warnings;
        read.iter().chain(&planned).map(|warning| warning.code).collect::<Vec<_>>()
    };
    let both = ["ExposeInvalidFormat", "ExposeProtoCasing"];
    assert_eq!(codes("FROM scratch\nEXPOSE 1:80/TCP\n"), both);
    let mut found = codes("FROM scratch\nENV P=1:80/TCP\nEXPOSE $P\n");
    found.sort_unstable();
    assert_eq!(found, both);
}

#[test]
fn mounts_of_a_build_can_be_kept_apart() {
    let text = "FROM scratch\nWORKDIR /w\nRUN --mount=type=cache,target=c x\nRUN --mount=source=y x\n";
    let graph = graph(text, &args(&[("BUILDKIT_CACHE_MOUNT_NS", "ci")]));
    let mounts: Vec<_> = run_ops(&graph).iter().map(|run| &run.mounts[0].mount).collect();
    assert_eq!((mounts[0].id.as_deref(), mounts[0].target.as_deref()), (Some("ci/c"), Some("/w/c")));
    assert_eq!(mounts[1].target.as_deref(), Some("/w"), "without a target it is where the RUN starts");
}

#[test]
fn arguments_for_buildkit_alone() {
    let text = "FROM scratch\nRUN x\nARG BUILDKIT_BUILD_NAME\nRUN y\n";
    let graph = graph(text, &args(&[("BUILDKIT_SANDBOX_HOSTNAME", "here"), ("BUILDKIT_BUILD_NAME", "name")]));
    let runs = run_ops(&graph);
    assert_eq!((runs[0].hostname.as_str(), runs[0].env.len()), ("here", 1));
    assert_eq!(runs[1].env[1], ("BUILDKIT_BUILD_NAME".to_owned(), "name".to_owned()));
    let plain = self::graph(text, &options());
    assert_eq!(run_ops(&plain)[0].hostname, "buildkitsandbox");
}

#[test]
fn of_two_stages_of_one_name_the_last_above_counts() {
    let text = "FROM scratch AS x\nCOPY 1 /\nFROM scratch AS mid\nCOPY --from=x / /\nFROM scratch AS X\nCOPY 2 /\n\
                FROM scratch\nCOPY --from=mid / /\nCOPY --from=x / /\n";
    let graph = graph(text, &options());
    let read = |index: usize| {
        let Origin::Step(id) = copy_ops(&graph)[index].origin else { panic!("{index} is no stage") };
        graph.vertex(id).name.clone()
    };
    let names: Vec<String> = (0..copy_ops(&graph).len())
        .filter(|index| matches!(copy_ops(&graph)[*index].origin, Origin::Step(_)))
        .map(read)
        .collect();
    assert_eq!(names, ["[x 1/1] COPY 1 /", "[mid 1/1] COPY --from=x / /", "[x 1/1] COPY 2 /"]);
}

#[test]
fn the_shell_form_is_marked() {
    let text =
        "FROM scratch AS p\nSHELL [\"/bin/b\", \"-c\"]\nCMD one two\nFROM p\nENTRYPOINT [\"e\"]\nCMD three\n";
    let config = graph(text, &options()).images[0].config.config.clone();
    let words = |words: &[&str]| Some(words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
    assert_eq!(config.shell, words(&["/bin/b", "-c"]));
    assert_eq!(config.cmd, words(&["/bin/b", "-c", "three"]));
    assert_eq!(config.args_escaped, Some(true));
}

#[test]
fn what_is_expanded_of_a_copy() {
    let text = "FROM scratch\nARG V=1\nCOPY --chown=$V --chmod=0$V --exclude=*.$V a$V /b$V\n";
    let graph = graph(text, &options());
    let copy = copy_ops(&graph)[0];
    assert_eq!(
        (copy.chown.as_ref().map(|chown| chown.text.as_str()), copy.chmod.as_deref()),
        (Some("1"), Some("01"))
    );
    assert_eq!((copy.destination.as_str(), copy.excludes.as_slice()), ("/b1", &["*.$V".to_owned()][..]));
    assert!(matches!(&copy.sources[0], CopySource::Path(path, _) if path == "a1"));
}

#[test]
fn mistakes_of_one_stage_come_together() {
    let text = "FROM scratch\nSTOPSIGNAL SIGTREM\nEXPOSE 80/tpc\nEXPOSE 80/whatever\nENV a=${b\nRUN --mount=type=tmpfs,target=/ x\n";
    let near = "did you mean";
    assert_eq!(
        errors(text, &options()),
        [
            &*format!("bad-signal @ SIGTREM | \"SIGTREM\" is no signal | {near} SIGTERM?"),
            &*format!(
                "bad-port @ 80/tpc | \"80/tpc\" is no port: its protocol is not tcp, udp or sctp | {near} tcp?"
            ),
            "bad-port @ 80/whatever | \"80/whatever\" is no port: its protocol is not tcp, udp or sctp | write a port or a range, with a \
             protocol if it is not tcp: 80, 53/udp, 8000-8010",
            "bad-substitution @ ${b | ${ is not closed by }",
            "mount-on-root @ type=tmpfs,target=/ | a mount cannot take the place of /",
        ]
    );
    assert_eq!(
        errors("FROM scratch AS build\nFROM scratch\nRUN --mount=target=/x,from=build/,rw x\n", &options()),
        [
            "unknown-stage @ build/ | --from names no stage, context or image: \"build/\" | this Dockerfile has a stage \
             named \"build\"; did you mean that?"
        ]
    );
}

#[test]
fn versions_of_systems_are_kept() {
    let base = |_: &str, config: &mut ImageConfig| {
        config.os_version = Some("6.1".to_owned());
        config.os_features = vec!["feature".to_owned()];
    };
    let (graph, _) = planned("FROM b\nLABEL a=b\n", &options(), &base).unwrap();
    let config = &graph.images[0].config;
    assert_eq!(
        (config.os_version.as_deref(), config.os_features.as_slice()),
        (Some("6.1"), &["feature".to_owned()][..])
    );
}

#[test]
fn names_of_contexts_are_those_of_images() {
    for (text, want) in [
        ("Other", "other"),
        ("other:latest", "other"),
        ("docker.io/library/other", "other"),
        ("docker.io/team/other:1", "team/other:1"),
        ("localhost:5000/x:latest", "localhost:5000/x"),
        ("other::linux/x86_64", "other::linux/amd64"),
        ("docker.io/library/other:latest::linux/arm64/v8", "other::linux/arm64"),
        ("a::b::c", "a::b::c"),
        ("_", "_"),
    ] {
        assert_eq!(context_key(text), want, "{text}");
    }
    let contexts = BTreeMap::from([(context_key("docker.io/library/files"), ContextKind::Directory)]);
    let options = PlanOptions { contexts, ..options() };
    let text = "FROM scratch\nCOPY --from=files a /\nCOPY --from=Files:latest a /\nCOPY --from=docker.io/library/files a /\n";
    let graph = graph(text, &options);
    assert!(copy_ops(&graph).iter().all(|copy| copy.origin == Origin::Named("files".to_owned())));
}

#[test]
fn words_that_cannot_be_expanded() {
    let text = "FROM scratch\nENV A=\"a b ${X^^}\"\nEXPOSE 80 ${Y!}\nCOPY <<E /\nx\n ${Z^}\nE\n";
    let operators = "the operators are :- - :+ + :? ? # ## % %% / and //";
    let found = errors(text, &options());
    assert_eq!(found.len(), 3, "{found:?}");
    for (found, begin) in found.iter().zip(["@ ^^}\"", "@ !}", "@ ^}"]) {
        assert!(found.contains(begin), "{found}");
        assert!(found.ends_with(operators), "{found}");
    }
}

#[test]
fn modes_and_checksums_are_checked_before_anything_is_built() {
    let text = "FROM scratch\nARG M=9\nCOPY --chmod=7x5 a /\nCOPY --chmod=u+q a /\nCOPY --chmod=$M a /\n\
        COPY --chmod=u=rwX,go=rX a /\nADD --checksum=sha256:12 https://example.org/x /\n";
    let found = errors(text, &options());
    let begins: Vec<&str> = found.iter().map(|error| error.split(" | ").next().unwrap_or_default()).collect();
    assert_eq!(
        begins,
        ["bad-chmod @ 7x5", "bad-chmod @ u+q", "bad-chmod @ $M", "bad-url @ sha256:12"],
        "{found:?}"
    );
}

#[test]
fn mistakes_of_all_stages_are_told_at_once() {
    let text = "FROM scratch AS one\nCOPY --chmod=foo a b\nUSER 1:2:3\n\
                FROM one AS two\nEXPOSE abc\nARG BAD=${X^}\nENV B=${C^}\nEXPOSE $BAD ${B:?}\nLABEL l=${C:?gone}\n\
                FROM two\nCOPY --from=one --chmod=bar a b\nLABEL m=${BAD:?}\n\
                FROM scratch AS unused\nUSER 1:2:3\n";
    let options = PlanOptions { target: Some("2".to_owned()), ..options() };
    let found = errors(text, &options);
    let blamed: Vec<&str> = found.iter().map(|error| error.split(" |").next().unwrap_or_default()).collect();
    // What an ARG or ENV with a mistake would have set is not missed: that is no mistake of its own.
    assert_eq!(
        blamed,
        [
            "bad-chmod @ foo",
            "bad-user @ 1:2:3",
            "bad-port @ abc",
            "bad-substitution @ ^}",
            "bad-substitution @ ^}",
            "bad-substitution @ ${C:?gone}",
            "bad-chmod @ bar",
        ],
        "{found:#?}"
    );
}

#[test]
fn what_is_set_is_known_by_its_place() {
    let text = "FROM scratch AS base\nARG A=1 B\nENV X=$A Y=2\nFROM base\nLABEL \\\n  l=\"$X\" \\\n  m=3\nRUN true\n";
    let graph = graph(text, &args(&[("B", "b")]));
    let set: Vec<(String, &str)> = graph.images[0]
        .history
        .iter()
        .flat_map(|entry| &entry.values)
        .map(|set| (format!("{}={}", set.name, set.value), &text[set.span.start..set.span.end]))
        .collect();
    let want =
        [("A=1", "A=1"), ("B=b", "B"), ("X=1", "X=$A"), ("Y=2", "Y=2"), ("l=1", "l=\"$X\""), ("m=3", "m=3")];
    assert_eq!(set, want.map(|(set, place)| (set.to_owned(), place)));
    let spans = graph.images[0].history.iter().map(|entry| &text[entry.span.start..entry.span.end]);
    assert!(spans.eq(["ARG A=1 B", "ENV X=$A Y=2", "LABEL \\\n  l=\"$X\" \\\n  m=3", "RUN true"]));
}

#[test]
fn a_stage_keeps_its_platform() {
    let text = "FROM --platform=linux/arm64 image AS arm\nFROM --platform=linux/arm64/v8 arm AS same\n\
                FROM --platform=linux/s390x same\nRUN true\n";
    let graph = graph(text, &options());
    let found: Vec<_> = graph.warnings.iter().map(|w| (w.code, &text[w.span.start..w.span.end])).collect();
    assert_eq!(found, [("FromPlatformOfStage", "linux/s390x")]);
    assert_eq!(graph.images[0].platform, Platform::new("linux", "arm64"));
}

#[test]
fn a_trigger_of_an_image_that_is_none() {
    let broken = |_: &str, config: &mut ImageConfig| {
        config.config.on_build = Some(vec!["COPPY a b".to_owned()]);
    };
    let text = "FROM base\n";
    let error = &planned(text, &options(), &broken).unwrap_err()[0];
    assert!(error.message.ends_with("unknown instruction \"COPPY\""), "{}", error.message);
    assert_eq!((error.help.as_deref(), error.span.start), (Some("did you mean COPY?"), 5));
}
