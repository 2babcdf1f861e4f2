//! The verbs that only need a store, on one that is made by hand.

use super::*;
use crate::cli::failure::Failure;
use crate::image::{self, Dialect, ImageLayer};
use crate::rootfs::XattrFlavor;
use crate::store::Store;
use registry_client::config::{History, ImageConfig};
use registry_client::descriptor::Descriptor;
use registry_client::digest::{DiffId, Digest};
use registry_client::media_type::MediaType;
use registry_client::platform::Platform;
use std::collections::BTreeMap;
use std::time::SystemTime;
use tempfile::TempDir;

struct Bench {
    store: Store,
    now: SystemTime,
    _directory: TempDir,
}

impl Bench {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("store"), XattrFlavor::User).unwrap();
        let now = humantime::parse_rfc3339("2024-06-15T12:00:00Z").unwrap();
        Self { store, now, _directory: directory }
    }

    /// Keeps an image of one layer made of `content`; returns its id.
    fn image(&self, content: &str, created: &str, names: &[&str]) -> Digest {
        let blob = self.store.blobs().insert(content.as_bytes()).unwrap();
        let diff_id = DiffId(blob.digest);
        let descriptor = Descriptor::new(MediaType::OciLayer, blob.digest, blob.size);
        let mut config = ImageConfig::empty(&Platform::host());
        config.created = Some(created.to_owned());
        config.rootfs.diff_ids = vec![diff_id];
        config.history = vec![
            History {
                created: Some(created.to_owned()),
                created_by: Some(format!("RUN echo {content} \x1b[2J&& a very long command line it is")),
                comment: Some("slipway".to_owned()),
                ..History::default()
            },
            History {
                created: Some(created.to_owned()),
                created_by: Some("CMD [\"sh\"]".to_owned()),
                empty_layer: true,
                ..History::default()
            },
        ];
        let layers = [ImageLayer { diff_id, descriptor }];
        let image = image::keep(&self.store, &config, &layers, Dialect::Oci, &BTreeMap::new()).unwrap();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        self.store.images().add(&image.manifest, &names).unwrap();
        image.id()
    }

    fn images(&self, words: &[&str]) -> String {
        let mut out = Vec::new();
        images::run(&args(words), &self.store, &mut out, self.now).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn rmi(&self, words: &[&str]) -> Result<String, Failure> {
        let mut out = Vec::new();
        rmi::run(&args(words), &self.store, &mut out)?;
        Ok(String::from_utf8(out).unwrap())
    }
}

fn args<A: clap::Args>(words: &[&str]) -> A {
    let words = std::iter::once("verb").chain(words.iter().copied());
    A::from_arg_matches(&A::augment_args(clap::Command::new("verb")).get_matches_from(words)).unwrap()
}

const APP: &str = "docker.io/library/app:1";
const OTHER: &str = "localhost:5000/team/other:v2";

fn short(id: &Digest) -> String {
    id.hex()[..12].to_owned()
}

#[test]
fn images_are_listed() {
    let bench = Bench::new();
    assert_eq!(bench.images(&[]), "REPOSITORY   TAG   IMAGE ID   CREATED   SIZE\n");
    let app = bench.image("1234", "2024-06-15T10:00:00Z", &[APP, "docker.io/library/app:latest"]);
    let other = bench.image("12345", "2024-06-15T11:00:00Z", &[OTHER]);
    let nameless = bench.image("123456", "2024-06-01T11:00:00Z", &[]);
    let (a, o, n) = (short(&app), short(&other), short(&nameless));
    assert_eq!(
        bench.images(&[]),
        format!(
            "REPOSITORY                  TAG      IMAGE ID       CREATED       SIZE\n\
             localhost:5000/team/other   v2       {o}   1 hour ago    5 B\n\
             app                         1        {a}   2 hours ago   4 B\n\
             app                         latest   {a}   2 hours ago   4 B\n\
             <none>                      <none>   {n}   2 weeks ago   6 B\n"
        )
    );
    assert_eq!(bench.images(&["-q"]), format!("{o}\n{a}\n{n}\n"));
    assert_eq!(bench.images(&["-q", "--no-trunc", "app"]), format!("{app}\n"));
    assert_eq!(bench.images(&["app:1"]).lines().count(), 2);
    assert_eq!(bench.images(&["library/app:2"]).lines().count(), 1);
    let json: serde_json::Value =
        serde_json::from_str(&bench.images(&["--format", "json", "localhost:5000/team/other"])).unwrap();
    assert_eq!((json["Tag"].as_str(), json["Bytes"].as_u64()), (Some("v2"), Some(5)));
}

#[test]
fn images_are_inspected() {
    let bench = Bench::new();
    let id = bench.image("1234", "2024-06-15T10:00:00Z", &[APP]);
    for word in ["app:1", "docker.io/library/app:1", &id.to_string(), &short(&id)] {
        let mut out = Vec::new();
        inspect::of_store(&args(&[word]), &bench.store, &mut out).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&out).unwrap();
        let object = &json[0];
        assert_eq!(object["Id"], id.to_string(), "{word}");
        assert_eq!(object["RepoTags"][0], "app:1");
        assert_eq!(
            object["RepoDigests"][0],
            format!("app@{}", object["Descriptor"]["digest"].as_str().unwrap())
        );
        assert_eq!(object["Size"], 4);
        assert_eq!(object["RootFS"]["Layers"][0], Digest::of(b"1234").to_string());
    }
    let error = inspect::of_store(&args(&["app:1", "app"]), &bench.store, &mut Vec::new()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "there is no image \"app\" in the store; build images lists those there are"
    );
}

#[test]
fn history_is_shown() {
    let bench = Bench::new();
    let id = short(&bench.image("1234", "2024-06-15T10:00:00Z", &[APP]));
    let mut out = Vec::new();
    history::run(&args(&["app:1"]), &bench.store, &mut out, bench.now).unwrap();
    assert_eq!(
        String::from_utf8(out).unwrap(),
        format!(
            "IMAGE          CREATED       CREATED BY                                      SIZE   COMMENT\n\
             {id}   2 hours ago   CMD [\"sh\"]                                      0 B\n\
             <missing>      2 hours ago   RUN echo 1234 && a very long command line it…   4 B    slipway\n"
        )
    );
}

#[test]
fn names_come_and_go() {
    let bench = Bench::new();
    let id = bench.image("1234", "2024-06-15T10:00:00Z", &[APP]);
    tag::run(&args(&["app:1", "localhost:5000/app"]), &bench.store).unwrap();
    tag::run(&args(&[&short(&id), "app:2"]), &bench.store).unwrap();
    assert_eq!(bench.images(&[]).lines().count(), 4);
    for (target, message) in [
        ("UPPER", "\"UPPER\" is no image name"),
        (&*format!("app@{id}"), "has a digest; an image is named by NAME[:TAG]"),
    ] {
        let error = tag::run(&args(&["app:1", target]), &bench.store).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
    assert_eq!(bench.rmi(&["app:2"]).unwrap(), "Untagged: app:2\n");
    let error = bench.rmi(&[&short(&id)]).unwrap_err();
    assert!(matches!(&error, Failure::SeveralNames { names, .. } if names.len() == 2), "{error}");
    assert_eq!(bench.rmi(&["app:1", "localhost:5000/app"]).unwrap().matches("Deleted").count(), 1);
    assert!(matches!(bench.rmi(&["app:1"]), Err(Failure::NoImage(_))));
    assert_eq!(bench.rmi(&["-f", "app:1"]).unwrap(), "");
    let id = bench.image("12", "2024-06-15T10:00:00Z", &[APP, OTHER]);
    let removed = bench.rmi(&["--force", &short(&id)]).unwrap();
    assert_eq!(removed, format!("Untagged: app:1\nUntagged: {}\nDeleted: {id}\n", OTHER));
    assert_eq!(bench.images(&["-q"]), "");
}

#[test]
fn archives_go_out_and_come_in() {
    let bench = Bench::new();
    let app = bench.image("1234", "2024-06-15T10:00:00Z", &[APP, "docker.io/library/app:2"]);
    let nameless = bench.image("12345", "2024-06-15T10:00:00Z", &[]);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("images.tar");
    let path = path.to_str().unwrap();
    save::run(&args(&["-o", path, "app:1", &short(&nameless), "app:2", "app:1"]), &bench.store).unwrap();
    let all = directory.path().join("all.tar");
    save::run(&args(&["-o", all.to_str().unwrap(), "app"]), &bench.store).unwrap();
    let both = Bench::new();
    let mut out = Vec::new();
    load::run(&args(&["-q", "-i", all.to_str().unwrap()]), &both.store, &mut out).unwrap();
    assert_eq!(out, b"app:1\napp:2\n", "a repository is all its tags");
    let error = save::run(&args(&["-o", path, "nothing"]), &bench.store).unwrap_err();
    assert!(matches!(error, Failure::NoImage(_)), "{error}");

    let other = Bench::new();
    let load = |words: &[&str]| {
        let mut out = Vec::new();
        load::run(&args(words), &other.store, &mut out).map(|()| String::from_utf8(out).unwrap())
    };
    assert_eq!(
        load(&["-i", path]).unwrap(),
        format!("Loaded image: app:1\nLoaded image: app:2\nLoaded image ID: {nameless}\n")
    );
    assert_eq!(load(&["-q", "-i", path]).unwrap(), format!("app:1\napp:2\n{nameless}\n"));
    assert_eq!(other.images(&["-q", "--no-trunc"]).lines().filter(|id| *id == app.to_string()).count(), 1);
    assert_eq!(other.images(&[]).lines().count(), 4);
    assert!(matches!(load(&["-i", "/does/not/exist"]), Err(Failure::Import(_))));
}

#[test]
fn formats() {
    let bench = Bench::new();
    let id = bench.image("1234", "2024-06-15T10:00:00Z", &[APP]);
    assert_eq!(bench.images(&["--format", "{{.Repository}}:{{.Tag}}"]), "app:1\n");
    assert_eq!(
        bench.images(&["--format", r"table {{.ID}}\t{{.Repository}}\t{{.CreatedSince}}"]),
        format!("IMAGE ID       REPOSITORY   CREATED\n{}   app          2 hours ago\n", short(&id))
    );
    let platforms = bench.images(&["--format", "{{range .Platforms}}{{.Platform}}{{end}}"]);
    assert_eq!(platforms.trim(), Platform::host().to_string());
    let shown = |words: &[&str]| {
        let mut out = Vec::new();
        inspect::of_store(&args(words), &bench.store, &mut out).map(|()| String::from_utf8(out).unwrap())
    };
    assert_eq!(shown(&["--format", "{{.Os}} {{len .RootFS.Layers}}", "app:1"]).unwrap(), "linux 1\n");
    assert_eq!(shown(&["-f", "{{json .RepoTags}}", "app:1"]).unwrap(), "[\"app:1\"]\n");
    let error = shown(&["-f", "{{.Oss}}", "app:1"]).unwrap_err().to_string();
    assert!(error.starts_with("--format: there is no field .Oss; there are Id, RepoTags"), "{error}");
    let mut out = Vec::new();
    history::run(&args(&["--format", "{{.Bytes}}", "app:1"]), &bench.store, &mut out, bench.now).unwrap();
    assert_eq!(out, b"0\n4\n");
}
