//! `--explain` and `build explain`.

use crate::support::bases;
use crate::support::lab::as_everyone;
use crate::support::registry::Registry;
use crate::support::tools::{run, tool};
use std::fs;
use std::path::Path;

const TOOLS: &[&str] = &["docker-registry", "skopeo", bases::TOOLS[1], bases::TOOLS[2]];

fn strings<'a>(arguments: &[&'a str], context: &'a Path) -> Vec<&'a str> {
    let mut all = arguments.to_vec();
    all.push(context.to_str().expect("the path is text"));
    all
}

/// The tree behind the log of the steps, the part in front of the summary.
fn explained(text: &str) -> Vec<String> {
    let interesting = |line: &&str| line.starts_with(['├', '└', '[']);
    text.lines().filter(interesting).filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
}

as_everyone!(why_steps_ran, TOOLS, |lab| {
    let registry = Registry::start(&lab.path("docker"));
    let base = registry.push_base("busybox");
    let text = format!(
        "FROM {base} AS made\nARG VERSION=1\nARG API_TOKEN=x\nCOPY src /src\nRUN cat /src/* > /all\nRUN echo $VERSION > /version\n\
         FROM {base}\nCOPY --from=made /all /version /\nENV LAST=1\nRUN true\n"
    );
    let context = lab.dockerfile("context", &text);
    lab.file("context/src/a", "a");
    lab.file("context/src/b", "b");
    lab.file("context/unused", "1");
    let first = lab.build(strings(&["--explain"], &context));
    assert_eq!(first.text.matches("└─ no earlier build had this step").count(), 5, "{}", first.text);

    // What no step reads explains nothing.
    fs::write(lab.path("context/unused"), "2").expect("writable");
    let again = lab.build(strings(&["--explain"], &context));
    again.assert_all_cached();
    assert!(again.text.contains("every step was cached\n"), "{}", again.text);
    assert_eq!(lab.verb(["explain"]).lines().nth(1), Some("every step was cached"));

    // One file changed, one has another mode, one is new.
    fs::write(lab.path("context/src/a"), "A").expect("writable");
    lab.file("context/src/c", "");
    run(tool("chmod").args(["600"]).arg(lab.path("context/src/b")));
    let built = lab.build(strings(&["--explain"], &context));
    assert_eq!(
        explained(&built.text),
        [
            "[made 2/4] COPY src /src",
            "├─ the build context: src/a content",
            "├─ the build context: src/b mode 0644 → 0600",
            "└─ the build context: src/c is new",
            "[made 3/4] RUN cat /src/* > /all",
            "└─ what is below it changed: [made 2/4] COPY src /src",
            "[made 4/4] RUN echo $VERSION > /version gave what it had given before",
            "└─ what is below it changed: [made 3/4] RUN cat /src/* > /all",
            "[stage-1 2/3] COPY --from=made /all /version /",
            "└─ stage \"made\": all content",
            "[stage-1 3/3] RUN true gave what it had given before",
            "└─ what is below it changed: [stage-1 2/3] COPY --from=made /all /version /",
        ],
        "{}",
        built.text
    );
    assert_eq!(explained(&lab.verb(["explain"])), explained(&built.text));

    // Arguments, one of them with a name that is nobody's business.
    let built = lab
        .build(strings(&["--explain", "--build-arg=VERSION=2", "--build-arg=API_TOKEN=hunter2"], &context));
    assert!(built.text.contains("├─ ARG VERSION: \"1\" → \"2\"\n"), "{}", built.text);
    assert!(built.text.contains("─ ARG API_TOKEN changed (its value is not shown)\n"), "{}", built.text);
    assert!(!built.text.contains("hunter2"), "{}", built.text);
    let json: serde_json::Value =
        serde_json::from_str(&lab.verb(["explain", "--format=json"])).expect("it is JSON");
    assert!(!json.to_string().contains("hunter2"));
    let version = &json["steps"][2];
    assert_eq!(version["outcome"], "ran");
    assert_eq!(version["reasons"][0]["name"], "ARG VERSION");
    assert_eq!(version["reasons"][0]["to"], "2");
    lab.assert_nothing_left();
});

as_everyone!(which_mounted_files_changed, TOOLS, |lab| {
    let registry = Registry::start(&lab.path("docker"));
    let base = registry.push_base("busybox");
    let text = format!(
        "FROM {base} AS made\nCOPY b /out/\nFROM {base}\n\
         RUN --mount=target=/src --mount=from=made,source=/out,target=/out cat /src/a /out/b > /all\n"
    );
    let context = lab.dockerfile("context", &text);
    lab.file("context/a", "a");
    lab.file("context/b", "b");
    lab.build(strings(&[], &context));
    fs::write(lab.path("context/a"), "A").expect("writable");
    fs::write(lab.path("context/b"), "B").expect("writable");
    lab.file("context/c", "");
    let built = lab.build(strings(&["--explain"], &context));
    let why = explained(&built.text);
    let run = why.iter().position(|line| line.starts_with("[stage-1 2/2]")).expect("the RUN ran");
    assert_eq!(
        why[run + 1..],
        [
            "├─ the build context, mounted on /src: a content",
            "├─ the build context, mounted on /src: b content",
            "├─ the build context, mounted on /src: c is new",
            "└─ stage \"made\", mounted on /out: out/b content",
        ],
        "{}",
        built.text
    );
    lab.build(strings(&["--explain"], &context)).assert_all_cached();
});

as_everyone!(other_reasons, TOOLS, |lab| {
    let registry = Registry::start(&lab.path("docker"));
    let base = registry.push_base("busybox");
    let context =
        lab.dockerfile("context", &format!("FROM {base}\nRUN echo one > /one\nRUN echo two > /two\n"));
    let file = lab.path("context/Dockerfile");
    lab.build(strings(&["-t", "made:1"], &context));

    // Another instruction in its place, and what follows it.
    fs::write(&file, format!("FROM {base}\nRUN echo 1 > /one\nRUN echo two > /two\n")).expect("writable");
    let built = lab.build(strings(&["--explain"], &context));
    assert!(built.text.contains("└─ command: echo one > /one → echo 1 > /one\n"), "{}", built.text);

    // Asked for; the same result comes out, and what follows is cached.
    let built = lab.build(strings(&["--explain", "--no-cache"], &context));
    assert_eq!(built.text.matches("└─ --no-cache says so").count(), 2, "{}", built.text);
    assert!(built.text.contains("RUN echo 1 > /one gave what it had given before"), "{}", built.text);

    // A failure is explained, and what was not reached is compared with what it was before.
    fs::write(&file, format!("FROM {base}\nRUN exit 3\nRUN echo two > /two\n")).expect("writable");
    let failed = lab.try_build(strings(&["--explain"], &context));
    failed.assert_refused(1, &["RUN exit 3 failed\n└─ command: ", "1 step not reached"]);

    // The base image moved.
    fs::write(&file, format!("FROM {base}\nRUN echo 1 > /one\nRUN echo two > /two\n")).expect("writable");
    lab.build(strings(&[], &context));
    let other = registry.push_base("debian");
    run(tool("skopeo")
        .args(["copy", "--quiet", "--insecure-policy", "--src-tls-verify=false", "--dest-tls-verify=false"])
        .args([format!("docker://{other}:latest"), format!("docker://{base}:latest")]));
    let built = lab.build(strings(&["--explain", "--pull"], &context));
    assert!(
        built.text.contains(&format!("└─ the base image {base}:latest moved: sha256:")),
        "{}",
        built.text
    );

    lab.assert_nothing_left();
});
