//! Checks that need a build, and `--check`.

use crate::support::bases;
use crate::support::lab::as_everyone;
use crate::support::registry::Registry;
use std::path::Path;

const TOOLS: &[&str] = &["docker-registry", "skopeo", bases::TOOLS[1], bases::TOOLS[2]];

as_everyone!(what_a_step_leaves, TOOLS, |lab| {
    let registry = Registry::start(&lab.path("docker"));
    let base = registry.push_base("busybox");
    let fill = "mkdir -p /var/lib/apt/lists && head -c 2000000 /dev/zero > /var/lib/apt/lists/x";
    let context = lab.dockerfile(
        "context",
        &format!(
            "FROM {base}\nRUN {fill}\n# check=skip=PackageCacheInLayer\nRUN {fill} && echo again\n\
             RUN --mount=type=secret,id=token cp /run/secrets/token /copied\nRUN --mount=type=secret,id=token true\n"
        ),
    );
    lab.file("token", "hunter2hunter2\n");
    let secret = format!("--secret=id=token,src={}", lab.path("token").display());
    let built = lab.build([Path::new(&secret), &context]);
    let count = |text: &str| built.text.matches(text).count();
    assert_eq!(count("stay in the layer (/var/lib/apt/lists/)"), 1, "{}", built.text);
    assert_eq!(count("this RUN writes the value of a secret to /copied"), 1, "{}", built.text);
    assert!(!built.text.contains("hunter2"), "{}", built.text);

    let strict = lab.dockerfile("strict", &format!("# check=error=true\nFROM {base}\nRUN {fill}\n"));
    lab.try_build([Path::new("--no-cache"), &strict])
        .assert_refused(1, &["2.0 MB of lists of apt", "Dockerfile:3:1"]);
    lab.assert_nothing_left();
});

as_everyone!(what_an_image_says, &[], |lab| {
    let context = lab.dockerfile(
        "context",
        "FROM scratch\nARG TOKEN\nENV KEPT=$TOKEN\nLABEL url=https://$TOKEN@example.org/\nCOPY notes.md /\nCOPY $TYOP /x\n",
    );
    lab.file("context/notes.md", "");
    lab.file("context/.dockerignore", "*.md\n");
    let arguments =
        ["--secret=id=token,env=TOKEN", "--build-arg=TOKEN=hunter2hunter2", "--build-arg=TOEKN=x"];
    let mut command = lab.command(["build", "--progress=plain"]);
    command.args(arguments).arg(&context).env("TOKEN", "hunter2hunter2");
    let refused = crate::support::output::Build::from(crate::support::tools::output(&mut command));
    refused.assert_refused(
        1,
        &[
            "--build-arg TOEKN has no effect: no ARG declares it; did you mean TOKEN?",
            "ENV KEPT has the value of the secret \"token\"",
            "Dockerfile:3:5\n",
            "LABEL url has the value of the secret \"token\"",
            "Dockerfile:4:7\n",
            "ARG TOKEN has the value of the secret \"token\"",
            "Dockerfile:2:5\n",
            "COPY of \"notes.md\", which .dockerignore:1 ignores (*.md)",
            "Dockerfile:5:6",
            "usage of undefined variable '$TYOP'",
        ],
    );
    // Each is told once, and not again as a part of the history.
    assert_eq!(refused.text.matches("has the value of the secret").count(), 3, "{}", refused.text);
});

as_everyone!(what_a_run_requires, &[], |lab| {
    let text =
        "FROM scratch\nRUN --mount=type=secret,id=token,required --mount=type=secret,id=other [\"/x\"]\n";
    let context = lab.dockerfile("context", text);
    let said = lab.try_build([Path::new("--check"), &context]);
    said.assert_refused(
        1,
        &["the secret \"token\" is required", "Dockerfile:2:13\n", "--secret id=token,src=FILE"],
    );
    assert!(!said.text.contains("\"other\""), "{}", said.text);
    lab.file("token", "x");
    let given = format!("--secret=id=token,src={}", lab.path("token").display());
    lab.verb([Path::new("--check"), Path::new(&given), &context]);
    // A build looks when it runs the RUN, and marks the mount.
    lab.try_build([&context]).assert_refused(1, &["the secret \"token\" is required", "Dockerfile:2:13\n"]);
    let mount = "FROM scratch\nRUN --mount=target=/a --mount=type=bind,source=nope,target=/t [\"/x\"]\n";
    let context = lab.dockerfile("context", mount);
    lab.try_build([&context])
        .assert_refused(1, &["\"nope\" not found in the build context", "Dockerfile:2:48\n"]);
    lab.assert_nothing_left();
});

as_everyone!(images_that_cannot_be_asked, &[], |lab| {
    // Only a stage that starts from one may have more variables than are seen.
    let unknown = "127.0.0.1:1/unknown:1";
    let context = lab.dockerfile(
        "context",
        &format!(
            "FROM scratch AS app\nCOPY --from={unknown} / /\nCOPY $TYOP /\nFROM {unknown}\nCOPY $THEIRS /\n"
        ),
    );
    let said = lab.try_build([Path::new("--check"), &context]);
    said.assert_refused(
        1,
        &[
            "'$TYOP'",
            "note: 127.0.0.1:1/unknown:1 for linux/",
            "could not be asked",
            "complete, 1 warning found",
        ],
    );
    assert!(!said.text.contains("$THEIRS'"), "{}", said.text);
    assert_eq!(said.text.matches("note: ").count(), 1, "{}", said.text);
    let json = lab.try_build([Path::new("--call=check,format=json"), &context]);
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).expect("it is JSON");
    assert_eq!(json["unaskedImages"][0]["image"], unknown);
    assert_eq!(json["warnings"][0]["url"], "https://docs.docker.com/go/dockerfile/rule/undefined-var/");

    let near = lab.dockerfile("near", "FROM scratch AS build\nCOPY a /\nFROM biuld\n");
    let said = lab.try_build([Path::new("--call=check,format=json"), &near]);
    let json: serde_json::Value = serde_json::from_slice(&said.stdout).expect("it is JSON");
    assert_eq!(json["warnings"][0]["ruleName"], "FromNearStage");
    assert!(json["warnings"][0].get("url").is_none(), "{json:#}");
});

const EXAMPLE: &str = "# syntax=docker/dockerfile:1\n# VERSION is the one that is built\nARG VERSION=1\n\n# base has what all need\nFROM scratch as base\nARG USER\nFROM base AS app\nARG USER=me\n\
    RUN --mount=type=secret,id=token,required=true --mount=type=cache,target=/c --mount=type=ssh true\nCOPY --from=other / /\nFROM scratch AS other\nENV a b\n";

as_everyone!(check, &["script"], |lab| {
    let context = lab.dockerfile("context", EXAMPLE);
    let check = |arguments: &[&str]| {
        let mut command = lab.command(["build"]);
        command.args(arguments).arg(&context);
        crate::support::output::Build::from(crate::support::tools::output(&mut command))
    };
    // Every stage is looked at, and nothing is built.
    let all = check(&["--check"]);
    all.assert_refused(
        1,
        &[
            "(FromAsCasing)",
            "Dockerfile:6:14",
            "(LegacyKeyValueFormat)",
            "Dockerfile:13:",
            "Check failed: 1 error, 2 warnings.",
        ],
    );
    let base = check(&["--check", "--target=base"]);
    assert_eq!(base.text.matches("(FromAsCasing)").count(), 1, "{}", base.text);
    let json = check(&["--call=check,format=json", "--target=base"]);
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).expect("it is JSON");
    assert_eq!(json["diagnostics"][0]["code"], "FromAsCasing");
    assert_eq!(json["diagnostics"][0]["start"], serde_json::json!({"line": 6, "column": 14, "offset": 117}));
    assert_eq!(json["warnings"][0]["ruleName"], "FromAsCasing");
    assert_eq!(json["warnings"][0]["location"]["ranges"][0]["start"]["line"], 6);
    assert_eq!(json["sources"][0]["filename"], "Dockerfile");

    let good = lab.dockerfile("good", "FROM scratch\nLABEL a=b\n");
    let said = lab.try_build([Path::new("--check"), &good]);
    assert_eq!((said.status, said.text.as_str()), (Some(0), "Check complete, no warnings found.\n"));
    let broken = lab.dockerfile("broken", "FROM scratch\nRNU x\nCPOY y\n");
    lab.try_build([Path::new("--check"), &broken])
        .assert_refused(1, &["did you mean RUN?", "did you mean COPY?", "Check failed: 2 errors"]);
    // All of them in JSON, for editors.
    let all = lab.try_build([Path::new("--call=check,format=json"), &broken]);
    let all: serde_json::Value = serde_json::from_slice(&all.stdout).expect("it is JSON");
    let helps: Vec<_> =
        all["diagnostics"].as_array().expect("a list").iter().map(|found| &found["help"]).collect();
    assert_eq!(helps, ["did you mean RUN?", "did you mean COPY?"]);
    assert_eq!(all["buildError"]["message"], "unknown instruction \"RNU\"");
    // Colours are for terminals.
    let mut command = lab.command(["build", "--check"]);
    command.arg(&broken);
    let words: Vec<String> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    for (colours, variable) in [(true, ""), (false, "1")] {
        let mut terminal = std::process::Command::new("script");
        lab.confine(&mut terminal).args(["-qec", &words.join(" "), "/dev/null"]).env("NO_COLOR", variable);
        let shown = crate::support::tools::output(terminal.stdin(std::process::Stdio::null()));
        let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
        assert!(shown.contains("did you mean RUN?"), "{shown}");
        assert_eq!(shown.contains("\x1b[1;31merror:\x1b[0m"), colours, "{shown:?}");
    }
});

as_everyone!(outline_and_targets, &[], |lab| {
    let context = lab.dockerfile("context", EXAMPLE);
    let text = context.to_str().expect("the path is text");
    let call = |method: &str, more: &[&str]| {
        let mut command = lab.command(["build", &format!("--call={method}")]);
        String::from_utf8(crate::support::tools::output(command.args(more).arg(text)).stdout)
            .expect("it is text")
    };
    assert_eq!(
        call("targets", &[]),
        "TARGET            DESCRIPTION\nbase              has what all need\napp\nother (default)\n"
    );
    let targets: serde_json::Value =
        serde_json::from_str(&call("targets,format=json", &[])).expect("it is JSON");
    assert_eq!(
        targets["targets"][2],
        serde_json::json!({
            "name": "other", "default": true, "base": "scratch",
            "location": { "ranges": [{ "start": { "line": 12, "character": 0 }, "end": { "line": 12, "character": 21 } }] },
        })
    );
    let refused = lab.try_build(["--call=outline", "--target=app", text]);
    refused.assert_refused(1, &["Dockerfile:11:"]);
    let fixed = lab.dockerfile("fixed", &EXAMPLE.replace("COPY --from=other / /\n", ""));
    let mut command = lab.command(["build", "--call=outline", "--target=app", "--build-arg=VERSION=2"]);
    assert_eq!(
        crate::support::tools::run(command.arg(&fixed)),
        "TARGET:       app\n\nBUILD ARG   VALUE   DESCRIPTION\nVERSION     2       is the one that is built\nUSER        me\n\n\
         SECRET   REQUIRED\ntoken    true\n\nSSH       REQUIRED\ndefault\n\nCACHE\n/c\n"
    );
    lab.try_build(["--call=else", text]).assert_refused(2, &["write build, check, outline or targets"]);
});
