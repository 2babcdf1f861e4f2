//! Images for several platforms.

use crate::support::bases;
use crate::support::image::{self, Pulled};
use crate::support::lab::{Lab, as_everyone, entries};
use crate::support::registry::Registry;
use crate::support::tools::{output, run, tool};
use serde_json::{Value, json};
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

const TOOLS: &[&str] =
    &["docker-registry", image::TOOLS[0], image::TOOLS[1], bases::TOOLS[1], bases::TOOLS[2], "dpkg-deb"];

fn here() -> &'static str {
    if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" }
}

fn json_of(path: &Path) -> Value {
    let text = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Builds `context` on the base of two processors; `None` where that cannot be had.
struct Two<'a> {
    lab: &'a Lab,
    base: String,
    other: String,
}

impl<'a> Two<'a> {
    fn new(lab: &'a Lab) -> Option<Self> {
        let (layout, other) = bases::multi("platforms")?;
        Some(Self { lab, base: format!("base=oci-layout://{}", layout.display()), other })
    }

    fn platforms(&self) -> String {
        format!("linux/{},linux/{}", here(), self.other)
    }

    #[track_caller]
    fn build(&self, context: &Path, arguments: &[&str]) -> crate::support::output::Build {
        let common = ["--build-context", &self.base, context.to_str().expect("the path is text")];
        self.lab.build(arguments.iter().copied().chain(common))
    }
}

/// Compiles on this machine for each platform, and puts the result on the platform's own base.
fn cross(lab: &Lab) -> PathBuf {
    lab.dockerfile(
        "context",
        "FROM --platform=$BUILDPLATFORM base AS tools\nRUN echo ran >> /common\n\
         FROM tools AS compile\nARG TARGETARCH TARGETPLATFORM\nRUN echo \"$TARGETARCH $TARGETPLATFORM\" > /out\n\
         FROM base\nCOPY --from=compile /out /out\nCOPY --from=tools /common /common\nCMD [\"cat\", \"/out\"]\n",
    )
}

fn pull(reference: &str, architecture: &str, directory: &Path) -> Pulled {
    let raw = tool("skopeo")
        .args(["inspect", "--raw", "--tls-verify=false"])
        .arg(format!("docker://{reference}"))
        .output()
        .expect("skopeo starts");
    let index: Value = serde_json::from_slice(&raw.stdout).expect("an index is JSON");
    let entries = index["manifests"].as_array().expect("it is an index");
    let entry = entries.iter().find(|entry| entry["platform"]["architecture"] == architecture);
    let digest =
        entry.expect("the platform is in the index")["digest"].as_str().expect("a digest is text").to_owned();
    let repository = reference.rsplit_once(':').expect("the reference has a tag").0;
    Pulled::from_registry(&format!("{repository}@{digest}"), directory)
}

as_everyone!(one_index_for_two, TOOLS, |lab| {
    let Some(two) = Two::new(lab) else { return };
    let registry = Registry::start(&lab.path("docker"));
    let reference = registry.reference("out/app:1");
    let context = cross(lab);
    let (metadata, id) = (lab.path("home/metadata"), lab.path("home/id"));
    let build = two.build(
        &context,
        &[
            "--platform",
            &two.platforms(),
            "-t",
            &reference,
            "--push",
            "--metadata-file",
            metadata.to_str().unwrap(),
            "--iidfile",
            id.to_str().unwrap(),
        ],
    );
    let executed = build.executed();
    assert_eq!(executed.iter().filter(|step| step.contains("echo ran")).count(), 1, "{executed:?}");
    assert_eq!(executed.iter().filter(|step| step.contains("TARGETARCH")).count(), 2, "{executed:?}");

    let metadata = json_of(&metadata);
    let digest = metadata["containerimage.digest"].as_str().expect("it has a digest");
    assert_eq!(fs::read_to_string(&id).unwrap(), digest, "an index stands for all its images");
    assert_eq!(metadata["containerimage.config.digest"], Value::Null);
    assert_eq!(metadata["containerimage.descriptor"]["mediaType"], "application/vnd.oci.image.index.v1+json");
    assert_eq!(metadata["containerimage.descriptor"]["digest"], digest);

    for architecture in [here(), two.other.as_str()] {
        let image = pull(&reference, architecture, &lab.path(format!("pulled-{architecture}")));
        image.assert_consistent();
        assert_eq!(image.config["architecture"], architecture);
        let text = fs::read_to_string(image.file("/out")).unwrap();
        assert_eq!(text, format!("{architecture} linux/{architecture}\n"));
        let busybox = fs::read(image.file("/bin/busybox")).unwrap();
        let machine = if architecture == "arm64" { 183 } else { 62 };
        assert_eq!(busybox[18], machine, "each has its own base");
    }

    // Everything again: nothing runs, and the same index comes out.
    let again = two.build(&context, &["--platform", &two.platforms(), "-t", &reference, "--push"]);
    assert!(again.executed().is_empty(), "{}", again.text);

    // What another tool copies whole is whole.
    run(tool("skopeo")
        .args(["copy", "--all", "--quiet", "--insecure-policy", "--src-tls-verify=false"])
        .arg(format!("docker://{reference}"))
        .arg(format!("oci:{}:all", lab.path("copied").display())));
    lab.assert_nothing_left();
});

as_everyone!(verbs_know_platforms, TOOLS, |lab| {
    let Some(two) = Two::new(lab) else { return };
    let registry = Registry::start(&lab.path("docker"));
    let context = cross(lab);
    two.build(&context, &["--platform", &two.platforms(), "-t", "app:1"]);
    let inspected: Value =
        serde_json::from_str(&lab.verb(["inspect", "app:1"])).expect("inspect prints JSON");
    let names = json!([format!("linux/{}", here()), format!("linux/{}", two.other)]);
    assert_eq!(inspected[0]["Platforms"], names);
    let id = lab.verb(["images", "-q", "--no-trunc"]);
    assert_eq!(inspected[0]["Id"], id.trim(), "the index stands for all of them");
    assert_eq!(inspected[0]["Architecture"], here());
    let other: Value = serde_json::from_str(&lab.verb(["inspect", "--platform", &two.other, "app:1"]))
        .expect("inspect prints JSON");
    assert_eq!(other[0]["Architecture"], two.other.as_str());
    let tree = lab.verb(["images", "--tree"]);
    assert!(
        tree.contains(&format!("linux/{}", two.other)) && tree.contains(&format!("linux/{}", here())),
        "{tree}"
    );

    // An archive for docker load holds all; who reads nothing but manifest.json gets that of this machine.
    let archive = lab.path("home/saved.tar");
    lab.verb(["save", "-o", archive.to_str().unwrap(), "app"]);
    let shown = run(tool("skopeo")
        .args(["inspect", "--config"])
        .arg(format!("docker-archive:{}", archive.display())));
    assert_eq!(serde_json::from_str::<Value>(&shown).expect("a config is JSON")["architecture"], here());
    let mut load = lab.command(["load", "-q", "-i", archive.to_str().unwrap()]);
    let elsewhere = lab.directory("elsewhere");
    run(load.env("SLIPWAY_ROOT", &elsewhere));
    let mut again = lab.command(["inspect", "app:1"]);
    let again: Value =
        serde_json::from_str(&run(again.env("SLIPWAY_ROOT", &elsewhere))).expect("inspect prints JSON");
    assert_eq!(again[0]["Platforms"], names);

    let history = lab.verb(["history", "--platform", &two.other, "--format", "{{.CreatedBy}}", "app:1"]);
    assert!(history.contains("COPY /out /out"), "{history}");
    let one = lab.path("home/one.tar");
    lab.verb(["save", "--platform", &two.other, "-o", one.to_str().unwrap(), "app:1"]);
    let shown =
        run(tool("skopeo").args(["inspect", "--config"]).arg(format!("docker-archive:{}", one.display())));
    assert_eq!(
        serde_json::from_str::<Value>(&shown).expect("a config is JSON")["architecture"],
        two.other.as_str()
    );

    // A push takes all of them along.
    let reference = registry.reference("out/app:2");
    lab.verb(["tag", "app:1", &reference]);
    lab.verb(["push", &reference]);
    for architecture in [here(), two.other.as_str()] {
        let image = pull(&reference, architecture, &lab.path(format!("pulled-{architecture}")));
        assert_eq!(image.config["architecture"], architecture);
        assert!(image.manifest["layers"][0]["mediaType"].as_str().unwrap().ends_with("gzip"));
    }
});

as_everyone!(an_index_of_a_registry_is_a_base, TOOLS, |lab| {
    let Some(two) = Two::new(lab) else { return };
    let registry = Registry::start(&lab.path("docker"));
    let base = registry.reference("bases/two:1");
    let bare = lab.dockerfile("bare", "FROM base\nENV FROM=base\n");
    two.build(&bare, &["--platform", &two.platforms(), "-t", &base, "--push"]);

    // A store that has seen nothing of it.
    let fresh = lab.directory("fresh");
    let context = lab.dockerfile("on-top", &format!("FROM {base}\nCOPY Dockerfile /\n"));
    let app = registry.reference("out/on-top:1");
    let build = |arguments: &[&str]| {
        let mut command = lab.command(["build", "--progress=plain"]);
        command.args(arguments).args(["-t", &app, "--push"]).arg(&context).env("SLIPWAY_ROOT", &fresh);
        let built = output(&mut command);
        let text = crate::support::tools::both(&built);
        assert!(built.status.success(), "{text}");
        text
    };
    // First for one, then for both: what the index had besides is fetched when it is needed.
    build(&["--platform", &format!("linux/{}", two.other)]);
    build(&["--platform", &two.platforms()]);
    build(&["--platform", &two.platforms(), "--pull"]);
    for architecture in [here(), two.other.as_str()] {
        let image = pull(&app, architecture, &lab.path(format!("on-top-{architecture}")));
        image.assert_consistent();
        let machine = if architecture == "arm64" { 183 } else { 62 };
        assert_eq!(fs::read(image.file("/bin/busybox")).unwrap()[18], machine);
    }

    // One of it alone.
    let elsewhere = lab.directory("elsewhere");
    let mut command = lab.command(["pull", "--platform", &two.other, &base]);
    run(command.env("SLIPWAY_ROOT", &elsewhere));
    let mut command = lab.command(["inspect", "--format", "{{.Architecture}}", &base]);
    assert_eq!(run(command.env("SLIPWAY_ROOT", &elsewhere)).trim(), two.other);
    let mut command = lab.command(["push", &base]);
    let pushed = output(command.env("SLIPWAY_ROOT", &elsewhere));
    assert!(crate::support::tools::both(&pushed).contains("has not all platforms"), "{pushed:?}");
});

as_everyone!(one_of_several_is_pushed, TOOLS, |lab| {
    let Some(two) = Two::new(lab) else { return };
    let registry = Registry::start(&lab.path("docker"));
    let reference = registry.reference("out/one:1");
    two.build(&cross(lab), &["--platform", &two.platforms(), "-t", &reference]);
    lab.verb(["push", "--platform", &two.other, &reference]);
    let image = Pulled::from_registry(&reference, &lab.path("pulled"));
    assert_eq!(image.config["architecture"], two.other.as_str());
    let unknown = output(&mut lab.command(["push", "--platform", "linux/s390x", &reference]));
    assert_eq!(unknown.status.code(), Some(1));
});

as_everyone!(every_output_that_can, TOOLS, |lab| {
    let Some(two) = Two::new(lab) else { return };
    let context = cross(lab);
    let at = |name: &str| lab.path("home").join(name);
    let local = format!("type=local,dest={}", at("local").display());
    let tar = format!("type=tar,dest={}", at("files.tar").display());
    let oci = format!("type=oci,dest={}", at("oci.tar").display());
    let layout = format!("type=oci,tar=false,name=app:1,dest={}", at("layout").display());
    two.build(
        &context,
        &["--platform", &two.platforms(), "-o", &local, "-o", &tar, "-o", &oci, "-o", &layout],
    );
    let names = [format!("linux_{}", here()), format!("linux_{}", two.other)];
    let mut sorted = names.to_vec();
    sorted.sort();
    assert_eq!(entries(&at("local")), sorted);
    let listed = run(tool("tar").arg("-tf").arg(at("files.tar")));
    for (name, architecture) in names.iter().zip([here(), two.other.as_str()]) {
        let out = fs::read_to_string(at("local").join(name).join("out")).unwrap();
        assert_eq!(out, format!("{architecture} linux/{architecture}\n"));
        assert!(listed.lines().any(|line| line == format!("{name}/out")), "{listed}");
    }
    for source in
        [format!("oci-archive:{}", at("oci.tar").display()), format!("oci:{}:1", at("layout").display())]
    {
        for architecture in [here(), two.other.as_str()] {
            let text = run(tool("skopeo")
                .args(["inspect", "--config", "--override-os=linux", "--override-arch", architecture])
                .arg(&source));
            let config: Value = serde_json::from_str(&text).expect("a config is JSON");
            assert_eq!(config["architecture"], architecture, "{source}");
        }
    }

    // Docker's archive holds one.
    let mut docker = lab.command(["build", "--platform", &two.platforms(), "-o"]);
    let refused = output(docker.arg(format!("type=docker,dest={}", at("d.tar").display())).arg(&context));
    assert_eq!(refused.status.code(), Some(2));

    // In one directory they meet, unless they do not.
    let merged = format!("type=local,platform-split=false,dest={}", at("merged").display());
    let common = ["--build-context", &two.base, context.to_str().unwrap()];
    let met = lab.try_build(["--platform", &two.platforms(), "-o", &merged].into_iter().chain(common));
    assert_eq!(met.status, Some(1));
    assert!(met.text.contains("is in the result of two platforms"), "{}", met.text);
    let apart = lab.dockerfile("apart", "FROM scratch\nARG TARGETARCH\nCOPY Dockerfile /$TARGETARCH\n");
    fs::write(at("stale"), "").unwrap();
    lab.directory("home/merged");
    fs::write(at("merged").join("stale"), "").unwrap();
    let merged = format!("{merged},mode=delete");
    two.build(&apart, &["--platform", &two.platforms(), "-o", &merged]);
    let mut wanted = vec![here().to_owned(), two.other.clone()];
    wanted.sort();
    assert_eq!(entries(&at("merged")), wanted);
    assert!(at("stale").exists());

    // One platform gets a directory of its own on request.
    let split = format!("type=local,platform-split=true,dest={}", at("split").display());
    two.build(&apart, &["-o", &split]);
    assert_eq!(entries(&at("split")), [format!("linux_{}", here())]);
});

/// Whether programs of other processors can be run here: the kernel was told of an emulator, or lets everybody tell it.
fn can_emulate(test: &str) -> bool {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").expect("/proc is mounted");
    let mut numbers = release.split(['.', '-']).map_while(|part| part.trim().parse::<u32>().ok());
    let kernel = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if kernel >= (6, 7) || is_registered() {
        return true;
    }
    // No package of the machine changes its kernel: this is not what was promised.
    let why = format!("Linux 6.7 has tables of interpreters for each user namespace, this is {release}");
    let _ = writeln!(std::io::stderr(), "skipped: {test}: {why}");
    false
}

/// Whether somebody has told the kernel for all of this machine.
fn is_registered() -> bool {
    entries(Path::new("/proc/sys/fs/binfmt_misc")).iter().any(|name| name.contains("qemu"))
}

as_everyone!(foreign_programs_run, TOOLS, |lab| {
    let Some(two) = Two::new(lab) else { return };
    if !can_emulate("foreign_programs_run") {
        return;
    }
    let context = lab.dockerfile(
        "context",
        "FROM base\nRUN uname -m > /machine && mkdir /d && chown 1:50 /d && chmod 4755 /d\n\
         USER daemon\nRUN [\"/bin/sh\", \"-c\", \"id -u; cat /machine\"]\n",
    );
    let machine = if two.other == "arm64" { "aarch64" } else { "x86_64" };
    let other = format!("linux/{}", two.other);
    let archive = lab.path("home/files.tar");
    let output = format!("type=tar,dest={}", archive.display());
    let build =
        two.build(&context, &["--platform", &other, "-t", "app:1", "-o", "type=image", "-o", &output]);
    assert!(build.text.contains(machine), "{}", build.text);
    let listed = run(tool("tar").args(["--numeric-owner", "-tvf"]).arg(&archive));
    assert!(
        listed.lines().any(|line| line.starts_with("drwsr-xr-x 1/50 ") && line.ends_with(" d/")),
        "{listed}"
    );
    assert_eq!(lab.verb(["run", "app:1", "uname", "-m"]).trim(), machine);

    if !is_registered() {
        let insecure =
            lab.dockerfile("insecure", "FROM base\nRUN --security=insecure mount -t tmpfs none /tmp\n");
        let refused = lab.try_build(
            ["--allow", "security.insecure", "--platform", &other, "--build-context", &two.base]
                .into_iter()
                .chain([insecure.to_str().unwrap()]),
        );
        assert_eq!(refused.status, Some(1), "{}", refused.text);
        assert!(refused.text.contains("cannot be had with --security=insecure"), "{}", refused.text);
    }

    // Both at once, each step on its own; what ran before is not run again.
    let both = two.build(&context, &["--platform", &two.platforms()]);
    assert_eq!(both.executed().len(), 2, "{}", both.text);
    lab.assert_nothing_left();
});

as_everyone!(foreign_programs_are_refused, TOOLS, |lab| {
    let Some(two) = Two::new(lab) else { return };
    if is_registered() {
        let why = "this machine runs programs of other processors";
        let _ = writeln!(std::io::stderr(), "skipped: foreign_programs_are_refused: {why}");
        return;
    }
    // Nothing in PATH but what an unprivileged build needs.
    let few = lab.directory("few");
    for name in ["newuidmap", "newgidmap"] {
        if let Some(program) = crate::support::tools::find(name) {
            std::os::unix::fs::symlink(program, few.join(name)).expect("the directory is new");
        }
    }
    let context = lab.dockerfile("context", "FROM base\nRUN touch /x\n");
    let other = format!("linux/{}", two.other);
    let arguments = ["--platform", &other, "--build-context", &two.base, context.to_str().unwrap()];
    let mut command = lab.command(["build", "--progress=plain"]);
    let refused = output(command.args(arguments).env("PATH", &few));
    let text = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{text}");
    assert!(
        text.contains("Dockerfile:2:1") && text.contains(&format!("programs for {other} cannot be run")),
        "{text}"
    );
    assert!(text.contains("help: install qemu-user-static"), "{text}");
    // Files are only put in place, which needs no emulator.
    let files = lab.dockerfile("files", "FROM base\nCOPY Dockerfile /\nWORKDIR /w\n");
    let arguments = ["--platform", &other, "--build-context", &two.base, files.to_str().unwrap()];
    let mut command = lab.command(["build", "--progress=plain"]);
    let built = output(command.args(arguments).env("PATH", &few));
    assert_eq!(built.status.code(), Some(0), "{}", String::from_utf8_lossy(&built.stderr));
});
