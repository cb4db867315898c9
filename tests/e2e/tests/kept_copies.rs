//! An upstream that can be reached and is of no use: it never answers, or shows a certificate that
//! is not its own. What is kept is served with a warning; what is not fails with the reason.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

use std::net::TcpListener;
use std::path::Path;

use metahub_e2e::faulty::MANIFEST_TYPE;
use metahub_e2e::http::{Answer, digest_of};
use metahub_e2e::metahub::MetaHub;
use metahub_e2e::require;
use metahub_e2e::scripted::Scripted;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rstest::rstest;
use tempfile::TempDir;

const TAG: &str = "/v2/team/app/manifests/1";

/// What an upstream is from one day to the other.
#[derive(Debug, Clone, Copy)]
enum Trouble {
    /// It accepts connections and says nothing.
    Silent,
    /// The same where TLS is spoken.
    SilentWithTls,
    /// Its certificate is signed by itself.
    SelfSigned,
    /// Its certificate is somebody else's, of an authority that is trusted.
    AnothersName,
    /// It speaks plain HTTP where TLS is expected.
    NoTls,
}

/// A troubled upstream, and what keeps it running.
struct Troubled {
    url: String,
    more: String,
    _kept: (
        Option<TcpListener>,
        Option<MetaHub>,
        Option<Scripted>,
        TempDir,
    ),
}

impl Trouble {
    fn start(self) -> Troubled {
        let folder = tempfile::tempdir().unwrap();
        let (mut silent, mut tls, mut plain) = (None, None, None);
        let mut more = String::new();
        let url = match self {
            Self::Silent | Self::SilentWithTls => {
                // Connections wait in the kernel for somebody to accept them.
                let listener = TcpListener::bind("127.0.0.1:0").unwrap();
                let scheme = if matches!(self, Self::Silent) {
                    "http"
                } else {
                    "https"
                };
                let url = format!("{scheme}://{}", listener.local_addr().unwrap());
                if scheme == "http" {
                    more = "plain_http: true".to_owned();
                }
                silent = Some(listener);
                url
            }
            Self::SelfSigned | Self::AnothersName => {
                let own = matches!(self, Self::SelfSigned);
                issue(
                    folder.path(),
                    if own { "127.0.0.1" } else { "other.example" },
                    own,
                );
                if !own {
                    more = format!("ca_file: '{}'", folder.path().join("ca.crt").display());
                }
                let config = format!(
                    "offline: true\nupstreams: []\ntls: {{certificate: '{0}/tls.crt', key: '{0}/tls.key'}}",
                    folder.path().display()
                );
                let server = MetaHub::start(&config, &[]);
                let url = format!("https://{}", server.host());
                tls = Some(server);
                url
            }
            Self::NoTls => {
                let server = Scripted::start();
                let url = format!("https://{}", server.host());
                plain = Some(server);
                url
            }
        };
        Troubled {
            url,
            more,
            _kept: (silent, tls, plain, folder),
        }
    }
}

/// Writes a certificate for `name`, signed by itself or by an authority of its own.
fn issue(folder: &Path, name: &str, by_itself: bool) {
    let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = if by_itself {
        params.self_signed(&key).unwrap()
    } else {
        let mut authority = CertificateParams::new(Vec::new()).unwrap();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap());
        let authority = authority.unwrap();
        std::fs::write(folder.join("ca.crt"), authority.pem()).unwrap();
        params.signed_by(&key, &authority).unwrap()
    };
    std::fs::write(folder.join("tls.crt"), certificate.pem()).unwrap();
    std::fs::write(folder.join("tls.key"), key.serialize_pem()).unwrap();
}

fn get(metahub: &MetaHub, path: &str) -> Answer {
    metahub
        .get(path)
        .header("Accept", MANIFEST_TYPE)
        .send_as_anybody()
}

#[rstest]
#[case::is_silent(Trouble::Silent, "did not begin its answer within 2s")]
#[case::is_silent_with_tls(Trouble::SilentWithTls, "did not accept a connection within 1s")]
#[case::signs_for_itself(Trouble::SelfSigned, "certificate")]
#[case::shows_anothers_certificate(Trouble::AnothersName, "not valid for name")]
#[case::speaks_no_tls(Trouble::NoTls, "does not speak TLS")]
fn what_is_kept_is_served_with_a_warning_and_what_is_not_fails_with_the_reason(
    #[case] trouble: Trouble,
    #[case] reason: &str,
) {
    if !require::tools(&["setpriv"]) {
        return;
    }
    let upstream = Scripted::start();
    let manifest = upstream.put("team/app", "1", "one");
    let more = "default: true, timeouts: { connect: 1s, answer: 2s }, retry: { attempts: 1 }";
    let config = format!(
        "anonymous: read\nallow_any_host: false\nmetrics: everybody\ntag_lifetime: 0s\nupstreams: [{}]\n",
        upstream.entry("up.test", more)
    );
    let metahub = MetaHub::start(&config, &[]);
    assert_eq!(get(&metahub, TAG).expect(200).header("warning"), "");

    let troubled = trouble.start();
    let metahub = metahub.restart_with(&format!(
        "upstreams: [{{ host: up.test, url: '{}', {more}, {} }}]",
        troubled.url, troubled.more
    ));
    let answer = get(&metahub, TAG).expect(200);
    assert_eq!(answer.body, manifest);
    let warning = answer.header("warning");
    assert!(
        warning.starts_with("299 - \"the kept copy is served"),
        "{answer}"
    );
    assert!(
        warning.contains("up.test") && warning.contains(reason),
        "{answer}"
    );
    let metrics = metahub.get("/metrics").send().expect(200).text();
    assert!(
        metrics.contains("metahub_upstream_tags_total{answer=\"stale\"} 1"),
        "{metrics}"
    );
    // By digest nobody is asked, so there is nothing to warn of.
    let by_digest = format!("/v2/team/app/manifests/{}", digest_of(&manifest));
    assert_eq!(get(&metahub, &by_digest).expect(200).header("warning"), "");

    for path in [
        "/v2/team/app/manifests/2".to_owned(),
        format!("/v2/team/app/manifests/sha256:{}", "0".repeat(64)),
        format!("/v2/team/app/blobs/{}", digest_of(b"one")),
    ] {
        let answer = get(&metahub, &path).expect_error(503, "UNAVAILABLE");
        let error = &answer.json()["errors"][0];
        assert_eq!(error["detail"]["upstream"], "up.test", "{answer}");
        let message = error["message"].as_str().unwrap();
        assert!(
            message.contains("up.test") && message.contains(reason),
            "{answer}"
        );
    }
}
