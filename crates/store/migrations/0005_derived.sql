-- Records of derived content are a bounded cache: one row for each outcome, and what was used least
-- recently goes first. How it came about is computed when somebody asks, so a row is small. Former
-- versions had one row for each login; of those that lead to one manifest, one stays.
CREATE TABLE derived_outcomes (
    key           BLOB    PRIMARY KEY,
    repository_id INTEGER NOT NULL,
    manifest_id   INTEGER NOT NULL,
    -- What it takes in the database: the manifest, the children and configurations made with it.
    bytes         INTEGER NOT NULL,
    used_at       INTEGER NOT NULL,
    FOREIGN KEY (repository_id, manifest_id)
        REFERENCES repo_manifests (repository_id, manifest_id)
) STRICT, WITHOUT ROWID;
INSERT INTO derived_outcomes (key, repository_id, manifest_id, bytes, used_at)
    SELECT min(d.key), d.repository_id, d.manifest_id, length(m.body) + 1024,
           max(h.pushed_at, h.used_at)
    FROM derived d
    JOIN manifests m ON m.id = d.manifest_id
    JOIN repo_manifests h
        ON h.repository_id = d.repository_id AND h.manifest_id = d.manifest_id
    GROUP BY d.repository_id, d.manifest_id;
DROP TABLE derived;
ALTER TABLE derived_outcomes RENAME TO derived;
CREATE INDEX derived_by_manifest ON derived (repository_id, manifest_id);
CREATE INDEX derived_by_use ON derived (used_at, key);

-- How much that is, kept exact by triggers: the bound is looked at after each new row.
CREATE TABLE derived_total (
    records INTEGER NOT NULL,
    bytes   INTEGER NOT NULL
) STRICT;
INSERT INTO derived_total (records, bytes) SELECT count(*), coalesce(sum(bytes), 0) FROM derived;
CREATE TRIGGER derived_added AFTER INSERT ON derived BEGIN
    UPDATE derived_total SET records = records + 1, bytes = bytes + NEW.bytes;
END;
CREATE TRIGGER derived_removed AFTER DELETE ON derived BEGIN
    UPDATE derived_total SET records = records - 1, bytes = bytes - OLD.bytes;
END;
CREATE TRIGGER derived_resized AFTER UPDATE OF bytes ON derived BEGIN
    UPDATE derived_total SET bytes = bytes + NEW.bytes - OLD.bytes;
END;
