//! Nodes and join tokens.

use std::time::SystemTime;

use super::SqliteRecords;
use super::encoding::{time_from_millis, time_to_millis};
use super::transaction::{Durability, Transaction};
use crate::StoreError;
use crate::records::{
    Answer, Join, JoinToken, Joining, NodeNote, NodeRecord, NodeRecords, Redacted, SecretHash,
};

statements! {
    ONE =
        "SELECT name, way, token_hash, features, version, first_seen, last_seen, last_pull, images,
         revoked_at FROM nodes WHERE name = $1";
    BY_TOKEN =
        "SELECT name, way, token_hash, features, version, first_seen, last_seen, last_pull, images,
         revoked_at FROM nodes WHERE token_hash = $1";
    ALL =
        "SELECT name, way, token_hash, features, version, first_seen, last_seen, last_pull, images,
         revoked_at FROM nodes ORDER BY name";
    COUNT = "SELECT count(*) FROM nodes";
    PUT =
        "INSERT OR REPLACE INTO nodes (name, way, token_hash, features, version, first_seen,
         last_seen, last_pull, images, revoked_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
    REMOVE = "DELETE FROM nodes WHERE name = $1";
    FORGET_TOKENS = "DELETE FROM join_tokens WHERE uses = 0 OR expires_at <= $1";
    ADD_TOKEN =
        "INSERT INTO join_tokens (hash, created_at, expires_at, uses, replace)
         SELECT $1, $2, $3, $4, $5 WHERE (SELECT count(*) FROM join_tokens) < $6";
    TOKEN =
        "SELECT hash, created_at, expires_at, uses, replace FROM join_tokens WHERE hash = $1";
    TOKENS =
        "SELECT hash, created_at, expires_at, uses, replace FROM join_tokens
         ORDER BY created_at, hash";
    USE_TOKEN = "UPDATE join_tokens SET uses = uses - 1 WHERE hash = $1";
    REMOVE_TOKEN = "DELETE FROM join_tokens WHERE hash = $1";
}

#[derive(sqlx::FromRow)]
struct Row {
    name: String,
    way: String,
    token_hash: Option<Vec<u8>>,
    features: String,
    version: Option<String>,
    first_seen: i64,
    last_seen: i64,
    last_pull: Option<i64>,
    images: String,
    revoked_at: Option<i64>,
}

impl Row {
    /// The node; its name, where the row is none that this program writes.
    fn node(self) -> Result<NodeRecord, String> {
        let token_hash = match self.token_hash {
            None => None,
            Some(bytes) => match <[u8; 32]>::try_from(bytes) {
                Ok(hash) => Some(Redacted::new(hash)),
                Err(_) => return Err(self.name),
            },
        };
        let (Ok(features), Ok(images)) = (
            serde_json::from_str(&self.features),
            serde_json::from_str(&self.images),
        ) else {
            return Err(self.name);
        };
        Ok(NodeRecord {
            token_hash,
            features,
            images,
            name: self.name,
            way: self.way,
            version: self.version,
            first_seen: time_from_millis(self.first_seen),
            last_seen: time_from_millis(self.last_seen),
            last_pull: self.last_pull.map(time_from_millis),
            revoked_at: self.revoked_at.map(time_from_millis),
        })
    }
}

type TokenRow = (Vec<u8>, i64, i64, i64, bool);

fn token((hash, created_at, expires_at, uses, replace): TokenRow) -> Option<JoinToken> {
    Some(JoinToken {
        hash: Redacted::new(hash.try_into().ok()?),
        created_at: time_from_millis(created_at),
        expires_at: time_from_millis(expires_at),
        uses: u32::try_from(uses).ok()?,
        replace,
    })
}

impl SqliteRecords {
    /// The node in a row that a query of the readers found.
    fn found(&self, row: Option<Row>) -> Result<Option<NodeRecord>, StoreError> {
        let node = row.map(Row::node).transpose();
        node.map_err(|name| self.corrupt(format!("node '{name}'")))
    }

    /// Deletes what a statement says; returns whether there was any.
    fn delete<V>(&self, statement: &'static str, value: V) -> Answer<'_, bool>
    where
        V: for<'q> sqlx::Encode<'q, sqlx::Sqlite> + sqlx::Type<sqlx::Sqlite> + Send + 'static,
    {
        self.write(Durability::Full, move |transaction| {
            Box::pin(async move {
                let result = sqlx::query(statement)
                    .bind(value)
                    .execute(&mut transaction.connection)
                    .await;
                let done = result.map_err(|error| transaction.error(error))?;
                Ok::<_, StoreError>(done.rows_affected() > 0)
            })
        })
    }
}

impl NodeRecords for SqliteRecords {
    fn node(&self, name: &str) -> Answer<'_, Option<NodeRecord>> {
        let query = sqlx::query_as(ONE).bind(name.to_owned());
        Box::pin(async move {
            let row = self.read(query.fetch_optional(&self.readers)).await?;
            self.found(row)
        })
    }

    fn node_by_token(&self, hash: SecretHash) -> Answer<'_, Option<NodeRecord>> {
        let query = sqlx::query_as(BY_TOKEN).bind(hash.expose().to_vec());
        Box::pin(async move {
            let row = self.read(query.fetch_optional(&self.readers)).await?;
            self.found(row)
        })
    }

    fn nodes(&self) -> Answer<'_, Vec<NodeRecord>> {
        Box::pin(async move {
            let query = sqlx::query_as(ALL);
            let rows: Vec<Row> = self.read(query.fetch_all(&self.readers)).await?;
            let nodes = rows.into_iter().map(Row::node).collect();
            let nodes: Result<Vec<_>, String> = nodes;
            nodes.map_err(|name| self.corrupt(format!("node '{name}'")))
        })
    }

    fn note_nodes(&self, notes: Vec<NodeNote>, most: u64) -> Answer<'_, u64> {
        self.write(Durability::Relaxed, move |transaction| {
            Box::pin(async move {
                let mut room = most.saturating_sub(count(transaction).await?);
                let mut refused = 0;
                for note in notes {
                    let mut node = match one(transaction, &note.name).await? {
                        Some(node) => node,
                        None if !note.may_be_new => continue,
                        None if room == 0 => {
                            refused += 1;
                            continue;
                        }
                        None => {
                            room -= 1;
                            NodeRecord::new(&note.name, &note.way, note.seen)
                        }
                    };
                    node.note(note);
                    put(transaction, node).await?;
                }
                Ok::<_, StoreError>(refused)
            })
        })
    }

    fn revoke_node(&self, name: &str) -> Answer<'_, bool> {
        let name = name.to_owned();
        self.write(Durability::Full, move |transaction| {
            Box::pin(async move {
                let now = now(transaction);
                let known = one(transaction, &name).await?;
                let was_known = known.is_some();
                let mut node = known.unwrap_or_else(|| NodeRecord::new(&name, "", now));
                node.revoked_at = node.revoked_at.or(Some(now));
                put(transaction, node).await?;
                Ok::<_, StoreError>(was_known)
            })
        })
    }

    fn remove_node(&self, name: &str) -> Answer<'_, bool> {
        self.delete(REMOVE, name.to_owned())
    }

    fn add_join_token(&self, token: JoinToken, most: u64) -> Answer<'_, bool> {
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        self.write(Durability::Full, move |transaction| {
            Box::pin(async move {
                let result = sqlx::query(FORGET_TOKENS)
                    .bind(transaction.now())
                    .execute(&mut transaction.connection)
                    .await;
                result.map_err(|error| transaction.error(error))?;
                let result = sqlx::query(ADD_TOKEN)
                    .bind(token.hash.expose().to_vec())
                    .bind(time_to_millis(token.created_at))
                    .bind(time_to_millis(token.expires_at))
                    .bind(i64::from(token.uses))
                    .bind(token.replace)
                    .bind(most)
                    .execute(&mut transaction.connection)
                    .await;
                let added = result.map_err(|error| transaction.error(error))?;
                Ok::<_, StoreError>(added.rows_affected() > 0)
            })
        })
    }

    fn join_token(&self, hash: SecretHash) -> Answer<'_, Option<JoinToken>> {
        let query = sqlx::query_as(TOKEN).bind(hash.expose().to_vec());
        Box::pin(async move {
            let row: Option<TokenRow> = self.read(query.fetch_optional(&self.readers)).await?;
            let found = row.map(|row| token(row).ok_or_else(|| self.corrupt("a join token")));
            found.transpose()
        })
    }

    fn join_tokens(&self) -> Answer<'_, Vec<JoinToken>> {
        Box::pin(async move {
            let query = sqlx::query_as(TOKENS);
            let rows: Vec<TokenRow> = self.read(query.fetch_all(&self.readers)).await?;
            let tokens: Option<Vec<_>> = rows.into_iter().map(token).collect();
            tokens.ok_or_else(|| self.corrupt("a join token"))
        })
    }

    fn remove_join_token(&self, hash: SecretHash) -> Answer<'_, bool> {
        self.delete(REMOVE_TOKEN, hash.expose().to_vec())
    }

    fn join(&self, join: Join) -> Answer<'_, Joining> {
        self.write(Durability::Full, move |transaction| {
            Box::pin(joined(transaction, join))
        })
    }
}

async fn joined(transaction: &mut Transaction, join: Join) -> Result<Joining, StoreError> {
    let hash = join.join_token.expose().to_vec();
    let result = sqlx::query_as(TOKEN)
        .bind(hash.clone())
        .fetch_optional(&mut transaction.connection)
        .await;
    let row: Option<TokenRow> = result.map_err(|error| transaction.error(error))?;
    // A request without a valid token costs no more than this.
    let Some(row) = row else {
        return Ok(Joining::NoToken);
    };
    let token = token(row).ok_or_else(|| transaction.corrupt("a join token"))?;
    let now = now(transaction);
    let known = one(transaction, &join.name).await?;
    let count = count(transaction).await?;
    let judged = join.judged(Some(&token), known.as_ref(), count, now);
    if judged == Joining::Done {
        let result = sqlx::query(USE_TOKEN)
            .bind(hash)
            .execute(&mut transaction.connection)
            .await;
        result.map_err(|error| transaction.error(error))?;
        put(transaction, join.joined(known, now)).await?;
    }
    Ok(judged)
}

fn now(transaction: &Transaction) -> SystemTime {
    time_from_millis(transaction.now())
}

async fn count(transaction: &mut Transaction) -> Result<u64, StoreError> {
    let result = sqlx::query_scalar(COUNT)
        .fetch_one(&mut transaction.connection)
        .await;
    let count: i64 = result.map_err(|error| transaction.error(error))?;
    Ok(u64::try_from(count).unwrap_or_default())
}

async fn one(transaction: &mut Transaction, name: &str) -> Result<Option<NodeRecord>, StoreError> {
    let result = sqlx::query_as(ONE)
        .bind(name.to_owned())
        .fetch_optional(&mut transaction.connection)
        .await;
    let row: Option<Row> = result.map_err(|error| transaction.error(error))?;
    let node = row.map(Row::node).transpose();
    node.map_err(|name| transaction.corrupt(format!("node '{name}'")))
}

async fn put(transaction: &mut Transaction, node: NodeRecord) -> Result<(), StoreError> {
    let text = |value: Result<String, serde_json::Error>| value.unwrap_or_else(|_| "[]".to_owned());
    let result = sqlx::query(PUT)
        .bind(node.name)
        .bind(node.way)
        .bind(node.token_hash.map(|hash| hash.expose().to_vec()))
        .bind(text(serde_json::to_string(&node.features)))
        .bind(node.version)
        .bind(time_to_millis(node.first_seen))
        .bind(time_to_millis(node.last_seen))
        .bind(node.last_pull.map(time_to_millis))
        .bind(text(serde_json::to_string(&node.images)))
        .bind(node.revoked_at.map(time_to_millis))
        .execute(&mut transaction.connection)
        .await;
    result.map(|_| ()).map_err(|error| transaction.error(error))
}
