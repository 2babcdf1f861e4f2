use super::*;
use crate::graph::{UserName, VertexId, WorkdirOp};
use crate::steps::state::Named;
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
    vertex(Op::Workdir(WorkdirOp { path: path.to_owned(), user: UserName::default() }))
}

fn on(parent: Rootfs) -> Inputs<Rootfs> {
    Inputs { parent: Some(parent), reads: BTreeMap::new() }
}

fn image() -> Rootfs {
    Rootfs::of_image(&[DiffId(Digest::of(b"layer"))])
}

#[test]
fn keys_are_frozen() {
    // Another value means that everybody builds everything again: change it together with the version in `of`.
    let made_of = definition(&workdir("/work"), &on(image()), Owners::Kept).unwrap();
    let key = of(&made_of, How::Definition);
    assert_eq!(key.hex(), "dde3a645914642dc15fb411058a9c7263ccb441f01b7983dc9be37ae5b634ded");
}

#[test]
fn a_result_made_with_one_id_has_another_key() {
    let (step, inputs) = (workdir("/work"), on(image()));
    let none = |_: usize, _: &Origin| None;
    let keys = [Owners::Kept, Owners::Flattened].map(|owners| {
        let by_content = ingredients(&step, &inputs, owners, &none).unwrap();
        [of(&definition(&step, &inputs, owners).unwrap(), How::Definition), of(&by_content, How::Content)]
    });
    let different: std::collections::BTreeSet<_> = keys.as_flattened().iter().map(ContentId::hex).collect();
    assert_eq!(different.len(), 4);
}

#[test]
fn a_key_tells_steps_and_parents_apart() {
    let key = |step: &Vertex, parent: Rootfs| {
        of(&definition(step, &on(parent), Owners::Kept).unwrap(), How::Definition)
    };
    let first = key(&workdir("/work"), image());
    assert_eq!(key(&workdir("/work"), image()), first);
    assert_ne!(key(&workdir("/work/"), image()), first);
    assert_ne!(key(&workdir("/work"), Rootfs::empty()), first);
    let snapshot: SnapshotId = "0123456789abcdef0123456789abcdef".parse().unwrap();
    let diff = ContentId::of(b"diff");
    assert_ne!(key(&workdir("/work"), image().with(snapshot, &diff, Named::ByContent)), first);
}

#[test]
fn without_early_cutoff_each_run_has_a_name_of_its_own() {
    let diff = ContentId::of(b"diff");
    let made = |snapshot: &str, named| {
        let below = image().with(snapshot.parse().unwrap(), &diff, named);
        of(&definition(&workdir("/work"), &on(below), Owners::Kept).unwrap(), How::Definition)
    };
    let (one, other) = ("0123456789abcdef0123456789abcdef", "1123456789abcdef0123456789abcdef");
    assert_eq!(made(one, Named::ByContent), made(other, Named::ByContent));
    assert_ne!(made(one, Named::ByRun), made(other, Named::ByRun));
    assert_ne!(made(one, Named::ByRun), made(one, Named::ByContent));
    assert_eq!(made(one, Named::ByRun), made(one, Named::ByRun));
}
