//! A certificate for the loopback, which only the clients of this program trust, made anew for
//! every comparison.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use miette::{IntoDiagnostic as _, Result, WrapErr as _, ensure};
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{self, cipher_suite::TLS13_AES_128_GCM_SHA256};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

/// A self-signed certificate and its key, as PEM files.
#[derive(Debug)]
pub(crate) struct Certificate {
    pub(crate) file: PathBuf,
    pub(crate) key: PathBuf,
}

impl Certificate {
    /// Makes one in `folder` with openssl(1).
    pub(crate) fn make(folder: &Path) -> Result<Self> {
        let config = folder.join("certificate.conf");
        let text = "[req]\ndistinguished_name = name\nx509_extensions = extensions\nprompt = no\n\
                    [name]\nCN = localhost\n\
                    [extensions]\nsubjectAltName = IP:127.0.0.1\nbasicConstraints = CA:FALSE\n";
        std::fs::write(&config, text).into_diagnostic()?;
        let made = Self {
            file: folder.join("certificate.pem"),
            key: folder.join("key.pem"),
        };
        let said = Command::new("openssl")
            .args([
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:prime256v1",
            ])
            .args(["-nodes", "-days", "2", "-config"])
            .arg(&config)
            .arg("-keyout")
            .arg(&made.key)
            .arg("-out")
            .arg(&made.file)
            .output()
            .into_diagnostic()
            .wrap_err("openssl makes the certificate of the TLS rows")?;
        ensure!(
            said.status.success(),
            "openssl: {}",
            String::from_utf8_lossy(&said.stderr)
        );
        Ok(made)
    }

    /// A client that trusts it and nothing else, and offers one cipher suite, so that every
    /// server encrypts alike.
    pub(crate) fn client(&self) -> Result<Arc<ClientConfig>> {
        let mut roots = RootCertStore::empty();
        let certificate = CertificateDer::from_pem_file(&self.file).into_diagnostic()?;
        roots.add(certificate).into_diagnostic()?;
        let provider = CryptoProvider {
            cipher_suites: vec![TLS13_AES_128_GCM_SHA256],
            ..aws_lc_rs::default_provider()
        };
        let config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .into_diagnostic()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Arc::new(config))
    }
}
