//! Answers as registries give them, and what comes of them.

use crate::transport::error::{Asked, RequestError};
use reqwest::{StatusCode, header::HeaderMap};

const ECR: &str = "123456789012.dkr.ecr.eu-west-1.amazonaws.com";

struct Answer<'a> {
    registry: &'a str,
    repository: &'a str,
    action: &'a str,
    status: u16,
    headers: &'a [(&'static str, &'a str)],
    code: &'a str,
    message: &'a str,
    had_credentials: bool,
}

const ANSWER: Answer<'_> = Answer {
    registry: "registry.example",
    repository: "team/app",
    action: "get manifest \"v1\"",
    status: 500,
    headers: &[],
    code: "DENIED",
    message: "",
    had_credentials: true,
};

impl Answer<'_> {
    fn error(&self) -> RequestError {
        let asked = Asked {
            registry: self.registry.into(),
            repository: self.repository.into(),
            action: self.action.into(),
        };
        let headers: HeaderMap = self
            .headers
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect();
        let body =
            serde_json::json!({ "errors": [{ "code": self.code, "message": self.message }] }).to_string();
        let status = StatusCode::from_u16(self.status).unwrap();
        RequestError::of_answer(&asked, status, &headers, body.as_bytes(), self.had_credentials)
    }

    fn text(&self) -> String {
        self.error().to_string()
    }
}

#[test]
fn docker_hub_counts_pulls() {
    let answer = Answer {
        registry: "docker.io",
        repository: "library/debian",
        status: 429,
        code: "TOOMANYREQUESTS",
        message: "You have reached your unauthenticated pull rate limit. https://www.docker.com/increase-rate-limit",
        headers: &[
            ("ratelimit-limit", "100;w=21600"),
            ("ratelimit-remaining", "0;w=21600"),
            ("docker-ratelimit-source", "192.0.2.1"),
        ],
        had_credentials: false,
        ..ANSWER
    };
    assert_eq!(
        answer.text(),
        "cannot get manifest \"v1\" at docker.io/library/debian: too many requests (TOOMANYREQUESTS: You have reached your \
         unauthenticated pull rate limit. https://www.docker.com/increase-rate-limit); the limit is 100 pulls in 6 hours \
         for 192.0.2.1; try again later, log in for a higher limit, or name a mirror of docker.io"
    );
    assert!(!answer.error().is_transient());
    let abuse = Answer { headers: &[("retry-after", "60")], message: "", ..answer };
    assert!(
        abuse
            .text()
            .ends_with("try again in 1 minute, log in for a higher limit, or name a mirror of docker.io")
    );
}

#[test]
fn docker_hub_says_the_same_of_missing_and_of_private_repositories() {
    let anonymous = Answer {
        registry: "docker.io",
        repository: "library/absent",
        status: 401,
        code: "UNAUTHORIZED",
        message: "authentication required",
        had_credentials: false,
        ..ANSWER
    };
    assert!(
        anonymous.text().ends_with(
            "the registry wants credentials (UNAUTHORIZED: authentication required); log in first, if the name is right"
        ),
        "{}",
        anonymous.text()
    );
    let challenge = "Bearer realm=\"https://auth.docker.io/token\",service=\"registry.docker.io\",\
                     scope=\"repository:team/app:pull\",error=\"insufficient_scope\"";
    let known = Answer {
        repository: "team/app",
        headers: &[("www-authenticate", challenge)],
        had_credentials: true,
        ..anonymous
    };
    let text = known.text();
    assert!(text.contains("the account may not do that, or there is no such repository"), "{text}");
    assert!(text.ends_with("check the name, or log in with an account that has the rights"), "{text}");
    // Without that word it is the password.
    let wrong = Answer { headers: &[], ..known };
    assert!(wrong.text().contains("does not accept the credentials"), "{}", wrong.text());
    assert!(wrong.text().ends_with("; log in again"), "{}", wrong.text());
}

#[test]
fn docker_hub_keeps_names_without_a_user_for_itself() {
    for status in [401, 403] {
        let answer = Answer {
            registry: "docker.io",
            repository: "library/app",
            action: "begin an upload",
            status,
            message: "requested access to the resource is denied",
            ..ANSWER
        };
        let text = answer.text();
        assert!(
            text.ends_with("that is a name of Docker's own images; write your own before it: USER/app"),
            "{text}"
        );
    }
}

#[test]
fn ecr_makes_no_repositories() {
    let answer = Answer {
        registry: ECR,
        action: "begin an upload",
        status: 404,
        code: "NAME_UNKNOWN",
        message: "The repository with name 'team/app' does not exist in the registry with id '123456789012'",
        ..ANSWER
    };
    let want = "`aws ecr create-repository --region eu-west-1 --repository-name team/app`";
    assert!(answer.text().ends_with(want), "{}", answer.text());
    let public = Answer { registry: "public.ecr.aws", repository: "alias/app", ..answer };
    let want = "`aws ecr-public create-repository --region us-east-1 --repository-name app`";
    assert!(public.text().ends_with(want), "{}", public.text());
    // For pulling it would be of no use to make one.
    let pull = Answer { action: "get manifest \"v1\"", ..public };
    assert!(
        pull.text().ends_with("check the name, and log in if the repository is private"),
        "{}",
        pull.text()
    );
}

#[test]
fn passwords_of_ecr_expire() {
    let want = "log in as AWS with the password that `aws ecr get-login-password --region eu-west-1` prints, which is good \
                for 12 hours, or use the credential helper ecr-login";
    let message = "Your authorization token has expired. Reauthenticate and try again.";
    for (status, message) in [(403, message), (400, message), (401, "Not Authorized")] {
        let text = Answer { registry: ECR, status, message, ..ANSWER }.text();
        assert!(text.ends_with(want), "{status}: {text}");
    }
    for registry in [
        "123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com",
        "123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn",
        "123456789012.dkr-ecr.eu-west-1.on.aws",
    ] {
        let text = Answer { registry, status: 401, ..ANSWER }.text();
        assert!(text.contains("`aws ecr get-login-password --region "), "{text}");
    }
    for registry in ["dkr.ecr.eu-west-1.amazonaws.com.example", "a.dkr.ecr.b.example"] {
        let text = Answer { registry, status: 401, ..ANSWER }.text();
        assert!(!text.contains("get-login-password"), "{text}");
    }
}

#[test]
fn rights_at_ecr_and_github() {
    let message = "User: arn:aws:iam::123456789012:user/ci is not authorized to perform: ecr:PutImage on resource: arn:aws:\
                   ecr:eu-west-1:123456789012:repository/team/app";
    let text = Answer { registry: ECR, status: 403, message, ..ANSWER }.text();
    assert!(
        text.contains("ecr:PutImage")
            && text.ends_with("an IAM policy must allow that, for this role and this repository"),
        "{text}"
    );
    let message = "permission_denied: The token provided does not match expected scopes.";
    let text = Answer { registry: "ghcr.io", status: 403, message, ..ANSWER }.text();
    assert!(text.contains("the token needs the right write:packages to push"), "{text}");
}

#[test]
fn tags_that_cannot_be_moved() {
    for (registry, status, code, message) in [
        (
            ECR,
            400,
            "TAG_INVALID",
            "The image tag 'v1' already exists in the 'team/app' repository and cannot be overwritten because the repository \
             is immutable.",
        ),
        (
            "harbor.example",
            412,
            "PRECONDITION",
            "Failed to process request due to 'team/app:v1' configured as immutable.",
        ),
        (
            "europe-docker.pkg.dev",
            403,
            "DENIED",
            "cannot update tag v1. The repository has enabled tag immutability",
        ),
    ] {
        let answer = Answer { registry, status, code, message, action: "push manifest \"v1\"", ..ANSWER };
        let text = answer.text();
        assert!(text.ends_with("tags of this repository cannot be moved: push under another tag"), "{text}");
        assert!(!answer.error().is_transient());
    }
}

#[test]
fn manifests_of_the_wrong_format() {
    let push = Answer { action: "push manifest \"v1\"", ..ANSWER };
    for (status, code, message) in [
        (
            405,
            "UNSUPPORTED",
            "Invalid parameter at 'ImageManifest' failed to satisfy constraint: 'Invalid JSON syntax'",
        ),
        (415, "MANIFEST_INVALID", "manifest media type is not supported"),
        (400, "MANIFEST_INVALID", "manifest invalid"),
    ] {
        let text = Answer { status, code, message, ..push }.text();
        assert!(text.contains("oci-mediatypes=true or false"), "{text}");
    }
    // Of something else it says nothing.
    let blob = Answer { status: 405, code: "UNSUPPORTED", ..ANSWER };
    assert!(blob.text().ends_with("status 405 (UNSUPPORTED)"), "{}", blob.text());
}

#[test]
fn no_room() {
    let zot = Answer {
        status: 429,
        code: "TOOMANYREQUESTS",
        message: "repository quota exceeded",
        action: "push manifest \"v1\"",
        ..ANSWER
    };
    assert!(!zot.error().is_transient(), "waiting does not help");
    let want = "there is no room for it (TOOMANYREQUESTS: repository quota exceeded); make room at the registry, or ask for \
                a larger quota";
    assert!(zot.text().ends_with(want), "{}", zot.text());
    let message = "adding 1.2 MiB of storage resource, which when updated to current usage of 9.9 MiB will exceed the \
                   configured upper limit of 10.0 MiB.";
    let harbor = Answer { status: 403, message, ..ANSWER };
    assert!(
        harbor.text().ends_with("make room at the registry, or ask for a larger quota"),
        "{}",
        harbor.text()
    );
}

#[test]
fn faults_of_servers() {
    for (status, want) in [
        (413, "raise its limit"),
        (500, "the fault is at the registry; try again later"),
        (507, "the registry has no room left"),
    ] {
        let text = Answer { status, ..ANSWER }.text();
        assert!(text.ends_with(want), "{text}");
    }
}
