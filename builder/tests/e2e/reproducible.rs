//! The same input gives the same image, byte for byte: wherever, by whomever, on however many processors, and from
//! whatever cache it is built. When it does not, the test says which entry of which layer differs.

use crate::support::bases;
use crate::support::differences;
use crate::support::lab::{Lab, Who};
use crate::support::output::Build;
use crate::support::registry::Registry;
use crate::support::tools::{output, run, tool};
use std::fs;
use std::path::{Path, PathBuf};

const TOOLS: &[&str] =
    &["docker-registry", "git", "setfattr", "skopeo", "taskset", bases::TOOLS[1], bases::TOOLS[2]];

/// When the commit of every checkout was made: 2024-01-02T03:04:05Z.
const COMMITTED: u64 = 1_704_164_645;

/// A little of everything: what programs write in a random order and at their own time, what a checkout has from its
/// user, and what an archive brings along.
const DOCKERFILE: &str = r#"# syntax=docker/dockerfile:1
FROM BASE AS made
ARG SOURCE_DATE_EPOCH
RUN <<SCRIPT
set -e
mkdir -p /made/deep/er
for n in $(seq 1 120 | shuf); do echo "$n" > "/made/$n"; done
echo twice > /made/first && ln /made/first /made/deep/second && ln /made/first /made/deep/er/a-third
ln -s ../first /made/deep/link && mkfifo /made/pipe
truncate -s 3M /made/sparse && printf end >> /made/sparse
chmod 4711 /made/1 && chmod 1777 /made/deep && chown 1234:4321 /made/2
touch -d @946684800 /made/old
echo "$SOURCE_DATE_EPOCH" > /made/epoch
{ hostname; umask; env | sort; pwd; id; date +%Z; } > /made/surroundings
SCRIPT
FROM made AS one
RUN --mount=type=cache,target=/cache date > /cache/now && head -c 200000 /dev/zero | tr '\0' x > /one
FROM made AS two
RUN for n in $(seq 1 50 | shuf); do echo "$n" > "/two-$n"; done && rm -r /made/deep && mkdir /made/deep
FROM BASE
WORKDIR /app/of/mine
COPY . /app/tree
COPY --chown=12:34 --chmod=a=rX,u+w tree/many chosen/
COPY --link tree/script /usr/bin/script
ADD odd.tar /odd/
COPY --from=one /one /made/1[0-9] /from/one/
COPY --from=two /two-* /from/two/
COPY --from=two /made /from/made
COPY <<ONE <<"TWO" /text/
$PATH
ONE
$PATH
TWO
ENV A=b C=d
RUN rm /app/tree/tree/many/7 && echo more >> /app/tree/tree/script && rm -r /from/two && mkdir /from/two
USER 1000:1000
RUN id > /tmp/id
LABEL z=1 a=2
VOLUME ["/v2", "/v1"]
EXPOSE 80 53/udp
HEALTHCHECK CMD true
CMD ["cat", "/text/ONE"]
"#;

/// One way to build.
#[derive(Clone, Copy)]
struct Way {
    /// For messages.
    name: &'static str,
    who: Who,
    store: &'static str,
    checkout: &'static str,
    /// The program and its arguments come after these.
    under: &'static [&'static str],
    arguments: &'static [&'static str],
    /// Everything is known from an earlier way.
    cached: bool,
}

const GIT: &[&str] = &["--build-arg", "SOURCE_DATE_EPOCH=git"];
const PLAIN: Way = Way {
    name: "plain",
    who: Who::Root,
    store: "store",
    checkout: "checkout",
    under: &[],
    arguments: GIT,
    cached: false,
};
const USER: Way = Way { name: "as a user", who: Who::Unprivileged, ..PLAIN };
const ELSEWHERE: &[&str] = &[
    "unshare",
    "--uts",
    "sh",
    "-c",
    "hostname elsewhere; umask 0077; exec \"$@\"",
    "sh",
    "env",
    "TZ=Pacific/Kiritimati",
    "LC_ALL=tr_TR.UTF-8",
    "HOSTNAME=elsewhere",
];

/// In this order: later ones find what earlier ones left in their store.
const WAYS: &[Way] = &[
    PLAIN,
    Way { name: "warm", cached: true, ..PLAIN },
    Way { name: "warm, from another checkout", checkout: "home/other/check out", cached: true, ..PLAIN },
    Way { name: "warm, and nothing of it used", arguments: &[GIT[0], GIT[1], "--no-cache"], ..PLAIN },
    Way { name: "another checkout", store: "store-2", checkout: "home/other/check out", ..PLAIN },
    Way { name: "one processor", store: "store-3", under: &["taskset", "-c", "0"], ..PLAIN },
    Way {
        name: "one step at a time",
        store: "store-4",
        arguments: &[GIT[0], GIT[1], "--parallelism=1"],
        ..PLAIN
    },
    Way { name: "another machine", store: "store-5", under: ELSEWHERE, ..PLAIN },
    Way {
        name: "the time as a number",
        store: "store-5",
        arguments: &["--build-arg", "SOURCE_DATE_EPOCH=1704164645"],
        cached: true,
        ..PLAIN
    },
    USER,
    Way { name: "as a user, warm", cached: true, ..USER },
    Way { name: "as a user, one processor", store: "store-2", under: &["taskset", "-c", "0"], ..USER },
    Way {
        name: "as a user, another machine and checkout",
        store: "store-3",
        checkout: "home/other/check out",
        under: ELSEWHERE,
        ..USER
    },
];

/// What each way writes, and under which name.
const OUTPUTS: [&str; 3] = ["gzip", "zstd", "uncompressed"];

#[test]
fn wherever_and_by_whomever() {
    let name = concat!(module_path!(), "::wherever_and_by_whomever");
    let (Some(root), Some(user)) =
        (Lab::new(name, Who::Root, TOOLS), Lab::new(name, Who::Unprivileged, TOOLS))
    else {
        return;
    };
    let registry = Registry::start(&root.path("docker"));
    let dockerfile = DOCKERFILE.replace("BASE", &registry.push_base("busybox"));
    for lab in [&root, &user] {
        check_out(lab, "checkout", &dockerfile, false);
        check_out(lab, "home/other/check out", &dockerfile, true);
    }
    let lab_of = |way: &Way| if way.who == Who::Root { &root } else { &user };
    let mut reference: Option<Made> = None;
    let mut wrong = Vec::new();
    for (number, way) in WAYS.iter().enumerate() {
        let made = build(lab_of(way), way, number);
        let Some(reference) = &reference else {
            reference = Some(made);
            continue;
        };
        wrong.extend(reference.differences(&made).into_iter().map(|line| format!("{}: {line}", way.name)));
    }
    let shown = wrong.len().min(60);
    assert!(
        wrong.is_empty(),
        "{} differences to {:?}:\n{}",
        wrong.len(),
        PLAIN.name,
        wrong[..shown].join("\n")
    );
    for lab in [&root, &user] {
        lab.assert_nothing_left();
    }
}

/// The test above would say so.
#[test]
fn what_differs_is_named() {
    let name = concat!(module_path!(), "::what_differs_is_named");
    let Some(lab) = Lab::new(name, Who::Root, &[]) else { return };
    let context = lab.dockerfile("context", "FROM scratch\nCOPY file other /app/\n");
    lab.file("context/other", "the same");
    let file = lab.file("context/file", "content");
    let built = |store: &str, arguments: &[&str], mode: &str, time: &str| {
        run(tool("chmod").arg(mode).arg(&file));
        run(tool("touch").args(["-d", time]).arg(&file));
        let out = lab.path(format!("home/{store}"));
        let mut command = lab.command(["build", "-q", "-o"]);
        command.arg(format!("type=oci,tar=false,dest={}", out.display())).args(arguments).arg(&context);
        run(command.env("SLIPWAY_ROOT", lab.path(format!("store-{store}"))));
        out
    };
    let epoch = ["--build-arg", "SOURCE_DATE_EPOCH=1500000000"];
    let first = built("first", &epoch, "644", "@1600000000");
    assert_eq!(differences::of_images(&first, &built("same", &epoch, "644", "@1700000000")), [""; 0]);
    let found = differences::of_images(&first, &built("mode", &epoch, "755", "@1600000000"));
    assert!(found.contains(&"layer 0: app/file: mode 644, and 755".to_owned()), "{found:#?}");
    let found = differences::of_images(&first, &built("older", &epoch, "644", "@1400000000"));
    assert!(found.contains(&"layer 0: app/file: mtime 1500000000, and 1400000000".to_owned()), "{found:#?}");
    assert_eq!(found.len(), 2, "the layer, and its DiffID: {found:#?}");
}

#[test]
fn a_context_without_a_commit_is_refused() {
    let name = concat!(module_path!(), "::a_context_without_a_commit_is_refused");
    let Some(lab) = Lab::new(name, Who::Root, &["git"]) else { return };
    let context = lab.dockerfile("context", "FROM scratch\nCOPY Dockerfile /\n");
    let try_build = || lab.try_build([GIT[0], GIT[1], &context.display().to_string()]);
    let said = format!("git show of {} failed: fatal: ", context.display());
    try_build().assert_refused(1, &[&said, "not a git repository"]);
    run(tool("git").args(["init", "--quiet"]).arg(&context));
    try_build().assert_refused(1, &[&said, "unknown revision"]);
    lab.assert_nothing_left();
}

/// Where the outputs of a build are.
struct Made {
    directory: PathBuf,
}

impl Made {
    fn differences(&self, other: &Made) -> Vec<String> {
        let mut found = Vec::new();
        for output in OUTPUTS {
            let lines = differences::of_images(&self.directory.join(output), &other.directory.join(output));
            found.extend(lines.into_iter().map(|line| format!("{output}: {line}")));
        }
        let files =
            |made: &Made| fs::read(made.directory.join("files.tar")).expect("the archive was written");
        if files(self) != files(other) {
            found.push("files.tar: other bytes".to_owned());
        }
        found
    }
}

fn build(lab: &Lab, way: &Way, number: usize) -> Made {
    let directory = lab.directory(&format!("home/out-{number}"));
    let shown = directory.display();
    let mut words: Vec<String> = way.under.iter().map(|word| (*word).to_owned()).collect();
    if way.who == Who::Unprivileged {
        let owner = lab.owner();
        let (uid, gid) = owner.split_once(':').expect("an owner has a group");
        words.extend(["setpriv".to_owned(), format!("--reuid={uid}"), format!("--regid={gid}")]);
        words.extend(["--clear-groups".to_owned(), "--".to_owned()]);
    }
    words.extend([lab.program().display().to_string(), "build".to_owned(), "--progress=plain".to_owned()]);
    words.extend(OUTPUTS.map(|compression| {
        format!("--output=type=oci,tar=false,compression={compression},dest={shown}/{compression}")
    }));
    words.push(format!("--output=type=tar,dest={shown}/files.tar"));
    words.extend(way.arguments.iter().map(|word| (*word).to_owned()));
    let mut command = tool("env");
    command.arg("--").args(&words).arg(".");
    // Its environment and place, but its user only after `unshare`.
    let from = lab.command([""; 0]);
    command.env_clear().envs(from.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.env("SLIPWAY_ROOT", lab.path(way.store)).current_dir(lab.path(way.checkout));
    let build = Build::from(output(&mut command));
    assert_eq!(build.status, Some(0), "{}: {}", way.name, build.text);
    if way.cached {
        build.assert_all_cached();
    }
    Made { directory }
}

/// Writes the same files at `name`, in the one order or the other, with other times, as a commit of its own.
fn check_out(lab: &Lab, name: &str, dockerfile: &str, reversed: bool) {
    let many: Vec<String> = (0..40).map(|n| format!("tree/many/{n}")).collect();
    let mut files: Vec<(&str, &str)> = many.iter().map(|path| (path.as_str(), path.as_str())).collect();
    files.extend([
        ("Dockerfile", dockerfile),
        (".dockerignore", ".git\n**/*.tmp\n"),
        ("tree/script", "#!/bin/sh\nexit 0\n"),
        ("tree/nobody", "not mine"),
        ("tree/ä b", "a name"),
    ]);
    if reversed {
        files.reverse();
    }
    for (path, content) in files {
        lab.file(&format!("{name}/{path}"), content);
    }
    let root = lab.path(name);
    fs::write(root.join("odd.tar"), odd_archive()).expect("the laboratory is writable");
    let links = if reversed { ["tree/b-link", "tree/a-link"] } else { ["tree/a-link", "tree/b-link"] };
    for link in links {
        std::os::unix::fs::symlink("script", root.join(link)).expect("the laboratory is writable");
    }
    if reversed {
        // A file that was there makes other room in its directory.
        lab.file(&format!("{name}/tree/many/x.tmp"), "ignored");
    }
    for (path, mode) in
        [("tree/script", "4755"), ("tree/nobody", "600"), ("tree/many", "2775"), ("tree", "711")]
    {
        run(tool("chmod").arg(mode).arg(root.join(path)));
    }
    let attribute = ["-n", "user.origin", "-v", "here"];
    run(tool("setfattr").args(attribute).arg(root.join("tree/script")));
    commit(&root);
    let time = if reversed { "2025-06-07 08:09:10.5" } else { "2024-02-03 04:05:06" };
    run(tool("find").arg(&root).args(["-name", ".git", "-prune", "-o"]).args([
        "-exec",
        "touch",
        "--no-dereference",
        "--date",
        time,
        "{}",
        "+",
    ]));
    run(tool("chown").args(["--no-dereference", "--recursive", &lab.owner()]).arg(&root));
}

fn commit(repository: &Path) {
    let git = |arguments: &[&str]| {
        let mut command = tool("git");
        command
            .arg("-C")
            .arg(repository)
            .args(["-c", "user.name=x", "-c", "user.email=x@x", "-c", "safe.directory=*"])
            .args(arguments);
        command.env("GIT_AUTHOR_DATE", "2020-01-01T00:00:00Z").env("GIT_CONFIG_GLOBAL", "/dev/null");
        run(command.env("GIT_COMMITTER_DATE", format!("{COMMITTED} +0200")));
    };
    git(&["init", "--quiet"]);
    git(&["add", "--all"]);
    git(&["commit", "--quiet", "--message=all"]);
}

/// What few files in a checkout are: of other owners, with capabilities, twice the same, a pipe.
fn odd_archive() -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    let header = |kind, size| {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(kind);
        header.set_mode(0o640);
        header.set_uid(1234);
        header.set_gid(4321);
        header.set_size(size);
        header.set_mtime(1_735_689_600);
        header
    };
    // cap_net_raw+ep, version 2.
    let capability = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let extensions = [("SCHILY.xattr.security.capability", &capability[..]), ("mtime", b"1735689600.25")];
    archive.append_pax_extensions(extensions).expect("memory is writable");
    let bytes = &b"z-program"[..];
    archive
        .append_data(&mut header(tar::EntryType::Regular, 9), "z-program", bytes)
        .expect("memory is writable");
    archive
        .append_link(&mut header(tar::EntryType::Link, 0), "a-program", "z-program")
        .expect("memory is writable");
    let empty: &[u8] = &[];
    archive.append_data(&mut header(tar::EntryType::Fifo, 0), "pipe", empty).expect("memory is writable");
    archive.into_inner().expect("memory is writable")
}
