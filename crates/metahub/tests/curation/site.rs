//! A running server whose documents are changed through its API.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use metahub_testkit::http::{Answer, Call, call, digest_of, image_of};
use serde_json::{Value, json};

pub(crate) const PASSWORD: &str = "a password for tests";
pub(crate) const ZEN3: &str = "profile:\n  name: site/node\n  features: [arch:zen3]\n";
pub(crate) const ZEN4: &str = "profile:\n  name: site/node\n  features: [arch:zen4]\n";
pub(crate) const NODE: &str = "/api/v1/profiles/site/node:latest";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";

pub(crate) fn metahub(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_metahub"));
    command.args(args).env("NO_COLOR", "1");
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("METAHUB_")) {
        command.env_remove(name);
    }
    command
}

/// A server with the curators `curator` and `dora`, the accounts `pusher` and `root`, and a folder of documents.
pub(crate) struct Site {
    pub(crate) folder: tempfile::TempDir,
    server: Option<(Child, BufReader<ChildStdout>)>,
    pub(crate) host: String,
}

impl Site {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("catalog")).unwrap();
        let mut site = Self {
            folder,
            server: None,
            host: String::new(),
        };
        for (name, role) in [
            ("curator", "curator"),
            ("dora", "curator"),
            ("pusher", "pusher"),
            ("root", "admin"),
        ] {
            let mut adding = metahub(&["account", "add", name, "--role", role, "--password-stdin"]);
            adding.arg("--data").arg(site.data());
            let output = with_input(&mut adding, PASSWORD);
            assert!(output.status.success(), "{output:?}");
        }
        site.start();
        site
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.folder.path().join("catalog/site.yaml")
    }

    pub(crate) fn start(&mut self) {
        let mut command = metahub(&["serve", "--listen", "127.0.0.1:0", "--log", "error"]);
        command
            .arg("--data")
            .arg(self.data())
            .arg("--catalog")
            .arg(self.folder.path().join("catalog"))
            .env("METAHUB_RELOAD_INTERVAL", "50ms")
            .env("METAHUB_CACHE_KEEP_FREE", "0%")
            .env("METAHUB_OFFLINE", "true")
            .stdout(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let mut output = BufReader::new(process.stdout.take().unwrap());
        self.host = loop {
            let mut line = String::new();
            assert_ne!(output.read_line(&mut line).unwrap(), 0, "the server ended");
            if let Some((_, rest)) = line.split_once("http://") {
                break rest.split(',').next().unwrap().to_owned();
            }
        };
        self.server = Some((process, output));
    }

    pub(crate) fn stop(&mut self) {
        if let Some((mut process, _)) = self.server.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    pub(crate) fn call(&self, method: &str, path: &str) -> Call {
        call(&self.host, method, path).login(Some(("curator", PASSWORD)))
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.call("GET", path).send()
    }

    pub(crate) fn create(&self, path: &str, text: &str) -> Answer {
        self.call("PUT", path)
            .header("If-None-Match", "*")
            .body(text)
            .send()
    }

    pub(crate) fn replace(&self, path: &str, etag: &str, text: &str) -> Answer {
        self.call("PUT", path)
            .header("If-Match", etag)
            .body(text)
            .send()
    }

    /// What the list says of a profile.
    pub(crate) fn listed(&self, name: &str) -> Value {
        let listed = self.get("/api/v1/profiles").expect(200).json();
        let mut listed = listed["profiles"].as_array().unwrap().iter();
        listed
            .find(|one| one["name"] == name)
            .cloned()
            .unwrap_or_default()
    }

    /// Asks until the list says so; the server takes a change up by itself.
    pub(crate) fn until(&self, name: &str, holds: impl Fn(&Value) -> bool) -> Value {
        loop {
            let listed = self.listed(name);
            if holds(&listed) {
                return listed;
            }
            std::thread::yield_now();
        }
    }

    /// Whether a login under the profile is understood.
    pub(crate) fn knows(&self, login: &str) -> bool {
        let asked = call(&self.host, "GET", "/token?service=metahub").login(Some((login, "any")));
        asked.send().status == 200
    }

    /// Pushes an index of one build for each CPU target; their digests, in the same order.
    pub(crate) fn push_builds(&self, name: &str, tag: &str, targets: &[&str]) -> Vec<String> {
        let entries: Vec<Value> = targets
            .iter()
            .map(|target| self.push_build(name, target, None))
            .collect();
        self.push_index(name, tag, &entries);
        let digests = entries
            .iter()
            .map(|entry| entry["digest"].as_str().unwrap());
        digests.map(str::to_owned).collect()
    }

    pub(crate) fn as_root(&self, method: &str, path: &str) -> Call {
        call(&self.host, method, path).login(Some(("root", PASSWORD)))
    }

    fn push_manifest(&self, name: &str, reference: &str, kind: &str, document: &Value) {
        self.as_root("PUT", &format!("/v2/{name}/manifests/{reference}"))
            .header("Content-Type", kind)
            .body(document.to_string())
            .send()
            .expect(201);
    }

    pub(crate) fn push_index(&self, name: &str, tag: &str, entries: &[Value]) {
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries});
        self.push_manifest(name, tag, INDEX, &index);
    }

    /// Pushes a build; its entry in an index.
    pub(crate) fn push_build(&self, name: &str, target: &str, own: Option<&str>) -> Value {
        let blob = |bytes: &str| {
            let digest = digest_of(bytes.as_bytes());
            let path = format!("/v2/{name}/blobs/uploads/?digest={digest}");
            let _ = self.as_root("POST", &path).body(bytes).send().expect(201);
            json!({"digest": digest, "size": bytes.len()})
        };
        let mut document = json!({
            "architecture": "amd64", "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": [digest_of(target.as_bytes())]},
        });
        if let Some(own) = own {
            document["config"] = json!({"Labels": {"org.supercontainers.cpu.target": own}});
        }
        let mut config = blob(&document.to_string());
        config["mediaType"] = "application/vnd.oci.image.config.v1+json".into();
        let mut layer = blob(target);
        layer["mediaType"] = "application/vnd.oci.image.layer.v1.tar".into();
        let document = json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer],
        });
        let text = document.to_string();
        let digest = digest_of(text.as_bytes());
        self.push_manifest(name, &digest, MANIFEST, &document);
        json!({
            "mediaType": MANIFEST, "digest": digest, "size": text.len(),
            "platform": {
                "os": "linux", "architecture": "amd64", "features": [format!("arch:{target}")],
            },
        })
    }

    /// The digest of the image that a login gets, and the status otherwise.
    pub(crate) fn pull(&self, login: &str, path: &str) -> Result<String, u16> {
        let asked = call(&self.host, "GET", path).login(Some((login, "any")));
        let answer = asked
            .header("Accept", format!("{INDEX}, {MANIFEST}"))
            .send();
        match answer.status {
            200 => Ok(image_of(&answer)),
            other => Err(other),
        }
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.stop();
    }
}

pub(crate) fn with_input(command: &mut Command, text: &str) -> Output {
    use std::io::Write as _;
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    child.wait_with_output().unwrap()
}
