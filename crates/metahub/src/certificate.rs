//! The TLS certificate and key of a server: read at startup, and again when their files change. An
//! unusable pair is never put in use. No part of a key is ever printed.

use std::fs;
use std::path::{Path, PathBuf};

use metahub_server::Tls;
use miette::{IntoDiagnostic as _, WrapErr as _, miette};

use crate::config::TlsFiles;
use crate::reload::{Reload, Why};

/// The certificate of a server, and its files.
pub(crate) struct Certificate {
    files: TlsFiles,
    tls: Tls,
    /// The last error, so that it is logged once.
    told: Option<String>,
}

impl Certificate {
    /// Reads both files. An error fails the start.
    pub(crate) fn read(files: &TlsFiles) -> miette::Result<Self> {
        let (certificate, key) = read(files).map_err(|message| miette!("{message}"))?;
        let authorities = files.client_authorities.as_ref().map(|file| {
            fs::read(file).map_err(|error| {
                let file = file.display();
                miette!("cannot read the authorities of clients' certificates {file}: {error}")
            })
        });
        let authorities = authorities.transpose()?;
        let tls = Tls::new(&certificate, &key, authorities.as_deref())
            .into_diagnostic()
            .wrap_err_with(|| names(files))?;
        Ok(Self {
            files: files.clone(),
            tls,
            told: None,
        })
    }

    /// The TLS configuration, now and after reloads.
    pub(crate) fn tls(&self) -> Tls {
        self.tls.clone()
    }
}

impl Reload for Certificate {
    fn paths(&self) -> Vec<PathBuf> {
        vec![self.files.certificate.clone(), self.files.key.clone()]
    }

    fn reload(&mut self, why: Why) {
        let outcome = read(&self.files).and_then(|(certificate, key)| {
            let replaced = self.tls.replace(&certificate, &key);
            replaced.map_err(|error| format!("{}: {error}", names(&self.files)))
        });
        let asked = why == Why::Asked;
        match outcome {
            Ok(other) => {
                if other {
                    tracing::info!(
                        certificate = %self.files.certificate.display(),
                        "the TLS certificate was replaced"
                    );
                } else if asked {
                    tracing::info!("the TLS certificate was read again: it is the same");
                }
                self.told = None;
            }
            // A pair is written one file after the other: halfway through it does not fit.
            Err(message) => {
                if asked || self.told.as_ref() != Some(&message) {
                    tracing::error!("{message}: keeping the previous certificate");
                }
                self.told = Some(message);
            }
        }
    }
}

fn names(files: &TlsFiles) -> String {
    format!(
        "the TLS certificate {} and key {}",
        files.certificate.display(),
        files.key.display()
    )
}

fn read(files: &TlsFiles) -> Result<(Vec<u8>, Vec<u8>), String> {
    let read = |what: &str, file: &Path| {
        fs::read(file)
            .map_err(|error| format!("cannot read the TLS {what} {}: {error}", file.display()))
    };
    Ok((
        read("certificate", &files.certificate)?,
        read("key", &files.key)?,
    ))
}
