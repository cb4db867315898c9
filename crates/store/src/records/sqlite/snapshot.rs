//! Copies of the database: creating one, and reading a backup's, which nothing else uses.

use std::path::{Path, PathBuf};

use metahub_oci::Digest;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, SqliteConnection};

use super::encoding::{digest_from_bytes, digest_to_bytes};
use super::errors::failed;
use super::schema::{MIGRATIONS, versions};
use super::{SqliteRecords, options};
use crate::StoreError;
use crate::content::Marker;
use crate::records::{Answer, Batch, Cursor, SnapshotRecords, UnlinkedBlob};

statements! {
    COPY = "VACUUM INTO $1";
    TOTAL_OF_FILES = "SELECT count(*), coalesce(sum(size), 0) FROM blobs WHERE body IS NULL";
    FILES =
        "SELECT id, digest, size FROM blobs WHERE id > $1 AND body IS NULL ORDER BY id LIMIT $2";
    UNLINK_ALL = "DELETE FROM repo_blobs WHERE blob_id = (SELECT id FROM blobs WHERE digest = $1)";
    REMOVE = "DELETE FROM blobs WHERE digest = $1";
    HAS_FILE = "SELECT EXISTS (SELECT 1 FROM blobs WHERE digest = $1 AND body IS NULL)";
    VALUES = "SELECT name, value FROM store";
}

impl SnapshotRecords for SqliteRecords {
    fn snapshot_to(&self, target: &Path) -> Answer<'_, ()> {
        let target = target.to_owned();
        Box::pin(async move {
            let fail = |error| failed(&self.path, error);
            let mut connection = options(&self.path)
                .create_if_missing(false)
                .connect()
                .await
                .map_err(fail)?;
            let copied = sqlx::query(COPY)
                .bind(target.to_string_lossy().into_owned())
                .execute(&mut connection)
                .await;
            let closed = connection.close().await;
            // If SQLite reports a full disk, it is the target's.
            copied.map_err(|error| failed(&target, error))?;
            closed.map_err(fail)
        })
    }
}

/// The database of a backup.
pub(crate) struct Snapshot {
    path: PathBuf,
    connection: SqliteConnection,
}

impl Snapshot {
    /// Opens a database that is not in use, and fails if a later version wrote it. Changes nothing.
    pub(crate) async fn open(path: &Path) -> Result<Self, StoreError> {
        let fail = |error| failed(path, error);
        let mut connection = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(false)
            .disable_statement_logging()
            .connect()
            .await
            .map_err(fail)?;
        let found = versions(&mut connection).await.map_err(fail)?;
        let known = |version: &i64| MIGRATIONS.iter().any(|known| known.version == *version);
        match found.iter().find(|version| !known(version)) {
            Some(version) => Err(StoreError::Newer(*version)),
            None => Ok(Self {
                path: path.to_owned(),
                connection,
            }),
        }
    }

    /// Closes it.
    pub(crate) async fn close(self) -> Result<(), StoreError> {
        let closed = self.connection.close().await;
        closed.map_err(|error| failed(&self.path, error))
    }

    fn error(&self, error: sqlx::Error) -> StoreError {
        failed(&self.path, error)
    }

    /// How many blobs have a file, and their bytes.
    pub(crate) async fn total_of_files(&mut self) -> Result<(u64, u64), StoreError> {
        let result = sqlx::query_as(TOTAL_OF_FILES)
            .fetch_one(&mut self.connection)
            .await;
        let (blobs, bytes): (i64, i64) = result.map_err(|error| self.error(error))?;
        let number = |number| u64::try_from(number).unwrap_or(0);
        Ok((number(blobs), number(bytes)))
    }

    /// The blobs that have a file, a batch of at most `limit`.
    pub(crate) async fn files(
        &mut self,
        after: Cursor,
        limit: u32,
    ) -> Result<Batch<UnlinkedBlob>, StoreError> {
        let result = sqlx::query_as(FILES)
            .bind(after.0[0])
            .bind(limit)
            .fetch_all(&mut self.connection)
            .await;
        let rows: Vec<(i64, Vec<u8>, i64)> = result.map_err(|error| self.error(error))?;
        let next = rows.last().map(|row| Cursor([row.0, 0]));
        let items = rows.into_iter().filter_map(|(_, digest, size)| {
            Some(UnlinkedBlob {
                digest: digest_from_bytes(&digest)?,
                size: u64::try_from(size).unwrap_or(0),
            })
        });
        let items = items.collect();
        Ok(Batch { items, next })
    }

    /// Takes out a blob that was evicted since the copy was made.
    pub(crate) async fn take_out(&mut self, digest: &Digest) -> Result<(), StoreError> {
        for statement in [UNLINK_ALL, REMOVE] {
            let result = sqlx::query(statement)
                .bind(digest_to_bytes(digest))
                .execute(&mut self.connection)
                .await;
            result.map_err(|error| self.error(error))?;
        }
        Ok(())
    }

    /// Whether it names a blob that has a file.
    pub(crate) async fn has_file(&mut self, digest: &Digest) -> Result<bool, StoreError> {
        let result = sqlx::query_scalar(HAS_FILE)
            .bind(digest_to_bytes(digest))
            .fetch_one(&mut self.connection)
            .await;
        result.map_err(|error| self.error(error))
    }

    /// The mark that belongs to it in the folders of blobs.
    pub(crate) async fn marker(&mut self) -> Result<Marker, StoreError> {
        let result = sqlx::query_as(VALUES).fetch_all(&mut self.connection).await;
        let rows: Vec<(String, String)> = result.map_err(|error| self.error(error))?;
        let value = |name: &str| {
            rows.iter()
                .find(|row| row.0 == name)
                .map(|row| row.1.clone())
        };
        let number = |name: &str| value(name).and_then(|text| text.parse().ok());
        Ok(Marker {
            store: value("id").unwrap_or_default(),
            epoch: number("next_epoch")
                .or_else(|| number("epoch"))
                .unwrap_or(0),
        })
    }
}
