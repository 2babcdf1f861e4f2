//! What to do about a refusal. Registries say in their own ways what is wrong; some mean something else by it.

use super::{
    error::{Asked, ServerErrors},
    limits::{RateLimit, humane},
};
use oci_distribution::errors::OciErrorCode;
use std::{borrow::Cow, time::Duration};

type Advice = Cow<'static, str>;

/// The action of a login, which also ends that of getting a token for one.
pub(crate) const LOGIN: &str = "log in";
/// How registries say that a token has expired.
const EXPIRY: [&str; 3] = ["token has expired", "token is expired", "token expired"];
/// How they say that there is no room.
const QUOTA: [&str; 3] = ["quota", "storage limit", "will exceed the configured upper limit"];

/// Registries that want to be spoken of in their own words.
enum Host<'a> {
    DockerHub,
    /// Amazon's, of one region.
    Ecr {
        region: &'a str,
    },
    EcrPublic,
    GitHub,
    Other,
}

impl<'a> Host<'a> {
    fn of(asked: &'a Asked) -> Self {
        match &*asked.registry {
            "docker.io" => return Self::DockerHub,
            "public.ecr.aws" => return Self::EcrPublic,
            "ghcr.io" => return Self::GitHub,
            _ => {}
        }
        // ACCOUNT.dkr.ecr.REGION.amazonaws.com, .com.cn; ACCOUNT.dkr-ecr.REGION.on.aws.
        let labels: Vec<&str> = asked.registry.split('.').collect();
        let amazon = |rest: &[&str]| rest.starts_with(&["amazonaws", "com"]) || rest == ["on", "aws"];
        match &labels[..] {
            [_, "dkr", "ecr" | "ecr-fips", region, rest @ ..] if amazon(rest) => Self::Ecr { region },
            [_, "dkr-ecr" | "dkr-ecr-fips", region, rest @ ..] if amazon(rest) => Self::Ecr { region },
            _ => Self::Other,
        }
    }

    /// How one proves who one is.
    fn login(&self) -> Option<Advice> {
        match self {
            Self::Ecr { region } => Some(
                format!(
                    "log in as AWS with the password that `aws ecr get-login-password --region {region}` prints, which \
                     is good for 12 hours, or use the credential helper ecr-login"
                )
                .into(),
            ),
            Self::EcrPublic => Some(
                "log in as AWS with the password that `aws ecr-public get-login-password --region us-east-1` prints"
                    .into(),
            ),
            Self::DockerHub | Self::GitHub | Self::Other => None,
        }
    }
}

/// A TLS connection that was not made: by the server, if that sent an `alert`, or by us.
pub(super) fn tls(alert: bool) -> &'static str {
    if alert {
        "it may want a client certificate: *.cert and *.key in its directory of certs.d"
    } else {
        "add the registry's CA certificate, or name the registry as insecure"
    }
}

/// 401. `insufficient` if the credentials are good, but not for this.
pub(super) fn unauthorized(asked: &Asked, had_credentials: bool, insufficient: bool) -> Advice {
    let host = Host::of(asked);
    if let Some(advice) = official(&host, asked) {
        return advice;
    }
    match (had_credentials, insufficient) {
        (true, false) if asked.action.ends_with(LOGIN) => host.login().unwrap_or(
            "check the user name and the password; some registries want an access token in its place".into(),
        ),
        (true, true) => "check the name, or log in with an account that has the rights".into(),
        (true, false) if &*asked.action == "log in" => {
            host.login().unwrap_or("check the user name and the password".into())
        }
        (true, false) => host.login().unwrap_or("log in again".into()),
        (false, _) => host.login().unwrap_or("log in first, if the name is right".into()),
    }
}

/// 403.
pub(super) fn denied(asked: &Asked, errors: &ServerErrors) -> Advice {
    let host = Host::of(asked);
    let said = said(errors);
    if let Some(advice) = common(&host, &said).or_else(|| official(&host, asked)) {
        return advice;
    }
    match host {
        // "User: arn:... is not authorized to perform: ecr:PutImage on resource: ..."
        Host::Ecr { .. } | Host::EcrPublic if said.contains("is not authorized to perform") => {
            "an IAM policy must allow that, for this role and this repository".into()
        }
        Host::GitHub if said.contains("scope") || said.contains("permission_denied") => {
            "the token needs the right write:packages to push, and read:packages to pull; in a workflow the job needs the \
             permission `packages: write`"
                .into()
        }
        _ => "log in with an account that has the rights".into(),
    }
}

/// 404.
pub(super) fn not_found(asked: &Asked, errors: &ServerErrors) -> Advice {
    let no_repository = errors.has(OciErrorCode::NameUnknown);
    let push = is_push(asked);
    match Host::of(asked) {
        Host::Ecr { region } if no_repository && push => format!(
            "ECR makes no repositories by itself: `aws ecr create-repository --region {region} --repository-name {}`",
            asked.repository
        )
        .into(),
        Host::EcrPublic if no_repository && push => {
            let name = asked.repository.split_once('/').map_or(&*asked.repository, |(_, name)| name);
            format!(
                "ECR makes no repositories by itself: `aws ecr-public create-repository --region us-east-1 \
                 --repository-name {name}`"
            )
            .into()
        }
        _ if no_repository && push => "the repository must be made first at this registry".into(),
        _ => "check the name, and log in if the repository is private".into(),
    }
}

/// 429.
pub(super) fn rate_limited(
    asked: &Asked,
    errors: &ServerErrors,
    retry_after: Option<Duration>,
    limit: Option<&RateLimit>,
) -> String {
    let host = Host::of(asked);
    if let Some(advice) = common(&host, &said(errors)) {
        return advice.into_owned();
    }
    let when = match retry_after {
        Some(wait) => format!("in {}", humane(wait)),
        None => "later".to_owned(),
    };
    let limit = limit.map(|limit| format!("the limit is {limit}; ")).unwrap_or_default();
    match host {
        Host::DockerHub => {
            format!("{limit}try again {when}, log in for a higher limit, or name a mirror of docker.io")
        }
        Host::EcrPublic => format!("{limit}try again {when}, or {}", host.login().unwrap_or_default()),
        _ => format!("{limit}try again {when}, or log in for a higher limit"),
    }
}

/// Any other status.
pub(super) fn status(asked: &Asked, status: u16, errors: &ServerErrors) -> Option<Advice> {
    let host = Host::of(asked);
    let said = said(errors);
    if let Some(advice) = common(&host, &said) {
        return Some(advice);
    }
    match status {
        _ if is_of_manifest_type(asked, status, errors) => Some(
            "the registry may take one format of manifests alone: write the image in the other one \
             (oci-mediatypes=true or false), and without attestations"
                .into(),
        ),
        413 => Some("a server before the registry limits what one request may carry; raise its limit".into()),
        507 => Some("the registry has no room left".into()),
        500..=599 => Some("the fault is at the registry; try again later".into()),
        _ => None,
    }
}

/// Whether a manifest may have been refused for its media type, or an index for what it lists.
pub(super) fn is_of_manifest_type(asked: &Asked, status: u16, errors: &ServerErrors) -> bool {
    use OciErrorCode::{ManifestInvalid, ManifestUnverified, Unsupported};
    let codes = [ManifestInvalid, ManifestUnverified, Unsupported];
    asked.action.starts_with("push manifest")
        && match status {
            405 | 415 => true,
            400 | 406 | 422 => codes.into_iter().any(|code| errors.has(code)),
            _ => false,
        }
}

/// Whether it is room that is missing: no waiting helps then, whatever the status.
pub(super) fn is_quota(errors: &ServerErrors) -> bool {
    let said = said(errors);
    QUOTA.iter().any(|text| said.contains(text))
}

/// Whether a token has expired.
pub(super) fn is_expiry(errors: &ServerErrors) -> bool {
    let said = said(errors);
    EXPIRY.iter().any(|text| said.contains(text))
}

/// Refusals that come under one status here and another there.
fn common(host: &Host<'_>, said: &str) -> Option<Advice> {
    let says = |texts: &[&str]| texts.iter().any(|text| said.contains(text));
    if says(&["immutable", "immutability", "cannot be overwritten"]) {
        return Some("tags of this repository cannot be moved: push under another tag".into());
    }
    if says(&QUOTA) {
        return Some("make room at the registry, or ask for a larger quota".into());
    }
    if says(&EXPIRY) {
        return Some(host.login().unwrap_or("log in again".into()));
    }
    None
}

/// What nobody but Docker may push: `library/app`, which people get by leaving out their own name.
fn official(host: &Host<'_>, asked: &Asked) -> Option<Advice> {
    let name = asked.repository.strip_prefix("library/")?;
    (matches!(host, Host::DockerHub) && is_push(asked)).then(|| {
        format!("that is a name of Docker's own images; write your own before it: USER/{name}").into()
    })
}

fn is_push(asked: &Asked) -> bool {
    ["push", "begin an upload", "mount", "look for"].iter().any(|verb| asked.action.starts_with(verb))
}

/// All a registry said, in lower case.
fn said(errors: &ServerErrors) -> String {
    errors.to_string().to_lowercase()
}

#[cfg(test)]
mod tests;
