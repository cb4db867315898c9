-- Nodes that proved who they are, with what they told of themselves and pulled last. A row with
-- `revoked_at` says that the node of that name is refused.
CREATE TABLE nodes (
    name       TEXT    PRIMARY KEY,
    way        TEXT    NOT NULL,
    token_hash BLOB,
    features   TEXT    NOT NULL,
    version    TEXT,
    first_seen INTEGER NOT NULL,
    last_seen  INTEGER NOT NULL,
    last_pull  INTEGER,
    images     TEXT    NOT NULL,
    revoked_at INTEGER
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX nodes_by_token ON nodes (token_hash) WHERE token_hash IS NOT NULL;

-- Join tokens, by the hash of each: which may be exchanged for the token of a node, how often and
-- how long.
CREATE TABLE join_tokens (
    hash       BLOB    PRIMARY KEY,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    uses       INTEGER NOT NULL,
    replace    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
