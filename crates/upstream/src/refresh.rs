//! Refresh tokens: what `docker login` stores as `identitytoken`, exchanged for tokens by the
//! OAuth2 form of the token specification.
//!
//! A token server may answer with a new refresh token, and the one that was sent is spent then (RFC
//! 6749, section 6). The new one stays in memory and is never written anywhere: the configured one
//! is the operator's.

use std::sync::Arc;

use http::header::ACCEPT;
use http::{HeaderMap, HeaderValue};
use tokio::sync::Mutex;

use crate::client::Connections;
use crate::error::Problem;
use crate::secret::Secret;
use crate::token::{Granted, Token, TokenServer, read_token};

const CLIENT_ID: &str = "metahub";

/// The refresh token of one identity, as its token server last issued it.
#[derive(Debug, Default)]
pub(crate) struct Refresh(Mutex<Option<Replaced>>);

#[derive(Debug)]
struct Replaced {
    /// The configured one that it replaces: if that changes, the operator has set a new one.
    written: Secret,
    now: Secret,
}

impl Refresh {
    /// Exchanges the configured refresh token `written`, or the one that has replaced it since, for
    /// a token with `scopes`.
    ///
    /// One exchange at a time: two with the same token look like a theft to a server that replaces
    /// it. Each runs to its end even if its caller goes away: the answer may hold the only token
    /// that is valid from then on.
    pub(crate) async fn exchange(
        self: &Arc<Self>,
        connections: &Arc<Connections>,
        server: &TokenServer,
        written: Secret,
        scopes: &[String],
    ) -> Result<Token, Problem> {
        let (refresh, connections) = (Arc::clone(self), Arc::clone(connections));
        let (server, scope) = (server.clone(), scopes.join(" "));
        let work = async move {
            let mut replaced = refresh.0.lock().await;
            if let Some(known) = replaced.as_ref().filter(|one| one.written.is(&written)) {
                match once(&connections, &server, &known.now, &scope).await {
                    // A server that lost its memory may know the first one still.
                    Err(Problem::Auth(_)) => *replaced = None,
                    Err(other) => return Err(other),
                    Ok(granted) => return Ok(keep(&mut replaced, written, granted)),
                }
            }
            let granted = once(&connections, &server, &written, &scope).await?;
            Ok(keep(&mut replaced, written, granted))
        };
        let done = tokio::spawn(work).await;
        done.unwrap_or_else(|_| {
            let why = "gave no token: the exchange of its refresh token was stopped";
            Err(Problem::Auth(why.to_owned()))
        })
    }
}

fn keep(replaced: &mut Option<Replaced>, written: Secret, granted: Granted) -> Token {
    if let Some(now) = granted.refresh {
        *replaced = Some(Replaced { written, now });
    }
    granted.token
}

async fn once(
    connections: &Connections,
    server: &TokenServer,
    refresh: &Secret,
    scope: &str,
) -> Result<Granted, Problem> {
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    let mut form = vec![
        ("grant_type", "refresh_token"),
        ("refresh_token", refresh.reveal()),
        ("client_id", CLIENT_ID),
        ("scope", scope),
    ];
    form.extend(server.service.as_deref().map(|name| ("service", name)));
    let realm = &server.realm;
    let answer = connections.post(realm.clone(), headers, &form).await?;
    let secrets = [refresh.clone()];
    read_token(answer.response, connections, realm, true, &secrets).await
}
