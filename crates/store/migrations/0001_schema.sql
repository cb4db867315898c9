-- Digests are stored as one byte for the algorithm (1: SHA-256, 2: SHA-512) and the raw value:
-- `SELECT hex(substr(digest, 2)) FROM blobs` prints them. Times are milliseconds since 1970.

CREATE TABLE repositories (
    id         INTEGER PRIMARY KEY,
    name       TEXT    NOT NULL UNIQUE,
    created_at INTEGER NOT NULL
) STRICT;

-- Content that lies in a file of its own, whose row is written after its file is durable; or
-- small content, which lies in `body`, so that it costs one flush of the disk instead of three.
CREATE TABLE blobs (
    id         INTEGER PRIMARY KEY,
    digest     BLOB    NOT NULL UNIQUE,
    size       INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    used_at    INTEGER NOT NULL,
    body       BLOB
) STRICT;

-- Which repository may read which blob. Nothing else opens one.
CREATE TABLE repo_blobs (
    repository_id INTEGER NOT NULL REFERENCES repositories (id),
    blob_id       INTEGER NOT NULL REFERENCES blobs (id),
    linked_at     INTEGER NOT NULL,
    PRIMARY KEY (repository_id, blob_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX repo_blobs_by_blob ON repo_blobs (blob_id);

-- Bodies are at most 4 MiB and lie in their row, so that a manifest, its references and its tag
-- become visible together. `referrer` is the descriptor that the referrers API lists, for
-- manifests that have a subject.
CREATE TABLE manifests (
    id            INTEGER PRIMARY KEY,
    digest        BLOB    NOT NULL UNIQUE,
    created_at    INTEGER NOT NULL,
    subject       BLOB,
    artifact_type TEXT,
    referrer      TEXT,
    body          BLOB    NOT NULL
) STRICT;
CREATE INDEX manifests_by_subject ON manifests (subject, digest) WHERE subject IS NOT NULL;

CREATE TABLE repo_manifests (
    repository_id INTEGER NOT NULL REFERENCES repositories (id),
    manifest_id   INTEGER NOT NULL REFERENCES manifests (id),
    media_type    TEXT    NOT NULL,
    origin        INTEGER NOT NULL,
    source        TEXT,
    pushed_at     INTEGER NOT NULL,
    PRIMARY KEY (repository_id, manifest_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX repo_manifests_by_manifest ON repo_manifests (manifest_id);

-- What a manifest names: 1 configuration, 2 layer, 3 child of an index, 4 subject.
CREATE TABLE refs (
    manifest_id INTEGER NOT NULL REFERENCES manifests (id),
    digest      BLOB    NOT NULL,
    kind        INTEGER NOT NULL,
    PRIMARY KEY (manifest_id, digest, kind)
) STRICT, WITHOUT ROWID;
CREATE INDEX refs_by_digest ON refs (digest);

CREATE TABLE tags (
    repository_id INTEGER NOT NULL,
    name          TEXT    NOT NULL,
    manifest_id   INTEGER NOT NULL,
    origin        INTEGER NOT NULL,
    updated_at    INTEGER NOT NULL,
    checked_at    INTEGER NOT NULL,
    etag          TEXT,
    PRIMARY KEY (repository_id, name),
    FOREIGN KEY (repository_id, manifest_id)
        REFERENCES repo_manifests (repository_id, manifest_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX tags_by_manifest ON tags (repository_id, manifest_id);

-- Content that was computed, found again by the digest over what it was computed from.
CREATE TABLE derived (
    key           BLOB    PRIMARY KEY,
    repository_id INTEGER NOT NULL,
    manifest_id   INTEGER NOT NULL,
    record        TEXT    NOT NULL,
    created_at    INTEGER NOT NULL,
    FOREIGN KEY (repository_id, manifest_id)
        REFERENCES repo_manifests (repository_id, manifest_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX derived_by_manifest ON derived (repository_id, manifest_id);

-- Uploads that have begun. Their bytes lie in the staging folder, in a file named by the id.
CREATE TABLE uploads (
    id         TEXT    PRIMARY KEY,
    repository TEXT    NOT NULL,
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE accounts (
    name          TEXT    PRIMARY KEY,
    role          TEXT    NOT NULL,
    password_hash TEXT    NOT NULL,
    created_at    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE secrets (
    name  TEXT PRIMARY KEY,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;
