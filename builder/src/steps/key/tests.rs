use super::*;
use crate::graph::{VertexId, WorkdirOp};
use crate::store::SnapshotId;
use dockerfile_parser::span::Span;
use registry_client::digest::DiffId;
use registry_client::platform::Platform;
use std::collections::BTreeMap;

fn vertex(op: Op) -> Vertex {
    Vertex {
        op,
        parent: Some(VertexId(0)),
        reads: Vec::new(),
        name: "[1/1] a step".to_owned(),
        stage: "0".to_owned(),
        span: Span::default(),
        ignore_cache: false,
        platform: "linux/amd64".parse::<Platform>().unwrap(),
    }
}

fn workdir(path: &str) -> Vertex {
    vertex(Op::Workdir(WorkdirOp { path: path.to_owned(), user: String::new() }))
}

fn on(parent: Rootfs) -> Inputs<Rootfs> {
    Inputs { parent: Some(parent), reads: BTreeMap::new() }
}

fn image() -> Rootfs {
    Rootfs::of_image(&[DiffId(Digest::of(b"layer"))])
}

#[test]
fn keys_are_frozen() {
    // Another value means that everybody builds everything again: change it together with the version in `key`.
    let key = definition(&workdir("/work"), &on(image()), Owners::Kept).unwrap();
    assert_eq!(key.hex(), "0bb4706391d946b0fc596d9d57ba63c884c1b6000cd1f360494728c1bf769cd8");
}

#[test]
fn a_result_made_with_one_id_has_another_key() {
    let (step, inputs) = (workdir("/work"), on(image()));
    let none = |_: usize, _: &Origin| None;
    let keys = [Owners::Kept, Owners::Flattened].map(|owners| {
        [definition(&step, &inputs, owners).unwrap(), content(&step, &inputs, owners, &none).unwrap()]
    });
    let different: std::collections::BTreeSet<_> = keys.as_flattened().iter().map(ContentId::hex).collect();
    assert_eq!(different.len(), 4);
}

#[test]
fn a_key_tells_steps_and_parents_apart() {
    let key = |step: &Vertex, parent: Rootfs| definition(step, &on(parent), Owners::Kept).unwrap();
    let first = key(&workdir("/work"), image());
    assert_eq!(key(&workdir("/work"), image()), first);
    assert_ne!(key(&workdir("/work/"), image()), first);
    assert_ne!(key(&workdir("/work"), Rootfs::empty()), first);
    let snapshot: SnapshotId = "0123456789abcdef0123456789abcdef".parse().unwrap();
    assert_ne!(key(&workdir("/work"), image().with(snapshot, &ContentId::of(b"diff"))), first);
}
