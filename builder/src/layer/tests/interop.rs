//! Other people's readers and writers.

use super::{has, run};
use crate::layer::testing::{FLAVOR, Tape, entries, listing, packed, unpack};
use crate::layer::{Compression, Encoder, LayerWriter, PackOptions, pack};
use registry_client::digest::Digest;
use std::io::Write;
use std::num::NonZeroUsize;
use std::path::Path;
use std::process::Command;

/// A layer with names, links and attributes of every difficult kind.
fn layer(dir: &Path) -> Vec<u8> {
    let long = "very-long-name/".repeat(20);
    let mut tape = Tape::default().dir("d/").file("d/file", "some data").hard_link("d/link", "d/file");
    tape = tape
        .symlink("d/sym", &format!("../{long}"))
        .dir(&long)
        .file(&format!("{long}{}", "n".repeat(200)), "deep");
    tape = tape.file("ünïcode", "u").file(&"ü".repeat(120), "long u").entry(b'0', "d/.wh.gone", 0, "", b"");
    tape.push(b'0', b"latin-\xe9", 0o644, b"", b"bytes", &[]);
    let long_latin = [&b"d/"[..], &[0xe9; 180]].concat();
    tape.push(b'0', &long_latin, 0o644, b"", b"bytes too", &[]);
    tape.push(b'0', b"attributed", 0o4755, b"", b"", &[(b"user.key".to_vec(), b"line\n\x00\xff".to_vec())]);
    unpack(&tape.end(), dir).unwrap();
    let time = std::time::UNIX_EPOCH + std::time::Duration::new(1_700_000_000, 123_456_789);
    std::fs::File::open(dir.join("attributed")).unwrap().set_modified(time).unwrap();
    packed(dir)
}

/// What our reader sees: name and bytes of each file in the tar.
fn files(tar: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    entries(tar).into_iter().map(|(entry, data)| (entry.name, data)).collect()
}

#[test]
fn gnu_tar_reads_what_we_pack() {
    if !has("gnu_tar_reads_what_we_pack", "tar") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    std::fs::create_dir(&from).unwrap();
    std::fs::create_dir(&to).unwrap();
    let tar = layer(&from);
    let path = dir.path().join("layer.tar");
    std::fs::write(&path, &tar).unwrap();
    let output = run(Command::new("tar").args(["--xattrs", "-xpf"]).arg(&path).arg("-C").arg(&to));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "tar must not wonder about anything");
    // Its whiteouts are plain files; with them gone, what it unpacked packs to what we wrote.
    std::fs::remove_file(to.join("d/.wh.gone")).unwrap();
    std::fs::remove_file(from.join("d/gone")).unwrap();
    let same = |dir: &Path| {
        let time = std::time::UNIX_EPOCH;
        std::fs::File::open(dir.join("d")).unwrap().set_modified(time).unwrap();
        packed(dir)
    };
    assert!(same(&to) == same(&from), "{:#?}\n{:#?}", listing(&packed(&to)), listing(&packed(&from)));
}

#[test]
fn python_reads_what_we_pack() {
    if !has("python_reads_what_we_pack", "python3") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let from = dir.path().join("from");
    std::fs::create_dir(&from).unwrap();
    let tar = layer(&from);
    let path = dir.path().join("layer.tar");
    std::fs::write(&path, &tar).unwrap();
    let script = r#"
import sys, tarfile
archive = tarfile.open(sys.argv[1], encoding="utf-8", errors="surrogateescape")
for m in archive:
    if m.isreg():
        name = m.name.encode("utf-8", "surrogateescape")
        print(name.hex(), archive.extractfile(m).read().hex())
    if m.name == "attributed":
        assert m.mtime == 1700000000.1234567, m.mtime
        assert m.mode == 0o4755 and m.uname == "" and m.gname == ""
"#;
    let output = run(Command::new("python3").args(["-c", script]).arg(&path));
    let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
    let expected: String = entries(&tar)
        .iter()
        .filter(|(entry, _)| entry.kind == crate::layer::archive::EntryKind::File)
        .map(|(entry, data)| format!("{} {}\n", hex(&entry.name), hex(data)))
        .collect();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
}

#[test]
fn all_formats_of_gnu_tar_are_read() {
    if !has("all_formats_of_gnu_tar_are_read", "tar") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let from = dir.path().join("from");
    std::fs::create_dir(&from).unwrap();
    layer(&from);
    std::fs::remove_file(from.join("d/gone")).unwrap();
    let holes = std::fs::File::create(from.join("holes")).unwrap();
    holes.set_len(20 << 20).unwrap();
    for piece in 0..30 {
        std::os::unix::fs::FileExt::write_all_at(&holes, b"data", piece * 650_000).unwrap();
    }
    let mut expected = files(&packed(&from));
    expected.sort();
    let formats: [&[&str]; 6] = [
        &["--format=gnu"],
        &["--format=gnu", "--sparse"],
        &["--format=posix"],
        &["--format=posix", "--sparse", "--sparse-version=0.0"],
        &["--format=posix", "--sparse", "--sparse-version=0.1"],
        &["--format=posix", "--sparse", "--sparse-version=1.0"],
    ];
    for format in formats {
        let path = dir.path().join("gnu.tar");
        run(Command::new("tar")
            .args(format)
            .args(["--xattrs", "-C"])
            .arg(&from)
            .arg("-cf")
            .arg(&path)
            .arg("."));
        let tar = std::fs::read(&path).unwrap();
        assert_eq!(tar.len() < 10 << 20, format.contains(&"--sparse"));
        let to = tempfile::tempdir().unwrap();
        let stats = unpack(&tar, to.path()).unwrap_or_else(|error| panic!("{format:?}: {error}"));
        assert_eq!(stats.bytes, tar.len() as u64);
        let mut found = files(&packed(to.path()));
        found.sort();
        assert!(found == expected, "{format:?}");
    }
}

#[test]
fn gzip_zstd_and_python_decompress_what_we_compress() {
    let dir = tempfile::tempdir().unwrap();
    let input: Vec<u8> = (0..900_000u32).flat_map(|n| (n / 5).to_le_bytes()).collect();
    let file = |name: &str, compression| {
        let mut encoder = Encoder::new(Vec::new(), compression, NonZeroUsize::new(2).unwrap()).unwrap();
        encoder.write_all(&input).unwrap();
        let path = dir.path().join(name);
        std::fs::write(&path, encoder.finish().unwrap()).unwrap();
        path
    };
    let gz = file("l.gz", Compression::Gzip { level: 4 });
    let zst = file("l.zst", Compression::Zstd { level: 3 });
    let python = "import gzip, sys; sys.stdout.buffer.write(gzip.open(sys.argv[1]).read())";
    for (tool, arguments, path) in
        [("gzip", &["-dc"][..], &gz), ("python3", &["-c", python][..], &gz), ("zstd", &["-dcq"][..], &zst)]
    {
        if has("gzip_zstd_and_python_decompress_what_we_compress", tool) {
            assert!(run(Command::new(tool).args(arguments).arg(path)).stdout == input, "{tool}");
        }
    }
}

/// An image of one layer, as an OCI layout: Go's gzip and zstd, and its tar, through skopeo and umoci.
#[test]
fn skopeo_and_umoci_take_our_layers() {
    const TEST: &str = "skopeo_and_umoci_take_our_layers";
    if !has(TEST, "skopeo") || !has(TEST, "umoci") {
        return;
    }
    for compression in [Compression::None, Compression::Gzip { level: 4 }, Compression::Zstd { level: 3 }] {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::create_dir(at("upper")).unwrap();
        layer(&at("upper"));
        std::fs::write(at("upper/big"), vec![b'x'; 3 << 20]).unwrap();
        std::fs::create_dir_all(at("image/blobs/sha256")).unwrap();
        let file = std::fs::File::create(at("blob")).unwrap();
        let sinks = Some((compression, Box::new(file) as crate::layer::pipeline::Sink));
        let mut writer = LayerWriter::new(None, sinks, NonZeroUsize::new(2).unwrap()).unwrap();
        pack(&at("upper"), FLAVOR, PackOptions::default(), &mut writer).unwrap();
        let digests = writer.finish().unwrap();
        let blob = digests.blob.unwrap();
        std::fs::rename(at("blob"), at("image/blobs/sha256").join(blob.digest.hex())).unwrap();
        let put = |json: serde_json::Value| {
            let bytes = serde_json::to_vec(&json).unwrap();
            let digest = Digest::of(&bytes);
            std::fs::write(at("image/blobs/sha256").join(digest.hex()), &bytes).unwrap();
            (digest.to_string(), bytes.len())
        };
        let (config, config_size) = put(serde_json::json!({
            "architecture": "amd64", "os": "linux", "config": {},
            "rootfs": {"type": "layers", "diff_ids": [digests.diff_id.to_string()]},
        }));
        let manifest_type = "application/vnd.oci.image.manifest.v1+json";
        let (manifest, size) = put(serde_json::json!({
            "schemaVersion": 2, "mediaType": manifest_type,
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": config_size},
            "layers": [{"mediaType": compression.oci_media_type().as_str(), "digest": blob.digest.to_string(), "size": blob.size}],
        }));
        let index = serde_json::json!({
            "schemaVersion": 2,
            "manifests": [{"mediaType": manifest_type, "digest": manifest, "size": size,
                "annotations": {"org.opencontainers.image.ref.name": "t"}}],
        });
        std::fs::write(at("image/index.json"), index.to_string()).unwrap();
        std::fs::write(at("image/oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();

        let source = format!("oci:{}:t", at("image").display());
        // Into a directory without compression: skopeo decompresses and checks the DiffID.
        let target = format!("dir:{}", at("copy").display());
        let copy = ["copy", "-q", "--dest-decompress", &source, &target];
        run(Command::new("skopeo").arg("--insecure-policy").args(copy));
        assert!(
            at("copy").join(digests.diff_id.0.hex()).exists(),
            "skopeo found the same DiffID: {compression:?}"
        );
        if matches!(compression, Compression::Zstd { .. }) {
            continue; // umoci 0.4 knows gzip only.
        }
        let image = format!("{}:t", at("image").display());
        run(Command::new("umoci").args(["unpack", "--rootless", "--image", &image]).arg(at("bundle")));
        let big = std::fs::read(at("bundle/rootfs/big")).unwrap();
        assert_eq!(big.len(), 3 << 20);
        assert_eq!(std::fs::read(at("bundle/rootfs/d/link")).unwrap(), b"some data");
        assert!(!at("bundle/rootfs/d/.wh.gone").exists());
    }
}
