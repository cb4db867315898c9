//! The kubelet's credential provider as `examples/kubernetes` configures it: the files are what
//! Kubernetes reads, and the program that they name answers what the kubelet writes.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde::Deserialize;
use serde_json::{Value, json};

/// The kubelet decodes its configuration strictly.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct CredentialProviderConfig {
    kind: String,
    api_version: String,
    providers: Vec<CredentialProvider>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct CredentialProvider {
    name: String,
    api_version: String,
    args: Vec<String>,
    match_images: Vec<String>,
    default_cache_duration: String,
    token_attributes: Option<TokenAttributes>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct TokenAttributes {
    service_account_token_audience: String,
    cache_type: String,
    require_service_account: bool,
    optional_service_account_annotation_keys: Vec<String>,
}

fn example(name: &str) -> String {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let file = folder.join("../../examples/kubernetes").join(name);
    std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

fn documents(name: &str) -> Vec<Value> {
    let text = example(name);
    text.split("\n---\n")
        .map(|document| serde_saphyr::from_str(document).unwrap())
        .collect()
}

fn config(text: &str) -> CredentialProviderConfig {
    let config: CredentialProviderConfig = serde_saphyr::from_str(text).unwrap();
    assert_eq!(config.kind, "CredentialProviderConfig");
    assert_eq!(config.api_version, "kubelet.config.k8s.io/v1");
    config
}

/// The answer of the provider as it is configured, on a node that is a zen3.
fn ask(provider: &CredentialProvider, request: &Value) -> (Value, bool) {
    let folder = tempfile::tempdir().unwrap();
    let policy = &documents("node-policy.yaml")[0]["data"]["node.yaml"];
    let file = folder.path().join("node.yaml");
    std::fs::write(&file, policy.as_str().unwrap()).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_metahub-node"))
        .args(&provider.args)
        // The kubelet of many systems has no home.
        .env_remove("HOME")
        .env("METAHUB_NODE_CONFIG", file)
        .env("METAHUB_NODE_FEATURES", "[arch:zen3]")
        .env("METAHUB_NODE_KEYS", "[arch]")
        .env("METAHUB_NODE_TOOLS", "false")
        .env("METAHUB_NODE_CACHE", folder.path().join("cache"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(request.to_string().as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let answer = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    (answer, output.status.success())
}

fn request(image: &str) -> Value {
    // As a kubelet 1.37 wrote it.
    json!({
        "kind": "CredentialProviderRequest",
        "apiVersion": "credentialprovider.kubelet.k8s.io/v1",
        "image": image,
    })
}

#[test]
fn the_configured_provider_answers_as_the_kubelet_reads() {
    let config = config(&example("credential-provider-config.yaml"));
    let provider = &config.providers[0];
    assert_eq!(provider.match_images, ["hub.example"]);
    assert_eq!(provider.default_cache_duration, "10m");
    assert!(provider.token_attributes.is_none());
    let (answer, done) = ask(provider, &request("hub.example/a:1"));
    assert!(done);
    // Nothing more: the kubelet refuses fields that it does not know.
    assert_eq!(
        answer,
        json!({
            "kind": "CredentialProviderResponse",
            "apiVersion": provider.api_version,
            "cacheKeyType": "Registry",
            "cacheDuration": "10m0s",
            "auth": {"hub.example": {"username": "zen3", "password": "node"}},
        })
    );
    // Another registry.
    let (answer, done) = ask(provider, &request("docker.io/library/busybox:latest"));
    assert!(done);
    assert_eq!(answer["auth"], Value::Null);
    assert_eq!(answer["cacheKeyType"], "Image");
    // Another version of the request.
    let mut other = request("hub.example/a:1");
    other["apiVersion"] = "credentialprovider.kubelet.k8s.io/v2".into();
    assert_eq!(ask(provider, &other), (Value::Null, false));
    other = request("hub.example/a:1");
    other["unheardOf"] = true.into();
    assert_eq!(ask(provider, &other), (Value::Null, false));
}

#[test]
fn a_service_account_names_profiles() {
    // With what the example has in comments.
    let text = example("credential-provider-config.yaml");
    let (before, after) = text.split_once("    #\n").unwrap();
    let with = format!("{before}{}", after.replace("    # ", "    "));
    let config = config(&with);
    let provider = &config.providers[0];
    let token = provider.token_attributes.as_ref().unwrap();
    assert_eq!(token.cache_type, "ServiceAccount");
    assert!(!token.require_service_account && !token.service_account_token_audience.is_empty());
    assert_eq!(
        token.optional_service_account_annotation_keys,
        ["metahub/profiles"]
    );
    let mut request = request("hub.example/a:1");
    request["serviceAccountToken"] = "a.b.c".into();
    request["serviceAccountAnnotations"] = json!({"metahub/profiles": "aws/cli"});
    let (answer, done) = ask(provider, &request);
    assert!(done);
    assert_eq!(answer["auth"]["hub.example"]["username"], "aws/cli+zen3");
}

#[test]
fn the_daemon_set_installs_what_the_configuration_names() {
    let daemon_set = &documents("daemonset.yaml")[0];
    assert_eq!(daemon_set["kind"], "DaemonSet");
    let spec = &daemon_set["spec"];
    assert_eq!(
        spec["selector"]["matchLabels"],
        spec["template"]["metadata"]["labels"]
    );
    let pod = &spec["template"]["spec"];
    let install = pod["initContainers"][0]["command"][2].as_str().unwrap();
    let config = config(&example("credential-provider-config.yaml"));
    let program = format!("/host/opt/metahub/bin/{}", config.providers[0].name);
    assert!(install.contains(&program), "{install}");
    for command in ["refresh", "detect --format nfd"] {
        let line = format!("chroot /host /opt/metahub/bin/metahub-node {command}");
        assert!(install.contains(&line), "{install}");
    }
    let policy = &documents("node-policy.yaml")[0];
    let mounted = pod["volumes"].as_array().unwrap();
    let mut mounted = mounted
        .iter()
        .filter_map(|volume| volume["configMap"]["name"].as_str());
    assert!(mounted.any(|name| name == policy["metadata"]["name"]));
    assert_eq!(
        policy["metadata"]["namespace"],
        daemon_set["metadata"]["namespace"]
    );
}

#[test]
fn pods_name_labels_that_nodes_get() {
    let pods = documents("pod.yaml");
    assert_eq!(pods.len(), 2);
    assert!(pods.iter().all(|pod| pod["kind"] == "Pod"));
    // NFD makes `feature.node.kubernetes.io/NAME` of each line of features.d.
    let folder = tempfile::tempdir().unwrap();
    let policy = folder.path().join("node.yaml");
    std::fs::write(&policy, "tools: false\n").unwrap();
    let detected = |target: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_metahub-node"))
            .args(["detect", "--format", "nfd"])
            .env("METAHUB_NODE_CONFIG", &policy)
            .env("METAHUB_NODE_FEATURES", format!("[arch:{target}]"))
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let terms = &pods[1]["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
        ["nodeSelectorTerms"];
    let lines: Vec<String> = terms
        .as_array()
        .unwrap()
        .iter()
        .map(|term| {
            let rule = &term["matchExpressions"][0];
            let key = rule["key"].as_str().unwrap();
            let name = key.strip_prefix("feature.node.kubernetes.io/").unwrap();
            format!("{name}={}", rule["values"][0].as_str().unwrap())
        })
        .collect();
    for (target, fits) in [
        ("zen3", true),
        ("zen4", true),
        ("zen2", false),
        ("haswell", false),
    ] {
        let printed = detected(target);
        let has = printed
            .lines()
            .any(|line| lines.iter().any(|one| one == line));
        assert_eq!(has, fits, "{target}: {printed}");
    }
}
