//! A token server, and the tokens a registry accepts.

use super::http::{Reply, Request, Server};
use base64::{Engine, engine::general_purpose::STANDARD};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

/// The tokens that were given out: token -> scopes it is good for, one action each (`repository:a:pull`).
#[derive(Default)]
pub(crate) struct Tokens {
    live: BTreeMap<String, BTreeSet<String>>,
    given: usize,
}

impl Tokens {
    pub(crate) fn allows(&self, authorization: Option<&str>, wanted: &[String]) -> bool {
        let token = authorization.and_then(|value| value.strip_prefix("Bearer "));
        let scopes = token.and_then(|token| self.live.get(token));
        scopes.is_some_and(|scopes| wanted.iter().all(|scope| scopes.contains(scope)))
    }

    /// No token given out so far is good any more.
    pub(crate) fn revoke_all(&mut self) {
        self.live.clear();
    }

    fn give(&mut self, scopes: &[String]) -> String {
        self.given += 1;
        let token = format!("token-{}", self.given);
        let mut single = BTreeSet::new();
        for scope in scopes {
            let (resource, actions) = scope.rsplit_once(':').unwrap();
            single.extend(actions.split(',').map(|action| format!("{resource}:{action}")));
        }
        self.live.insert(token.clone(), single);
        token
    }
}

/// What a token server does.
#[derive(Clone, Default)]
pub(crate) struct TokenRules {
    /// User and password; `None` gives tokens to everyone.
    pub(crate) password: Option<(&'static str, &'static str)>,
    /// Without credentials a token is good for pulling.
    pub(crate) anonymous_pull: bool,
    /// GET is answered with 405.
    pub(crate) post_only: bool,
    /// The identity token that is taken.
    pub(crate) identity: Option<&'static str>,
    /// Seconds a token lives, by the answer.
    pub(crate) expires_in: Option<u64>,
    /// The first so many requests are answered with 503.
    pub(crate) failures: usize,
    /// Each answer takes so long.
    pub(crate) delay: Duration,
}

/// A token server on a port of its own.
pub(crate) struct TokenServer {
    pub(crate) server: Server,
    pub(crate) tokens: Arc<Mutex<Tokens>>,
    rules: Arc<Mutex<TokenRules>>,
}

impl TokenServer {
    pub(crate) async fn start(rules: TokenRules) -> Self {
        let tokens: Arc<Mutex<Tokens>> = Arc::default();
        let rules = Arc::new(Mutex::new(rules));
        let handler = {
            let (tokens, rules) = (tokens.clone(), rules.clone());
            move |request: &Request| {
                let mut rules = rules.lock().unwrap();
                if rules.failures > 0 {
                    rules.failures -= 1;
                    return Reply::new(503);
                }
                Reply { delay: rules.delay, ..answer(&rules, &tokens, request) }
            }
        };
        Self { server: Server::start(handler).await, tokens, rules }
    }

    /// Changes the rules.
    pub(crate) fn with(&self, change: impl FnOnce(&mut TokenRules)) {
        change(&mut self.rules.lock().unwrap());
    }

    /// The challenge that sends clients here.
    pub(crate) fn challenge(&self, scope: &str) -> String {
        let scope = if scope.is_empty() { String::new() } else { format!(",scope=\"{scope}\"") };
        format!("Bearer realm=\"http://{}/token?of=the+realm\",service=\"test\"{scope}", self.server.address)
    }
}

fn answer(rules: &TokenRules, tokens: &Mutex<Tokens>, request: &Request) -> Reply {
    assert_eq!(request.path(), "/token");
    let unauthorized = || {
        Reply::new(401)
            .header("WWW-Authenticate", "Basic realm=\"tokens\"")
            .body(r#"{"errors":[{"code":"UNAUTHORIZED","message":"wrong password"}]}"#)
    };
    let (scopes, may_push) = match request.method.as_str() {
        "GET" if rules.post_only => return Reply::new(405),
        "GET" => {
            assert_eq!(request.query("service"), ["test"]);
            assert_eq!(request.query("of"), ["the realm"], "the realm's own query is kept");
            let allowed = rules.password.is_none_or(|(user, password)| {
                let basic = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
                request.header("authorization") == Some(&basic)
            });
            let anonymous = request.header("authorization").is_none() && rules.anonymous_pull;
            if !allowed && !anonymous {
                return unauthorized();
            }
            (request.query("scope"), allowed)
        }
        "POST" => {
            assert_eq!(request.header("content-type"), Some("application/x-www-form-urlencoded"));
            assert_eq!(request.header("authorization"), None);
            let form: BTreeMap<String, String> =
                url::form_urlencoded::parse(&request.body).into_owned().collect();
            assert_eq!(form["service"], "test");
            assert!(!form["client_id"].is_empty());
            let allowed = match form["grant_type"].as_str() {
                "password" => rules.password == Some((&form["username"], &form["password"])),
                "refresh_token" => rules.identity == Some(&form["refresh_token"]),
                other => panic!("{other:?} is no grant type"),
            };
            if !allowed {
                return unauthorized();
            }
            let scopes = form.get("scope").map(String::as_str).unwrap_or_default();
            (scopes.split(' ').filter(|scope| !scope.is_empty()).map(str::to_owned).collect(), true)
        }
        other => panic!("{other} of a token"),
    };
    let granted: Vec<String> = scopes
        .iter()
        .map(|scope| if may_push { scope.clone() } else { scope.replace(":pull,push", ":pull") })
        .collect();
    let token = tokens.lock().unwrap().give(&granted);
    let mut json = serde_json::json!({});
    json[if request.method == "GET" { "token" } else { "access_token" }] = token.into();
    if let Some(seconds) = rules.expires_in {
        json["expires_in"] = seconds.into();
    }
    Reply::new(200).header("Content-Type", "application/json").body(json.to_string())
}
