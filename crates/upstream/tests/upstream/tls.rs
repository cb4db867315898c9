//! Upstreams with certificates: trusted by file, refused otherwise, and no way back to plain
//! HTTP.

use std::sync::Arc;

use metahub_oci::Digest;
use metahub_upstream::{Problem, UpstreamConfig};
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, date_time_ymd};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use crate::fake::*;

/// An acceptor with a certificate of its own for 127.0.0.1, and that certificate as PEM.
fn acceptor() -> (TlsAcceptor, String) {
    acceptor_with(CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap())
}

/// As Docker's documentation has a registry's certificate made, `openssl req -x509` with a
/// `subjectAltName`: self-signed, and an authority itself.
fn as_docker_documents(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

/// An acceptor with a self-signed certificate, and that certificate as PEM.
fn acceptor_with(params: CertificateParams) -> (TlsAcceptor, String) {
    let signing_key = KeyPair::generate().unwrap();
    let cert = params.self_signed(&signing_key).unwrap();
    let key = PrivateKeyDer::Pkcs8(signing_key.serialize_der().into());
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    (TlsAcceptor::from(Arc::new(config)), cert.pem())
}

/// Whether a manifest comes from a server with the certificate `params`, where `ca_file` holds
/// `named`, or that certificate itself.
async fn shakes_hands(params: CertificateParams, named: Option<&str>) -> bool {
    let (acceptor, pem) = acceptor_with(params);
    let fake = Fake::start_tls(acceptor, |_| Answer::manifest(&manifest())).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    std::fs::write(&file, named.unwrap_or(&pem)).unwrap();
    let upstream = upstream(UpstreamConfig {
        ca_file: Some(file),
        ..fake.config()
    });
    match upstream.manifest(&name("a/b"), &tag("1")).await {
        Ok(manifest) => manifest.is_some(),
        Err(error) => {
            assert!(matches!(error.problem(), Problem::Tls(_)), "{error:?}");
            false
        }
    }
}

#[tokio::test]
async fn a_self_signed_authority_is_taken_as_the_server_that_ca_file_names() {
    let good = || as_docker_documents("127.0.0.1");
    assert!(shakes_hands(good(), None).await);
    let (_, other) = acceptor_with(good());
    assert!(!shakes_hands(good(), Some(&other)).await, "another one");

    assert!(
        !shakes_hands(as_docker_documents("127.0.0.2"), None).await,
        "another address"
    );
    assert!(
        !shakes_hands(as_docker_documents("registry.test"), None).await,
        "another name"
    );
    let mut past = good();
    past.not_before = date_time_ymd(2001, 1, 1);
    past.not_after = date_time_ymd(2002, 1, 1);
    assert!(!shakes_hands(past, None).await, "expired");
    let mut future = good();
    future.not_before = date_time_ymd(2200, 1, 1);
    future.not_after = date_time_ymd(2201, 1, 1);
    assert!(!shakes_hands(future, None).await, "not yet valid");
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
