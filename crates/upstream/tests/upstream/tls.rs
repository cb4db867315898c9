//! Upstreams with certificates: trusted by file, refused otherwise, and no way back to plain
//! HTTP.

use std::sync::Arc;

use metahub_oci::Digest;
use metahub_upstream::{Problem, UpstreamConfig};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use crate::fake::*;

/// An acceptor with a certificate of its own for 127.0.0.1, and that certificate as PEM.
fn acceptor() -> (TlsAcceptor, String) {
    let names = vec!["127.0.0.1".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    (TlsAcceptor::from(Arc::new(config)), made.cert.pem())
}

#[tokio::test]
async fn a_certificate_is_trusted_when_its_file_is_named_only() {
    let (acceptor, pem) = acceptor();
    let fake = Fake::start_tls(acceptor, |_| Answer::manifest(&manifest())).await;

    let error = fake
        .upstream()
        .manifest(&name("a/b"), &tag("1"))
        .await
        .unwrap_err();
    assert!(matches!(error.problem(), Problem::Tls(_)), "{error:?}");
    assert!(error.to_string().contains("ca_file"), "{error}");

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    std::fs::write(&file, pem).unwrap();
    let trusting = upstream(UpstreamConfig {
        ca_file: Some(file),
        ..fake.config()
    });
    assert!(
        trusting
            .manifest(&name("a/b"), &tag("1"))
            .await
            .unwrap()
            .is_some()
    );
}

#[tokio::test]
async fn a_redirect_from_tls_to_plain_http_is_refused() {
    let plain = Fake::start(|_| Answer::new(200, "content")).await;
    let location = plain.url("/x?signature=s3cr3t");
    let (acceptor, pem) = acceptor();
    let fake = Fake::start_tls(acceptor, move |_| Answer::redirect(&location)).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    std::fs::write(&file, pem).unwrap();
    let upstream = upstream(UpstreamConfig {
        ca_file: Some(file),
        ..fake.config()
    });
    let digest = Digest::sha256(b"content");
    let error = upstream
        .blob(&name("a/b"), &digest, None)
        .await
        .unwrap_err();
    assert!(matches!(error.problem(), Problem::Refused(_)), "{error:?}");
    assert!(error.to_string().contains("plain_http"), "{error}");
    assert!(!error.to_string().contains("s3cr3t"), "{error}");
    assert!(plain.seen().is_empty());
}

#[tokio::test]
async fn plain_http_where_tls_is_expected_says_so() {
    let fake = Fake::start(|_| Answer::manifest(&manifest())).await;
    let upstream = upstream(UpstreamConfig {
        plain_http: false,
        ..fake.config()
    });
    let error = upstream
        .manifest(&name("a/b"), &tag("1"))
        .await
        .unwrap_err();
    assert!(matches!(error.problem(), Problem::Tls(_)), "{error:?}");
    assert!(error.to_string().contains("plain_http: true"), "{error}");
}
