//! Mode and owner of `/`, which are in no layer that is built.

use crate::support::bases;
use crate::support::lab::{Lab, as_everyone};
use crate::support::layout::Layout;
use crate::support::output::Build;
use std::fs;
use std::path::{Path, PathBuf};

const TOOLS: &[&str] = &["skopeo", bases::TOOLS[1], bases::TOOLS[2]];

/// An image whose `/` is as given.
fn base(lab: &Lab, name: &str, mode: u32, owner: u64) -> PathBuf {
    let mut layout = Layout::new(lab, name);
    layout.busybox();
    layout.layer(&[("./", mode, owner, "")]);
    layout.finish()
}

/// Builds `dockerfile` on `base`, under a name when an image is made.
#[track_caller]
fn build(lab: &Lab, base: &Path, name: &str, dockerfile: &str, more: &[&str]) -> Build {
    let context = lab.dockerfile(&format!("context-{name}"), dockerfile);
    lab.file(&format!("context-{name}/file"), "content");
    let base = format!("base=oci-layout://{}", base.display());
    let context = context.to_str().expect("the path is text");
    let has_image = more.is_empty() || more.contains(&"type=image");
    let tag = ["-t", name].into_iter().filter(|_| has_image);
    lab.build(["--build-context", &base].into_iter().chain(tag).chain(more.iter().copied()).chain([context]))
}

as_everyone!(a_linked_copy_has_that_of_its_base, TOOLS, |lab| {
    const DOCKERFILE: &str = "FROM base AS linked\nCOPY --link file /file\n\
        FROM linked\nRUN stat -c '%a %u:%g' / > /seen\n\
        RUN --mount=type=bind,from=linked,target=/mnt stat -c '%a %u:%g' /mnt >> /seen\n\
        COPY --link file /again\n";
    let out = lab.path("home/out");
    let export = format!("type=local,dest={}", out.display());
    let narrow = (base(lab, "narrow", 0o700, 0), "narrow", "700 0:0\n");
    let wide = (base(lab, "wide", 0o755, 0), "wide", "755 0:0\n");
    let owned = (base(lab, "owned", 0o1771, 7), "owned", "1771 7:7\n");
    for order in [[&narrow, &wide, &owned], [&owned, &wide, &narrow]] {
        for (at, (base, name, root)) in order.into_iter().enumerate() {
            let first = build(lab, base, name, DOCKERFILE, &["-o", "type=image", "-o", &export]);
            let seen = fs::read_to_string(out.join("seen")).expect("it was built");
            assert_eq!(seen, root.repeat(2), "{name}: {}", first.text);
            let copies = first.executed().iter().filter(|step| step.starts_with("COPY")).count();
            assert_eq!(
                copies,
                if at == 0 { 2 } else { 0 },
                "the copy is the same on every base: {}",
                first.text
            );
            build(lab, base, name, DOCKERFILE, &[]).assert_all_cached();
            // The image in the store, as a base and as it runs.
            let next = format!("FROM {name}\nRUN stat -c '%a %u:%g' / > /next\n");
            build(lab, base, "next", &next, &["-o", &export]);
            assert_eq!(&fs::read_to_string(out.join("next")).expect("it was built"), root, "{name}");
            for read_only in [&[][..], &["--read-only"]] {
                let words = ["run"].into_iter().chain(read_only.iter().copied());
                let printed = lab.verb(words.chain([*name, "stat", "-c", "%a %u:%g", "/"]));
                assert_eq!(&printed, root, "{name} {read_only:?}");
            }
        }
        fs::remove_dir_all(lab.store()).expect("root may remove everything");
    }
    lab.assert_nothing_left();
});

as_everyone!(a_program_may_change_it, TOOLS, |lab| {
    let base = base(lab, "base", 0o755, 0);
    let out = lab.path("home/out");
    let export = format!("type=local,dest={}", out.display());
    for (name, change, root) in [
        ("kept", "true", "755 0\n"),
        ("changed", "chmod 711 /", "711 0\n"),
        ("owned", "chown 7 /", "755 7\n"),
    ] {
        let dockerfile = format!(
            "FROM base\nRUN {change}\nCOPY --link file /file\nRUN stat -c '%a %u' / > /seen\nRUN stat -c '%a %u' / >> /seen\n"
        );
        let first = build(lab, &base, name, &dockerfile, &["-o", &export]);
        let seen = fs::read_to_string(out.join("seen")).expect("it was built");
        assert_eq!(seen, root.repeat(2), "{name}: {}", first.text);
        build(lab, &base, name, &dockerfile, &["-o", &export]).assert_all_cached();
    }
});
