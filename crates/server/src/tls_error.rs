//! Why a certificate cannot be used, for serving or for authenticating clients.

/// Why a certificate and key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The certificate's text has none.
    #[error(
        "no certificate is in it: expected PEM with -----BEGIN CERTIFICATE-----, first the server's own, then those above it"
    )]
    NoCertificate,
    /// The certificate's text is damaged.
    #[error("the certificate is not PEM: {0}")]
    Certificate(rustls::pki_types::pem::Error),
    /// The key's text has none, or is damaged.
    #[error(
        "no private key can be read: {0}. Expected PEM with -----BEGIN PRIVATE KEY-----, not encrypted"
    )]
    Key(rustls::pki_types::pem::Error),
    /// The key belongs to another certificate.
    #[error("the private key belongs to another certificate")]
    Mismatch,
    /// Another error.
    #[error("they cannot be used: {0}")]
    Unusable(rustls::Error),
}
