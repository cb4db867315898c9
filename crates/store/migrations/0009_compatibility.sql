-- What an upstream answered last when it was asked for the compatibility artifact that refers to
-- an image: it counts while the upstream cannot be asked. At most one row for each manifest that a
-- repository keeps, and gone with it. `artifact` is the descriptor of the newest artifact; NULL
-- where there is none.
CREATE TABLE compatibility (
    repository_id INTEGER NOT NULL,
    manifest_id   INTEGER NOT NULL,
    artifact      TEXT,
    checked_at    INTEGER NOT NULL,
    PRIMARY KEY (repository_id, manifest_id),
    FOREIGN KEY (repository_id, manifest_id)
        REFERENCES repo_manifests (repository_id, manifest_id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
