//! Documents that came through the API.

use super::SqliteRecords;
use super::encoding::time_from_millis;
use super::transaction::{Durability, Transaction};
use crate::StoreError;
use crate::records::{
    Answer, DocumentBounds, DocumentChange, DocumentOutcome, DocumentRecords, DocumentVersion,
};

statements! {
    ALL =
        "SELECT kind, name, version, text, account, changed_at FROM current_documents
         ORDER BY kind, name";
    LAST =
        "SELECT kind, name, version, text, account, changed_at FROM documents
         WHERE kind = $1 AND name = $2 ORDER BY version DESC LIMIT 1";
    ONE =
        "SELECT kind, name, version, text, account, changed_at FROM documents
         WHERE kind = $1 AND name = $2 AND version = $3";
    HISTORY =
        "SELECT kind, name, version, CASE WHEN text IS NULL THEN NULL ELSE '' END, account,
         changed_at FROM documents WHERE kind = $1 AND name = $2 ORDER BY version DESC";
    /// How many others there are, and how many bytes they have.
    OTHERS =
        "SELECT count(*), coalesce(sum(length(CAST(text AS BLOB))), 0) FROM current_documents
         WHERE NOT (kind = $1 AND name = $2)";
    ADD =
        "INSERT INTO documents (kind, name, version, text, account, changed_at)
         VALUES ($1, $2, $3, $4, $5, $6)";
    FORGET_VERSIONS = "DELETE FROM documents WHERE kind = $1 AND name = $2 AND version <= $3";
    FORGET_DELETED =
        "DELETE FROM documents WHERE (kind, name) IN
         (SELECT kind, name FROM last_documents WHERE text IS NULL
          ORDER BY changed_at DESC, kind, name LIMIT -1 OFFSET $1)";
}

type Row = (String, String, i64, Option<String>, String, i64);

fn version((kind, name, version, text, account, changed_at): Row) -> DocumentVersion {
    DocumentVersion {
        kind,
        name,
        version: u64::try_from(version).unwrap_or_default(),
        text,
        account,
        changed_at: time_from_millis(changed_at),
    }
}

/// A bound as SQLite counts.
fn number(bound: u64) -> i64 {
    i64::try_from(bound).unwrap_or(i64::MAX)
}

impl DocumentRecords for SqliteRecords {
    fn documents(&self) -> Answer<'_, Vec<DocumentVersion>> {
        Box::pin(async move {
            let query = sqlx::query_as(ALL);
            let rows: Vec<Row> = self.read(query.fetch_all(&self.readers)).await?;
            Ok(rows.into_iter().map(version).collect())
        })
    }

    fn document(
        &self,
        kind: &str,
        name: &str,
        wanted: Option<u64>,
    ) -> Answer<'_, Option<DocumentVersion>> {
        let (kind, name) = (kind.to_owned(), name.to_owned());
        let query = match wanted {
            Some(wanted) => sqlx::query_as(ONE)
                .bind(kind)
                .bind(name)
                .bind(number(wanted)),
            None => sqlx::query_as(LAST).bind(kind).bind(name),
        };
        Box::pin(async move {
            let row: Option<Row> = self.read(query.fetch_optional(&self.readers)).await?;
            Ok(row.map(version))
        })
    }

    fn document_history(&self, kind: &str, name: &str) -> Answer<'_, Vec<DocumentVersion>> {
        let query = sqlx::query_as(HISTORY);
        let query = query.bind(kind.to_owned()).bind(name.to_owned());
        Box::pin(async move {
            let rows: Vec<Row> = self.read(query.fetch_all(&self.readers)).await?;
            Ok(rows.into_iter().map(version).collect())
        })
    }

    fn change_document(
        &self,
        change: DocumentChange,
        bounds: DocumentBounds,
    ) -> Answer<'_, DocumentOutcome> {
        self.write(Durability::Full, move |transaction| {
            Box::pin(async move { made(transaction, change, bounds).await })
        })
    }
}

async fn made(
    transaction: &mut Transaction,
    change: DocumentChange,
    bounds: DocumentBounds,
) -> Result<DocumentOutcome, StoreError> {
    let result = sqlx::query_as(LAST)
        .bind(change.kind)
        .bind(change.name.as_str())
        .fetch_optional(&mut transaction.connection)
        .await;
    let row: Option<Row> = result.map_err(|error| transaction.error(error))?;
    let last = row.map(version);
    if !change.precondition.holds(last.as_ref()) {
        return Ok(DocumentOutcome::Otherwise(last));
    }
    if let Some(text) = &change.text
        && !has_room(transaction, &change, text, bounds).await?
    {
        return Ok(DocumentOutcome::Full);
    }
    let now = transaction.now();
    let next = last.map_or(0, |last| last.version) + 1;
    let result = sqlx::query(ADD)
        .bind(change.kind)
        .bind(change.name.as_str())
        .bind(number(next))
        .bind(change.text.as_deref())
        .bind(change.account.as_str())
        .bind(now)
        .execute(&mut transaction.connection)
        .await;
    result.map_err(|error| transaction.error(error))?;
    let result = sqlx::query(FORGET_VERSIONS)
        .bind(change.kind)
        .bind(change.name.as_str())
        .bind(number(next) - number(bounds.versions))
        .execute(&mut transaction.connection)
        .await;
    result.map_err(|error| transaction.error(error))?;
    let result = sqlx::query(FORGET_DELETED)
        .bind(number(bounds.deleted))
        .execute(&mut transaction.connection)
        .await;
    result.map_err(|error| transaction.error(error))?;
    Ok(DocumentOutcome::Changed(DocumentVersion {
        kind: change.kind.to_owned(),
        name: change.name,
        version: next,
        text: change.text,
        account: change.account,
        changed_at: time_from_millis(now),
    }))
}

/// Whether there is room for a document of this text in addition to all others.
async fn has_room(
    transaction: &mut Transaction,
    change: &DocumentChange,
    text: &str,
    bounds: DocumentBounds,
) -> Result<bool, StoreError> {
    let result = sqlx::query_as(OTHERS)
        .bind(change.kind)
        .bind(change.name.as_str())
        .fetch_one(&mut transaction.connection)
        .await;
    let (count, bytes): (i64, i64) = result.map_err(|error| transaction.error(error))?;
    let bytes = bytes.saturating_add(number(text.len() as u64));
    Ok(count < number(bounds.documents) && bytes <= number(bounds.bytes))
}
