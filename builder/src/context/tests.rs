use super::*;
use crate::content::ContentId;
use crate::copy::tests::{listing, tree};
use crate::copy::{CopySource, Ownership, Unpack, copy};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

fn open(dir: &Path) -> Context {
    Context::open(dir, "the build context", ignore_rules(dir, None, None).unwrap()).unwrap()
}

fn digest(dir: &Path, spec: &CopySpec) -> SourceDigest {
    open(dir).digest(spec).unwrap()
}

fn id(dir: &Path, sources: &[&str]) -> ContentId {
    digest(dir, &CopySpec::new(sources.iter().copied(), "/x/")).id
}

fn paths(digest: &SourceDigest) -> Vec<String> {
    digest.entries.iter().map(|entry| String::from_utf8_lossy(&entry.path).into_owned()).collect()
}

const TREE: &str =
    "d755 src\n-644 src/a \"a\"\nd711 src/sub\n-755 src/sub/b \"b\"\nl src/l -> a\n-644 other \"o\"";

#[test]
fn the_id_is_of_what_is_taken() {
    let dir = tree(TREE);
    let path = |name: &str| dir.path().join(name);
    let before = id(dir.path(), &["src"]);
    // Nothing of this reaches the image.
    listing::set_mtime(&path("src/a"), 7);
    listing::set_mtime(&path("src/sub"), 7);
    fs::write(path("other"), "changed").unwrap();
    fs::set_permissions(path("src"), fs::Permissions::from_mode(0o700)).unwrap();
    assert_eq!(id(dir.path(), &["src"]), before);
    assert_eq!(id(dir.path(), &["src/"]), before);
    // All of this does, and each is something else.
    let mut seen = vec![before];
    let mut changed = |what: &str| {
        let now = id(dir.path(), &["src"]);
        assert!(!seen.contains(&now), "{what}");
        seen.push(now);
    };
    fs::write(path("src/a"), "A").unwrap();
    changed("content");
    fs::set_permissions(path("src/sub/b"), fs::Permissions::from_mode(0o700)).unwrap();
    changed("mode");
    fs::set_permissions(path("src/sub"), fs::Permissions::from_mode(0o755)).unwrap();
    changed("mode of a directory");
    fs::rename(path("src/sub/b"), path("src/sub/c")).unwrap();
    changed("name");
    fs::remove_file(path("src/l")).unwrap();
    symlink("b", path("src/l")).unwrap();
    changed("link target");
    fs::remove_file(path("src/l")).unwrap();
    fs::write(path("src/l"), "b").unwrap();
    changed("link to file");
    fs::create_dir(path("src/empty")).unwrap();
    changed("empty directory");
    rustix::fs::setxattr(path("src/a"), "user.k", b"v", rustix::fs::XattrFlags::empty()).unwrap();
    changed("attribute");
    rustix::fs::setxattr(path("src/sub"), "user.k", b"v", rustix::fs::XattrFlags::empty()).unwrap();
    changed("attribute of a directory");
}

#[test]
fn where_the_sources_are_does_not_matter_their_names_do() {
    let dir = tree(&format!("{TREE}\n-644 elsewhere/a \"a\"\n-644 elsewhere/b \"a\"\n-644 third/a \"a\""));
    assert_eq!(id(dir.path(), &["src/a"]), id(dir.path(), &["elsewhere/a"]));
    assert_ne!(id(dir.path(), &["src/a"]), id(dir.path(), &["elsewhere/b"]));
    assert_ne!(id(dir.path(), &["src/a", "other"]), id(dir.path(), &["other", "src/a"]));
    assert_ne!(id(dir.path(), &["third"]), id(dir.path(), &["third/a"]));
    assert_eq!(id(dir.path(), &["third"]), id(dir.path(), &["thi*"]));
    // A link as source is what it points to, under its own name.
    symlink("src/a", dir.path().join("a")).unwrap();
    assert_eq!(id(dir.path(), &["a"]), id(dir.path(), &["src/a"]));
}

#[test]
fn options_that_decide_are_applied() {
    let dir = tree(TREE);
    let spec = |change: fn(&mut CopySpec)| {
        let mut spec = CopySpec::new(["src"], "/x");
        change(&mut spec);
        digest(dir.path(), &spec)
    };
    let plain = spec(|_| ());
    assert!(plain.entries.iter().all(|entry| entry.owner == (0, 0)));
    assert_eq!(paths(&plain), ["src/a", "src/l", "src/sub", "src/sub/b"]);
    assert_ne!(spec(|s| s.chown = Some((1, 2))).id, plain.id);
    assert_ne!(spec(|s| s.chmod = Some("600".parse().unwrap())).id, plain.id);
    assert_ne!(spec(|s| s.excludes = vec!["sub".into()]).id, plain.id);
    assert_ne!(spec(|s| s.parents = true).id, plain.id);
    assert_eq!(spec(|s| s.unpack = Unpack::Auto).id, plain.id);
    // --chmod makes the umask of a checkout meaningless.
    let with_chmod = spec(|s| s.chmod = Some("600".parse().unwrap()));
    fs::set_permissions(dir.path().join("src/a"), fs::Permissions::from_mode(0o664)).unwrap();
    assert_eq!(spec(|s| s.chmod = Some("600".parse().unwrap())).id, with_chmod.id);
    assert_ne!(spec(|_| ()).id, plain.id);
    if crate::copy::tests::own().is_none() {
        std::os::unix::fs::lchown(dir.path().join("src/l"), Some(5), Some(6)).unwrap();
        let kept = spec(|s| s.ownership = Ownership::Keep);
        assert_eq!(kept.entries[1].owner, (5, 6));
    }
}

#[test]
fn excluded_and_ignored_entries_do_not_count() {
    let dir = tree("-644 a/keep \"k\"\n-644 a/x.o \"o\"\n-644 a/only/y.o \"o\"\n-644 b/only/y.o \"o\"");
    let all = id(dir.path(), &["a"]);
    fs::write(dir.path().join(".dockerignore"), "**/*.o\n").unwrap();
    let context = open(dir.path());
    let some = context.digest(&CopySpec::new(["a"], "/x")).unwrap();
    assert_ne!(some.id, all);
    assert_eq!(paths(&some), ["a/keep", "a/only"]);
    fs::write(dir.path().join("a/z.o"), "more").unwrap();
    assert_eq!(context.digest(&CopySpec::new(["a"], "/x")).unwrap(), some);
    // Directories that are only walked for exceptions in them leave no trace without one.
    fs::write(dir.path().join(".dockerignore"), "a/only\n!a/only/nothing\n**/*.o\n").unwrap();
    assert_eq!(paths(&digest(dir.path(), &CopySpec::new(["a"], "/x"))), ["a/keep"]);
    let mut exclude = CopySpec::new(["a"], "/x");
    exclude.excludes = vec!["*".into(), "!only/y.o".into()];
    fs::remove_file(dir.path().join(".dockerignore")).unwrap();
    assert_eq!(paths(&digest(dir.path(), &exclude)), ["a/only", "a/only/y.o"]);
}

/// Digest and copy see the same: what one lists is what the other writes.
#[test]
fn the_digest_lists_what_the_copy_writes() {
    let dir = tree(&format!("{TREE}\np644 src/fifo\n-644 deep/er/f \"f\"\n-644 deep/g \"g\""));
    let specs: [(&[&str], bool, &[&str]); 5] = [
        (&["src"], false, &[]),
        (&["."], false, &["src/sub"]),
        (&["deep/er/f", "src"], true, &[]),
        (&["**/f"], true, &[]),
        (&["*"], false, &["g", "er"]),
    ];
    for (sources, parents, excludes) in specs {
        let spec = CopySpec {
            parents,
            excludes: excludes.iter().map(|e| (*e).to_owned()).collect(),
            ..crate::copy::tests::spec(sources, "/x/")
        };
        let context = open(dir.path());
        let digest = context.digest(&spec).unwrap();
        let to = tree("");
        let copied = copy(&spec, &context.tree(), &Root::open(to.path()).unwrap()).unwrap();
        assert_eq!(copied.warnings, digest.warnings);
        // The same tree as the source of the next COPY has the same id, if nothing was flattened into it.
        if !parents && sources.len() == 1 && sources[0] != "*" {
            let again = CopySpec { excludes: Vec::new(), ..crate::copy::tests::spec(&["x"], "/y") };
            let stage = open(to.path()).digest(&again).unwrap();
            assert_eq!(stage.id, digest.id, "{sources:?}");
            assert_eq!(stage.entries.len() as u64, copied.entries);
        }
    }
}

#[test]
fn heredocs_and_fetched_files() {
    let dir = tree("-600 fetched \"f\"");
    let spec = |source: CopySource| CopySpec { sources: vec![source], ..CopySpec::new(["a"], "/x/") };
    let inline = |name: &str, text: &str| {
        let source = CopySource::Inline { name: name.into(), bytes: text.into() };
        digest(dir.path(), &spec(source)).id
    };
    assert_eq!(inline("a", "text"), inline("a", "text"));
    assert_ne!(inline("a", "text"), inline("a", "other"));
    assert_ne!(inline("a", "text"), inline("b", "text"));
    let fetched = |mode: u32, modified: Option<std::time::SystemTime>| {
        let path = dir.path().join("fetched");
        let unpack = Unpack::Never;
        let source = CopySource::File { path, name: "f".into(), mode, modified, unpack };
        digest(dir.path(), &spec(source)).id
    };
    assert_eq!(fetched(0o600, None), fetched(0o600, Some(std::time::UNIX_EPOCH)));
    assert_ne!(fetched(0o600, None), fetched(0o644, None));
    fs::write(dir.path().join("fetched"), "other").unwrap();
    assert_ne!(fetched(0o600, None), inline("f", "other"));
}

#[test]
fn the_index_changes_nothing_but_time() {
    let dir = tree(TREE);
    let store = tempfile::tempdir().unwrap();
    let file = store.path().join("index");
    let spec = CopySpec::new(["."], "/x");
    let plain = digest(dir.path(), &spec);
    std::thread::sleep(std::time::Duration::from_millis(100));
    for round in 0..3 {
        let context = open(dir.path()).with_index(file.clone());
        assert_eq!(context.digest(&spec).unwrap(), plain, "round {round}");
        context.save().unwrap();
        assert!(file.exists());
    }
    // It is really used: where the file cannot be read, the record serves.
    let context = open(dir.path()).with_index(file.clone());
    let stat = rustix::fs::statat(context.root(), "src/a", rustix::fs::AtFlags::empty()).unwrap();
    let index = Index::open(file.clone());
    assert_eq!(index.get(b"src/a", &stat).unwrap().content, ContentId::of(b"a"));
    // And it does not hide a change.
    fs::write(dir.path().join("src/a"), "A").unwrap();
    assert_ne!(context.digest(&spec).unwrap(), plain);
    fs::write(dir.path().join("src/a"), "a").unwrap();
    assert_eq!(context.digest(&spec).unwrap(), plain);
}

#[test]
fn warnings_and_errors_are_those_of_the_copy() {
    let dir = tree("-644 a \"a\"");
    fs::write(dir.path().join(".dockerignore"), "a\n").unwrap();
    let context = open(dir.path());
    let error = context.digest(&CopySpec::new(["a"], "/x")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "\"a\" not found in the build context: \"a\" is excluded by rule \"a\" (.dockerignore:1)"
    );
    let digest = context.digest(&CopySpec::new(["a*"], "/x")).unwrap();
    assert!(digest.entries.is_empty());
    assert_eq!(digest.warnings.len(), 1);
}

#[test]
fn an_empty_context_is_one() {
    let dir = tree("");
    let digest = digest(dir.path(), &CopySpec::new(["."], "/x"));
    assert!(digest.entries.is_empty());
    assert!(matches!(Context::open(&dir.path().join("missing"), "x", None), Err(ContextError::Open { .. })));
}

#[test]
fn which_ignore_file_counts() {
    let dir = tree("-644 sub/Dockerfile \"FROM scratch\"\n-644 Dockerfile \"FROM scratch\"");
    let path = |name: &str| dir.path().join(name);
    let file = |dockerfile: Option<&str>| {
        let dockerfile = dockerfile.map(path);
        ignore_rules(dir.path(), dockerfile.as_deref(), None).unwrap().map(|rules| rules.file)
    };
    assert_eq!(file(Some("Dockerfile")), None);
    fs::write(path(".dockerignore"), "x\n").unwrap();
    assert_eq!(file(Some("Dockerfile")).as_deref(), Some(".dockerignore"));
    assert_eq!(file(None).as_deref(), Some(".dockerignore"));
    // Also an empty one replaces the other.
    fs::write(path("sub/Dockerfile.dockerignore"), "").unwrap();
    assert!(file(Some("sub/Dockerfile")).unwrap().ends_with("sub/Dockerfile.dockerignore"));
    assert_eq!(file(Some("Dockerfile")).as_deref(), Some(".dockerignore"));
    fs::write(path(".dockerignore"), "ok\n[x\n").unwrap();
    let error = ignore_rules(dir.path(), None, None).unwrap_err();
    assert!(error.to_string().starts_with(".dockerignore:2: "), "{error}");
    fs::write(path(".dockerignore"), "!\n").unwrap();
    let error = ignore_rules(dir.path(), None, None).unwrap_err();
    assert_eq!(error.to_string(), ".dockerignore:1: ! must be followed by a pattern");
    // A link of the context does not lead out of it.
    fs::remove_file(path(".dockerignore")).unwrap();
    symlink("/etc/passwd", path(".dockerignore")).unwrap();
    assert_eq!(file(None), None);
}

#[test]
fn an_ignore_file_that_is_none() {
    let dir = tree("-644 Dockerfile \"FROM scratch\"");
    let path = |name: &str| dir.path().join(name);
    let said = |dockerfile: Option<&Path>, place: Option<&str>| {
        use std::error::Error;
        let error = ignore_rules(dir.path(), dockerfile, place).unwrap_err();
        let cause = error.source().map(ToString::to_string).unwrap_or_default();
        (error.to_string(), cause)
    };
    let cause = "it is a directory, and should be a file with patterns";
    for name in [".dockerignore", "Dockerfile.dockerignore"] {
        fs::create_dir(path(name)).unwrap();
        let dockerfile = Some(path("Dockerfile"));
        let shown = format!("cannot read the ignore file {}", path(name).display());
        assert_eq!(said(dockerfile.as_deref(), None), (shown, cause.to_owned()));
        // Where a context was put is nobody's business.
        let shown = format!("cannot read the ignore file {name} of the context");
        assert_eq!(said(dockerfile.as_deref(), Some("the context")), (shown, cause.to_owned()));
    }
    fs::remove_dir(path("Dockerfile.dockerignore")).unwrap();
    fs::remove_dir(path(".dockerignore")).unwrap();
    // Nor does what was sent lead to files of the machine.
    let elsewhere = tree("-644 patterns \"[\"");
    symlink(elsewhere.path().join("patterns"), path("Dockerfile.dockerignore")).unwrap();
    let dockerfile = path("Dockerfile");
    assert!(ignore_rules(dir.path(), Some(&dockerfile), Some("the context")).unwrap().is_none());
    assert!(ignore_rules(dir.path(), Some(&dockerfile), None).is_err());
}

#[test]
fn the_dockerfile_may_be_ignored() {
    let dir = tree("-644 Dockerfile \"FROM scratch\"\n-644 a \"a\"");
    fs::write(dir.path().join(".dockerignore"), "Dockerfile\n.dockerignore\n").unwrap();
    let context = open(dir.path());
    assert_eq!(context.root().read(Path::new("Dockerfile"), 100).unwrap(), b"FROM scratch");
    assert_eq!(paths(&context.digest(&CopySpec::new(["."], "/")).unwrap()), ["a"]);
}

#[test]
fn standard_input() {
    let extracted = |bytes: &[u8]| {
        let dir = tree("");
        (read_stdin(bytes, dir.path()), dir)
    };
    for compression in ["none", "gzip", "bzip2", "zstd"] {
        let members = ["d555 9:9 @7 d", "-400 9:9 @7 d/a \"a\"", "-644 9:9 @7 Dockerfile \"FROM scratch\""];
        let (result, dir) = extracted(&listing::archive(&members, compression));
        assert!(matches!(result, Ok(StdinContext::Archive { .. })), "{compression}: {result:?}");
        assert_eq!(
            listing::list(dir.path()),
            "-644 0:0 @7 Dockerfile \"FROM scratch\"\nd555 0:0 @7 d\n-400 0:0 @7 d/a \"a\"\n"
        );
        fs::set_permissions(dir.path().join("d"), fs::Permissions::from_mode(0o755)).unwrap();
    }
    for text in ["", "FROM scratch\n", &"# a long comment\n".repeat(1000)] {
        let (result, _dir) = extracted(text.as_bytes());
        assert!(matches!(result, Ok(StdinContext::Dockerfile(bytes)) if bytes == text.as_bytes()));
    }
    let hostile = ["l @7 out -> /tmp", "-644 @7 out/x \"x\"", "-644 @7 ../../y \"y\""];
    let (result, dir) = extracted(&listing::archive(&hostile, "gzip"));
    assert!(result.is_ok(), "{result:?}");
    let list = listing::list(dir.path());
    assert!(list.contains(" tmp/x \"x\"") && list.contains(" y \"y\""), "{list}");
    let mut cut = listing::archive(&["-644 @7 a \"aaaa\""], "none");
    cut.truncate(514);
    let (result, _dir) = extracted(&cut);
    assert!(matches!(result, Err(ContextError::Archive { .. })), "{result:?}");
}

/// What editors and builds of others do beside us: files come and go all the time.
#[test]
fn files_that_come_and_go_are_no_error() {
    use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
    let (dir, into) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::write(dir.path().join("stays"), "x").unwrap();
    let (stop, spec) = (AtomicBool::new(false), CopySpec::new(["."], "/"));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let names: Vec<_> = (0..40).map(|number| dir.path().join(number.to_string())).collect();
            while !stop.load(Relaxed) {
                names.iter().for_each(|name| std::fs::write(name, "y").unwrap());
                names.iter().for_each(|name| std::fs::remove_file(name).unwrap());
            }
        });
        let context = open(dir.path());
        let outcome = (0..300).try_for_each(|number| {
            let found = context.digest(&spec)?;
            assert!(paths(&found).contains(&"stays".to_owned()));
            let target = into.path().join(number.to_string());
            std::fs::create_dir(&target).unwrap();
            crate::copy::copy(&spec, &context.tree(), &Root::open(&target).unwrap())?;
            assert!(target.join("stays").exists());
            Ok::<_, crate::copy::CopyError>(())
        });
        stop.store(true, Relaxed);
        outcome.unwrap();
    });
}
