//! Base images whose layers are as the specification allows, and as few tools write them; compared with umoci.

use crate::support::bases;
use crate::support::image::{self, Pulled};
use crate::support::lab::{Lab, as_everyone};
use crate::support::layout::Layout;
use crate::support::listing::Listing;
use crate::support::tools::{run, tool};
use std::fs;
use std::path::Path;

const TOOLS: &[&str] = &[image::TOOLS[0], image::TOOLS[1], bases::TOOLS[1], bases::TOOLS[2]];

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
    let mut layout = Layout::new(lab, "layout");
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
    let mut layout = Layout::new(lab, "layout");
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
