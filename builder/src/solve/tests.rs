use super::*;
use crate::content::Encoder;
use crate::graph::{Op, UserName, Vertex, WorkdirOp};
use dockerfile_parser::span::Span;
use registry_client::platform::Platform;
use std::sync::Mutex;
use std::time::Duration;

/// A step here is a name; its result is the text of its name and inputs, unless `output` says otherwise.
#[derive(Default)]
struct Fake {
    names: Vec<String>,
    output: BTreeMap<String, String>,
    fails: BTreeSet<String>,
    /// Vertices whose exact key is the given text instead of their inputs.
    exact: BTreeMap<String, String>,
    records: Mutex<BTreeMap<ContentId, String>>,
    ran: Mutex<Vec<String>>,
    at_once: Mutex<(usize, usize)>,
    cancelled: Mutex<bool>,
    priorities: BTreeMap<VertexId, u64>,
    /// Claims that somebody has, and what is remembered under the key when he is done, if anything.
    others: Mutex<BTreeMap<ContentId, Option<String>>>,
    claims: Mutex<BTreeSet<ContentId>>,
    waited: Mutex<Vec<String>>,
}

impl Fake {
    fn text(&self, vertex: VertexId, inputs: &Inputs<String>) -> String {
        let reads: Vec<&str> = inputs.reads.values().map(String::as_str).collect();
        format!("{}({:?},{reads:?})", self.names[vertex.0], inputs.parent)
    }

    fn ran(&self) -> Vec<String> {
        let mut ran = std::mem::take(&mut *self.ran.lock().unwrap());
        ran.sort();
        ran
    }
}

impl Worker for Fake {
    type State = String;
    type Error = String;
    type Claim = ();

    fn priority(&self, vertex: VertexId) -> u64 {
        self.priorities.get(&vertex).copied().unwrap_or_default()
    }

    fn is_prepared(&self, _: VertexId, _: &Inputs<String>) -> bool {
        true
    }

    async fn prepare(&self, _: VertexId, _: &Inputs<String>) -> Result<(), String> {
        Ok(())
    }

    async fn claim(&self, _: VertexId, key: &ContentId) -> Result<Option<()>, String> {
        if self.others.lock().unwrap().contains_key(key) {
            return Ok(None);
        }
        self.claims.lock().unwrap().insert(*key);
        Ok(Some(()))
    }

    async fn wait_for_other(&self, vertex: VertexId, key: &ContentId) -> Result<(), String> {
        self.waited.lock().unwrap().push(self.names[vertex.0].clone());
        tokio::time::sleep(Duration::from_millis(5)).await;
        if let Some(Some(made)) = self.others.lock().unwrap().remove(key) {
            self.records.lock().unwrap().insert(*key, made);
        }
        Ok(())
    }

    fn definition_key(&self, vertex: VertexId, inputs: &Inputs<String>) -> Option<ContentId> {
        Some(Encoder::new("definition").text(&self.text(vertex, inputs)).finish())
    }

    async fn content_key(&self, vertex: VertexId, _: &Inputs<String>) -> Result<Option<ContentId>, String> {
        let name = &self.names[vertex.0];
        Ok(self.exact.get(name).map(|text| Encoder::new("content").text(name).text(text).finish()))
    }

    async fn lookup(&self, _: VertexId, key: &ContentId, _: &Inputs<String>) -> Option<String> {
        self.records.lock().unwrap().get(key).cloned()
    }

    async fn remember(
        &self,
        _: VertexId,
        key: &ContentId,
        state: &String,
        _: &Inputs<String>,
    ) -> Result<(), String> {
        self.records.lock().unwrap().insert(*key, state.clone());
        Ok(())
    }

    async fn execute(&self, vertex: VertexId, inputs: &Inputs<String>) -> Result<String, String> {
        {
            let mut at_once = self.at_once.lock().unwrap();
            at_once.0 += 1;
            at_once.1 = at_once.1.max(at_once.0);
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
        self.at_once.lock().unwrap().0 -= 1;
        let name = &self.names[vertex.0];
        self.ran.lock().unwrap().push(name.clone());
        if self.fails.contains(name) {
            return Err(format!("{name} failed"));
        }
        Ok(self.output.get(name).cloned().unwrap_or_else(|| self.text(vertex, inputs)))
    }

    fn done(&self, _: VertexId, _: &Solved<String>) {}

    fn cancel(&self) {
        *self.cancelled.lock().unwrap() = true;
    }
}

/// A graph of `(name, parent, reads)`.
fn graph(steps: &[(&str, Option<usize>, &[usize])]) -> (Graph, Vec<String>) {
    let vertices = steps
        .iter()
        .map(|(name, parent, reads)| Vertex {
            op: Op::Workdir(WorkdirOp { path: format!("/{name}"), user: UserName::default() }),
            parent: parent.map(VertexId),
            reads: reads.iter().map(|n| VertexId(*n)).collect(),
            name: (*name).to_owned(),
            stage: "s".to_owned(),
            span: Span::default(),
            ignore_cache: name.starts_with('!'),
            platform: Platform::host(),
        })
        .collect();
    let names = steps.iter().map(|(name, ..)| (*name).to_owned()).collect();
    (Graph { vertices, ..Graph::default() }, names)
}

/// Solves for the last vertex, keeping the records of `worker`.
async fn run(graph: &Graph, worker: &Arc<Fake>, limit: usize) -> Result<String, String> {
    let target = VertexId(graph.vertices.len() - 1);
    let mut solved = solve(graph, &[target], worker, &Budget::new(limit)).await?;
    Ok(solved.remove(&target).unwrap().state)
}

fn change(worker: &mut Arc<Fake>) -> &mut Fake {
    Arc::get_mut(worker).unwrap()
}

#[tokio::test]
async fn a_second_build_runs_nothing_and_unneeded_steps_never_run() {
    let (graph, names) = graph(&[("a", None, &[]), ("unused", Some(0), &[]), ("b", Some(0), &[])]);
    let worker = Arc::new(Fake { names, ..Fake::default() });
    let first = run(&graph, &worker, 2).await.unwrap();
    assert_eq!(worker.ran(), ["a", "b"]);
    assert_eq!(run(&graph, &worker, 2).await.unwrap(), first);
    assert_eq!(worker.ran(), [] as [&str; 0]);
}

#[tokio::test]
async fn the_same_content_keeps_later_steps_cached() {
    let (mut graph, names) = graph(&[("a", None, &[]), ("make", Some(0), &[]), ("after", Some(1), &[])]);
    let output = BTreeMap::from([("make".to_owned(), "same bytes".to_owned())]);
    let worker = Arc::new(Fake { names, output, ..Fake::default() });
    run(&graph, &worker, 1).await.unwrap();
    worker.ran();
    graph.vertices[1].ignore_cache = true;
    run(&graph, &worker, 1).await.unwrap();
    assert_eq!(worker.ran(), ["make"], "what comes after has the same inputs");
}

#[tokio::test]
async fn an_exact_key_hits_where_the_inputs_differ() {
    let steps: &[(&str, Option<usize>, &[usize])] =
        &[("base", None, &[]), ("stage", None, &[]), ("copy", Some(0), &[1])];
    let (graph, names) = graph(steps);
    let exact = BTreeMap::from([("copy".to_owned(), "two files".to_owned())]);
    let mut worker = Arc::new(Fake { names, exact, ..Fake::default() });
    let first = run(&graph, &worker, 4).await.unwrap();
    worker.ran();
    // The stage becomes something else, but what is read of it stays.
    change(&mut worker).names[1] = "stage changed".to_owned();
    assert_eq!(run(&graph, &worker, 4).await.unwrap(), first);
    assert_eq!(worker.ran(), ["stage changed"]);
    change(&mut worker).exact.insert("copy".to_owned(), "other files".to_owned());
    worker.records.lock().unwrap().retain(|_, state| !state.starts_with("copy"));
    run(&graph, &worker, 4).await.unwrap();
    assert_eq!(worker.ran(), ["copy"]);
}

#[tokio::test]
async fn independent_steps_run_at_once_within_the_limit() {
    let steps: Vec<(String, Option<usize>, Vec<usize>)> = (0..8)
        .map(|n| (format!("leaf {n}"), None, Vec::new()))
        .chain([("join".to_owned(), Some(0), (1..8).collect())])
        .collect();
    let borrowed: Vec<(&str, Option<usize>, &[usize])> =
        steps.iter().map(|(name, parent, reads)| (name.as_str(), *parent, reads.as_slice())).collect();
    let (graph, names) = graph(&borrowed);
    for (limit, want) in [(1, 1), (3, 3), (100, 8)] {
        let worker = Arc::new(Fake { names: names.clone(), ..Fake::default() });
        run(&graph, &worker, limit).await.unwrap();
        assert_eq!(worker.at_once.lock().unwrap().1, want, "limit {limit}");
    }
}

#[tokio::test]
async fn a_failure_stops_what_depends_on_it_and_is_reported_first() {
    let (graph, names) = graph(&[("a", None, &[]), ("bad", Some(0), &[]), ("after", Some(1), &[])]);
    let worker = Arc::new(Fake { names, fails: BTreeSet::from(["bad".to_owned()]), ..Fake::default() });
    assert_eq!(run(&graph, &worker, 2).await.unwrap_err(), "bad failed");
    assert_eq!(worker.ran(), ["a", "bad"]);
    assert!(*worker.cancelled.lock().unwrap());
    // The failure was not remembered.
    assert_eq!(run(&graph, &worker, 2).await.unwrap_err(), "bad failed");
    assert_eq!(worker.ran(), ["bad"]);
}

/// The key under which vertex `id` without inputs is looked up.
fn key_of(worker: &Fake, id: usize) -> ContentId {
    let inputs = Inputs { parent: None, reads: BTreeMap::new() };
    worker.definition_key(VertexId(id), &inputs).unwrap()
}

#[tokio::test]
async fn what_another_build_is_running_is_waited_for() {
    let (graph, names) = graph(&[("a", None, &[]), ("b", None, &[]), ("join", Some(0), &[1])]);
    let worker = Arc::new(Fake { names, ..Fake::default() });
    let theirs = "made elsewhere".to_owned();
    worker.others.lock().unwrap().insert(key_of(&worker, 0), Some(theirs));
    // With one place: it must be free for `b` while `a` waits.
    let made = run(&graph, &worker, 1).await.unwrap();
    assert!(made.contains("made elsewhere"), "{made}");
    assert_eq!(worker.ran(), ["b", "join"]);
    assert_eq!(*worker.waited.lock().unwrap(), ["a"]);
    // Every step that ran was claimed.
    assert_eq!(worker.claims.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn what_another_build_fails_to_make_runs_here() {
    let (graph, names) = graph(&[("a", None, &[])]);
    let worker = Arc::new(Fake { names, ..Fake::default() });
    worker.others.lock().unwrap().insert(key_of(&worker, 0), None);
    run(&graph, &worker, 1).await.unwrap();
    assert_eq!((worker.ran(), worker.waited.lock().unwrap().len()), (vec!["a".to_owned()], 1));
}

#[tokio::test]
async fn without_the_cache_nobody_waits() {
    let (graph, names) = graph(&[("!a", None, &[])]);
    let worker = Arc::new(Fake { names, ..Fake::default() });
    worker.others.lock().unwrap().insert(key_of(&worker, 0), Some("made elsewhere".to_owned()));
    run(&graph, &worker, 1).await.unwrap();
    assert_eq!((worker.ran(), worker.waited.lock().unwrap().len()), (vec!["!a".to_owned()], 0));
}

#[tokio::test]
async fn the_longest_way_goes_first() {
    let steps: &[(&str, Option<usize>, &[usize])] = &[
        ("short", None, &[]),
        ("slow", None, &[]),
        ("long 1", None, &[]),
        ("long 2", Some(2), &[]),
        ("join", Some(0), &[1, 3]),
    ];
    let (graph, names) = graph(steps);
    let target = [VertexId(4)];
    let order = |measured: &[(usize, u64)]| {
        let took = |id: VertexId| {
            let found = measured.iter().find(|(known, _)| *known == id.0);
            found.map(|(_, seconds)| Duration::from_secs(*seconds))
        };
        remaining(&graph, &target, took)
    };
    let seconds =
        |ways: &BTreeMap<VertexId, u64>| ways.values().map(|way| way / 1_000_000).collect::<Vec<_>>();
    // Nothing is known: the number of steps decides.
    assert_eq!(seconds(&order(&[])), [2, 2, 3, 2, 1]);
    // What is not known counts as the average of what is: 4 seconds.
    assert_eq!(seconds(&order(&[(0, 1), (1, 9), (4, 2)])), [3, 11, 10, 6, 2]);

    for (measured, want) in [
        (&[][..], ["long 1", "long 2", "short", "slow", "join"]),
        (&[(0, 1), (1, 9), (4, 2)], ["slow", "long 1", "long 2", "short", "join"]),
    ] {
        let worker = Arc::new(Fake { names: names.clone(), priorities: order(measured), ..Fake::default() });
        let budget = Budget::new(1);
        // All that can run waits for the one place.
        let place = budget.try_take(STEP).unwrap();
        let (solved, ()) = tokio::join!(solve(&graph, &target, &worker, &budget), async {
            tokio::time::sleep(Duration::from_millis(5)).await;
            drop(place);
        });
        solved.unwrap();
        assert_eq!(*worker.ran.lock().unwrap(), want);
    }
}
