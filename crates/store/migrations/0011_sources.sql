-- The images that a manifest of a repository was read or derived from, one row for each, in the
-- order that whoever stored it gave. `digest` is what the reference names by digest, if it does.
-- Former versions had them as one text, with blanks between them.
CREATE TABLE sources (
    repository_id INTEGER NOT NULL,
    manifest_id   INTEGER NOT NULL,
    position      INTEGER NOT NULL,
    image         TEXT    NOT NULL,
    digest        BLOB,
    PRIMARY KEY (repository_id, manifest_id, position),
    FOREIGN KEY (repository_id, manifest_id)
        REFERENCES repo_manifests (repository_id, manifest_id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

WITH RECURSIVE split (repository_id, manifest_id, position, image, rest) AS (
    SELECT repository_id, manifest_id, -1, '', source || ' ' FROM repo_manifests
    WHERE source IS NOT NULL
    UNION ALL
    SELECT repository_id, manifest_id, position + 1,
           substr(rest, 1, instr(rest, ' ') - 1), substr(rest, instr(rest, ' ') + 1)
    FROM split WHERE rest <> ''
)
INSERT INTO sources (repository_id, manifest_id, position, image, digest)
    SELECT repository_id, manifest_id, position, image,
           CASE WHEN instr(image, '@sha256:') > 0
                    THEN unhex('01' || substr(image, instr(image, '@sha256:') + 8))
                WHEN instr(image, '@sha512:') > 0
                    THEN unhex('02' || substr(image, instr(image, '@sha512:') + 8)) END
    FROM split WHERE image <> '';

ALTER TABLE repo_manifests DROP COLUMN source;
