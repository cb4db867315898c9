//! A site's own certificate authority, and a server certificate that it has issued.

use std::path::PathBuf;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair,
};
use tempfile::TempDir;

use crate::process::Cmd;

/// A site's own authority, which has issued the server's certificate.
pub struct Site {
    folder: TempDir,
    authority: CertifiedIssuer<'static, KeyPair>,
}

impl std::fmt::Debug for Site {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Site")
            .field("folder", &self.folder)
            .finish_non_exhaustive()
    }
}

impl Default for Site {
    fn default() -> Self {
        Self::new()
    }
}

impl Site {
    /// A new authority, and a certificate of it for this machine.
    ///
    /// # Panics
    /// When the temporary folder is not writable.
    #[must_use]
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // Named unlike what it issues, which would look self-signed otherwise.
        params
            .distinguished_name
            .push(DnType::CommonName, "The site's authority");
        let key = KeyPair::generate().unwrap();
        let authority = CertifiedIssuer::self_signed(params, key).unwrap();
        let site = Self { folder, authority };
        // By itself, as Skopeo reads a whole folder.
        std::fs::create_dir(site.path("trusted")).unwrap();
        std::fs::write(site.path("trusted/ca.crt"), site.authority.pem()).unwrap();
        site.issue();
        site
    }

    /// A path in this site's folder: `tls.key`, `tls.crt`, and the authority in `trusted/ca.crt`.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a new certificate and key, and gives the certificate's text.
    ///
    /// # Panics
    /// When the folder is not writable.
    pub fn issue(&self) -> String {
        self.issue_with(|_| {})
    }

    /// The same with something of the certificate changed.
    ///
    /// # Panics
    /// When the folder is not writable.
    pub fn issue_with(&self, change: impl FnOnce(&mut CertificateParams)) -> String {
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let mut params = CertificateParams::new(names).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.authority).unwrap();
        std::fs::write(self.path("tls.key"), key.serialize_pem()).unwrap();
        std::fs::write(self.path("tls.crt"), certificate.pem()).unwrap();
        certificate.pem()
    }

    /// Writes `FILE.crt` and `FILE.key`, for a client of that DNS name.
    ///
    /// # Panics
    /// When the folder is not writable.
    pub fn issue_for(&self, name: &str, file: &str) {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.authority).unwrap();
        std::fs::write(self.path(&format!("{file}.key")), key.serialize_pem()).unwrap();
        std::fs::write(self.path(&format!("{file}.crt")), certificate.pem()).unwrap();
    }

    /// The key `tls` of a configuration file, with this site's certificate.
    #[must_use]
    pub fn tls_key(&self) -> String {
        format!(
            "tls: {{certificate: '{}', key: '{}'}}\n",
            self.path("tls.crt").display(),
            self.path("tls.key").display()
        )
    }

    /// The same, where clients may show a certificate of this site's authority.
    #[must_use]
    pub fn tls_key_for_clients(&self) -> String {
        let authority = self.path("trusted/ca.crt");
        let authorities = format!(", client_authorities: '{}'}}", authority.display());
        self.tls_key().replace('}', &authorities)
    }

    /// `curl`, which trusts this site's authority, and shows the certificate in `FILE.crt` unless
    /// `file` is empty.
    #[must_use]
    pub fn curl(&self, file: &str) -> Cmd {
        let curl = Cmd::new("curl")
            .args(["--silent", "--max-time", "60", "--cacert"])
            .arg(self.path("trusted/ca.crt"))
            .env_clear_of_proxies();
        if file.is_empty() {
            return curl;
        }
        curl.arg("--cert")
            .arg(self.path(&format!("{file}.crt")))
            .arg("--key")
            .arg(self.path(&format!("{file}.key")))
    }
}
