//! Why a request to a registry failed, as far as the caller can act on it.

/// Why a registry could not be asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// No connection, or no answer in time.
    #[error("{registry} cannot be reached: {problem}")]
    Unreachable {
        /// `HOST[:PORT]`.
        registry: String,
        /// What went wrong, as the system or the TLS library says it.
        problem: String,
    },
    /// A connection, and a certificate that is not accepted.
    #[error("the certificate of {registry} is not accepted: {problem}")]
    Certificate {
        /// `HOST[:PORT]`.
        registry: String,
        /// What is wrong with it, for programs.
        fault: CertificateFault,
        /// What is wrong with it.
        problem: String,
    },
    /// An answer that says no.
    #[error("{registry} answered {status}: {message}")]
    Refused {
        /// `HOST[:PORT]`.
        registry: String,
        /// The HTTP status.
        status: u16,
        /// The message of the first error in the body (distribution specification, error
        /// codes), or what the status means.
        message: String,
        /// `reason` in the detail of that error, by which a MetaHub tells programs why:
        /// `nothing-fits`.
        reason: Option<String>,
    },
    /// An answer that is not what the specification says.
    #[error("{registry} does not answer as a registry: {problem}")]
    BadAnswer {
        /// `HOST[:PORT]`.
        registry: String,
        /// The expected and the actual answer.
        problem: String,
    },
    /// Certificates that were to be trusted could not be read.
    #[error("the certificates to trust cannot be read from {file}: {problem}")]
    Authorities {
        /// The file.
        file: String,
        /// Why not.
        problem: String,
    },
}

/// What is wrong with a certificate, as far as the remedies differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificateFault {
    /// No authority that is trusted has issued it.
    UnknownIssuer,
    /// It is valid from a later time on than it is here.
    NotYetValid,
    /// It was valid until an earlier time than it is here.
    Expired,
    /// It was issued for other names.
    OtherName,
    /// Anything else.
    Other,
}

impl CertificateFault {
    /// The certificate fault behind an error of the TLS library; `None` for other errors.
    pub(crate) fn of(error: &ureq::Error) -> Option<Self> {
        use rustls::CertificateError as E;
        let tls = match error {
            ureq::Error::Rustls(tls) => tls,
            // The handshake runs within reads and writes of the connection.
            ureq::Error::Io(error) => error.get_ref()?.downcast_ref()?,
            _ => return None,
        };
        let rustls::Error::InvalidCertificate(error) = tls else {
            return None;
        };
        Some(match error {
            // A signature that is wrong: another authority of the same name.
            E::UnknownIssuer | E::BadSignature => Self::UnknownIssuer,
            E::NotValidYet | E::NotValidYetContext { .. } => Self::NotYetValid,
            E::Expired | E::ExpiredContext { .. } => Self::Expired,
            E::NotValidForName | E::NotValidForNameContext { .. } => Self::OtherName,
            _ => Self::Other,
        })
    }
}

impl ClientError {
    /// The HTTP status, where the registry said no.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Refused { status, .. } => Some(*status),
            _ => None,
        }
    }
}
