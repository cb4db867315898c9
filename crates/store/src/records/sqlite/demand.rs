//! Pulls by what they got, see [`crate::records::demand`].

use std::collections::BTreeMap;

use super::SqliteRecords;
use super::transaction::{Durability, Transaction};
use crate::StoreError;
use crate::records::demand::{MOST, NodeChanges};
use crate::records::{
    Answer, DemandBounds, DemandCount, DemandGot, DemandKey, DemandRecord, DemandRecords,
};

statements! {
    EXPIRE = "DELETE FROM demand WHERE last_day < $1";
    EXPIRE_DAYS = "DELETE FROM demand_days WHERE day < $1";
    EXPIRE_NODES = "DELETE FROM demand_nodes WHERE last_day < $1";
    COUNT = "SELECT count(*) FROM demand";
    FIND =
        "SELECT id FROM demand
         WHERE repository = $1 AND tag = $2 AND target = $3 AND gpu = $4 AND got = $5";
    /// Of those that only clients without an account pulled, before a day.
    FEWEST =
        "SELECT id FROM demand WHERE known = 0 AND last_day < $1
         ORDER BY pulls, last_day, id LIMIT 1";
    OLDEST = "SELECT id FROM demand WHERE last_day < $1 ORDER BY last_day, pulls, id LIMIT 1";
    REMOVE = "DELETE FROM demand WHERE id = $1";
    INSERT =
        "INSERT INTO demand (repository, tag, target, gpu, got, known, pulls, last_day)
         VALUES ($1, $2, $3, $4, $5, 0, 0, $6) RETURNING id";
    UPDATE =
        "UPDATE demand SET known = max(known, $2), pulls = min(pulls + $3, $4),
             last_day = max(last_day, $5), more_nodes = nullif(max(coalesce(more_nodes, -1), $6), -1)
         WHERE id = $1";
    ADD_DAY =
        "INSERT INTO demand_days (demand_id, day, pulls, bytes) VALUES ($1, $2, $3, $4)
         ON CONFLICT (demand_id, day) DO UPDATE
         SET pulls = min(pulls + excluded.pulls, $5), bytes = min(bytes + excluded.bytes, $5)";
    NODES = "SELECT node, last_day FROM demand_nodes WHERE demand_id = $1";
    PUT_NODE =
        "INSERT INTO demand_nodes (demand_id, node, last_day) VALUES ($1, $2, $3)
         ON CONFLICT (demand_id, node) DO UPDATE SET last_day = excluded.last_day";
    REMOVE_NODE = "DELETE FROM demand_nodes WHERE demand_id = $1 AND node = $2";
    SINCE =
        "SELECT d.repository, d.tag, d.target, d.gpu, d.got,
             (SELECT coalesce(sum(pulls), 0) FROM demand_days
              WHERE demand_id = d.id AND day >= $1),
             (SELECT coalesce(sum(bytes), 0) FROM demand_days
              WHERE demand_id = d.id AND day >= $1),
             (SELECT count(*) FROM demand_nodes WHERE demand_id = d.id AND last_day >= $1),
             coalesce(d.more_nodes >= $1, 0)
         FROM demand d WHERE d.last_day >= $1
         ORDER BY d.repository, d.tag, d.target, d.gpu, d.got";
}

impl DemandRecords for SqliteRecords {
    fn add_demand(
        &self,
        counts: Vec<DemandCount>,
        day: i64,
        bounds: DemandBounds,
    ) -> Answer<'_, u64> {
        self.write(Durability::Relaxed, move |transaction| {
            Box::pin(async move {
                for statement in [EXPIRE, EXPIRE_DAYS, EXPIRE_NODES] {
                    run(transaction, statement, bounds.since).await?;
                }
                let result = sqlx::query_scalar(COUNT)
                    .fetch_one(&mut transaction.connection)
                    .await;
                let keys: i64 = result.map_err(|error| transaction.error(error))?;
                let mut keys = u64::try_from(keys).unwrap_or(0);
                let mut dropped = 0;
                for count in &counts {
                    match room(transaction, count, day, bounds.keys, &mut keys).await? {
                        Some(id) => add(transaction, id, count, day, bounds.nodes).await?,
                        None => dropped += 1,
                    }
                }
                Ok::<_, StoreError>(dropped)
            })
        })
    }

    fn demand(&self, day: i64) -> Answer<'_, Vec<DemandRecord>> {
        type Found = (String, String, String, String, String, i64, i64, i64, bool);
        Box::pin(async move {
            let query = sqlx::query_as(SINCE).bind(day);
            let rows: Vec<Found> = self.read(query.fetch_all(&self.readers)).await?;
            let record = |found: Found| {
                let (repository, tag, target, gpu, got, pulls, bytes, nodes, more_nodes) = found;
                let corrupt = || self.corrupt(format!("pulls of '{repository}:{tag}'"));
                let number = |number: i64| u64::try_from(number).unwrap_or(0);
                Ok(DemandRecord {
                    key: DemandKey {
                        repository: repository.parse().map_err(|_| corrupt())?,
                        tag: tag.parse().map_err(|_| corrupt())?,
                        target,
                        gpu,
                        got: got_from_text(got),
                    },
                    pulls: number(pulls),
                    bytes: number(bytes),
                    nodes: number(nodes),
                    more_nodes,
                })
            };
            rows.into_iter().map(record).collect()
        })
    }
}

/// The key's row, made if there is room for it or another makes room.
async fn room(
    transaction: &mut Transaction,
    count: &DemandCount,
    day: i64,
    most: u64,
    keys: &mut u64,
) -> Result<Option<i64>, StoreError> {
    let key = &count.key;
    let got = got_to_text(&key.got);
    let of_key = |statement: &'static str| {
        sqlx::query_scalar::<_, i64>(statement)
            .bind(key.repository.as_str())
            .bind(key.tag.as_str())
            .bind(&key.target)
            .bind(&key.gpu)
            .bind(&got)
    };
    let found = of_key(FIND)
        .fetch_optional(&mut transaction.connection)
        .await
        .map_err(|error| transaction.error(error))?;
    if found.is_some() {
        return Ok(found);
    }
    if *keys >= most {
        let Some(victim) = victim(transaction, count.known, day).await? else {
            return Ok(None);
        };
        run(transaction, REMOVE, victim).await?;
        *keys = keys.saturating_sub(1);
    }
    let id = of_key(INSERT)
        .bind(day)
        .fetch_one(&mut transaction.connection)
        .await
        .map_err(|error| transaction.error(error))?;
    *keys += 1;
    Ok(Some(id))
}

/// What a new key takes the place of, if of anything.
async fn victim(
    transaction: &mut Transaction,
    known: bool,
    day: i64,
) -> Result<Option<i64>, StoreError> {
    let before = if known { i64::MAX } else { day };
    let fewest = one(transaction, FEWEST, before).await?;
    if fewest.is_some() || !known {
        return Ok(fewest);
    }
    one(transaction, OLDEST, day).await
}

async fn add(
    transaction: &mut Transaction,
    id: i64,
    count: &DemandCount,
    day: i64,
    most_nodes: usize,
) -> Result<(), StoreError> {
    let more = add_nodes(transaction, id, &count.nodes, day, most_nodes).await?;
    let most = number(MOST);
    let (pulls, bytes) = (number(count.pulls), number(count.bytes));
    let result = sqlx::query(UPDATE)
        .bind(id)
        .bind(count.known)
        .bind(pulls)
        .bind(most)
        .bind(day)
        .bind(more.unwrap_or(-1))
        .execute(&mut transaction.connection)
        .await;
    result.map_err(|error| transaction.error(error))?;
    let result = sqlx::query(ADD_DAY)
        .bind(id)
        .bind(day)
        .bind(pulls)
        .bind(bytes)
        .bind(most)
        .execute(&mut transaction.connection)
        .await;
    result.map_err(|error| transaction.error(error))?;
    Ok(())
}

/// The last day of a node that there was no room for.
async fn add_nodes(
    transaction: &mut Transaction,
    id: i64,
    nodes: &[i64],
    day: i64,
    most: usize,
) -> Result<Option<i64>, StoreError> {
    if nodes.is_empty() {
        return Ok(None);
    }
    let result = sqlx::query_as(NODES)
        .bind(id)
        .fetch_all(&mut transaction.connection)
        .await;
    let known: Vec<(i64, i64)> = result.map_err(|error| transaction.error(error))?;
    let known: BTreeMap<i64, i64> = known.into_iter().collect();
    let changes = NodeChanges::of(&known, nodes, day, most);
    for node in changes.removed {
        let result = sqlx::query(REMOVE_NODE)
            .bind(id)
            .bind(node)
            .execute(&mut transaction.connection)
            .await;
        result.map_err(|error| transaction.error(error))?;
    }
    for node in changes.seen {
        let result = sqlx::query(PUT_NODE)
            .bind(id)
            .bind(node)
            .bind(day)
            .execute(&mut transaction.connection)
            .await;
        result.map_err(|error| transaction.error(error))?;
    }
    Ok(changes.more)
}

async fn run(
    transaction: &mut Transaction,
    statement: &'static str,
    number: i64,
) -> Result<(), StoreError> {
    let result = sqlx::query(statement)
        .bind(number)
        .execute(&mut transaction.connection)
        .await;
    result.map(|_| ()).map_err(|error| transaction.error(error))
}

async fn one(
    transaction: &mut Transaction,
    statement: &'static str,
    before: i64,
) -> Result<Option<i64>, StoreError> {
    let result = sqlx::query_scalar(statement)
        .bind(before)
        .fetch_optional(&mut transaction.connection)
        .await;
    result.map_err(|error| transaction.error(error))
}

fn number(number: u64) -> i64 {
    i64::try_from(number.min(MOST)).unwrap_or(i64::MAX)
}

/// No target is called as the first two are; in the order of [`DemandGot`].
fn got_to_text(got: &DemandGot) -> String {
    match got {
        DemandGot::Nothing => String::new(),
        DemandGot::Generic => "*".to_owned(),
        DemandGot::Build(target) => target.clone(),
    }
}

fn got_from_text(text: String) -> DemandGot {
    match text.as_str() {
        "" => DemandGot::Nothing,
        "*" => DemandGot::Generic,
        _ => DemandGot::Build(text),
    }
}
