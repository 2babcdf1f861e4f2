//! A file system without room for the result.

use crate::support::bases;
use crate::support::lab::{Lab, as_everyone};
use crate::support::registry::Registry;
use crate::support::tools::{run, tool};
use std::path::PathBuf;

const TOOLS: &[&str] = &["docker-registry", "skopeo", bases::TOOLS[1], bases::TOOLS[2]];

/// A small file system over the laboratory's store.
struct Small(PathBuf);

impl Small {
    fn over_store(lab: &Lab) -> Small {
        let store = lab.directory("store");
        run(tool("mount").args(["-t", "tmpfs", "-o", "size=16m,mode=755", "tmpfs"]).arg(&store));
        run(tool("chown").arg(lab.owner()).arg(&store));
        Small(store)
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = tool("umount").arg("-l").arg(&self.0).output();
    }
}

as_everyone!(no_space, TOOLS, |lab| {
    let registry = Registry::start(&lab.path("docker"));
    let base = registry.push_base("busybox");
    let small = Small::over_store(lab);
    let context = lab.dockerfile("context", &format!("FROM {base}\nCOPY big /big\n"));
    lab.file("context/big", vec![7; 64 << 20]);
    lab.try_build([&context]).assert_refused(1, &["error:", "No space left", "Dockerfile:2:"]);
    assert!(
        crate::support::lab::entries(&lab.store().join("tmp")).is_empty(),
        "the store's tmp is not empty"
    );
    // What failed gave its room back.
    lab.file("context/big", "small");
    lab.build([&context]);
    drop(small);
    lab.assert_nothing_left();
});
