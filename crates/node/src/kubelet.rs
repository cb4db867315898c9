//! `kubelet`: a credential provider for the kubelet, which calls it for each image before the
//! container runtime pulls. The request comes on standard input, the response goes to standard
//! output, both strictly in the form of version 1 of the kubelet's API.
//!
//! Images of other registries get a response without credentials: the kubelet continues as if there
//! were no provider. A failure at a MetaHub ends the same way, with the reason on standard error,
//! which the kubelet logs: the pull is anonymous then.

use std::collections::BTreeMap;

use metahub_hardware::detect::Root;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::answer::Answer;
use crate::helper::Helper;
use crate::login::{Join, join_of, joined};
use crate::policy::{Environment, Policy};
use crate::server::host_of;
use crate::user_name::is_login;

/// The version of the kubelet's API.
pub const API_VERSION: &str = "credentialprovider.kubelet.k8s.io/v1";
/// The annotation of a pod's service account that names profiles for its images, in addition to the
/// node's hardware.
pub const PROFILES: &str = "metahub/profiles";
/// How long the kubelet may use an answer: the node stays what it is until it boots again, and
/// what its registry knows of it changes seldom.
const CACHE: &str = "10m0s";

/// As the kubelet writes it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Request {
    kind: String,
    api_version: String,
    image: String,
    /// Of the pod's service account, where the configuration asks for it. Not used.
    #[serde(default, rename = "serviceAccountToken")]
    _token: Option<String>,
    #[serde(default)]
    service_account_annotations: Option<BTreeMap<String, String>>,
}

/// As the kubelet reads it; it refuses fields that it does not know.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Response {
    kind: &'static str,
    api_version: &'static str,
    cache_key_type: &'static str,
    cache_duration: &'static str,
    auth: Option<BTreeMap<String, Auth>>,
}

#[derive(Debug, Serialize)]
struct Auth {
    username: String,
    password: String,
}

/// Answers one request.
#[must_use]
pub fn kubelet(policy: &Policy, environment: Environment<'_>, input: &str) -> Answer {
    let request = match read(input) {
        Ok(request) => request,
        Err(problem) => return Answer::error(1, problem),
    };
    let mut notes = Vec::new();
    let auth = auth(policy, environment, &request, &mut notes);
    // An image of another registry says nothing of the rest of that registry.
    let response = Response {
        kind: "CredentialProviderResponse",
        api_version: API_VERSION,
        cache_key_type: if auth.is_some() { "Registry" } else { "Image" },
        cache_duration: if auth.is_some() { CACHE } else { "0s" },
        auth,
    };
    match serde_json::to_string(&response) {
        Ok(text) => Answer::ok(text).noting(notes),
        Err(error) => Answer::error(1, error.to_string()),
    }
}

fn read(input: &str) -> Result<Request, String> {
    let expected = |what: &str| {
        format!("{what}: expected a CredentialProviderRequest of {API_VERSION} on standard input")
    };
    let request: Request =
        serde_json::from_str(input).map_err(|error| expected(&error.to_string()))?;
    if request.kind != "CredentialProviderRequest" {
        return Err(expected(&format!("the kind is '{}'", request.kind)));
    }
    if request.api_version != API_VERSION {
        return Err(expected(&format!(
            "the version is '{}'",
            request.api_version
        )));
    }
    if request.image.is_empty() {
        return Err(expected("it names no image"));
    }
    Ok(request)
}

fn auth(
    policy: &Policy,
    environment: Environment<'_>,
    request: &Request,
    notes: &mut Vec<String>,
) -> Option<BTreeMap<String, Auth>> {
    let (name, _) = request.image.split_once('/')?;
    let host = host_of(name).filter(|host| policy.is_metahub(host))?;
    let helper = Helper {
        policy,
        environment,
        root: &Root::new("/"),
    };
    let answer = helper.run("get", &host);
    notes.extend(answer.notes);
    if answer.code != 0 {
        return None;
    }
    let answer: Value = serde_json::from_str(&answer.stdout).ok()?;
    let text = |key: &str| Some(answer.get(key)?.as_str()?.to_owned());
    let mut username = text("Username")?;
    let annotations = request.service_account_annotations.as_ref();
    if let Some(profiles) = annotations.and_then(|all| all.get(PROFILES)) {
        match with_profiles(profiles, &username) {
            Some(with) => username = with,
            None => notes.push(format!(
                "the annotation {PROFILES}: '{profiles}' is no profile"
            )),
        }
    }
    let auth = Auth {
        username,
        password: text("Secret")?,
    };
    // The kubelet takes a key for the host, its port included, and all paths below it.
    Some(BTreeMap::from([(name.to_owned(), auth)]))
}

/// The node's login with the profiles that a service account names; where those name hardware
/// themselves, that alone.
fn with_profiles(profiles: &str, node: &str) -> Option<String> {
    if !is_login(profiles) {
        return None;
    }
    Some(match join_of(profiles) {
        Join::Nothing => profiles.to_owned(),
        Join::Account | Join::Selector => joined(profiles, Join::Selector, Some(node)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(input: &str) -> Answer {
        let mut policy = Policy::default();
        policy.registries.push("hub.example:5000".to_owned());
        policy.login = Some("zen4+cuda=12.4".to_owned());
        policy.tools = false;
        policy.plain_http = policy.registries.clone();
        // Nothing listens there.
        policy.cache = "/nonexistent".into();
        kubelet(&policy, &|_| None, input)
    }

    fn request(image: &str) -> String {
        format!(
            r#"{{"kind":"CredentialProviderRequest","apiVersion":"{API_VERSION}","image":"{image}"}}"#
        )
    }

    #[test]
    fn an_image_of_another_registry_gets_no_credentials() {
        for image in [
            "docker.io/library/busybox:latest",
            "busybox",
            "hub.example/a:1",
        ] {
            let answer = answer(&request(image));
            assert_eq!(answer.code, 0, "{answer:?}");
            assert_eq!(
                answer.stdout,
                format!(
                    r#"{{"kind":"CredentialProviderResponse","apiVersion":"{API_VERSION}","cacheKeyType":"Image","cacheDuration":"0s","auth":null}}"#
                ),
                "{image}"
            );
        }
    }

    #[rstest::rstest]
    #[case("")]
    #[case("[]")]
    #[case(r#"{"kind":"CredentialProviderRequest","image":"a/b"}"#)]
    #[case(r#"{"kind":"CredentialProviderRequest","apiVersion":"credentialprovider.kubelet.k8s.io/v1beta1","image":"a/b"}"#)]
    #[case(r#"{"kind":"CredentialProviderResponse","apiVersion":"credentialprovider.kubelet.k8s.io/v1","image":"a/b"}"#)]
    #[case(r#"{"kind":"CredentialProviderRequest","apiVersion":"credentialprovider.kubelet.k8s.io/v1","image":""}"#)]
    #[case(r#"{"kind":"CredentialProviderRequest","apiVersion":"credentialprovider.kubelet.k8s.io/v1","image":"a/b","more":1}"#)]
    fn other_requests_are_refused(#[case] input: &str) {
        let answer = answer(input);
        assert_eq!(answer.code, 1);
        assert!(answer.stdout.is_empty() && answer.notes[0].contains(API_VERSION));
    }

    #[rstest::rstest]
    #[case("aws/cli", Some("aws/cli+zen4"))]
    #[case("tools", Some("tools+zen4"))]
    #[case("zen3", Some("zen3"))]
    #[case("a b", None)]
    fn a_service_account_may_name_profiles(#[case] profiles: &str, #[case] login: Option<&str>) {
        assert_eq!(with_profiles(profiles, "zen4").as_deref(), login);
    }
}
