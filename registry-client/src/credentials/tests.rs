use super::*;
use serde_json::{Value, json};
use std::{fs, os::unix::fs::PermissionsExt, time::Instant};
use tempfile::TempDir;

/// A directory with a `config.json`, a place for helpers beside it, and a store over both.
struct Home {
    directory: TempDir,
    store: Store,
}

impl Home {
    fn new(config: Option<Value>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config.json");
        if let Some(config) = config {
            fs::write(&path, config.to_string()).unwrap();
        }
        let mut store = Store::new(vec![path]);
        store.helper_directories = vec![directory.path().to_owned()];
        Self { directory, store }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("config.json")
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&fs::read(self.path()).unwrap()).unwrap()
    }

    /// A helper that keeps what it is given in a file of its directory, one registry to a line.
    fn helper(&self, name: &str) {
        let kept = self.directory.path().join("kept");
        self.program(
            name,
            &format!(
                r#"kept={}
                read -r input
                case $1 in
                get) line=$(grep -F "\"ServerURL\":\"$input\"" "$kept") || {{ echo "credentials not found in native keychain"; exit 1; }}
                     echo "$line";;
                store) echo "$input" >>"$kept";;
                erase) grep -vF "\"ServerURL\":\"$input\"" "$kept" >"$kept.new"; mv "$kept.new" "$kept";;
                esac"#,
                kept.display()
            ),
        );
    }

    fn program(&self, name: &str, script: &str) {
        let text = self.directory.path().join(format!("{name}.sh"));
        fs::write(&text, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&text, fs::Permissions::from_mode(0o755)).unwrap();
        // Copied by another process: a file that this one has open for writing cannot be run, and another test may
        // fork at that moment.
        let path = self.directory.path().join(format!("docker-credential-{name}"));
        assert!(std::process::Command::new("cp").arg("-p").args([&text, &path]).status().unwrap().success());
    }

    async fn get(&self, registry: &str) -> Result<Option<Credentials>, CredentialsError> {
        self.store.get(registry, Some("a/b")).await
    }
}

#[tokio::test]
async fn entries_of_a_file() {
    let home = Home::new(Some(json!({
        "auths": {
            "plain.io": { "auth": "bWU6c2VjcmV0" },
            "colons.io": { "auth": "bWU6YTpiOmM" },
            "zeros.io": { "auth": "bWU6c2VjcmV0AAA=" },
            "fields.io": { "username": "me", "password": "secret" },
            "identity.io": { "auth": "MDAwOg==", "identitytoken": "refresh" },
            "registry.io": { "registrytoken": "bearer" },
            "empty.io": {},
            "https://index.docker.io/v1/": { "auth": "aHViOnNlY3JldA==" },
            "quay.io": { "auth": "YWxsOng=" },
            "quay.io/a": { "auth": "YTp4" },
        }
    })));
    let password = |user: &str, password: &str| Some(Credentials::password(user, password));
    for (registry, want) in [
        ("plain.io", password("me", "secret")),
        ("colons.io", password("me", "a:b:c")),
        ("zeros.io", password("me", "secret")),
        ("fields.io", password("me", "secret")),
        ("identity.io", Some(Credentials::IdentityToken("refresh".into()))),
        ("registry.io", Some(Credentials::RegistryToken("bearer".into()))),
        ("docker.io", password("hub", "secret")),
        ("quay.io", password("a", "x")),
        ("empty.io", None),
        ("unknown.io", None),
    ] {
        assert_eq!(home.get(registry).await.unwrap(), want, "{registry}");
    }
    assert_eq!(home.store.get("quay.io", Some("other")).await.unwrap(), password("all", "x"));
    assert_eq!(home.store.get("quay.io", None).await.unwrap(), password("all", "x"));
}

#[tokio::test]
async fn files_in_their_order() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, auths: Value| {
        let path = directory.path().join(name);
        fs::write(&path, json!({ "auths": auths }).to_string()).unwrap();
        path
    };
    let first = file("auth.json", json!({ "both.io": { "auth": "Zmlyc3Q6eA==" } }));
    let second = file(
        "config.json",
        json!({ "both.io": { "auth": "c2Vjb25kOng=" }, "one.io": { "auth": "c2Vjb25kOng=" } }),
    );
    let store = Store::new(vec![first, directory.path().join("missing"), second]);
    let user =
        async |registry| store.get(registry, None).await.unwrap().unwrap().username().unwrap().to_owned();
    assert_eq!((user("both.io").await, user("one.io").await), ("first".into(), "second".into()));
    assert_eq!(Store::default().get("both.io", None).await.unwrap(), None);
}

#[tokio::test]
async fn damaged_files_are_named_and_show_no_secret() {
    let home = Home::new(None);
    for (text, want) in [
        ("{\"auths\": {\"r.io\": {\"auth\": \"c2VjcmV0\"", "it is no JSON (line 1"),
        ("[\"secret\"]", "no JSON object"),
        ("{\"auths\": [\"secret\"]}", "\"auths\" in it is no object"),
        ("{\"credHelpers\": \"secret\"}", "\"credHelpers\" in it"),
        ("{\"auths\": {\"r.io\": {\"auth\": \"secret!\"}}}", "is no base64"),
        ("{\"auths\": {\"r.io\": {\"auth\": \"c2VjcmV0\"}}}", "is no user:password"),
        ("{\"auths\": {\"r.io\": {\"auth\": \"//79\"}}}", "is no text in base64"),
    ] {
        fs::write(home.path(), text).unwrap();
        let error = home.get("r.io").await.unwrap_err().to_string();
        assert!(error.contains(want) && error.contains("config.json"), "{error}");
        assert!(!error.contains("secret") && !error.contains("c2Vj"), "{error}");
    }
    fs::write(home.path(), " \n").unwrap();
    assert_eq!(home.get("r.io").await.unwrap(), None, "an empty file is what `touch` makes");
}

#[tokio::test]
async fn a_text_goes_before_the_files() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config.json");
    // user:file and user:text.
    fs::write(&path, r#"{"auths":{"a":{"auth":"dXNlcjpmaWxl"},"b":{"auth":"dXNlcjpmaWxl"}}}"#).unwrap();
    let text = |text: &str| Some(AuthText { name: "DOCKER_AUTH_CONFIG".into(), text: text.into() });
    let mut store =
        Store { text: text(r#"{"auths":{"a":{"auth":"dXNlcjp0ZXh0"}}}"#), ..Store::new(vec![path.clone()]) };
    assert_eq!(store.get("a", None).await.unwrap(), Some(Credentials::password("user", "text")));
    assert_eq!(store.get("b", None).await.unwrap(), Some(Credentials::password("user", "file")));
    assert!(!format!("{store:?}").contains("dXNlcjp0ZXh0"));
    store.save("a", &Credentials::password("user", "new")).await.unwrap();
    assert!(fs::read_to_string(&path).unwrap().contains("dXNlcjpuZXc"), "a login is kept in the file");
    store.text = text("dXNlcjp0ZXh0");
    let error = store.get("a", None).await.unwrap_err().to_string();
    assert!(error.starts_with("DOCKER_AUTH_CONFIG is no credentials file"), "{error}");
    assert!(!error.contains("dXNlcjp0ZXh0"), "{error}");
}

#[tokio::test]
async fn saving_keeps_all_else() {
    let config = json!({
        "zeta": 1, "auths": { "old.io": { "auth": "bWU6b2xk", "email": "x" } }, "HttpHeaders": { "A": "b" }, "alpha": [2],
    });
    let home = Home::new(Some(config));
    fs::set_permissions(home.path(), fs::Permissions::from_mode(0o644)).unwrap();
    let credentials = Credentials::password("me", "sëcret:x");
    let kept = home.store.save("new.io:5000", &credentials).await.unwrap();
    assert_eq!(kept, Kept::File(home.path()));
    assert_eq!(home.get("new.io:5000").await.unwrap(), Some(credentials));
    assert_eq!(home.get("old.io").await.unwrap(), Some(Credentials::password("me", "old")));
    let json = home.json();
    let keys: Vec<&String> = json.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["zeta", "auths", "HttpHeaders", "alpha"]);
    assert_eq!(json["auths"]["old.io"]["email"], "x");
    assert_eq!(fs::metadata(home.path()).unwrap().permissions().mode() & 0o777, 0o600);
    let left: std::collections::BTreeSet<_> =
        fs::read_dir(home.directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["config.json".into(), "config.json.lock".into()].into(), "nothing temporary is left");

    let token = Credentials::IdentityToken("refresh".into());
    home.store.save("new.io:5000", &token).await.unwrap();
    assert_eq!(home.get("new.io:5000").await.unwrap(), Some(token));
    let error = home.store.save("new.io", &Credentials::RegistryToken("t".into())).await.unwrap_err();
    assert!(matches!(error, CredentialsError::NotKept), "{error}");
}

/// As processes of their own would: each has the file open for itself.
#[test]
fn logins_and_logouts_at_once_lose_nothing() {
    let home = Home::new(Some(json!({ "auths": { "gone.io": { "auth": "bWU6eA==" } } })));
    let start = std::sync::Barrier::new(16);
    let rounds = 8;
    std::thread::scope(|scope| {
        for thread in 0..16 {
            let (store, start) = (&home.store, &start);
            scope.spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                start.wait();
                for round in 0..rounds {
                    let name = format!("r{thread}-{round}.io");
                    let credentials = Credentials::password("me", &name);
                    runtime.block_on(store.save(&name, &credentials)).unwrap();
                    runtime.block_on(store.erase("gone.io")).unwrap();
                }
            });
        }
    });
    let json = home.json();
    let kept = json["auths"].as_object().unwrap();
    assert_eq!(kept.len(), 16 * rounds, "{:?}", kept.keys());
    assert!(!kept.contains_key("gone.io"));
}

#[tokio::test]
async fn a_file_that_another_program_changes() {
    let mut home = Home::new(None);
    home.store.lock_timeout = Duration::from_millis(50);
    let lock = fs::File::create(home.directory.path().join("config.json.lock")).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let credentials = Credentials::password("me", "x");
    let error = home.store.save("r.io", &credentials).await.unwrap_err();
    assert!(matches!(error, CredentialsError::Busy { .. }), "{error}");
    assert!(!home.path().exists());
    drop(lock);
    home.store.save("r.io", &credentials).await.unwrap();
    assert_eq!(home.get("r.io").await.unwrap(), Some(credentials));
}

#[tokio::test]
async fn saving_makes_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a/b/config.json");
    let store = Store::new(vec![path.clone()]);
    store.save("docker.io", &Credentials::password("me", "x")).await.unwrap();
    let json: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    assert_eq!(json, json!({ "auths": { "https://index.docker.io/v1/": { "auth": "bWU6eA==" } } }));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let error = Store::default().save("r.io", &Credentials::password("me", "x")).await.unwrap_err();
    assert!(matches!(error, CredentialsError::NoFile), "{error}");
}

#[tokio::test]
async fn a_symbolic_link_stays() {
    let home = Home::new(None);
    let real = home.directory.path().join("dotfiles.json");
    fs::write(&real, "{}").unwrap();
    std::os::unix::fs::symlink("dotfiles.json", home.path()).unwrap();
    home.store.save("r.io", &Credentials::password("me", "x")).await.unwrap();
    assert!(fs::symlink_metadata(home.path()).unwrap().is_symlink());
    assert!(fs::read_to_string(real).unwrap().contains("r.io"));
}

#[tokio::test]
async fn erasing() {
    let home = Home::new(Some(json!({
        "auths": {
            "https://r.io/v1/": { "auth": "bWU6eA==" }, "r.io": { "auth": "bWU6eA==" }, "s.io": { "auth": "bWU6eA==" },
            "r.io/team": { "auth": "bWU6eA==" },
        },
    })));
    assert_eq!(home.store.erase("r.io").await.unwrap(), [Kept::File(home.path())]);
    assert_eq!(home.store.get("r.io", None).await.unwrap(), None);
    assert!(home.get("s.io").await.unwrap().is_some());
    let other_repository = home.store.get("r.io", Some("team/app")).await.unwrap();
    assert!(other_repository.is_some(), "what is for one namespace is another login");
    assert_eq!(home.store.erase("r.io").await.unwrap(), []);
    assert_eq!(Home::new(None).store.erase("r.io").await.unwrap(), []);
}

#[tokio::test]
async fn a_helper_keeps_them() {
    let home = Home::new(Some(json!({ "credsStore": "test", "auths": { "r.io": { "auth": "bWU6b2xk" } } })));
    home.helper("test");
    fs::write(home.directory.path().join("kept"), "").unwrap();
    // What is in the file is found until the helper knows better.
    assert_eq!(home.get("r.io").await.unwrap(), Some(Credentials::password("me", "old")));
    for credentials in
        [Credentials::password("me", "new \"quoted\""), Credentials::IdentityToken("refresh".into())]
    {
        assert_eq!(home.store.save("r.io", &credentials).await.unwrap(), Kept::Helper("test".into()));
        assert_eq!(home.json()["auths"]["r.io"], json!({}), "no secret in the file");
        assert_eq!(home.get("r.io").await.unwrap(), Some(credentials));
        assert_eq!(home.store.erase("r.io").await.unwrap(), [Kept::Helper("test".into())]);
        assert_eq!(home.get("r.io").await.unwrap(), None);
        assert_eq!(home.store.erase("r.io").await.unwrap(), []);
    }
}

#[tokio::test]
async fn helpers_for_all_registries() {
    let mut home = Home::new(Some(json!({ "auths": { "file.io": { "auth": "bWU6eA==" } } })));
    home.helper("all");
    home.program("broken", "echo out of order; exit 1");
    let [broken, all] = ["broken", "all"].map(|name| Keeper::Helper(name.to_owned()));
    home.store.keepers = vec![broken.clone(), all.clone(), Keeper::Files];
    let credentials = Credentials::password("me", "secret");
    // The first that can keeps it; the file gets nothing.
    assert_eq!(home.store.save("docker.io", &credentials).await.unwrap(), Kept::Helper("all".into()));
    assert_eq!(home.json()["auths"].as_object().unwrap().len(), 1);
    assert_eq!(home.get("docker.io").await.unwrap(), Some(credentials));
    assert_eq!(home.get("file.io").await.unwrap(), Some(Credentials::password("me", "x")));
    // Nobody knows it, and one could not say.
    let error = home.get("other.io").await.unwrap_err().to_string();
    assert!(error.contains("docker-credential-broken get failed: out of order"), "{error}");
    home.store.keepers = vec![all];
    assert_eq!(home.get("file.io").await.unwrap(), None, "the files are not named");
    assert_eq!(home.store.erase("docker.io").await.unwrap(), [Kept::Helper("all".into())]);
    assert_eq!(home.store.erase("docker.io").await.unwrap(), []);
    assert_eq!(home.get("docker.io").await.unwrap(), None);
}

#[tokio::test]
async fn helpers_of_single_registries() {
    let home = Home::new(Some(json!({
        "credHelpers": { "cloud.io": "cloud", "none.io": "" }, "credsStore": "all",
        "auths": { "none.io": { "auth": "bWU6eA==" } },
    })));
    home.program("cloud", r#"cat >/dev/null; echo '{"ServerURL":"x","Username":"cloud","Secret":"c"}'"#);
    home.program(
        "all",
        r#"read -r s; [ "$s" = https://index.docker.io/v1/ ] && echo '{"Username":"hub","Secret":"h"}'"#,
    );
    assert_eq!(home.get("cloud.io").await.unwrap(), Some(Credentials::password("cloud", "c")));
    assert_eq!(home.get("docker.io").await.unwrap(), Some(Credentials::password("hub", "h")));
    assert_eq!(
        home.get("none.io").await.unwrap(),
        Some(Credentials::password("me", "x")),
        "no helper for this one"
    );
}

#[tokio::test]
async fn failing_helpers() {
    let home = Home::new(Some(json!({
        "credHelpers": {
            "failing.io": "failing", "talking.io": "talking", "missing.io": "no-such", "path.io": "../evil", "mute.io": "mute",
        },
    })));
    home.program("failing", "echo \"the keychain is locked\"; exit 1");
    home.program("talking", "echo hello");
    home.program("mute", "exit 3");
    for (registry, want) in [
        ("failing.io", "docker-credential-failing get failed: the keychain is locked"),
        ("talking.io", "the answer is no JSON"),
        ("missing.io", "cannot run docker-credential-no-such"),
        ("path.io", "is no name of a credential helper"),
        ("mute.io", "docker-credential-mute get failed: exit status: 3"),
    ] {
        let error = home.get(registry).await.unwrap_err().to_string();
        assert!(error.contains(want), "{registry}: {error}");
    }
    let error = home.store.save("failing.io", &Credentials::password("me", "x")).await.unwrap_err();
    assert!(error.to_string().contains("docker-credential-failing store failed"), "{error}");
    assert!(home.json().get("auths").is_none(), "a failed login leaves the file as it was");
}

#[tokio::test]
async fn a_helper_that_hangs_is_ended() {
    let mut home = Home::new(Some(json!({ "credsStore": "hanging" })));
    let pid = home.directory.path().join("pid");
    home.program("hanging", &format!("echo $$ >{}; exec sleep 600", pid.display()));
    home.store.helper_timeout = std::time::Duration::from_millis(300);
    let start = Instant::now();
    let error = home.get("r.io").await.unwrap_err();
    assert!(matches!(error, CredentialsError::Helper(HelperError::Timeout { .. })), "{error}");
    assert!(start.elapsed().as_secs() < 10);
    let process = PathBuf::from("/proc").join(fs::read_to_string(pid).unwrap().trim());
    while process.exists() && start.elapsed().as_secs() < 10 {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert!(!process.exists(), "it was killed and reaped");
}

#[test]
fn debug_shows_no_secret() {
    let mut store = Store::of("r.io", Credentials::password("me", "hunter2"));
    store.fixed.insert("s.io".into(), Credentials::IdentityToken("hunter2".into()));
    store.fixed.insert("t.io".into(), Credentials::RegistryToken("hunter2".into()));
    let shown = format!("{store:?}");
    assert!(shown.contains("me") && !shown.contains("hunter2"), "{shown}");
}
