//! Docker's credential helpers: programs `docker-credential-NAME` that keep logins in a keychain or
//! derive them from a cloud's identity. Only `get` is called.

use std::process::Stdio;
use std::time::Duration;

use metahub_client::printable;
use metahub_oci::Host;
use serde::Deserialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;

use crate::credentials::Credentials;
use crate::secret::Secret;
use crate::well_known;

/// The timeout of a helper.
const PATIENCE: Duration = Duration::from_secs(30);
/// Largest answer of a helper, in bytes.
const MAX_BYTES: u64 = 256 * 1024;
/// A helper's message for an unknown host.
const NOT_FOUND: &str = "credentials not found";

#[derive(Deserialize)]
struct HelperAnswer {
    #[serde(rename = "Username")]
    username: String,
    #[serde(rename = "Secret")]
    secret: String,
}

/// Whether `name` may be part of a program's name.
pub(crate) fn check(name: &str) -> Result<(), String> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    if !name.is_empty() && name.bytes().all(plain) {
        Ok(())
    } else {
        Err(format!(
            "'{}' is not the name of a credential helper: expected letters, digits, '-', '_' \
             and '.', for example ecr-login",
            printable(name, 60)
        ))
    }
}

/// Asks `docker-credential-NAME` for the credentials of `host`; `None` if it has none.
pub(crate) async fn get(name: &str, host: &Host) -> Result<Option<Credentials>, String> {
    check(name)?;
    let program = format!("docker-credential-{name}");
    match tokio::time::timeout(PATIENCE, run(&program, host)).await {
        Ok(result) => result.map_err(|why| format!("{program}: {why}")),
        Err(_) => Err(format!("{program} did not answer within {PATIENCE:?}")),
    }
}

async fn run(program: &str, host: &Host) -> Result<Option<Credentials>, String> {
    let text = |error: std::io::Error| error.to_string();
    let mut child = Command::new(program)
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(text)?;
    if let Some(mut stdin) = child.stdin.take() {
        // A helper that does not read may still answer; its result is more useful than this write
        // error.
        let _ = stdin.write_all(server(host).as_bytes()).await;
    }
    let mut output = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        let mut stdout = stdout.take(MAX_BYTES);
        stdout.read_to_end(&mut output).await.map_err(text)?;
    }
    let status = child.wait().await.map_err(text)?;
    if !status.success() {
        // By the protocol the message stands on stdout; it is no secret then.
        let message = printable(&String::from_utf8_lossy(&output), 200);
        return if message.contains(NOT_FOUND) {
            Ok(None)
        } else {
            Err(format!("{status}: {message}"))
        };
    }
    let answer: HelperAnswer = serde_json::from_slice(&output)
        .map_err(|_| "its answer is not what credential helpers answer".to_owned())?;
    Ok(Some(if answer.username == "<token>" {
        Credentials::IdentityToken(Secret::from(answer.secret))
    } else {
        Credentials::password(answer.username, answer.secret)
    }))
}

/// The name of a host for helpers.
fn server(host: &Host) -> &str {
    match well_known::canonical(host.as_str()) {
        well_known::DOCKER_HUB => "https://index.docker.io/v1/",
        _ => host.as_str(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    async fn ask(script: &str, host: &str) -> Result<Option<Credentials>, String> {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("docker-credential-test");
        std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        loop {
            let result = run(program.to_str().unwrap(), &host.parse().unwrap()).await;
            // Another test's child may still hold the file that was just written.
            match &result {
                Err(why) if why.contains("Text file busy") => {}
                _ => return result,
            }
        }
    }

    #[tokio::test]
    async fn a_helper_is_asked_for_the_host() {
        let script = r#"read -r server; echo "{\"ServerURL\":\"\",\"Username\":\"$1 $server\",\"Secret\":\"hunter2\"}""#;
        let found = ask(&format!("{script} #"), "docker.io").await.unwrap();
        let Some(Credentials::Password { username, password }) = found else {
            panic!("a password");
        };
        assert_eq!(&*username, "get https://index.docker.io/v1/");
        assert_eq!(password.reveal(), "hunter2");
    }

    #[tokio::test]
    async fn a_helper_may_give_an_identity_token_or_know_nothing() {
        let token = r#"cat >/dev/null; echo '{"Username":"<token>","Secret":"hunter2"}'"#;
        let found = ask(token, "quay.io").await.unwrap();
        assert!(matches!(found, Some(Credentials::IdentityToken(_))));
        let nothing = "echo credentials not found in native keychain; exit 1";
        assert!(ask(nothing, "quay.io").await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_helper_that_fails_or_babbles_is_an_error() {
        let error = ask("echo no keychain; exit 3", "quay.io")
            .await
            .unwrap_err();
        assert!(error.contains("no keychain"), "{error}");
        let error = ask("echo hunter2", "quay.io").await.unwrap_err();
        assert!(!error.contains("hunter2"), "{error}");
        let error = get("no-such-helper-here", &"quay.io".parse().unwrap()).await;
        assert!(
            error
                .unwrap_err()
                .contains("docker-credential-no-such-helper-here")
        );
    }
}
