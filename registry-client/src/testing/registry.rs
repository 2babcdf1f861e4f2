//! A registry in memory, strict about what the distribution-spec asks of clients.

use super::{
    http::{Early, Handler, Reply, Request, Server},
    tokens::Tokens,
};
use crate::{
    descriptor::Descriptor,
    digest::Digest,
    media_type::{Family, MediaType},
    reference::Reference,
};
use bytes::Bytes;
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex},
    time::Duration,
};

/// What real registries do now and then. All off by default.
#[derive(Default)]
pub(crate) struct Oddities {
    /// `Location` is a path, not a URL.
    pub(crate) relative_location: bool,
    /// `Location` has a query that must come back as it was.
    pub(crate) state_in_query: bool,
    /// A mount is always answered with an upload.
    pub(crate) no_mounts: bool,
    /// A mount is answered with this status.
    pub(crate) mount_status: Option<u16>,
    /// HEAD of a blob is answered with this status.
    pub(crate) blob_head_status: Option<u16>,
    /// A PATCH of fewer bytes is refused.
    pub(crate) chunk_minimum: Option<usize>,
    /// There is no room for blobs, which is told with this status.
    pub(crate) quota_status: Option<u16>,
    /// HEAD of a manifest is answered with this status.
    pub(crate) head_status: Option<u16>,
    /// No `Docker-Content-Digest`.
    pub(crate) no_content_digest: bool,
    /// `Docker-Content-Digest` of something else.
    pub(crate) wrong_content_digest: bool,
    /// Blobs are redirected to this address.
    pub(crate) redirect_blobs: Option<String>,
    /// Blobs come with one byte changed.
    pub(crate) corrupt_blobs: bool,
    /// Instead of blobs a page comes, with a good status: a proxy that wants a login does so.
    pub(crate) html_blobs: bool,
    /// `Range` is not understood.
    pub(crate) ignore_range: bool,
    /// Ranges are cut to so many bytes, and say so.
    pub(crate) longest_range: Option<usize>,
    /// What `Content-Range` says the length of all is.
    pub(crate) range_total: Option<usize>,
    /// A `Range` is answered with this status.
    pub(crate) range_status: Option<u16>,
    /// Referrers are listed, so many on a page; otherwise 404.
    pub(crate) referrers: Option<usize>,
    /// The list of referrers is not filtered.
    pub(crate) unfiltered_referrers: bool,
    /// Blobs come without their length.
    pub(crate) chunked_blobs: bool,
    /// The next answers, whatever is asked: status and `Retry-After`; status 0 hangs up.
    pub(crate) failures: VecDeque<(u16, Option<String>)>,
    /// The next GETs of blobs are cut after so many bytes.
    pub(crate) cut_blobs: VecDeque<usize>,
    /// The next PUTs and PATCHes of blobs are cut after so many bytes.
    pub(crate) cut_uploads: VecDeque<usize>,
    /// What had come of a cut upload is kept, and told when asked for.
    pub(crate) resumable: bool,
    /// A byte of what is kept so is another.
    pub(crate) corrupt_kept: bool,
    /// PATCH of a blob is answered with this status.
    pub(crate) patch_status: Option<u16>,
    /// The next PUTs of blobs are carried out, and then the connection is closed.
    pub(crate) lose_answers: usize,
    /// The next PUTs of blobs find no session.
    pub(crate) lose_sessions: usize,
    /// The next PUTs and PATCHes of blobs are answered so before their body is read.
    pub(crate) refuse_uploads: VecDeque<u16>,
    /// Tags cannot be set again, not even to the same.
    pub(crate) immutable_tags: bool,
    /// Manifests of this family are refused with this status and code.
    pub(crate) refused_family: Option<(Family, u16, &'static str)>,
    /// All manifests are refused with this status and code.
    pub(crate) refused_manifests: Option<(u16, &'static str)>,
    /// A warning in each answer.
    pub(crate) warning: Option<&'static str>,
    /// Each answer takes so long.
    pub(crate) delay: Duration,
    /// 401 with this challenge (`{scope}` is replaced) unless the tokens allow it.
    pub(crate) bearer: Option<(String, Arc<Mutex<Tokens>>)>,
    /// A token that is no good is answered with this status and no challenge.
    pub(crate) expiry_status: Option<u16>,
    /// 401 unless this is sent.
    pub(crate) basic: Option<String>,
}

#[derive(Default)]
struct State {
    /// By repository and digest.
    blobs: BTreeMap<(String, String), Bytes>,
    /// By repository and tag or digest.
    manifests: BTreeMap<(String, String), (String, Bytes)>,
    /// By number: the repository and what came so far.
    uploads: BTreeMap<usize, (String, Vec<u8>)>,
    next_upload: usize,
    address: String,
    cancelled: usize,
}

/// The registry.
pub(crate) struct FakeRegistry {
    pub(crate) server: Server,
    inner: Arc<Inner>,
}

struct Inner {
    state: Mutex<State>,
    oddities: Mutex<Oddities>,
}

impl FakeRegistry {
    pub(crate) async fn start(oddities: Oddities) -> Self {
        let inner = Arc::new(Inner { state: Mutex::default(), oddities: Mutex::new(oddities) });
        let server = Server::start_shared(inner.clone()).await;
        inner.state.lock().unwrap().address = server.address.clone();
        Self { server, inner }
    }

    /// Changes the oddities.
    pub(crate) fn with(&self, change: impl FnOnce(&mut Oddities)) {
        change(&mut self.inner.oddities.lock().unwrap());
    }

    pub(crate) fn reference(&self, rest: &str) -> Reference {
        format!("{}/{rest}", self.server.address).parse().unwrap()
    }

    pub(crate) fn put_blob(&self, repository: &str, bytes: &Bytes) -> Descriptor {
        let descriptor = Descriptor::of(MediaType::OciLayer, bytes);
        let key = (repository.to_owned(), descriptor.digest.to_string());
        self.inner.state.lock().unwrap().blobs.insert(key, bytes.clone());
        descriptor
    }

    pub(crate) fn put_manifest(
        &self,
        repository: &str,
        tag: &str,
        media_type: &str,
        bytes: &Bytes,
    ) -> Digest {
        let digest = Digest::of(bytes);
        let mut state = self.inner.state.lock().unwrap();
        for name in [tag.to_owned(), digest.to_string()] {
            state.manifests.insert((repository.to_owned(), name), (media_type.to_owned(), bytes.clone()));
        }
        digest
    }

    pub(crate) fn blob(&self, repository: &str, digest: &Digest) -> Option<Bytes> {
        let key = (repository.to_owned(), digest.to_string());
        self.inner.state.lock().unwrap().blobs.get(&key).cloned()
    }

    /// Loses a blob, as a disk does.
    pub(crate) fn lose_blob(&self, repository: &str, digest: &Digest) {
        let key = (repository.to_owned(), digest.to_string());
        self.inner.state.lock().unwrap().blobs.remove(&key).expect("it has the blob");
    }

    pub(crate) fn manifest(&self, repository: &str, name: &str) -> Option<Bytes> {
        let key = (repository.to_owned(), name.to_owned());
        self.inner.state.lock().unwrap().manifests.get(&key).map(|(_, bytes)| bytes.clone())
    }

    /// Upload sessions that were neither closed nor cancelled.
    pub(crate) fn open_uploads(&self) -> usize {
        self.inner.state.lock().unwrap().uploads.len()
    }

    pub(crate) fn cancelled_uploads(&self) -> usize {
        self.inner.state.lock().unwrap().cancelled
    }
}

fn error(status: u16, code: &str) -> Reply {
    Reply::new(status)
        .header("Content-Type", "application/json")
        .body(format!(r#"{{"errors":[{{"code":"{code}","message":"it is so"}}]}}"#))
}

impl Handler for Inner {
    fn early(&self, request: &Request) -> Early {
        let uploading = request.path().contains("/blobs/uploads/");
        if !uploading || !matches!(request.method.as_str(), "PUT" | "PATCH") {
            return Early::Read;
        }
        let mut oddities = self.oddities.lock().unwrap();
        if let Some(after) = oddities.cut_uploads.pop_front() {
            return Early::HangUp(after);
        }
        match oddities.refuse_uploads.pop_front() {
            Some(status) => Early::Answer(error(status, "DENIED")),
            None => Early::Read,
        }
    }

    fn cut(&self, request: &Request, body: &[u8]) {
        let oddities = self.oddities.lock().unwrap();
        if !oddities.resumable {
            return;
        }
        let number: usize = request.path().rsplit('/').next().unwrap().parse().unwrap();
        let mut state = self.state.lock().unwrap();
        let (_, kept) = state.uploads.get_mut(&number).expect("a session");
        kept.extend_from_slice(body);
        if let (true, Some(first)) = (oddities.corrupt_kept, kept.first_mut()) {
            *first ^= 1;
        }
    }

    fn reply(&self, request: &Request) -> Reply {
        let mut reply = self.answer(request);
        let oddities = self.oddities.lock().unwrap();
        reply.delay = oddities.delay;
        if let Some(warning) = oddities.warning {
            reply = reply.header("Warning", format!("299 - \"{warning}\""));
        }
        reply
    }
}

impl Inner {
    fn answer(&self, request: &Request) -> Reply {
        assert!(request.header("host").is_some() && request.header("user-agent").is_some());
        if let Some((status, retry_after)) = self.oddities.lock().unwrap().failures.pop_front() {
            let mut reply = error(status, "TOOMANYREQUESTS");
            if status == 0 {
                reply.cut = Some(None);
            }
            return match retry_after {
                Some(value) => reply.header("Retry-After", value),
                None => reply,
            };
        }
        if let Some(refusal) = self.authorize(request) {
            return refusal;
        }
        let Some(path) = request.path().strip_prefix("/v2/") else { return error(404, "NOT_FOUND") };
        if path.is_empty() {
            return Reply::new(200);
        }
        let (rest, last) = path.rsplit_once('/').unwrap();
        let last = last.replace("%3A", ":");
        if let Some(repository) = rest.strip_suffix("/blobs/uploads") {
            return self.upload(request, repository, &last);
        }
        if let Some(repository) = rest.strip_suffix("/manifests") {
            return self.manifest(request, repository, &last);
        }
        if let Some(repository) = rest.strip_suffix("/referrers") {
            return self.referrers(request, repository, &last);
        }
        match rest.strip_suffix("/blobs") {
            Some(repository) => self.get_blob(request, repository, &last),
            None => error(404, "NOT_FOUND"),
        }
    }

    fn authorize(&self, request: &Request) -> Option<Reply> {
        let oddities = self.oddities.lock().unwrap();
        if let Some(basic) = &oddities.basic
            && request.header("authorization") != Some(basic)
        {
            let reply = error(401, "UNAUTHORIZED");
            return Some(reply.header("WWW-Authenticate", "Basic realm=\"test\""));
        }
        let (challenge, tokens) = oddities.bearer.as_ref()?;
        let path = request.path().strip_prefix("/v2/").unwrap();
        let repository =
            ["/manifests/", "/blobs/", "/referrers/"].iter().find_map(|part| path.split_once(part));
        let mut wanted = Vec::new();
        if let Some((repository, _)) = repository {
            wanted.push(format!("repository:{repository}:pull"));
            if !matches!(request.method.as_str(), "GET" | "HEAD") {
                wanted.push(format!("repository:{repository}:push"));
            }
            wanted.extend(request.query("from").iter().map(|from| format!("repository:{from}:pull")));
        }
        if tokens.lock().unwrap().allows(request.header("authorization"), &wanted) {
            return None;
        }
        if let (Some(status), Some(_)) = (oddities.expiry_status, request.header("authorization")) {
            let text = r#"{"errors":[{"code":"DENIED","message":"Your Authorization Token has expired."}]}"#;
            return Some(Reply::new(status).body(text));
        }
        let challenge = challenge.replace("{scope}", &wanted.join(" "));
        Some(error(401, "UNAUTHORIZED").header("WWW-Authenticate", challenge))
    }

    fn get_blob(&self, request: &Request, repository: &str, digest: &str) -> Reply {
        assert!(matches!(request.method.as_str(), "GET" | "HEAD"), "{}", request.line());
        let state = self.state.lock().unwrap();
        let mut oddities = self.oddities.lock().unwrap();
        if let ("HEAD", Some(status)) = (request.method.as_str(), oddities.blob_head_status) {
            return error(status, "UNSUPPORTED");
        }
        let Some(bytes) = state.blobs.get(&(repository.to_owned(), digest.to_owned())) else {
            return error(404, "BLOB_UNKNOWN");
        };
        if let Some(address) = &oddities.redirect_blobs {
            let location = format!("http://{address}/storage/{digest}?signature=x");
            return Reply::new(307).header("Location", location);
        }
        if oddities.html_blobs {
            return Reply::new(200).header("Content-Type", "text/html").body("<html>who are you?</html>");
        }
        let mut bytes = bytes.clone();
        if oddities.corrupt_blobs {
            let mut changed = bytes.to_vec();
            changed[0] ^= 1;
            bytes = changed.into();
        }
        let range = request.header("range").filter(|_| !oddities.ignore_range);
        if let (Some(_), Some(status)) = (range, oddities.range_status) {
            return error(status, "UNSUPPORTED");
        }
        let mut reply = match range {
            Some(range) => {
                let (start, end) =
                    range.strip_prefix("bytes=").and_then(|range| range.split_once('-')).expect("one range");
                let start: usize = start.parse().unwrap();
                let end = match end {
                    "" => bytes.len(),
                    end => (end.parse::<usize>().unwrap() + 1).min(bytes.len()),
                };
                assert!(start < end, "{range} of {} bytes", bytes.len());
                let end = oddities.longest_range.map_or(end, |longest| end.min(start + longest));
                let total = oddities.range_total.unwrap_or(bytes.len());
                let content_range = format!("bytes {start}-{}/{total}", end - 1);
                Reply::new(206).header("Content-Range", content_range).body(bytes.slice(start..end))
            }
            None => Reply::new(200).body(bytes),
        };
        if request.method == "GET" {
            reply.cut = oddities.cut_blobs.pop_front().map(|after| Some(after.min(reply.body.len())));
            reply.chunked = oddities.chunked_blobs;
        }
        reply.header("Content-Type", "application/octet-stream")
    }

    fn manifest(&self, request: &Request, repository: &str, name: &str) -> Reply {
        let mut state = self.state.lock().unwrap();
        let oddities = self.oddities.lock().unwrap();
        let key = (repository.to_owned(), name.to_owned());
        match request.method.as_str() {
            "HEAD" if oddities.head_status.is_some() => error(oddities.head_status.unwrap(), "UNSUPPORTED"),
            "GET" | "HEAD" => {
                assert!(request.all("accept").len() >= 4, "all types are asked for");
                let Some((media_type, bytes)) = state.manifests.get(&key) else {
                    return error(404, "MANIFEST_UNKNOWN");
                };
                let reply = Reply::new(200).header("Content-Type", media_type).body(bytes.clone());
                let digest = if oddities.wrong_content_digest { Digest::of(b"?") } else { Digest::of(bytes) };
                if oddities.no_content_digest {
                    return reply;
                }
                reply.header("Docker-Content-Digest", digest)
            }
            "PUT" => {
                let Some(media_type) = request.header("content-type") else {
                    return error(400, "MANIFEST_INVALID");
                };
                let family = MediaType::from(media_type).family();
                let of_family = oddities.refused_family.filter(|(refused, ..)| family == Some(*refused));
                let of_family = of_family.map(|(_, status, code)| (status, code));
                if let Some((status, code)) = oddities.refused_manifests.or(of_family) {
                    return error(status, code);
                }
                let digest = Digest::of(&request.body).to_string();
                if name.contains(':') && name != digest {
                    return error(400, "DIGEST_INVALID");
                }
                if oddities.immutable_tags && state.manifests.contains_key(&key) {
                    return error(403, "DENIED");
                }
                let json: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
                let list = |name: &str| json[name].as_array().cloned().unwrap_or_default();
                let has = |map_has: &dyn Fn(&(String, String)) -> bool, entry: &serde_json::Value| {
                    let digest = entry["digest"].as_str().unwrap();
                    map_has(&(repository.to_owned(), digest.to_owned()))
                };
                let blobs = list("layers").into_iter().chain(json.get("config").cloned());
                let all_blobs = blobs.clone().all(|blob| has(&|key| state.blobs.contains_key(key), &blob));
                let all_children = list("manifests")
                    .iter()
                    .all(|child| has(&|key| state.manifests.contains_key(key), child));
                if !all_blobs || !all_children {
                    return error(400, "MANIFEST_BLOB_UNKNOWN");
                }
                let value = (media_type.to_owned(), request.body.clone());
                state.manifests.insert((repository.to_owned(), digest.clone()), value.clone());
                state.manifests.insert(key, value);
                let told = if oddities.wrong_content_digest { Digest::of(b"?").to_string() } else { digest };
                let reply = Reply::new(201).header("Docker-Content-Digest", told);
                match (oddities.referrers, json["subject"]["digest"].as_str()) {
                    (Some(_), Some(subject)) => reply.header("OCI-Subject", subject),
                    _ => reply,
                }
            }
            other => panic!("{other} of a manifest"),
        }
    }

    fn referrers(&self, request: &Request, repository: &str, subject: &str) -> Reply {
        assert_eq!(request.method, "GET");
        let oddities = self.oddities.lock().unwrap();
        let Some(page) = oddities.referrers else { return error(404, "NOT_FOUND") };
        let state = self.state.lock().unwrap();
        let own = state.manifests.iter().filter(|((r, name), _)| r == repository && name.contains(':'));
        let mut found: Vec<serde_json::Value> = own
            .filter_map(|((_, digest), (media_type, bytes))| {
                let json: serde_json::Value = serde_json::from_slice(bytes).unwrap();
                let artifact = json.get("artifactType").or_else(|| json["config"].get("mediaType")).cloned();
                (json["subject"]["digest"] == subject).then(|| {
                    serde_json::json!({
                        "mediaType": media_type, "digest": digest, "size": bytes.len(),
                        "artifactType": artifact, "annotations": json["annotations"],
                    })
                })
            })
            .collect();
        for entry in &mut found {
            entry.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        }
        let mut reply = Reply::new(200).header("Content-Type", "application/vnd.oci.image.index.v1+json");
        if let ([wanted], false) = (&request.query("artifactType")[..], oddities.unfiltered_referrers) {
            found.retain(|entry| entry["artifactType"] == *wanted);
            reply = reply.header("OCI-Filters-Applied", "artifactType");
        }
        let start: usize = request.query("from").first().map_or(0, |from| from.parse().unwrap());
        if start + page < found.len() {
            let next = format!("/v2/{repository}/referrers/{subject}?from={}", start + page);
            let filter: String = request
                .query("artifactType")
                .iter()
                .map(|wanted| format!("&artifactType={wanted}"))
                .collect();
            let next = format!("{next}{filter}");
            reply = reply.header("Link", format!("<{next}>; rel=\"next\""));
        }
        found = found.into_iter().skip(start).take(page).collect();
        reply.body(serde_json::json!({ "schemaVersion": 2, "manifests": found }).to_string())
    }

    fn upload(&self, request: &Request, repository: &str, id: &str) -> Reply {
        let mut state = self.state.lock().unwrap();
        let mut oddities = self.oddities.lock().unwrap();
        if request.method == "POST" {
            assert_eq!((id, request.header("content-length")), ("", Some("0")));
            if let ([digest], [from]) = (&request.query("mount")[..], &request.query("from")[..]) {
                if let Some(status) = oddities.mount_status {
                    return error(status, "UNKNOWN");
                }
                let source = state.blobs.get(&(from.clone(), digest.clone())).cloned();
                if let Some(bytes) = source.filter(|_| !oddities.no_mounts) {
                    state.blobs.insert((repository.to_owned(), digest.clone()), bytes);
                    return Reply::new(201).header("Location", "/somewhere");
                }
            }
            state.next_upload += 1;
            let id = state.next_upload;
            state.uploads.insert(id, (repository.to_owned(), Vec::new()));
            let mut reply = Reply::new(202).header("Location", location(&oddities, &state, repository, id));
            if let Some(minimum) = oddities.chunk_minimum {
                reply = reply.header("OCI-Chunk-Min-Length", minimum);
            }
            return reply;
        }
        let number: usize = id.parse().expect("a session's number");
        if oddities.state_in_query {
            let expected = state_of(number);
            assert!(
                request.raw_query() == expected
                    || request.raw_query().starts_with(&format!("{expected}&digest=")),
                "{:?} does not begin with {expected:?}",
                request.raw_query()
            );
        }
        if request.method == "DELETE" {
            state.cancelled += usize::from(state.uploads.remove(&number).is_some());
            return Reply::new(204);
        }
        if request.method == "GET" {
            let Some((_, kept)) = state.uploads.get(&number).filter(|_| oddities.resumable) else {
                return error(404, "BLOB_UPLOAD_UNKNOWN");
            };
            let range = format!("0-{}", kept.len().saturating_sub(1));
            let place = location(&oddities, &state, repository, number);
            return Reply::new(204).header("Range", range).header("Location", place);
        }
        if let ("PATCH", Some(status)) = (request.method.as_str(), oddities.patch_status) {
            return error(status, "UNSUPPORTED");
        }
        if let ("PATCH", true) = (request.method.as_str(), oddities.chunk_minimum > Some(request.body.len()))
        {
            return error(416, "SIZE_INVALID");
        }
        if let Some(status) = oddities.quota_status {
            let text = r#"{"errors":[{"code":"DENIED","message":"adding 1.0 KiB of storage resource, which when updated to current usage of 1.0 GiB will exceed the configured upper limit of 1.0 GiB"}]}"#;
            return Reply::new(status).body(text);
        }
        if oddities.lose_sessions > 0 {
            oddities.lose_sessions -= 1;
            state.uploads.remove(&number);
            // With the code of the spec, and as a proxy without a code.
            let with_code = oddities.lose_sessions.is_multiple_of(2);
            return if with_code { error(404, "BLOB_UPLOAD_UNKNOWN") } else { Reply::new(404) };
        }
        let Some((owner, bytes)) = state.uploads.get_mut(&number) else {
            return error(404, "BLOB_UPLOAD_UNKNOWN");
        };
        assert_eq!(owner, repository);
        if let Some(range) = request.header("content-range") {
            let (start, last) = range.split_once('-').expect("a range without its unit");
            let (start, last): (usize, usize) = (start.parse().unwrap(), last.parse().unwrap());
            assert_eq!(last + 1 - start, request.body.len());
            if start != bytes.len() {
                return error(416, "BLOB_UPLOAD_INVALID");
            }
        }
        bytes.extend_from_slice(&request.body);
        match request.method.as_str() {
            "PATCH" => {
                assert_eq!(request.header("content-type"), Some("application/octet-stream"));
                // The session goes on under another name, as the spec allows.
                let moved = state.uploads.remove(&number).unwrap();
                state.next_upload += 1;
                let id = state.next_upload;
                state.uploads.insert(id, moved);
                Reply::new(202).header("Location", location(&oddities, &state, repository, id))
            }
            "PUT" => {
                let [digest] = &request.query("digest")[..] else {
                    panic!("one digest in {}", request.target)
                };
                let wanted: Digest = digest.parse().unwrap();
                let (_, bytes) = state.uploads.remove(&number).unwrap();
                if wanted.same_algorithm_of(&bytes) != wanted {
                    return error(400, "DIGEST_INVALID");
                }
                state.blobs.insert((repository.to_owned(), digest.clone()), bytes.into());
                let mut reply =
                    Reply::new(201).header("Location", format!("/v2/{repository}/blobs/{digest}"));
                if oddities.lose_answers > 0 {
                    oddities.lose_answers -= 1;
                    reply.cut = Some(None);
                }
                reply
            }
            other => panic!("{other} of an upload"),
        }
    }
}

fn state_of(id: usize) -> String {
    format!("_state=a%2Fb+c%3D=={id}&empty&x=1")
}

fn location(oddities: &Oddities, state: &State, repository: &str, id: usize) -> String {
    let origin = if oddities.relative_location { String::new() } else { format!("http://{}", state.address) };
    let query = if oddities.state_in_query { format!("?{}", state_of(id)) } else { String::new() };
    format!("{origin}/v2/{repository}/blobs/uploads/{id}{query}")
}
