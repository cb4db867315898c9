//! TLS: a certificate that can be replaced while connections are served, and the handshake.
//!
//! Cryptography is aws-lc-rs, named here once for the whole server; no process-wide default is set
//! or read. Callers read the files.

use std::fmt;
use std::io;
use std::sync::Arc;

use parking_lot::RwLock;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{InconsistentKeys, ServerConfig};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::client_certificate;
use crate::tls_error::TlsError;

/// The protocols offered, best first.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// The TLS configuration of connections. Clones share the certificate.
#[derive(Clone)]
pub struct Tls {
    acceptor: TlsAcceptor,
    in_force: Arc<InForce>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls(certificate and key)")
    }
}

impl Tls {
    /// A certificate chain and its private key, both PEM. With `authorities`, PEM too, clients may
    /// show a certificate that one of them has issued.
    pub fn new(
        certificate: &[u8],
        key: &[u8],
        authorities: Option<&[u8]>,
    ) -> Result<Self, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let in_force = Arc::new(InForce {
            key: RwLock::new(parse(certificate, key, &provider)?),
            provider: Arc::clone(&provider),
        });
        let verifier = match authorities {
            Some(authorities) => client_certificate::verifier(authorities, &provider)?,
            None => WebPkiClientVerifier::no_client_auth(),
        };
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Unusable)?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(Arc::clone(&in_force) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = PROTOCOLS.iter().map(|name| name.to_vec()).collect();
        // Tickets let a returning client skip the expensive half of the handshake, without state on
        // the server.
        config.ticketer = aws_lc_rs::Ticketer::new().map_err(TlsError::Unusable)?;
        Ok(Self {
            acceptor: TlsAcceptor::from(Arc::new(config)),
            in_force,
        })
    }

    /// Replaces the certificate for new connections. Open ones keep theirs. On an error the
    /// previous one stays in use. Returns whether it changed.
    pub fn replace(&self, certificate: &[u8], key: &[u8]) -> Result<bool, TlsError> {
        let key = parse(certificate, key, &self.in_force.provider)?;
        let mut in_force = self.in_force.key.write();
        let other = in_force.cert != key.cert;
        *in_force = key;
        Ok(other)
    }

    /// Does the handshake with a client.
    pub(crate) async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        self.acceptor.accept(stream).await
    }
}

/// The certificate for new connections.
struct InForce {
    key: RwLock<Arc<CertifiedKey>>,
    provider: Arc<CryptoProvider>,
}

impl fmt::Debug for InForce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InForce")
    }
}

impl ResolvesServerCert for InForce {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.key.read()))
    }
}

fn parse(
    certificate: &[u8],
    key: &[u8],
    provider: &CryptoProvider,
) -> Result<Arc<CertifiedKey>, TlsError> {
    let chain = CertificateDer::pem_slice_iter(certificate)
        .collect::<Result<Vec<_>, _>>()
        .map_err(TlsError::Certificate)?;
    if chain.is_empty() {
        return Err(TlsError::NoCertificate);
    }
    let key = PrivateKeyDer::from_pem_slice(key).map_err(TlsError::Key)?;
    CertifiedKey::from_der(chain, key, provider)
        .map(Arc::new)
        .map_err(|error| match error {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => TlsError::Mismatch,
            other => TlsError::Unusable(other),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (String, String) {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem())
    }

    #[test]
    fn a_certificate_is_replaced_by_another_and_by_nothing_else() {
        let (first, first_key) = pair();
        let (second, second_key) = pair();
        let tls = Tls::new(first.as_bytes(), first_key.as_bytes(), None).unwrap();
        let served = || tls.in_force.key.read().cert.clone();
        let before = served();
        for (certificate, key, expected) in [
            ("", &*first_key, "no certificate"),
            ("-----BEGIN CERTIFICATE-----\nnone", &first_key, "not PEM"),
            (&second, "", "no private key"),
            (&second, &first_key, "another certificate"),
            (&second_key, &second_key, "no certificate"),
        ] {
            let error = tls
                .replace(certificate.as_bytes(), key.as_bytes())
                .unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
            assert_eq!(served(), before);
        }
        assert!(!tls.replace(first.as_bytes(), first_key.as_bytes()).unwrap());
        assert!(
            tls.replace(second.as_bytes(), second_key.as_bytes())
                .unwrap()
        );
        assert_ne!(served(), before);
        // A key says nothing of itself where it might be printed.
        assert_eq!(format!("{tls:?}"), "Tls(certificate and key)");
    }
}
