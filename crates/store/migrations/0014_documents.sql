-- Documents that came through the API: each version is a row; one without text says that the
-- document was deleted. What is in force of a document is its last version.
CREATE TABLE documents (
    kind       TEXT    NOT NULL CHECK (kind IN ('profile', 'collection')),
    name       TEXT    NOT NULL,
    version    INTEGER NOT NULL,
    text       TEXT,
    account    TEXT    NOT NULL,
    changed_at INTEGER NOT NULL,
    PRIMARY KEY (kind, name, version)
) STRICT, WITHOUT ROWID;

CREATE VIEW last_documents AS SELECT * FROM documents d WHERE version =
    (SELECT max(version) FROM documents WHERE kind = d.kind AND name = d.name);
CREATE VIEW current_documents AS SELECT * FROM last_documents WHERE text IS NOT NULL;
