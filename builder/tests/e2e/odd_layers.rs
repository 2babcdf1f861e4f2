//! Base images whose layers are as the specification allows, and as few tools write them; compared with umoci.

use crate::support::bases;
use crate::support::image::{self, Pulled};
use crate::support::lab::{Lab, as_everyone};
use crate::support::listing::Listing;
use crate::support::tools::{run, tool};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

const TOOLS: &[&str] = &[image::TOOLS[0], image::TOOLS[1], bases::TOOLS[1], bases::TOOLS[2]];

/// Writes an OCI layout by hand.
struct Layout {
    directory: PathBuf,
    layers: Vec<serde_json::Value>,
    diff_ids: Vec<String>,
}

impl Layout {
    fn new(lab: &Lab) -> Self {
        let directory = lab.path("layout");
        fs::create_dir_all(directory.join("blobs/sha256")).expect("the laboratory is writable");
        Self { directory, layers: Vec::new(), diff_ids: Vec::new() }
    }

    fn blob(&self, bytes: &[u8]) -> String {
        let hex = Sha256::digest(bytes).iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        });
        fs::write(self.directory.join("blobs/sha256").join(&hex), bytes).expect("the layout is writable");
        format!("sha256:{hex}")
    }

    /// Adds a layer of entries: name, mode, owner; a target makes a symbolic link, a name that ends in `/` a directory.
    fn layer(&mut self, entries: &[(&str, u32, u64, &str)]) {
        let mut archive = tar::Builder::new(Vec::new());
        for (name, mode, owner, target) in entries {
            let mut header = tar::Header::new_ustar();
            header.set_mode(*mode);
            header.set_uid(*owner);
            header.set_gid(*owner);
            header.set_mtime(1_700_000_000);
            if !target.is_empty() {
                header.set_size(0);
                header.set_entry_type(tar::EntryType::Symlink);
                archive.append_link(&mut header, name, target).expect("memory is writable");
                continue;
            }
            let bytes = if name.ends_with('/') { "" } else { *name };
            let directory = name.ends_with('/');
            header.set_entry_type(if directory {
                tar::EntryType::Directory
            } else {
                tar::EntryType::Regular
            });
            header.set_size(bytes.len() as u64);
            archive.append_data(&mut header, name, bytes.as_bytes()).expect("memory is writable");
        }
        self.raw(&archive.into_inner().expect("memory is writable"));
    }

    fn raw(&mut self, tar: &[u8]) {
        let digest = self.blob(tar);
        self.layers.push(json!({
            "mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": digest, "size": tar.len(),
        }));
        self.diff_ids.push(digest);
    }

    /// The layer of the test's busybox.
    fn busybox(&mut self) {
        let base = bases::base("busybox");
        let manifest = fs::read(base.join("manifest.json")).expect("the base is there");
        let manifest: serde_json::Value = serde_json::from_slice(&manifest).expect("a manifest is JSON");
        let digest = manifest["layers"][0]["digest"].as_str().expect("a digest is text").to_owned();
        let layer = base.join(digest.trim_start_matches("sha256:"));
        let tar = tool("gzip").arg("-dc").arg(layer).output().expect("gzip starts").stdout;
        self.raw(&tar);
    }

    fn finish(self) -> PathBuf {
        let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
        let config = json!({
            "architecture": architecture, "os": "linux", "config": {},
            "rootfs": {"type": "layers", "diff_ids": self.diff_ids},
        })
        .to_string();
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {
                "mediaType": "application/vnd.oci.image.config.v1+json",
                "digest": self.blob(config.as_bytes()), "size": config.len(),
            },
            "layers": self.layers,
        })
        .to_string();
        let index = json!({
            "schemaVersion": 2,
            "manifests": [{
                "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "digest": self.blob(manifest.as_bytes()), "size": manifest.len(),
                "annotations": {"org.opencontainers.image.ref.name": "latest"},
            }],
        });
        fs::write(self.directory.join("index.json"), index.to_string()).expect("the layout is writable");
        fs::write(self.directory.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)
            .expect("the layout is writable");
        self.directory
    }
}

/// The files of what is built from `dockerfile` on `layout`.
fn files(lab: &Lab, layout: &Path, dockerfile: &str) -> Listing {
    let context = lab.dockerfile("context", dockerfile);
    let archive = lab.path("home/files.tar");
    lab.build([
        "--build-context",
        &format!("base=oci-layout://{}", layout.display()),
        "-o",
        &format!("type=tar,dest={}", archive.display()),
        context.to_str().expect("the path is text"),
    ]);
    let out = lab.path("files");
    fs::create_dir(&out).expect("the laboratory is writable");
    run(tool("tar").args(["--numeric-owner", "-xpf"]).arg(&archive).arg("-C").arg(&out));
    Listing::of(&out)
}

const ROOT: (&str, &str) = ("/", "the top directory is not in the archive");

as_everyone!(directories_without_entries, TOOLS, |lab| {
    let mut layout = Layout::new(lab);
    layout.busybox();
    layout.layer(&[
        ("usr/lib/", 0o751, 3, ""),
        ("usr/lib/below", 0o644, 0, ""),
        ("lib", 0o777, 0, "usr/lib"),
        ("srv/", 0o2770, 50, ""),
    ]);
    // As Bazel and ko write them: files alone.
    layout.layer(&[
        ("tmp/x", 0o644, 0, ""),
        ("root/y", 0o600, 0, ""),
        ("srv/app/z", 0o644, 7, ""),
        ("lib/through", 0o644, 0, ""),
        ("new/deep/w", 0o644, 0, ""),
    ]);
    let layout = layout.finish();
    let ours = files(lab, &layout, "FROM base\n");
    assert_eq!(ours.get("/tmp").mode, 0o1777);
    assert_eq!((ours.get("/srv").mode, ours.get("/srv").gid), (0o2770, 50));
    assert!(ours.0.contains_key("/usr/lib/through"), "the link is followed");
    let umoci = Pulled::from_layout(&layout, "latest", &lab.path("umoci"));
    ours.assert_same(&umoci.tree, &[ROOT]);

    // A program sees the same, and what it leaves is no copy of what was there.
    let context =
        lab.dockerfile("run", "FROM base\nRUN stat -c %a /tmp /srv > /modes && test -f /lib/through\n");
    let base = format!("base=oci-layout://{}", layout.display());
    let arguments = ["--build-context", &base, "-t", "app:1", context.to_str().unwrap()];
    lab.build(arguments);
    assert_eq!(lab.verb(["run", "app:1", "cat", "/modes"]), "1777\n2770\n");
    assert!(lab.build(arguments).executed().is_empty());
    lab.assert_nothing_left();
});

as_everyone!(a_layer_that_hides_all_below, TOOLS, |lab| {
    let mut layout = Layout::new(lab);
    layout.layer(&[("old", 0o644, 0, ""), ("etc/", 0o700, 0, ""), ("etc/old", 0o644, 0, "")]);
    layout.layer(&[(".wh..wh..opq", 0o644, 0, ""), ("new", 0o644, 0, ""), ("etc/new", 0o644, 0, "")]);
    layout.busybox();
    let layout = layout.finish();
    let ours =
        files(lab, &layout, "FROM base\nRUN ls -a / > /seen && test ! -e /old && test ! -e /etc/old\n");
    assert!(ours.0.contains_key("/new") && ours.0.contains_key("/etc/new"));
    let umoci = Pulled::from_layout(&layout, "latest", &lab.path("umoci"));
    // /etc of the third layer has an entry, so that of the second is not told apart.
    ours.assert_same(&umoci.tree, &[ROOT, ("/seen", "made by RUN")]);
    lab.assert_nothing_left();
});
