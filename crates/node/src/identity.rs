//! The credential by which this node proves its identity to a MetaHub, in place of a password that
//! says nothing. Only used if the policy asks for it. It is for root's clients: a client that may
//! not read it pulls without, and no pull fails because of that.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use metahub_client::blocking::Registry;
use metahub_hardware::detect::Root;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::answer::Answer;
use crate::policy::{Identity, Policy};
use crate::time_limit::within;
use crate::trusted::{self, TrustError};

/// What the tokens of nodes begin with.
const TOKEN: &str = "mhn_";
/// What join tokens begin with.
const JOIN_TOKEN: &str = "mhj_";
/// What credentials of MUNGE begin with.
const MUNGE: &str = "MUNGE:";
/// What a password with a token of Slurm begins with, before the node's name.
const SLURM: &str = "slurm:";
/// The first word of what MUNGE attests.
const MUNGE_PURPOSE: &str = "metahub-node";
/// How long a credential of MUNGE is good for, in seconds: clients send it again for each part of
/// a long pull. `munged` allows no more by default.
const MUNGE_LIFETIME: u32 = 3600;
/// The same of a token of Slurm.
const SLURM_LIFETIME: u32 = 3600;
/// Most time that another program may take.
const PROGRAM_TIME: Duration = Duration::from_millis(700);
/// Most that is read of a program or a token, in bytes.
const MOST_BYTES: usize = 4096;

/// The tokens of this node, by registry.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
struct Tokens(BTreeMap<String, String>);

/// Whether a password has the form of what proves a node, so that no user's file is to keep it.
#[must_use]
pub fn is_secret(password: &str) -> bool {
    [TOKEN, MUNGE, SLURM]
        .iter()
        .any(|form| password.starts_with(form))
}

/// What proves to the MetaHub `host` which node this is; or why there is nothing.
///
/// # Errors A message for the user of the client.
pub fn secret(policy: &Policy, host: &str) -> Result<Option<String>, String> {
    match policy.identity {
        Identity::None => Ok(None),
        Identity::Token => token(&policy.tokens, host).map(Some),
        Identity::Munge => munge(policy).map(Some),
        Identity::SlurmJwt => slurm().map(Some),
    }
}

fn token(file: &Path, host: &str) -> Result<String, String> {
    let bytes = trusted::read(file).map_err(|error| match error {
        TrustError::Io(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            format!(
                "{} is root's, so this pull does not say which node it is for",
                file.display()
            )
        }
        TrustError::Io(error) if error.kind() == std::io::ErrorKind::NotFound => joins(host),
        error => format!("{}: {error}", file.display()),
    })?;
    let Tokens(mut tokens) =
        serde_json::from_slice(&bytes).map_err(|_| format!("{} is no JSON", file.display()))?;
    tokens.remove(host).ok_or_else(|| joins(host))
}

fn joins(host: &str) -> String {
    format!("this node has not joined {host}: run metahub-node join --registry {host} as root")
}

fn munge(policy: &Policy) -> Result<String, String> {
    only_root("a credential of MUNGE")?;
    let mut command = Command::new("munge");
    command.arg(format!("--ttl={MUNGE_LIFETIME}"));
    if let Some(socket) = &policy.munge_socket {
        command.arg("--socket").arg(socket);
    }
    let name = node_name()?;
    let said = run(command, format!("{MUNGE_PURPOSE} {name}"), "munge")?;
    match said.trim() {
        credential if credential.starts_with(MUNGE) => Ok(credential.to_owned()),
        _ => Err("munge printed no credential: is munged running?".to_owned()),
    }
}

fn slurm() -> Result<String, String> {
    only_root("a token of Slurm")?;
    let mut command = Command::new("scontrol");
    command.args(["token", &format!("lifespan={SLURM_LIFETIME}")]);
    let name = node_name()?;
    let said = run(command, String::new(), "scontrol token")?;
    let mut lines = said.lines();
    let token = lines.find_map(|line| line.trim().strip_prefix("SLURM_JWT="));
    let token = token.ok_or("scontrol token printed no token")?;
    Ok(format!("{SLURM}{name}:{token}"))
}

/// Programs that would speak for a user are not asked.
fn only_root(what: &str) -> Result<(), String> {
    if rustix::process::geteuid().is_root() {
        return Ok(());
    }
    Err(format!(
        "only root gets {what} for this node, so this pull does not say which node it is for"
    ))
}

/// What a program prints, if it does in time.
fn run(mut command: Command, input: String, name: &'static str) -> Result<String, String> {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut child = command
        .spawn()
        .map_err(|error| format!("cannot run {name}: {error}"))?;
    let id = i32::try_from(child.id())
        .ok()
        .and_then(rustix::process::Pid::from_raw);
    let done = within(PROGRAM_TIME, move || {
        if let Some(mut pipe) = child.stdin.take() {
            let _ = pipe.write_all(input.as_bytes());
        }
        child.wait_with_output()
    });
    match done {
        Some(Ok(output)) if output.status.success() && output.stdout.len() <= MOST_BYTES => {
            String::from_utf8(output.stdout).map_err(|_| format!("{name} printed no text"))
        }
        Some(_) => Err(format!("{name} failed")),
        None => {
            if let Some(id) = id {
                let _ = rustix::process::kill_process(id, rustix::process::Signal::KILL);
            }
            Err(format!("{name} gave no answer in time"))
        }
    }
}

/// The node's name: its host name, in full as far as it says it.
fn node_name() -> Result<String, String> {
    let name = Root::new("/").text("/proc/sys/kernel/hostname");
    let name = name
        .as_deref()
        .map(str::trim)
        .unwrap_or_default()
        .to_ascii_lowercase();
    if name.is_empty() {
        return Err("this node has no host name".to_owned());
    }
    Ok(name)
}

/// Joins a registry: exchanges a join token for the token of this node, which is kept for root
/// alone.
#[must_use]
pub fn join(policy: &Policy, host: &str, name: Option<String>, token: &str) -> Answer {
    let token = token.trim();
    if !token.starts_with(JOIN_TOKEN) || token.len() > MOST_BYTES {
        return Answer::error(
            2,
            "expected a join token on standard input or in --token-file, as metahub node token \
             prints it on the registry's machine",
        );
    }
    let name = match name.map_or_else(node_name, Ok) {
        Ok(name) => name,
        Err(problem) => return Answer::error(1, problem),
    };
    // Before the token is used up.
    let mut tokens = match kept(&policy.tokens) {
        Ok(tokens) => tokens,
        Err(problem) => return Answer::error(1, problem),
    };
    if let Err(error) = write(&policy.tokens, &tokens) {
        let file = policy.tokens.display();
        return Answer::error(
            1,
            format!("cannot write {file}: {error}; the token is not used up"),
        );
    }
    let connect = policy.connect(host, policy.timeout);
    let asked = Registry::new(host, &connect).and_then(|registry| {
        let body = json!({"name": name, "token": token});
        registry.post("/api/v1/nodes/join", &body, None)
    });
    let answer = match asked {
        Ok(answer) => answer,
        Err(error) => return Answer::error(1, error.to_string()),
    };
    let Some(own) = answer.get("token").and_then(|token| token.as_str()) else {
        return Answer::error(1, format!("{host} gave no token"));
    };
    tokens.0.insert(host.to_owned(), own.to_owned());
    match write(&policy.tokens, &tokens) {
        Ok(()) => {
            let mut notes = Vec::new();
            if policy.identity != Identity::Token {
                notes.push("to use it, say identity: token in node.yaml".to_owned());
            }
            let file = policy.tokens.display();
            Answer::ok(format!("{name} has joined {host}; its token is in {file}")).noting(notes)
        }
        Err(error) => {
            let file = policy.tokens.display();
            Answer::error(
                1,
                format!("cannot write {file}: {error}; join again with another token"),
            )
        }
    }
}

fn kept(file: &Path) -> Result<Tokens, String> {
    match trusted::read(file) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map_err(|_| format!("{} is no JSON: remove it, and join again", file.display())),
        Err(TrustError::Io(error)) if error.kind() == std::io::ErrorKind::NotFound => {
            Ok(Tokens::default())
        }
        Err(error) => Err(format!("{}: {error}", file.display())),
    }
}

fn write(file: &Path, tokens: &Tokens) -> std::io::Result<()> {
    let text = serde_json::to_vec_pretty(tokens).map_err(std::io::Error::other)?;
    trusted::write(file, &text, 0o600, 0o755)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_found_for_its_registry_and_its_file_is_for_the_owner_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("metahub/node-tokens.json");
        assert!(
            token(&file, "hub.example")
                .unwrap_err()
                .contains("metahub-node join")
        );
        let tokens = BTreeMap::from([("hub.example".to_owned(), "mhn_x".to_owned())]);
        write(&file, &Tokens(tokens)).unwrap();
        let mode = std::fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(token(&file, "hub.example").unwrap(), "mhn_x");
        assert!(token(&file, "other.example").is_err());
        std::fs::write(&file, "no json").unwrap();
        assert!(
            !token(&file, "hub.example")
                .unwrap_err()
                .contains("no json,")
        );
    }

    #[test]
    fn a_program_that_gives_no_answer_is_ended() {
        let mut slow = Command::new("sleep");
        slow.arg("60");
        assert!(
            run(slow, String::new(), "sleep")
                .unwrap_err()
                .contains("in time")
        );
        let said = run(Command::new("cat"), "as it came".to_owned(), "cat");
        assert_eq!(said.unwrap(), "as it came");
        assert!(run(Command::new("false"), String::new(), "false").is_err());
        assert!(run(Command::new("/nonexistent"), String::new(), "munge").is_err());
    }
}
