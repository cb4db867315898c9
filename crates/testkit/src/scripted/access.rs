//! Users of a scripted registry, their access, and the logins that were seen.

use std::collections::{BTreeMap, BTreeSet};

use crate::http::basic;
use crate::registry::Seen;

/// The token endpoint of a registry with a token server.
pub(super) const TOKENS: &str = "/token";

/// The users of a registry, and its repositories that not everybody may read.
#[derive(Debug, Default)]
pub(super) struct Access {
    /// By what they send.
    users: BTreeMap<String, String>,
    closed: BTreeMap<String, (BTreeSet<String>, u16)>,
    /// The status for blobs, if it is another than for the rest.
    pub(super) of_blobs: Option<u16>,
    /// Whether passwords are for the token server, and tokens for the rest.
    pub(super) tokens: bool,
    /// What each request sent, and its path.
    pub(super) seen: Vec<(String, String)>,
}

impl Access {
    pub(super) fn add_user(&mut self, user: &str, password: &str) {
        self.users.insert(basic(user, password), user.to_owned());
    }

    pub(super) fn close(&mut self, repository: &str, users: &[&str], status: u16) {
        let users = users.iter().map(|user| (*user).to_owned()).collect();
        self.closed.insert(repository.to_owned(), (users, status));
    }

    /// Records the request.
    pub(super) fn note(&mut self, request: &Seen) {
        self.seen.push((sent(request).to_owned(), request.line()));
    }

    /// The token for the caller; nothing for a wrong password.
    pub(super) fn token(&self, request: &Seen) -> Option<String> {
        match sent(request) {
            "" => Some("nobody".to_owned()),
            sent => self.users.get(sent).cloned(),
        }
    }

    /// The status for a refused request: 401 for an unknown user.
    pub(super) fn refuses(&self, request: &Seen) -> Option<u16> {
        let path = request.path.as_str();
        let within = |repository: &&String| path.starts_with(&format!("/v2/{repository}/"));
        let name = self.closed.keys().find(within)?;
        let (users, status) = self.closed.get(name)?;
        let user = if self.tokens {
            sent(request).strip_prefix("Bearer ")
        } else {
            self.users.get(sent(request)).map(String::as_str)
        };
        match user {
            None => Some(401),
            Some(user) if users.contains(user) => None,
            Some(_) if path.contains("/blobs/") => Some(self.of_blobs.unwrap_or(*status)),
            Some(_) => Some(*status),
        }
    }
}

fn sent(request: &Seen) -> &str {
    request.header("authorization").unwrap_or("")
}
