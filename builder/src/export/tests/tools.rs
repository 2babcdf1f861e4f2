//! Other tools read what we write. Skipped where they are not installed.

use super::*;
use std::process::Command;

/// Runs a tool; `None`, said on the test's output, when it is not installed.
#[allow(clippy::print_stderr)]
pub(crate) fn run(program: &str, arguments: &[&str]) -> Option<String> {
    match Command::new(program).args(arguments).output() {
        Ok(output) => {
            let error = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{program} {arguments:?}: {error}");
            Some(String::from_utf8_lossy(&output.stdout).into_owned())
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            let required = std::env::var_os("SLIPWAY_REQUIRE_TOOLS").is_some_and(|v| v == "1");
            assert!(!required, "{program} is not installed");
            eprintln!("skipped: {program} is not installed");
            None
        }
        Err(e) => panic!("{program}: {e}"),
    }
}

fn inspect(reference: &str) -> Option<serde_json::Value> {
    let text = run("skopeo", &["inspect", "--config", reference])?;
    Some(serde_json::from_str(&text).unwrap())
}

#[test]
fn skopeo_reads_everything_we_write() {
    let (dir, store) = store();
    let image = image(&store);
    store.images().tag(NAME, &image.manifest).unwrap();
    let at = |name: &str| dir.path().join(name).display().to_string();

    write_file(Path::new(&at("oci.tar")), |out| {
        oci_archive(&store, &bundle(&store, &image, GZIP, false), out)
    })
    .unwrap();
    write_file(Path::new(&at("docker.tar")), |out| {
        docker_archive(&store, &[bundle(&store, &image, Compression::None, true)], out)
    })
    .unwrap();
    oci_directory(&store, &bundle(&store, &image, ZSTD, true), Path::new(&at("layout"))).unwrap();
    for reference in [
        format!("oci:{}:{NAME}", store.root().display()),
        format!("oci-archive:{}:1", at("oci.tar")),
        format!("docker-archive:{}", at("docker.tar")),
        format!("docker-archive:{}:app:1", at("docker.tar")),
        format!("oci:{}:1", at("layout")),
    ] {
        let Some(config) = inspect(&reference) else { return };
        assert_eq!(config["config"]["Cmd"][0], "/app/hello", "{reference}");
        assert_eq!(config["rootfs"]["diff_ids"].as_array().unwrap().len(), 2, "{reference}");
        // A copy reads every blob and verifies it.
        let copy = at("copy");
        run("skopeo", &["copy", "--quiet", &reference, &format!("dir:{copy}")]);
        std::fs::remove_dir_all(copy).unwrap();
    }
}

#[test]
fn umoci_unpacks_the_store_and_a_layout() {
    let (dir, store) = store();
    let image = image(&store);
    store.images().tag(NAME, &image.manifest).unwrap();
    let layout = dir.path().join("layout");
    oci_directory(&store, &bundle(&store, &image, GZIP, false), &layout).unwrap();
    for (from, tag) in [(store.root(), NAME), (&layout, "1")] {
        let to = dir.path().join("unpacked");
        let image = format!("{}:{tag}", from.display());
        let arguments = ["unpack", "--rootless", "--image", &image, to.to_str().unwrap()];
        if run("umoci", &arguments).is_none() {
            return;
        }
        let text = std::fs::read_to_string(to.join("rootfs/etc/os-release")).unwrap();
        assert_eq!(text, "ID=base\n", "{image}");
        assert!(to.join("rootfs/app/hello").exists());
        std::fs::remove_dir_all(to).unwrap();
    }
}

#[test]
fn podman_loads_both_archives() {
    let (dir, store) = store();
    let image = image(&store);
    let storage = dir.path().join("storage").display().to_string();
    let run_root = dir.path().join("run").display().to_string();
    let podman = |arguments: &[&str]| {
        let global = ["--root", &storage, "--runroot", &run_root, "--storage-driver", "vfs"];
        run("podman", &[&global[..], arguments].concat())
    };
    let path = dir.path().join("archive.tar");
    let docker: &dyn Fn(&mut dyn Write) -> Result<(), ExportError> =
        &|out| docker_archive(&store, &[bundle(&store, &image, Compression::None, true)], out);
    let oci: &dyn Fn(&mut dyn Write) -> Result<(), ExportError> =
        &|out| oci_archive(&store, &bundle(&store, &image, GZIP, false), out);
    for write in [docker, oci] {
        write_file(&path, write).unwrap();
        let Some(said) = podman(&["load", "-q", "-i", path.to_str().unwrap()]) else { return };
        let name = said.trim().rsplit(": ").next().unwrap().to_owned();
        let id = podman(&["image", "inspect", "--format", "{{.Id}}", &name]).unwrap();
        assert_eq!(id.trim(), image.id().hex());
        podman(&["rmi", "-f", image.id().hex().as_str()]);
    }
}
