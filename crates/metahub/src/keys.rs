//! Private keys in files, read once at startup.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use metahub_registry::Signer;
use metahub_signature::PrivateKey;
use miette::miette;

use crate::config::SigningSettings;

/// Largest file of a key or password.
const MAX_BYTES: u64 = 64 * 1024;
/// The variable of a key's password, cosign's.
const PASSWORD: &str = "COSIGN_PASSWORD";

/// The configured signer of derived manifests.
pub(crate) fn signer(settings: &SigningSettings) -> miette::Result<Option<Arc<dyn Signer>>> {
    let Some(file) = &settings.key else {
        return Ok(None);
    };
    let password = match &settings.password_file {
        Some(file) => {
            let text = secret(file).map_err(|problem| {
                miette!(
                    "the password file {} cannot be used: {problem}",
                    file.display()
                )
            })?;
            Some(text.trim_end_matches(['\r', '\n']).to_owned())
        }
        None => std::env::var(PASSWORD).ok(),
    };
    Ok(Some(Arc::new(key_with(file, password.as_deref())?)))
}

/// The key in a PEM file, opened with the password in `COSIGN_PASSWORD` where it is encrypted.
pub(crate) fn private_key(file: &Path) -> miette::Result<PrivateKey> {
    key_with(file, std::env::var(PASSWORD).ok().as_deref())
}

fn key_with(file: &Path, password: Option<&str>) -> miette::Result<PrivateKey> {
    let text = secret(file);
    let key = text
        .and_then(|text| PrivateKey::from_pem(&text, password).map_err(|error| error.to_string()));
    key.map_err(|problem| {
        miette!(
            help = "cosign generate-key-pair makes one; so does openssl ecparam -name prime256v1 \
                    -genkey -noout | openssl pkcs8 -topk8 -nocrypt",
            "the key {} cannot be used: {problem}",
            file.display()
        )
    })
}

/// The text of a file that only its owner and group may read.
fn secret(file: &Path) -> Result<String, String> {
    let opened = File::open(file).map_err(|error| error.to_string())?;
    let found = opened.metadata().map_err(|error| error.to_string())?;
    let mode = found.permissions().mode() & 0o7777;
    if mode & 0o027 != 0 {
        return Err(format!(
            "its mode is {mode:04o}; expected one with which only its owner can change it and \
             nobody but its owner and group read it: chmod 0600 {}",
            file.display()
        ));
    }
    let mut text = String::new();
    let read = opened.take(MAX_BYTES + 1).read_to_string(&mut text);
    // The text is never quoted.
    if read.map_err(|error| error.kind().to_string())? as u64 > MAX_BYTES {
        return Err(format!("it has more than {MAX_BYTES} bytes"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const SEALED: &str = include_str!("../../signature/tests/keys/cosign.key");

    #[test]
    fn a_key_that_others_can_read_or_change_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let key = folder.path().join("k.pem");
        fs::write(&key, include_str!("../../signature/tests/keys/plain.pem")).unwrap();
        for (mode, good) in [
            (0o600, true),
            (0o400, true),
            (0o440, true),
            (0o644, false),
            (0o604, false),
            (0o620, false),
            (0o602, false),
        ] {
            fs::set_permissions(&key, fs::Permissions::from_mode(mode)).unwrap();
            let read = private_key(&key);
            assert_eq!(read.is_ok(), good, "{mode:o}");
            if let Err(error) = read {
                assert!(error.to_string().contains("chmod 0600"), "{error}");
            }
        }
    }

    #[test]
    fn an_encrypted_key_takes_its_password_from_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let file = folder.path().join(name);
            fs::write(&file, text).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
            Some(file)
        };
        let mut settings = SigningSettings {
            key: file("cosign.key", SEALED),
            password_file: file("password", "hunter2\n"),
        };
        let key = signer(&settings).unwrap().unwrap();
        let public = include_str!("../../signature/tests/keys/cosign.pub");
        let public = metahub_signature::PublicKey::from_pem(public).unwrap();
        assert_eq!(key.fingerprint(), public.fingerprint());
        settings.password_file = file("wrong", "hunter3");
        let error = signer(&settings).unwrap_err().to_string();
        assert!(error.contains("does not open it"), "{error}");
        assert!(!error.contains("hunter"), "{error}");
        assert!(signer(&SigningSettings::default()).unwrap().is_none());
    }
}
