-- What reading a layer's code showed that it needs, as JSON, with the version of the rule by which
-- it was read. It goes with its blob.
CREATE TABLE layer_needs (
    blob_id INTEGER PRIMARY KEY REFERENCES blobs (id) ON DELETE CASCADE,
    rule    INTEGER NOT NULL,
    needs   TEXT    NOT NULL
) STRICT;
