//! `npm ci`, several stages, an unprivileged user, a health check.

use super::{ANYWHERE, BUILDAHS, Input, append};
use crate::support::http::get;
use crate::support::image::free_port;
use crate::support::lab::Serving;
use serde_json::{Value, json};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(60);

const ALLOWED: [(&str, &str); 4] = [
    ANYWHERE[0],
    ANYWHERE[1],
    ("/etc/shadow", "useradd writes the day on which it ran"),
    ("/app/node_modules/.package-lock.json", "npm notes where its packages came from"),
];

#[test]
fn node_app() {
    let Some(input) = Input::prepare("node-app", &["debian-node"]) else { return };
    let peer = input.peer(None, &[]);
    for lab in input.users() {
        let context = lab.real_input("node-app");
        let pulled = input.build(&lab, &context, &[]);
        pulled.tree.assert_same(&peer.tree, &ALLOWED);
        pulled.assert_same_config(&peer, &BUILDAHS);
        assert_eq!(
            pulled.config["config"]["Healthcheck"]["Test"],
            json!(["CMD", "node", "src/healthcheck.js"]),
            "{}",
            pulled.config
        );

        let server = free_port();
        let container = pulled.start(&[("PORT", &server.port().to_string())]);
        let answer: Value = serde_json::from_str(&get(server, "/", PATIENCE)).expect("an answer in JSON");
        assert_eq!(answer, json!({ "uid": 2000, "gid": 2000, "day": 86_400_000, "modern": true }));
        drop(container);

        let server = free_port();
        let port = format!("PORT={}", server.port());
        let running = Serving::start(&lab, &["run", "-e", &port, &input.reference(&lab)]);
        let answer: Value = serde_json::from_str(&get(server, "/", PATIENCE)).expect("an answer in JSON");
        assert_eq!(answer["uid"], 2000);
        running.stop();

        // Only the stage that tests reads the tests; what it hands on stays the same.
        append(&context, "test/run.js", "assert.ok(true);");
        input.rebuild(
            &lab,
            &context,
            &[],
            &["COPY test/ test/", "RUN node test/run.js && touch /tests-passed"],
        );
        lab.assert_nothing_left();
    }
}
