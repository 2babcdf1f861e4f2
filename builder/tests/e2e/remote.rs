//! ADD and contexts from elsewhere: files by HTTP, git repositories.

use crate::support::lab::{Lab, as_everyone};
use crate::support::output::Build;
use crate::support::server::{Files, Page, Repositories, SecureFiles};
use crate::support::tools::{run, tool};
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

/// 2001-02-03T04:05:06Z: when the tests' commits are made.
const COMMITTED: i64 = 981_173_106;

/// Builds, and what is in the result: path -> `mode time content`; directories have no content.
fn built(lab: &Lab, arguments: &[&str], context: &str) -> (Build, BTreeMap<String, String>) {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let out = lab.directory(&format!("out-{}", NEXT.fetch_add(1, Ordering::Relaxed)));
    let output = format!("--output=type=local,dest={}", out.display());
    let build = lab
        .build([&output].into_iter().map(String::as_str).chain(arguments.iter().copied()).chain([context]));
    let mut found = BTreeMap::new();
    list(&out, &out, &mut found);
    (build, found)
}

fn list(root: &Path, at: &Path, found: &mut BTreeMap<String, String>) {
    for entry in std::fs::read_dir(at).expect("it is a directory") {
        let path = entry.expect("it can be read").path();
        let metadata = path.symlink_metadata().expect("it is there");
        let name = path.strip_prefix(root).expect("the walk began there").display().to_string();
        let head = format!("{:o} {}", metadata.mode() & 0o7777, metadata.mtime());
        if metadata.is_dir() {
            found.insert(name, head);
            list(root, &path, found);
        } else if metadata.is_symlink() {
            let target = std::fs::read_link(&path).expect("it is a link");
            found.insert(name, format!("-> {}", target.display()));
        } else {
            found.insert(
                name,
                format!("{head} {}", String::from_utf8_lossy(&std::fs::read(&path).expect("it can be read"))),
            );
        }
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("the path is text")
}

// Whoever writes https:// means it: where it leads to may not be plain HTTP.
as_everyone!(https_stays_https, &["openssl"], |lab| {
    let plain = Files::start();
    plain.put("file", "plain");
    let redirect =
        format!("HTTP/1.1 302 Found\r\nLocation: {}\r\nContent-Length: 0\r\n\r\n", plain.url("file"));
    lab.file("www/moved", redirect);
    lab.file("www/here", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\none");
    let server = SecureFiles::start(&lab.path("www"));
    let authority = format!("--registry-ca={}", server.certificate.display());
    let dockerfile =
        |name: &str, path: &str| lab.dockerfile(name, &format!("FROM scratch\nADD {} /\n", server.url(path)));
    let (_, found) = built(lab, &[&authority], text(&dockerfile("good", "here")));
    assert!(found["here"].ends_with(" one"), "{found:#?}");
    lab.try_build([&authority, text(&dockerfile("bad", "moved"))]).assert_refused(
        1,
        &["it redirects to plain HTTP on 127.0.0.1, which is not followed", "Dockerfile:2:"],
    );
    assert_eq!(plain.take_log(), [""; 0]);
});

as_everyone!(files_by_http, &[], |lab| {
    let server = Files::start();
    server.put(
        "dir/a%20b.txt",
        Page {
            body: b"one".to_vec(),
            headers: vec![
                ("ETag".to_owned(), "\"1\"".to_owned()),
                ("Last-Modified".to_owned(), "Sun, 06 Nov 1994 08:49:37 GMT".to_owned()),
            ],
            ..Page::default()
        },
    );
    server.put("moved", Page { location: Some(server.url("dir/a%20b.txt")), ..Page::default() });
    server.put("plain", "plain");
    let dockerfile = format!(
        "FROM scratch\nADD {a} {plain} /d/\nADD --chmod=755 {moved} /e/f\nADD {plain} local /g/\n",
        a = server.url("dir/a%20b.txt"),
        moved = server.url("moved"),
        plain = server.url("plain"),
    );
    let context = lab.dockerfile("context", &dockerfile);
    lab.file("context/local", "local");
    let (_, found) = built(lab, &[], text(&context));
    assert_eq!(found["d/a b.txt"], "600 784111777 one");
    assert!(found["d/plain"].starts_with("600 ") && found["d/plain"].ends_with(" plain"), "{found:#?}");
    assert_eq!(found["e/f"], "755 784111777 one");
    assert!(found["g/local"].starts_with("644 ") && found.contains_key("g/plain"), "{found:#?}");

    // The server is asked again, and what it has not changed stays cached.
    server.take_log();
    lab.build(["-t", "again", text(&context)]).assert_all_cached();
    let log = server.take_log();
    assert!(log.contains(&"GET /dir/a%20b.txt 304".to_owned()), "{log:?}");
    // Without a tag or a time the file comes again; its bytes are the same.
    assert!(log.contains(&"GET /plain 200".to_owned()), "{log:?}");
    server.put("plain", "changed");
    let again = lab.build(["-t", "again", text(&context)]);
    assert_eq!(again.executed().iter().filter(|step| step.starts_with("ADD")).count(), 3, "{}", again.text);
    assert!(again.text.contains("CACHED") && server.take_log().len() >= 4, "{}", again.text);
    lab.assert_nothing_left();
});

as_everyone!(checksums_and_archives, &["tar"], |lab| {
    let server = Files::start();
    lab.file("archive/inside", "inside");
    run(tool("tar")
        .arg("-C")
        .arg(lab.path("archive"))
        .arg("-czf")
        .arg(lab.path("archive.tgz"))
        .arg("inside"));
    let bytes = std::fs::read(lab.path("archive.tgz")).expect("tar made it");
    let sum = run(tool("sha256sum").arg(lab.path("archive.tgz")));
    let sum = sum.split(' ').next().expect("sha256sum prints the sum first");
    server.put("archive.tgz", Page { body: bytes, ..Page::default() });
    let url = server.url("archive.tgz");

    let context =
        lab.dockerfile("good", &format!("FROM scratch\nADD --unpack --checksum=sha256:{sum} {url} /\n"));
    let (_, found) = built(lab, &[], text(&context));
    assert!(found["inside"].ends_with("inside"), "{found:#?}");
    // With a checksum nobody has to be asked.
    server.take_log();
    lab.build(["-t", "again", text(&context)]).assert_all_cached();
    assert_eq!(server.take_log(), Vec::<String>::new());

    let zeros = "0".repeat(64);
    for (name, dockerfile, wanted) in [
        ("wrong", format!("ADD --checksum=sha256:{zeros} {url} /"), "must have sha256:0000"),
        ("short", format!("ADD --checksum=sha256:123 {url} /"), "--checksum: write sha256:"),
        ("local", format!("ADD --checksum=sha256:{zeros} Dockerfile /"), "--checksum needs a URL"),
        ("several", format!("ADD --checksum=sha256:{zeros} {url} {url} /"), "--checksum is of one source"),
        ("missing", format!("ADD {} /", server.url("missing")), "the server answers with status 404"),
        ("copy", format!("COPY {url} /"), "ADD is the instruction for URLs"),
    ] {
        let context = lab.dockerfile(name, &format!("FROM scratch\n{dockerfile}\n"));
        lab.try_build([text(&context)]).assert_refused(1, &[wanted, "Dockerfile:2:"]);
    }
    lab.assert_nothing_left();
});

as_everyone!(secrets_of_servers, &[], |lab| {
    let server = Files::start();
    let page = |authorization: &str| Page {
        body: b"for some".to_vec(),
        authorization: Some(authorization.to_owned()),
        ..Page::default()
    };
    server.put("token", page("Bearer t0k3n"));
    server.put("header", page("Basic abc"));
    let secret = |id: &str, value: &str| {
        format!("--secret=id={id},src={}", lab.file(&format!("secrets/{id}"), value).display())
    };
    let token = secret("HTTP_AUTH_TOKEN_127.0.0.1", "t0k3n\n");
    let header = secret("HTTP_AUTH_HEADER_127.0.0.1", "Basic abc");
    let elsewhere = secret("HTTP_AUTH_TOKEN_localhost", "t0k3n");
    let add = |url: String| lab.dockerfile("context", &format!("FROM scratch\nADD {url} /x\n"));
    for (secret, path) in [(&token, "token"), (&header, "header")] {
        let (_, found) = built(lab, &[secret], text(&add(server.url(path))));
        assert!(found["x"].ends_with(" for some"), "{found:#?}");
    }
    let context = add(server.url("token"));
    for arguments in [vec!["--no-cache"], vec!["--no-cache", &elsewhere], vec!["--no-cache", &header]] {
        let all = arguments.into_iter().chain([text(&context)]);
        lab.try_build(all).assert_refused(1, &["status 401", "Dockerfile:2:"]);
    }
    // A Dockerfile may be there too.
    let dockerfile = b"FROM scratch\nCOPY <<E /made\nmade\nE\n".to_vec();
    server.put("Alone", Page { body: dockerfile, ..page("Bearer t0k3n") });
    let (_, found) = built(lab, &[&token], &server.url("Alone"));
    assert!(found.contains_key("made"), "{found:#?}");
    lab.assert_nothing_left();
});

as_everyone!(repositories, &["git"], |lab| {
    let server = Repositories::start(&lab.path("repositories"));
    server.commit("library", &[("lib", "library")]);
    let first = server.commit("app", &[("file", "one"), ("sub/deep", "deep"), ("run.sh", "#!/bin/sh")]);
    server.git("app", &["update-index", "--chmod=+x", "run.sh"]);
    server.git("app", &["submodule", "--quiet", "add", "../library", "modules/lib"]);
    std::os::unix::fs::symlink("file", lab.path("repositories/app/link")).expect("it can be made");
    server.git("app", &["checkout", "--quiet", "--", "run.sh"]);
    server.commit("app", &[]);
    server.git("app", &["tag", "-a", "v1", "-m", "first"]);
    let tagged = server.git("app", &["rev-parse", "v1^{commit}"]).trim().to_owned();
    server.commit("app", &[("file", "two")]);
    let url = server.url("app");

    let context = lab.dockerfile(
        "context",
        &format!("FROM scratch\nADD {url} /main/\nADD {url}#v1 /tag\nADD {url}#{first}:sub /sub\nADD {url}?ref=v1&submodules=false&subdir=modules /none/\n"),
    );
    let (_, found) = built(lab, &[], text(&context));
    assert_eq!(found["main/file"], format!("644 {COMMITTED} two"));
    assert_eq!(found["main/run.sh"], format!("755 {COMMITTED} #!/bin/sh"));
    assert_eq!(found["main/link"], "-> file");
    assert_eq!(found["main/modules/lib/lib"], format!("644 {COMMITTED} library"));
    assert!(!found.contains_key("main/.git"), "{found:#?}");
    assert_eq!(found["tag/file"], format!("644 {COMMITTED} one"));
    assert_eq!(found["sub/deep"], format!("644 {COMMITTED} deep"));
    assert!(!found.contains_key("none/lib/lib"), "{found:#?}");
    lab.build(["-t", "again", text(&context)]).assert_all_cached();
    // A branch that moved is noticed; a tag that did not stays cached.
    server.commit("app", &[("file", "three")]);
    let again = lab.build(["-t", "again", text(&context)]);
    assert_eq!(again.text.matches(" CACHED").count(), 3, "{}", again.text);

    // .git is kept on request, and knows where it is.
    let context =
        lab.dockerfile("kept", &format!("FROM scratch\nADD --keep-git-dir --checksum={tagged} {url}#v1 /\n"));
    let out = lab.directory("kept-out");
    lab.build(["-o", text(&out), text(&context)]);
    let git = |arguments: &[&str]| {
        run(tool("git").args(["-c", "safe.directory=*", "-C"]).arg(&out).args(arguments))
    };
    assert_eq!(git(&["rev-parse", "HEAD"]).trim(), tagged);
    assert_eq!(git(&["describe", "--tags"]).trim(), "v1");
    assert_eq!(git(&["remote", "get-url", "origin"]).trim(), url);

    for (name, dockerfile, wanted) in [
        ("checksum", format!("ADD --checksum={} {url}#v1 /", "0".repeat(40)), "must be at 0000"),
        ("reference", format!("ADD {url}#absent /"), "has no branch, tag or commit \"absent\""),
        ("subdir", format!("ADD {url}#main:absent /"), "has no directory \"absent\""),
        ("option", format!("ADD {url}#--upload-pack=touch /"), "is no name of a branch, tag or commit"),
        ("absent", format!("ADD {} /", server.url("absent")), "git ls-remote of"),
        ("keep", "ADD --keep-git-dir Dockerfile /".to_owned(), "--keep-git-dir needs a git repository"),
    ] {
        let context = lab.dockerfile(name, &format!("FROM scratch\n{dockerfile}\n"));
        lab.try_build([text(&context)]).assert_refused(1, &[wanted, "Dockerfile:2:"]);
    }
    lab.assert_nothing_left();
});

as_everyone!(ignore_files_are_of_contexts, &["git"], |lab| {
    let server = Repositories::start(&lab.path("repositories"));
    server.commit("app", &[("kept", "kept"), ("dropped", "dropped"), (".dockerignore", "dropped\n")]);
    let context = lab.dockerfile("context", &format!("FROM scratch\nADD {} /app/\n", server.url("app")));
    lab.file("context/.dockerignore", "**/kept\n");
    let (_, found) = built(lab, &[], text(&context));
    assert!(found.contains_key("app/kept") && found.contains_key("app/dropped"), "{found:#?}");
});

as_everyone!(submodules_go_nowhere_else, &["git"], |lab| {
    let server = Repositories::start(&lab.path("repositories"));
    let secret = lab.file("secret/file", "secret");
    let secret = secret.parent().expect("it is in a directory");
    server.commit("inner", &[("x", "x")]);
    for (name, url) in [
        ("local", secret.display().to_string()),
        ("file", format!("file://{}", secret.display())),
        ("ext", "ext::sh -c touch% /tmp/pwned".to_owned()),
        ("option", "--upload-pack=touch /tmp/pwned".to_owned()),
    ] {
        let module = format!("[submodule \"m\"]\n\tpath = m\n\turl = {url}\n");
        server.commit(name, &[(".gitmodules", &module)]);
        let inner = server.git("inner", &["rev-parse", "HEAD"]);
        server.git(name, &["update-index", "--add", "--cacheinfo", &format!("160000,{},m", inner.trim())]);
        server.git(name, &["commit", "--quiet", "-m", "link"]);
        let context =
            lab.dockerfile(&format!("c-{name}"), &format!("FROM scratch\nADD {} /\n", server.url(name)));
        lab.try_build([text(&context)]).assert_refused(1, &["the submodule \"m\"", "which is not fetched"]);
    }
    assert!(!Path::new("/tmp/pwned").exists());
    lab.assert_nothing_left();
});

as_everyone!(contexts_elsewhere, &["git", "tar"], |lab| {
    let repositories = Repositories::start(&lab.path("repositories"));
    let dockerfile = "FROM scratch\nCOPY . /all\n";
    repositories.commit(
        "app",
        &[
            ("Dockerfile", dockerfile),
            ("app.c", "source"),
            ("sub/Other", dockerfile),
            ("sub/x", "x"),
            (".dockerignore", "*.md\n"),
            ("a.md", ""),
        ],
    );
    let url = repositories.url("app");
    let (_, found) = built(lab, &[], &url);
    assert!(
        found.contains_key("all/app.c") && !found.contains_key("all/a.md") && !found.contains_key("all/.git"),
        "{found:#?}"
    );
    let (_, found) = built(lab, &["-f", "Other"], &format!("{url}#main:sub"));
    assert_eq!(
        found.keys().filter(|name| name.starts_with("all/")).collect::<Vec<_>>(),
        ["all/Other", "all/x"]
    );
    // The time of the commit is the newest there can be.
    lab.build(["--build-arg", "SOURCE_DATE_EPOCH=context", "-t", "timed", &url]);
    assert!(lab.verb(["inspect", "timed"]).contains("2001-02-03T04:05:06Z"));
    lab.build(["--build-arg", "SOURCE_DATE_EPOCH=git", "-t", "timed:git", &url]);
    assert!(lab.verb(["inspect", "timed:git"]).contains("2001-02-03T04:05:06Z"));
    let (_, found) = built(lab, &["--build-arg", "BUILDKIT_CONTEXT_KEEP_GIT_DIR=1"], &url);
    assert!(found.contains_key("all/.git/HEAD"), "{found:#?}");

    let files = Files::start();
    lab.file(
        "packed/Dockerfile",
        "FROM scratch\nCOPY --from=other /f /\nCOPY --from=repository /sub/x /\nCOPY y /\n",
    );
    lab.file("packed/y", "y");
    run(tool("tar").arg("-C").arg(lab.path("packed")).arg("-cf").arg(lab.path("packed.tar")).arg("."));
    let bytes = std::fs::read(lab.path("packed.tar")).expect("tar made it");
    files.put("packed.tar", Page { body: bytes, ..Page::default() });
    files.put("f", "file");
    let other = format!("--build-context=other={}", files.url("f"));
    let repository = format!("--build-context=repository={url}");
    let (_, found) = built(lab, &[&other, &repository], &files.url("packed.tar"));
    assert_eq!(found.keys().collect::<Vec<_>>(), ["f", "x", "y"]);

    files.put("Alone", "FROM scratch\nCOPY <<EOF /alone\nalone\nEOF\n");
    let (_, found) = built(lab, &[], &files.url("Alone"));
    assert_eq!(found.keys().collect::<Vec<_>>(), ["alone"]);
    let context = lab.dockerfile("local", "FROM none\n");
    let (_, found) = built(lab, &["-f", &files.url("Alone")], text(&context));
    assert_eq!(found.keys().collect::<Vec<_>>(), ["alone"]);
    lab.try_build([&files.url("absent")]).assert_refused(1, &["the server answers with status 404"]);
    lab.assert_nothing_left();
});
