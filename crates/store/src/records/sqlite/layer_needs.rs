//! What layers need.

use metahub_oci::Digest;

use super::SqliteRecords;
use super::encoding::digest_to_bytes;
use super::transaction::Durability;
use crate::StoreError;
use crate::records::{Answer, LayerNeedsRecords};

statements! {
    PUT =
        "INSERT INTO layer_needs (blob_id, rule, needs)
         SELECT id, $2, $3 FROM blobs WHERE digest = $1
         ON CONFLICT (blob_id) DO UPDATE SET rule = excluded.rule, needs = excluded.needs";
    GET =
        "SELECT n.needs FROM layer_needs n JOIN blobs b ON b.id = n.blob_id
         WHERE b.digest = $1 AND n.rule = $2";
}

impl LayerNeedsRecords for SqliteRecords {
    fn put_layer_needs(&self, digest: &Digest, rule: u32, needs: String) -> Answer<'_, bool> {
        let digest = digest_to_bytes(digest);
        self.write(Durability::Relaxed, move |transaction| {
            Box::pin(async move {
                let result = sqlx::query(PUT)
                    .bind(digest)
                    .bind(rule)
                    .bind(needs)
                    .execute(&mut transaction.connection)
                    .await;
                let put = result.map_err(|error| transaction.error(error))?;
                Ok::<_, StoreError>(put.rows_affected() > 0)
            })
        })
    }

    fn layer_needs(&self, digest: &Digest, rule: u32) -> Answer<'_, Option<String>> {
        let query = sqlx::query_scalar(GET)
            .bind(digest_to_bytes(digest))
            .bind(rule);
        self.read(query.fetch_optional(&self.readers))
    }
}
