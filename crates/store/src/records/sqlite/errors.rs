//! Maps SQLite's errors to the store's.

use std::path::Path;

use crate::StoreError;

/// The error for what SQLite said about the database at `path`.
pub(super) fn failed(path: &Path, source: sqlx::Error) -> StoreError {
    let code = match &source {
        sqlx::Error::Database(error) => error.code().and_then(|code| code.parse::<i32>().ok()),
        sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => return StoreError::Closed,
        sqlx::Error::PoolTimedOut => return StoreError::Busy,
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => {
            return StoreError::Corrupt {
                path: path.to_owned(),
                problem: source.to_string(),
            };
        }
        _ => None,
    };
    // The low byte is SQLite's primary result code: https://sqlite.org/rescode.html
    match code.map(|code| code & 0xff) {
        Some(5 | 6) => StoreError::Busy,
        Some(8) => StoreError::ReadOnly(path.to_owned()),
        Some(13) => StoreError::NoSpace(path.to_owned()),
        Some(11 | 26) => StoreError::Corrupt {
            path: path.to_owned(),
            problem: source.to_string(),
        },
        _ => StoreError::Database(source.into()),
    }
}
