//! Credentials of MUNGE, decoded by the site's `munged` through its program `unmunge`: no client
//! input on the command line, the credential on standard input, a few at a time and in turns.
//!
//! `munged` decodes each credential once, and reports a second time as a replay. Clients send a
//! password for each part of a pull, so a decoded credential is remembered until its lifetime ends,
//! and a replay within that is accepted.

use std::net::IpAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use metahub_limits::{FairQueue, Network};
use moka::future::Cache;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::memory_key::MemoryKey;
use crate::node::{NodeName, NodeRefused};
use crate::{AuthError, Password};

/// What credentials begin with.
const PREFIX: &str = "MUNGE:";
/// Longest credential that is decoded, in bytes; a node's has about 200.
const MOST_BYTES: usize = 2048;
/// The first word of a node's payload, so that credentials for other services do not count.
const PURPOSE: &str = "metahub-node";
/// Credentials remembered.
const CAPACITY: u64 = 20_000;
/// The longest time for which one is remembered: `munged`'s own maximum.
const LONGEST: Duration = Duration::from_secs(3600);
/// Most time that `unmunge` may take.
const TIME: Duration = Duration::from_secs(5);
/// How many of them run at once.
const AT_ONCE: usize = 4;
/// Credentials of one client network that may wait, and of all together.
const WAITING_EACH: usize = 64;
const WAITING: usize = 1024;
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// `unmunge` ended with this for a credential of the right key that has expired, that is of the
/// future, and that was decoded before.
const EXPIRED: i32 = 15;
const REWOUND: i32 = 16;
const REPLAYED: i32 = 17;
/// It ended with these for one that cannot be read, is of another realm or key, or is not for this
/// server's user.
const NOT_OURS: [i32; 8] = [8, 9, 10, 11, 12, 13, 14, 18];

/// The connection to `munged`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MungeConfig {
    /// Its socket, if not the default.
    pub socket: Option<PathBuf>,
}

/// A credential decoded by `munged`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Attested {
    uid: u32,
    payload: String,
    until: Timestamp,
}

#[derive(Clone, Debug)]
enum MungeFailure {
    Refused(NodeRefused),
    Busy,
    Broken(Arc<MungeFailed>),
}

/// `munged` could not be asked.
#[derive(Debug, thiserror::Error)]
#[error("a credential of MUNGE could not be decoded: {0}")]
struct MungeFailed(String);

fn broken(why: impl Into<String>) -> MungeFailure {
    MungeFailure::Broken(Arc::new(MungeFailed(why.into())))
}

#[derive(Debug)]
pub(super) struct Munge {
    config: MungeConfig,
    key: MemoryKey,
    known: Cache<[u8; 32], Attested>,
    queue: FairQueue,
}

impl Munge {
    pub(super) fn new(config: MungeConfig) -> Self {
        Self {
            config,
            key: MemoryKey::random(),
            known: Cache::builder()
                .max_capacity(CAPACITY)
                .time_to_live(LONGEST)
                .build(),
            queue: FairQueue::new(AT_ONCE, WAITING_EACH, WAITING),
        }
    }

    /// Whether a password has the form of a credential.
    pub(super) fn is_credential(password: &Password) -> bool {
        password.expose().starts_with(PREFIX)
    }

    /// The node for which a credential speaks.
    pub(super) async fn node(
        &self,
        credential: &Password,
        from: Option<IpAddr>,
    ) -> Result<NodeName, AuthError> {
        let key = self.key.hash(&[credential.expose()]);
        let decoding = self.decode(credential, from);
        let attested = self.known.try_get_with(key, decoding).await;
        let attested = attested.map_err(|failure| match &*failure {
            MungeFailure::Refused(refused) => AuthError::Node(refused.clone()),
            MungeFailure::Busy => AuthError::TooMany {
                retry_after: RETRY_AFTER,
            },
            MungeFailure::Broken(failed) => AuthError::unavailable(Arc::clone(failed)),
        })?;
        if Timestamp::now() > attested.until {
            self.known.invalidate(&key).await;
            return Err(NodeRefused::Expired.into());
        }
        named(&attested).map_err(AuthError::Node)
    }

    async fn decode(
        &self,
        credential: &Password,
        from: Option<IpAddr>,
    ) -> Result<Attested, MungeFailure> {
        let text = credential.expose();
        let is_letter = |byte: u8| byte.is_ascii_graphic();
        if text.len() > MOST_BYTES || !text.bytes().all(is_letter) {
            return Err(MungeFailure::Refused(NodeRefused::Foreign));
        }
        let turn = self.queue.turn(Network::from(from)).await;
        let _turn = turn.map_err(|_| MungeFailure::Busy)?;
        let decoding = tokio::time::timeout(TIME, self.unmunge(text)).await;
        let (code, output) = decoding.map_err(|_| broken("munged gave no answer in time"))??;
        match code {
            0 | REPLAYED => {
                attested(&output).ok_or_else(|| broken("unmunge printed what is not understood"))
            }
            EXPIRED => Err(MungeFailure::Refused(NodeRefused::Expired)),
            REWOUND => Err(MungeFailure::Refused(NodeRefused::OfTheFuture)),
            code if NOT_OURS.contains(&code) => Err(MungeFailure::Refused(NodeRefused::Foreign)),
            code => Err(broken(format!(
                "unmunge ended with {code}: is munged running, and may this server's user reach \
                 its socket?"
            ))),
        }
    }

    /// The exit code of `unmunge`, and what it printed. It ends when this is dropped.
    async fn unmunge(&self, credential: &str) -> Result<(i32, String), MungeFailure> {
        let mut command = Command::new("unmunge");
        command.arg("--numeric");
        if let Some(socket) = &self.config.socket {
            command.arg("--socket").arg(socket);
        }
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        let failed = |error: std::io::Error| broken(format!("unmunge cannot be run: {error}"));
        let mut child = command.spawn().map_err(failed)?;
        if let Some(mut pipe) = child.stdin.take() {
            // One that does not read it says why by its exit code.
            let _ = pipe.write_all(credential.as_bytes()).await;
        }
        let output = child.wait_with_output().await.map_err(failed)?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let code = output.status.code();
        Ok((code.ok_or_else(|| broken("unmunge was ended"))?, text))
    }
}

/// What `unmunge --numeric` prints: lines `KEY: VALUE`, an empty one, and the payload.
fn attested(output: &str) -> Option<Attested> {
    let (head, payload) = output.split_once("\n\n")?;
    let value = |key: &str| {
        let mut lines = head.lines();
        let line = lines.find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
        line.map(str::trim)
    };
    let encoded: i64 = value("ENCODE_TIME")?.parse().ok()?;
    let lifetime: i64 = value("TTL")?.parse().ok()?;
    Some(Attested {
        uid: value("UID")?.parse().ok()?,
        payload: payload.trim_end().to_owned(),
        until: Timestamp::from_second(encoded.checked_add(lifetime)?).ok()?,
    })
}

/// The node that a payload names, where root speaks.
fn named(attested: &Attested) -> Result<NodeName, NodeRefused> {
    if attested.uid != 0 {
        return Err(NodeRefused::NotRoot(attested.uid));
    }
    let name = match attested.payload.split_once(' ') {
        Some((PURPOSE, name)) => name.parse().ok(),
        _ => None,
    };
    name.ok_or(NodeRefused::OtherPurpose)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(uid: u32, payload: &str) -> Attested {
        let text = format!(
            "STATUS:          0\nENCODE_HOST:     10.0.0.7\nENCODE_TIME:     1000\nDECODE_TIME:     \
             1001\nTTL:             300\nCIPHER:          4\nUID:             {uid}\nGID:             \
             0\nLENGTH:          15\n\n{payload}"
        );
        attested(&text).unwrap()
    }

    #[test]
    fn only_root_speaks_for_a_node_and_only_for_this_purpose() {
        let good = said(0, "metahub-node Node7.example");
        assert_eq!(good.until.as_second(), 1300);
        assert_eq!(named(&good).unwrap().as_str(), "node7.example");
        assert_eq!(
            named(&said(1000, "metahub-node n")),
            Err(NodeRefused::NotRoot(1000))
        );
        for payload in [
            "",
            "n7",
            "metahub-node",
            "metahub-node a b",
            "other n7",
            "UID: 0\n\nx",
        ] {
            assert_eq!(
                named(&said(0, payload)),
                Err(NodeRefused::OtherPurpose),
                "{payload}"
            );
        }
        // A payload cannot pass for what stands before it.
        let forged = said(1000, "UID: 0\nmetahub-node n\n\nUID: 0");
        assert_eq!(forged.uid, 1000);
        assert_eq!(attested("UID: 0\nTTL: 1\n\nx"), None);
    }
}
