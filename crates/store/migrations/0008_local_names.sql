-- Names that somebody pushed a manifest to, and who did first. A name stays here when all of its
-- content is deleted, so that no upstream's repository of that name takes its place; only an
-- admin's release removes it.
CREATE TABLE local_names (
    name       TEXT    PRIMARY KEY,
    account    TEXT,
    claimed_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

INSERT INTO local_names (name, claimed_at)
SELECT r.name, min(h.pushed_at) FROM repositories r
JOIN repo_manifests h ON h.repository_id = r.id AND h.origin = 1
GROUP BY r.id;
