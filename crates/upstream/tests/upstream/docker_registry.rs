//! Debian's `docker-registry` as a real peer: open, and with Basic authentication.
//!
//! Where the program is missing the tests say `SKIPPED:` and pass, unless
//! `METAHUB_REQUIRE_ALL=1`.

use std::io::Write as _;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::TryStreamExt as _;
use metahub_oci::{Digest, MediaType, Reference};
use metahub_upstream::{Problem, Upstream, UpstreamConfig, verified};

use crate::fake::{ALICE_BASIC, Answer, Fake, PASSWORD, alice, name, tag, upstream};

const PROGRAM: &str = "docker-registry";
/// alice with the password of `fake::PASSWORD`, by bcrypt with the least cost.
const HTPASSWD: &str = "alice:$2b$04$abcdefghijklmnopqrstuuQE9nQDEff8ZFvCfmo0cwTs/ef1Ukbw.\n";

/// What the token server and the registry know each other by.
const SERVICE: &str = "test-registry";
const ISSUER: &str = "test-issuer";

/// As whom a push is made.
#[derive(Clone, Copy)]
enum Pusher<'a> {
    Anybody,
    Alice,
    Token(&'a str),
}

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

/// How a registry lets readers in.
enum Access<'a> {
    Open,
    Basic,
    /// By tokens of the server at this URL, whose certificate this is.
    Token {
        realm: &'a str,
        certificate: &'a str,
    },
}

impl Registry {
    async fn start(access: &Access<'_>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        let auth = match access {
            Access::Open => String::new(),
            Access::Basic => {
                let htpasswd = file("htpasswd", HTPASSWD);
                format!("auth:\n  htpasswd:\n    realm: test\n    path: {htpasswd}\n")
            }
            Access::Token { realm, certificate } => {
                let bundle = file("bundle.pem", certificate);
                format!(
                    "auth:\n  token:\n    realm: {realm}\n    service: {SERVICE}\n    issuer: {ISSUER}\n    rootcertbundle: {bundle}\n"
                )
            }
        };
        let data = folder.path().join("data").display().to_string();
        // Another process may take the port before the registry does: then another is tried.
        for _ in 0..10 {
            let port = {
                let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
                listener.local_addr().unwrap().port()
            };
            let config = file(
                "config.yml",
                &format!(
                    "version: 0.1\nlog:\n  level: error\nstorage:\n  filesystem:\n    rootdirectory: {data}\nhttp:\n  addr: 127.0.0.1:{port}\n{auth}"
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
    async fn push(&self, layer: &Bytes, pusher: Pusher<'_>) -> Bytes {
        let client = reqwest::Client::new();
        let url = |path: &str| format!("http://{}/v2/real/thing/{path}", self.address);
        let sign = |request: reqwest::RequestBuilder| match pusher {
            Pusher::Anybody => request,
            Pusher::Alice => request.basic_auth("alice", Some(PASSWORD)),
            Pusher::Token(token) => request.bearer_auth(token),
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

fn spawn(config: &str) -> Child {
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
            .descriptors
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
    let registry = Registry::start(&Access::Open).await;
    let manifest = registry.push(&layer(), Pusher::Anybody).await;
    read_all(&registry.upstream(false), &manifest, &layer()).await;
}

#[tokio::test]
async fn a_registry_with_basic_authentication_is_read() {
    if !is_installed() {
        return;
    }
    let registry = Registry::start(&Access::Basic).await;
    let manifest = registry.push(&layer(), Pusher::Alice).await;
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

/// Signs tokens as the registry's documentation has them: a JWT with the signer's certificate in
/// its head.
struct Signer {
    key: jsonwebtoken::EncodingKey,
    certificate: rcgen::Certificate,
}

impl Signer {
    fn new() -> Self {
        let made = rcgen::generate_simple_self_signed(vec!["tokens.test".to_owned()]).unwrap();
        Self {
            key: jsonwebtoken::EncodingKey::from_ec_der(&made.signing_key.serialize_der()),
            certificate: made.cert,
        }
    }

    fn token(&self, repository: &str, actions: &[&str]) -> String {
        let mut header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::ES256);
        header.x5c = Some(vec![STANDARD.encode(self.certificate.der())]);
        let now = jiff::Timestamp::now().as_second();
        let claims = serde_json::json!({
            "iss": ISSUER, "sub": "", "aud": SERVICE,
            "nbf": now - 60, "iat": now, "exp": now + 300, "jti": "1",
            "access": [{"type": "repository", "name": repository, "actions": actions}],
        });
        jsonwebtoken::encode(&header, &claims, &self.key).unwrap()
    }
}

#[tokio::test]
async fn a_registry_with_a_token_server_is_read() {
    if !is_installed() {
        return;
    }
    let signer = Arc::new(Signer::new());
    let signing = Arc::clone(&signer);
    // Gives pull to alice, and to others only what is public.
    let tokens = Fake::start(move |seen| {
        let query: Vec<(String, String)> = url::form_urlencoded::parse(seen.query.as_bytes())
            .into_owned()
            .collect();
        assert!(
            query.contains(&("service".into(), SERVICE.into())),
            "{query:?}"
        );
        let scope = query
            .iter()
            .find(|(key, _)| key == "scope")
            .map(|(_, v)| v.as_str());
        let repository = scope
            .and_then(|scope| scope.strip_prefix("repository:")?.strip_suffix(":pull"))
            .unwrap();
        let granted: &[&str] = match seen.header("authorization") {
            Some(ALICE_BASIC) => &["pull"],
            _ => &[],
        };
        let token = signing.token(repository, granted);
        Answer::new(200, format!(r#"{{"token":"{token}","expires_in":300}}"#))
    })
    .await;
    let realm = tokens.url("/token");
    let certificate = signer.certificate.pem();
    let registry = Registry::start(&Access::Token {
        realm: &realm,
        certificate: &certificate,
    })
    .await;
    let push = signer.token("real/thing", &["pull", "push"]);
    let manifest = registry.push(&layer(), Pusher::Token(&push)).await;

    let reader = |realm_hosts| {
        upstream(UpstreamConfig {
            plain_http: true,
            default: true,
            given_credentials: Some(alice()),
            realm_hosts,
            ..UpstreamConfig::new(registry.address.parse().unwrap())
        })
    };
    let trusting = reader(vec![tokens.address.to_string().parse().unwrap()]);
    read_all(&trusting, &manifest, &layer()).await;
    let count = tokens.seen().len();
    assert_eq!(count, 2, "one token for each repository");

    let careful = reader(Vec::new());
    let error = careful
        .manifest(&name("real/thing"), &tag("1"))
        .await
        .unwrap_err();
    assert!(matches!(error.problem(), Problem::Auth(_)), "{error}");
    assert_eq!(tokens.seen().len(), count);
    let anonymous = registry.upstream(false);
    let error = anonymous
        .manifest(&name("real/thing"), &tag("1"))
        .await
        .unwrap_err();
    assert!(matches!(error.problem(), Problem::Denied { .. }), "{error}");
}
