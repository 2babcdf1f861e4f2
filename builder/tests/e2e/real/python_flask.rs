//! apt, pip, an unprivileged user, a server.

use super::{ANYWHERE, BUILDAHS, Input, append};
use crate::support::http::get;
use crate::support::image::free_port;
use crate::support::lab::Serving;
use std::fs;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(60);

const ALLOWED: [(&str, &str); 8] = [
    ANYWHERE[0],
    ANYWHERE[1],
    ("/var/log/", "dpkg and apt log when they ran"),
    ("/var/cache/apt/", "apt's binary caches hold times"),
    ("/var/cache/ldconfig/aux-cache", "holds inode numbers and times"),
    ("/var/lib/apt/", "apt notes when it ran"),
    ("*.pyc", "compiled Python holds the time of its source, and references in the order of one run"),
    ("/etc/shadow", "useradd writes the day on which it ran"),
];

#[test]
fn python_flask() {
    let Some(input) = Input::prepare("python-flask", &["debian"]) else { return };
    let peer = input.peer(None, &[]);
    for lab in input.users() {
        let context = lab.real_input("python-flask");
        let pulled = input.build(&lab, &context, &[]);
        pulled.tree.assert_same(&peer.tree, &ALLOWED);
        pulled.assert_same_config(&peer, &BUILDAHS);

        // COPY keeps times, to the second at least: layers of other tools may hold no more.
        let seconds =
            |path| fs::metadata(path).and_then(|found| found.modified()).expect("the file is there");
        assert_eq!(
            unix_seconds(seconds(pulled.file("/srv/app/main.py"))),
            unix_seconds(seconds(context.join("app/main.py")))
        );

        let server = free_port();
        let container = pulled.start(&[("FLASK_RUN_PORT", &server.port().to_string())]);
        assert!(get(server, "/", PATIENCE).contains("Hello from Slipway"));
        let who: serde_json::Value =
            serde_json::from_str(&get(server, "/who", PATIENCE)).expect("an answer in JSON");
        assert_eq!((&who["uid"], &who["gid"]), (&1000.into(), &1000.into()));
        assert_eq!(who["cwd"], "/srv/app");
        drop(container);

        let server = free_port();
        let port = format!("FLASK_RUN_PORT={}", server.port());
        let running = Serving::start(&lab, &["run", "-e", &port, &input.reference(&lab)]);
        let who: serde_json::Value =
            serde_json::from_str(&get(server, "/who", PATIENCE)).expect("an answer in JSON");
        assert_eq!((&who["uid"], &who["home"]), (&1000.into(), &"/home/app".into()));
        running.stop();

        append(&context, "app/main.py", "# edited");
        input.rebuild(&lab, &context, &[], &["COPY --chown=app:app app/ ./"]);
        append(&context, "notes.md", "the ignore file leaves this out");
        input.rebuild(&lab, &context, &[], &[]);
        lab.assert_nothing_left();
    }
}

fn unix_seconds(time: std::time::SystemTime) -> u64 {
    time.duration_since(std::time::UNIX_EPOCH).expect("a time after 1970").as_secs()
}
