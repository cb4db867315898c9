//! The credential helper: `get`, `store`, `erase`, `list` and `version` as Docker's clients, and
//! after them Podman, Skopeo, crane and Apptainer, call `docker-credential-metahub`.
//!
//! One answer decides whether pulls from *every* registry work: for a host that is no MetaHub it is
//! exactly [`NOT_FOUND`] on standard output and exit code 1. Every other failure ends with the same
//! words, with the reason on standard error, within [`MOST_TIME`].

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use metahub_client::blocking::Registry;
use metahub_hardware::detect::Root;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::answer::Answer;
use crate::cache::{Cache, Known, Miss};
use crate::detect::{Look, detect};
use crate::identity;
use crate::known_targets::{self, NodeFacts, PASSWORD};
use crate::login::{Join, join_of, joined};
use crate::logins::{LoginsFile, OwnLogin};
use crate::policy::{Environment, Policy};
use crate::server::host_of;
use crate::time_limit::within;

/// What clients take for "this helper has nothing for that host", to the letter.
pub const NOT_FOUND: &str = "credentials not found in native keychain";
/// The name under which clients look for this helper: `docker-credential-` and this.
pub const NAME: &str = "metahub";
/// Most time that an answer takes.
pub const MOST_TIME: Duration = Duration::from_millis(1900);
/// Most time for asking a registry while a client waits.
const REGISTRY_TIME: Duration = Duration::from_millis(900);
/// Most time for a helper that is passed on to.
const OTHER_TIME: Duration = Duration::from_millis(900);
/// Most that is read of standard input, in bytes.
pub const MOST_INPUT: u64 = 64 << 10;

/// The helper under a policy.
pub struct Helper<'a> {
    /// The site's policy.
    pub policy: &'a Policy,
    /// The caller's environment.
    pub environment: Environment<'a>,
    /// The system that this node is.
    pub root: &'a Root,
}

#[derive(Deserialize)]
struct Stored {
    #[serde(rename = "ServerURL")]
    server: String,
    #[serde(rename = "Username")]
    username: String,
    #[serde(rename = "Secret")]
    secret: String,
}

impl Helper<'_> {
    /// Carries out one action.
    #[must_use]
    pub fn run(&self, action: &str, input: &str) -> Answer {
        match action {
            "get" => self.get(input),
            "store" => self.store(input),
            "erase" => self.erase(input),
            "list" => self.list(),
            "version" => Answer::ok(concat!("metahub-node ", env!("CARGO_PKG_VERSION"))),
            other => Answer::failure(
                1,
                format!("unknown action '{other}': expected get, store, erase, list or version"),
            ),
        }
    }

    fn get(&self, input: &str) -> Answer {
        let server = input.trim();
        let Some(host) = host_of(server) else {
            return Answer::failure(1, NOT_FOUND);
        };
        let mut notes = Vec::new();
        let (own, other) = self.own(&host, &mut notes);
        if !self.policy.is_metahub(&host) {
            return match other.and_then(|other| pass_on(&other, "get", server)) {
                Some(answer) => Answer::ok(answer).noting(notes),
                None => Answer::failure(1, NOT_FOUND).noting(notes),
            };
        }
        let own = own.or_else(|| login_of(&pass_on(&other?, "get", server)?));
        let known = self.known(&host, &mut notes);
        let (user, secret) = match own {
            Some(own) => (
                joined(&own.username, own.join, known.login.as_deref()),
                own.secret,
            ),
            None => {
                let secret = self.secret(&host, &mut notes);
                let taken = known.alone || (known.proven && secret.is_some());
                match known.login.filter(|_| taken) {
                    Some(login) => (login, secret.unwrap_or_else(|| PASSWORD.to_owned())),
                    None => return Answer::failure(1, NOT_FOUND).noting(notes),
                }
            }
        };
        let answer = json!({"ServerURL": server, "Username": user, "Secret": secret});
        Answer::ok(answer.to_string()).noting(notes)
    }

    /// What is known about the node at `host`: from the cache, or detected anew.
    pub fn known(&self, host: &str, notes: &mut Vec<String>) -> Known {
        match Cache::read(self.policy, self.root) {
            Ok(cache) => return cache.known(host),
            Err(miss) => self.say_once(&miss, notes),
        }
        self.look_again(host)
    }

    /// What proves to `host` which node this is. Where the caller cannot have it, that is said once.
    fn secret(&self, host: &str, notes: &mut Vec<String>) -> Option<String> {
        match identity::secret(self.policy, host) {
            Ok(secret) => secret,
            Err(problem) => {
                self.note_once("metahub-node-identity-said", problem, notes);
                None
            }
        }
    }

    /// The node by its files alone, which takes milliseconds, and the registry's word on it as
    /// far as that comes in time.
    fn look_again(&self, host: &str) -> Known {
        let found = detect(self.policy, &Look::default());
        let features = found.features();
        let own = NodeFacts {
            target: found.target.as_ref(),
            features: &features,
            policy: self.policy,
        }
        .own_login();
        let target = found.target;
        let unasked = Known::unasked(own, target.as_ref().map(ToString::to_string));
        let connect = self.policy.connect(host, REGISTRY_TIME);
        let (policy, host) = (self.policy.clone(), host.to_owned());
        let asked = within(REGISTRY_TIME, move || {
            let node = NodeFacts {
                target: target.as_ref(),
                features: &features,
                policy: &policy,
            };
            let registry = Registry::new(&host, &connect).ok()?;
            known_targets::ask(&registry, &node, None).ok()
        });
        asked.flatten().unwrap_or(unasked)
    }

    /// One line, and the same line only once for as long as the user's runtime folder lasts.
    fn say_once(&self, miss: &Miss, notes: &mut Vec<String>) {
        let note =
            format!("{miss}; this node was looked at anew: run metahub-node refresh as root");
        self.note_once("metahub-node-said", note, notes);
    }

    /// A note, unless the file `mark` of the user's runtime folder says that it was there already.
    fn note_once(&self, mark: &str, note: String, notes: &mut Vec<String>) {
        let runtime = (self.environment)("XDG_RUNTIME_DIR").filter(|folder| !folder.is_empty());
        if let Some(folder) = runtime {
            let mark = std::path::PathBuf::from(folder).join(mark);
            match crate::trusted::read_any(&mark) {
                Ok(said) if said == note.as_bytes() => return,
                // Something that is no file is left alone: a pipe would wait for a reader.
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {}
                _ => {
                    let _ = std::fs::write(&mark, &note);
                }
            }
        }
        notes.push(note);
    }

    fn store(&self, input: &str) -> Answer {
        let Ok(stored) = serde_json::from_str::<Stored>(input) else {
            return Answer::failure(
                1,
                "expected {\"ServerURL\", \"Username\", \"Secret\"} as JSON",
            );
        };
        let host = match host_of(&stored.server) {
            Some(host) if self.policy.is_metahub(&host) => host,
            _ => {
                return Answer::failure(
                    1,
                    format!(
                        "{} is no MetaHub of this node's policy",
                        stored.server.trim()
                    ),
                );
            }
        };
        let mut notes = Vec::new();
        let (own, other) = self.own(&host, &mut notes);
        if let Some(other) = other {
            return match pass_on(&other, "store", input) {
                Some(said) => Answer::ok(said),
                None => Answer::failure(1, format!("docker-credential-{other} did not store it")),
            };
        }
        let known = self.known(&host, &mut notes);
        let node = known.login.as_deref();
        // Clients store what they got: the node's login is not the user's.
        if identity::is_secret(&stored.secret)
            || (Some(stored.username.as_str()) == node && stored.secret == PASSWORD)
        {
            return Answer::ok("").noting(notes);
        }
        let is_own = |own: &OwnLogin| joined(&own.username, own.join, node) == stored.username;
        let login = match own.filter(is_own) {
            Some(own) => OwnLogin {
                secret: stored.secret,
                ..own
            },
            None => OwnLogin {
                join: self.join(&host, &stored, node),
                username: stored.username,
                secret: stored.secret,
            },
        };
        let changed = LoginsFile::of_user(self.environment).and_then(|file| {
            file.change(|all| {
                all.logins.insert(host, login);
            })
        });
        match changed {
            Ok(()) => Answer::ok("").noting(notes),
            Err(error) => Answer::failure(1, error.to_string()).noting(notes),
        }
    }

    /// How the node's login is combined with a user name: for a bare one the registry is asked.
    fn join(&self, host: &str, stored: &Stored, node: Option<&str>) -> Join {
        let join = join_of(&stored.username);
        let (Join::Account, Some(node)) = (join, node) else {
            return join;
        };
        let connect = self.policy.connect(host, REGISTRY_TIME);
        let host = host.to_owned();
        let login = |join| metahub_client::blocking::Login {
            user: joined(&stored.username, join, Some(node)),
            secret: stored.secret.clone(),
        };
        let (account, selector) = (login(Join::Account), login(Join::Selector));
        let found = within(REGISTRY_TIME, move || {
            let registry = Registry::new(&host, &connect).ok()?;
            let refused = |login| {
                registry
                    .token(Some(login), "")
                    .is_err_and(|e| e.status() == Some(401))
            };
            let is_selector = refused(&account) && !refused(&selector);
            Some(if is_selector {
                Join::Selector
            } else {
                Join::Account
            })
        });
        found.flatten().unwrap_or(join)
    }

    fn erase(&self, input: &str) -> Answer {
        let server = input.trim();
        let Some(host) = host_of(server) else {
            return Answer::failure(1, NOT_FOUND);
        };
        let mut notes = Vec::new();
        let (own, other) = self.own(&host, &mut notes);
        let passed = other.and_then(|other| pass_on(&other, "erase", server));
        if own.is_none() && passed.is_none() && !self.policy.is_metahub(&host) {
            return Answer::failure(1, NOT_FOUND);
        }
        let changed = LoginsFile::of_user(self.environment).and_then(|file| {
            file.change(|all| {
                all.logins.remove(&host);
            })
        });
        match changed {
            Ok(()) => Answer::ok("").noting(notes),
            Err(error) => Answer::failure(1, error.to_string()),
        }
    }

    /// Every MetaHub with the user name that `get` returns for it. Some clients ask only for hosts
    /// that are named here.
    fn list(&self) -> Answer {
        let mut notes = Vec::new();
        let mut all = Map::new();
        for host in &self.policy.registries {
            let known = self.known(host, &mut notes);
            let user = match self.own(host, &mut notes).0 {
                Some(own) => Some(joined(&own.username, own.join, known.login.as_deref())),
                None => known.login.filter(|_| known.alone || known.proven),
            };
            if let Some(user) = user {
                all.insert(host.clone(), Value::String(user));
            }
        }
        notes.dedup();
        Answer::ok(Value::Object(all).to_string()).noting(notes)
    }

    /// The user's own login at `host`, and the helper that stored it before this one.
    fn own(&self, host: &str, notes: &mut Vec<String>) -> (Option<OwnLogin>, Option<String>) {
        let read = LoginsFile::of_user(self.environment).and_then(|file| file.read());
        match read {
            Ok(mut all) => (all.logins.remove(host), all.helpers.remove(host)),
            Err(crate::logins::LoginsError::NoHome) => (None, None),
            Err(error) => {
                notes.push(error.to_string());
                (None, None)
            }
        }
    }
}

/// A login as another helper gave it.
fn login_of(answer: &str) -> Option<OwnLogin> {
    let stored: Stored = serde_json::from_str(answer).ok()?;
    Some(OwnLogin {
        join: join_of(&stored.username),
        username: stored.username,
        secret: stored.secret,
    })
}

/// What `docker-credential-OTHER ACTION` prints, where it succeeds in time.
fn pass_on(other: &str, action: &str, input: &str) -> Option<String> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if other == NAME || other.is_empty() || !other.chars().all(is_name) {
        return None;
    }
    let mut child = Command::new(format!("docker-credential-{other}"))
        .arg(action)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let (input, id) = (input.to_owned(), child.id());
    let mut pipe = child.stdin.take()?;
    let done = within(OTHER_TIME, move || {
        let _ = pipe.write_all(input.as_bytes());
        drop(pipe);
        child.wait_with_output().ok()
    });
    match done {
        Some(output) => {
            let output = output.filter(|output| output.status.success())?;
            String::from_utf8(output.stdout).ok()
        }
        None => {
            if let Some(id) = i32::try_from(id)
                .ok()
                .and_then(rustix::process::Pid::from_raw)
            {
                let _ = rustix::process::kill_process(id, rustix::process::Signal::KILL);
            }
            None
        }
    }
}
