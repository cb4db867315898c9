//! Debian's `docker-registry` as a real peer: open, and with Basic authentication.
//!
//! Where the program is missing the tests say `SKIPPED:` and pass, unless
//! `METAHUB_REQUIRE_ALL=1`.

use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use metahub_oci::{Digest, MediaType, Reference};
use metahub_upstream::{Problem, Upstream, UpstreamConfig, verified};

use crate::fake::{alice, name, tag, upstream};

const PROGRAM: &str = "docker-registry";
/// alice with the password of `fake::PASSWORD`, by bcrypt with the least cost.
const HTPASSWD: &str = "alice:$2b$04$abcdefghijklmnopqrstuuQE9nQDEff8ZFvCfmo0cwTs/ef1Ukbw.\n";

struct Registry {
    process: Child,
    address: String,
    _folder: tempfile::TempDir,
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn is_installed() -> bool {
    let found = std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(PROGRAM).exists()));
    if !found {
        let required = std::env::var("METAHUB_REQUIRE_ALL").is_ok_and(|value| value == "1");
        assert!(
            !required,
            "{PROGRAM} is not installed, and METAHUB_REQUIRE_ALL=1"
        );
        // Past the test harness, which hides what passing tests print.
        let note = format!("SKIPPED: {PROGRAM} is not installed (apt-get install {PROGRAM})\n");
        std::io::stderr().write_all(note.as_bytes()).unwrap();
    }
    found
}

impl Registry {
    async fn start(with_basic: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        // Another process may take the port before the registry does: then another is tried.
        for _ in 0..10 {
            let port = {
                let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
                listener.local_addr().unwrap().port()
            };
            let auth = if with_basic {
                let htpasswd = file("htpasswd", HTPASSWD);
                format!(
                    "auth:\n  htpasswd:\n    realm: test\n    path: {}\n",
                    htpasswd.display()
                )
            } else {
                String::new()
            };
            let data = folder.path().join("data");
            let config = file(
                "config.yml",
                &format!(
                    "version: 0.1\nlog:\n  level: error\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: 127.0.0.1:{port}\n{auth}",
                    data.display()
                ),
            );
            let mut process = spawn(&config);
            let address = format!("127.0.0.1:{port}");
            loop {
                if tokio::net::TcpStream::connect(&address).await.is_ok() {
                    return Self {
                        process,
                        address,
                        _folder: folder,
                    };
                }
                if process.try_wait().unwrap().is_some() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        panic!("{PROGRAM} did not start");
    }

    fn upstream(&self, known: bool) -> Arc<Upstream> {
        upstream(UpstreamConfig {
            plain_http: true,
            default: true,
            given_credentials: known.then(alice),
            ..UpstreamConfig::new(self.address.parse().unwrap())
        })
    }

    /// Pushes an artifact with one large layer, as any client would.
    async fn push(&self, layer: &Bytes, known: bool) -> Bytes {
        let client = reqwest::Client::new();
        let url = |path: &str| format!("http://{}/v2/real/thing/{path}", self.address);
        let sign = |request: reqwest::RequestBuilder| match known {
            true => request.basic_auth("alice", Some(crate::fake::PASSWORD)),
            false => request,
        };
        for blob in [layer.clone(), Bytes::from("{}")] {
            let started = sign(client.post(url("blobs/uploads/")))
                .send()
                .await
                .unwrap();
            assert_eq!(started.status(), 202);
            let location = started.headers()["location"].to_str().unwrap().to_owned();
            let digest = Digest::sha256(&blob);
            let put = client.put(format!("{location}&digest={digest}")).body(blob);
            assert_eq!(sign(put).send().await.unwrap().status(), 201);
        }
        let (digest, size) = (Digest::sha256(layer), layer.len());
        let empty = Digest::sha256(b"{}");
        let manifest = format!(
            r#"{{"schemaVersion":2,"mediaType":"{}","config":{{"mediaType":"{}","digest":"{empty}","size":2}},"layers":[{{"mediaType":"{}","digest":"{digest}","size":{size}}}]}}"#,
            MediaType::OCI_MANIFEST,
            MediaType::OCI_CONFIG,
            MediaType::OCI_LAYER_GZIP,
        );
        for tag in ["1", "2"] {
            let put = client
                .put(url(&format!("manifests/{tag}")))
                .header("content-type", MediaType::OCI_MANIFEST)
                .body(manifest.clone());
            assert_eq!(sign(put).send().await.unwrap().status(), 201);
        }
        manifest.into()
    }
}

fn spawn(config: &Path) -> Child {
    Command::new(PROGRAM)
        .arg("serve")
        .arg(config)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Reads everything that there is.
async fn read_all(upstream: &Arc<Upstream>, manifest: &Bytes, layer: &Bytes) {
    let repository = name("real/thing");
    let fetched = upstream
        .manifest(&repository, &tag("1"))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(fetched.document.bytes(), manifest);
    let digest = fetched.document.digest().clone();
    let by_digest = Reference::Digest(digest.clone());
    let again = upstream
        .manifest(&repository, &by_digest)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(again.document.bytes(), manifest);
    let head = upstream
        .head(&repository, &tag("1"))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(head.digest, Some(digest.clone()));
    let etag = fetched.etag.as_deref();
    let freshness = upstream
        .revalidate(&repository, &"1".parse().unwrap(), &digest, etag)
        .await;
    assert!(matches!(
        freshness.unwrap(),
        metahub_upstream::Freshness::Unchanged { .. }
    ));

    let layer_digest = Digest::sha256(layer);
    let body = upstream
        .blob(&repository, &layer_digest, None)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(body.size, Some(layer.len() as u64));
    let pieces: Vec<Bytes> = verified(body.stream, layer_digest.clone())
        .try_collect()
        .await
        .unwrap();
    assert_eq!(pieces.concat(), *layer);
    let range = 1_000_000..1_000_100;
    let body = upstream
        .blob(&repository, &layer_digest, Some(range))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(body.start, 1_000_000);
    let pieces: Vec<Bytes> = body.stream.try_collect().await.unwrap();
    assert_eq!(pieces.concat(), &layer[1_000_000..1_000_100]);

    // Old versions list them in any order.
    let mut tags = upstream.tags(&repository).await.unwrap().unwrap();
    tags.sort();
    assert_eq!(tags, ["1".parse().unwrap(), "2".parse().unwrap()]);
    assert!(
        upstream
            .referrers(&repository, &digest)
            .await
            .unwrap()
            .is_empty()
    );
    assert!(
        upstream
            .manifest(&repository, &tag("none"))
            .await
            .unwrap()
            .is_none()
    );
    let nothing = Digest::sha256(b"nothing");
    assert!(
        upstream
            .blob(&repository, &nothing, None)
            .await
            .unwrap()
            .is_none()
    );
    assert!(upstream.tags(&name("no/such")).await.unwrap().is_none());
}

fn layer() -> Bytes {
    let bytes: Vec<u8> = (0..3_000_000u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    bytes.into()
}

#[tokio::test]
async fn an_open_registry_is_read() {
    if !is_installed() {
        return;
    }
    let registry = Registry::start(false).await;
    let manifest = registry.push(&layer(), false).await;
    read_all(&registry.upstream(false), &manifest, &layer()).await;
}

#[tokio::test]
async fn a_registry_with_basic_authentication_is_read() {
    if !is_installed() {
        return;
    }
    let registry = Registry::start(true).await;
    let manifest = registry.push(&layer(), true).await;
    read_all(&registry.upstream(true), &manifest, &layer()).await;
    let anonymous = registry.upstream(false);
    let error = anonymous
        .manifest(&name("real/thing"), &tag("1"))
        .await
        .unwrap_err();
    assert!(
        matches!(error.problem(), Problem::Denied { status: 401, .. }),
        "{error}"
    );
}
