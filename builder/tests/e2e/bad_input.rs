//! Input that cannot be built: the exit status, where it is, what to do.

use crate::support::bases;
use crate::support::lab::as_everyone;
use crate::support::registry::Registry;
use std::path::Path;

const TOOLS: &[&str] = &["docker-registry", "skopeo", bases::TOOLS[1], bases::TOOLS[2]];

as_everyone!(no_dockerfile, &[], |lab| {
    let empty = lab.directory("empty");
    lab.try_build([&empty]).assert_refused(1, &["error:", "Dockerfile"]);
    lab.try_build([Path::new("-f"), Path::new("absent.Dockerfile"), &empty])
        .assert_refused(1, &["error:", "absent.Dockerfile"]);
    lab.try_build([lab.path("nowhere")]).assert_refused(1, &["error:", "nowhere"]);
    lab.assert_nothing_left();
});

as_everyone!(mistakes_in_the_dockerfile, &[], |lab| {
    for (name, text, expected) in [
        ("unknown", "FROM scratch\nCOPPY a b\n", &["error:", "COPPY", "Dockerfile:2:1", "COPY"][..]),
        ("empty", "# nothing\n", &["error:", "Dockerfile"]),
        ("before", "RUN true\nFROM scratch\n", &["error:", "Dockerfile:1:1"]),
        (
            "stage",
            "FROM scratch AS made\nFROM scratch\nCOPY --from=mad /a /a\n",
            &["error:", "mad", "Dockerfile:3:"],
        ),
        ("flag", "FROM scratch\nCOPY --chwon=1 a b\n", &["error:", "chwon", "Dockerfile:2:", "chown"]),
        ("heredoc", "FROM scratch\nCOPY <<EOF /a\nnever closed\n", &["error:", "EOF", "Dockerfile:2:"]),
        ("blank", "ARG BASE\nFROM ${BASE}\n", &["error:", "Dockerfile:2:"]),
    ] {
        let context = lab.dockerfile(name, text);
        lab.try_build([&context]).assert_refused(1, expected);
    }
    let context = lab.dockerfile("target", "FROM scratch AS made\nLABEL a=b\n");
    lab.try_build([Path::new("--target=mad"), &context]).assert_refused(1, &["error:", "mad"]);
    lab.assert_nothing_left();
});

as_everyone!(missing_sources, &[], |lab| {
    let context = lab.dockerfile("context", "FROM scratch\nLABEL a=b\nCOPY there absent /\n");
    lab.file("context/there", "there");
    lab.try_build([&context]).assert_refused(1, &["error:", "absent", "Dockerfile:3:"]);
    // The file is there; a rule hides it, and the rule is named.
    lab.file("context/absent", "hidden");
    lab.file("context/.dockerignore", "*.log\nabs*\n");
    lab.try_build([&context]).assert_refused(1, &["error:", "absent", "abs*", ".dockerignore:2"]);
    lab.file("context/.dockerignore", "*.log\n");
    lab.build([&context]);
    lab.assert_nothing_left();
});

as_everyone!(a_failing_run, TOOLS, |lab| {
    let registry = Registry::start(&lab.path("docker"));
    let base = registry.push_base("busybox");
    let text = |command: &str| format!("FROM {base}\nRUN echo fine\nRUN {command}\n");
    let context = lab.dockerfile("context", &text("echo the last words; exit 7"));
    lab.try_build([&context])
        .assert_refused(1, &["error:", "Dockerfile:3:", "the last words", "7", "exit 7"]);
    lab.dockerfile("context", &text("sh -c 'kill -9 $$' && true"));
    lab.try_build([&context]).assert_refused(1, &["error:", "Dockerfile:3:"]);
    lab.dockerfile("context", &text("[\"/no/such/program\"]"));
    lab.try_build([&context]).assert_refused(1, &["error:", "Dockerfile:3:", "/no/such/program"]);
    lab.dockerfile("context", &text("true").replace("RUN true", "USER ghost\nRUN true"));
    lab.try_build([&context]).assert_refused(1, &["error:", "ghost"]);
    lab.assert_nothing_left();
    // What came before a failure is not made again.
    lab.dockerfile("context", &text("true"));
    assert_eq!(lab.build([&context]).executed(), ["RUN true"]);
});

as_everyone!(a_wrong_command_line, &[], |lab| {
    let context = lab.dockerfile("context", "FROM scratch\nLABEL a=b\n");
    for (arguments, expected) in [
        (vec!["--tagg", "a"], &["error:", "--tagg", "--tag"][..]),
        (vec!["--output=type=nonsense"], &["error:", "nonsense"]),
        (vec!["--progress=loud"], &["error:", "loud"]),
        (vec!["--platform=linux/amd64/v1/v2/v3"], &["error:"]),
        (vec!["-t", "Not A Name"], &["error:", "Not A Name"]),
        (
            vec!["-t", "name@sha256:0000000000000000000000000000000000000000000000000000000000000000"],
            &["error:", "@"],
        ),
        (vec!["--provenance=true"], &["error:", "--provenance", "attestations"]),
    ] {
        let all = arguments.into_iter().map(Path::new).chain([&*context]);
        lab.try_build(all).assert_refused(2, expected);
    }
    // What happens anyway may be asked for.
    let asked = ["--provenance=false", "--sbom=false", "--rm", "--quiet=false"];
    lab.build(asked.map(Path::new).into_iter().chain([&*context]));
    let none: [&str; 0] = [];
    lab.try_build(none).assert_refused(2, &["error:"]);
});
