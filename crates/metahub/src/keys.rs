//! Private keys in files: read once, at the start of whatever signs.

use std::path::Path;

use metahub_signature::PrivateKey;
use miette::miette;

/// Larger files are no keys.
const MAX_BYTES: u64 = 64 * 1024;

/// The key in a PEM file, opened with `password` where it is encrypted.
pub(crate) fn private_key(file: &Path, password: Option<&str>) -> miette::Result<PrivateKey> {
    let wrong = |problem: &dyn std::fmt::Display| {
        miette!(
            help = "cosign generate-key-pair makes one; so does openssl ecparam -name prime256v1 \
                    -genkey -noout | openssl pkcs8 -topk8 -nocrypt",
            "the key {} cannot be used: {problem}",
            file.display()
        )
    };
    let found = std::fs::metadata(file).map_err(|error| wrong(&error))?;
    if found.len() > MAX_BYTES {
        return Err(wrong(&"it is too large for a key"));
    }
    let text = std::fs::read_to_string(file).map_err(|error| wrong(&error.kind()))?;
    PrivateKey::from_pem(&text, password).map_err(|error| wrong(&error))
}
