-- What a repository is. `local`: somebody pushed a manifest to its name, and no admin released it
-- since. `upstream`: it holds what its upstream gave; `host` says which, from the first thing on
-- that came from there. `derived`: it holds what was computed here. `empty`: none of that, such as
-- one whose first push is under way.
ALTER TABLE repositories ADD COLUMN host TEXT;
ALTER TABLE repositories ADD COLUMN local INTEGER NOT NULL DEFAULT 0;
-- Manifests and blobs that its upstream gave, and manifests that were computed.
ALTER TABLE repositories ADD COLUMN fetched INTEGER NOT NULL DEFAULT 0;
ALTER TABLE repositories ADD COLUMN computed INTEGER NOT NULL DEFAULT 0;
ALTER TABLE repositories ADD COLUMN kind TEXT GENERATED ALWAYS AS (
    CASE WHEN local THEN 'local'
         WHEN host IS NOT NULL AND fetched > 0 THEN 'upstream'
         WHEN computed > 0 THEN 'derived'
         ELSE 'empty' END
) VIRTUAL;

DROP TRIGGER kept_content_added;
DROP TRIGGER kept_content_removed;
DROP TRIGGER kept_content_unheld;
DROP TRIGGER kept_repository_counts;
DROP TRIGGER kept_repository_ceases;
DROP TRIGGER kept_repository_added;
DROP TRIGGER kept_name_claimed;
DROP TRIGGER kept_name_released;
DROP TRIGGER kept_blob_linked;
DROP TRIGGER kept_blob_unlinked;
DROP TRIGGER kept_blob_given;
DROP TRIGGER kept_manifest_held;
DROP TRIGGER kept_manifest_gone;
DROP TRIGGER kept_manifest_pushed;
DROP TRIGGER kept_manifest_read;
DROP TABLE kept_repositories;
DROP TABLE kept_totals;
DROP TABLE kept_content;

-- The numbers of `repo_manifests.origin` and `refs.kind`, by their names. A query that joins the
-- two begins with the references (CROSS JOIN): the planner would read all of a repository.
CREATE VIEW pushed_manifests AS SELECT * FROM repo_manifests WHERE origin = 1;
CREATE VIEW fetched_manifests AS SELECT * FROM repo_manifests WHERE origin = 2;
CREATE VIEW derived_manifests AS SELECT * FROM repo_manifests WHERE origin = 3;
-- What did not come about here: pushed or fetched.
CREATE VIEW original_manifests AS SELECT * FROM repo_manifests WHERE origin IN (1, 2);
-- Configurations and layers.
CREATE VIEW blob_refs AS SELECT manifest_id, digest FROM refs WHERE kind IN (1, 2);
CREATE VIEW config_refs AS SELECT manifest_id, digest FROM refs WHERE kind = 1;
CREATE VIEW child_refs AS SELECT manifest_id, digest FROM refs WHERE kind = 3;
-- Children and subjects.
CREATE VIEW manifest_refs AS SELECT manifest_id, digest FROM refs WHERE kind IN (3, 4);
-- All that a manifest is not whole without: everything but its subject.
CREATE VIEW needed_refs AS SELECT manifest_id, digest FROM refs WHERE kind <> 4;

-- How much is cached of each upstream, exact in every transaction: looked at after each fetch, when
-- counting all rows anew would cost more than the fetch. What several repositories of one upstream
-- hold counts once. `id` is the row of the blob or of the manifest.
CREATE TABLE cached_content (
    host    TEXT    NOT NULL,
    kind    TEXT    NOT NULL CHECK (kind IN ('blob', 'manifest')),
    id      INTEGER NOT NULL,
    bytes   INTEGER NOT NULL,
    holders INTEGER NOT NULL,
    PRIMARY KEY (host, kind, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE cached_totals (
    host  TEXT    PRIMARY KEY,
    bytes INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TRIGGER cached_content_added AFTER INSERT ON cached_content BEGIN
    INSERT INTO cached_totals (host, bytes) VALUES (NEW.host, NEW.bytes)
        ON CONFLICT (host) DO UPDATE SET bytes = bytes + excluded.bytes;
END;
CREATE TRIGGER cached_content_removed AFTER DELETE ON cached_content BEGIN
    UPDATE cached_totals SET bytes = bytes - OLD.bytes WHERE host = OLD.host;
    DELETE FROM cached_totals WHERE host = OLD.host AND bytes = 0;
END;
CREATE TRIGGER cached_content_unheld AFTER UPDATE OF holders ON cached_content
WHEN NEW.holders = 0 BEGIN
    DELETE FROM cached_content WHERE host = NEW.host AND kind = NEW.kind AND id = NEW.id;
END;

-- A repository becomes an upstream's, or ceases to be one, with all that it holds.
CREATE TRIGGER repository_becomes_upstream AFTER UPDATE ON repositories
WHEN NEW.kind = 'upstream' AND OLD.kind <> 'upstream' BEGIN
    INSERT INTO cached_content (host, kind, id, bytes, holders)
        SELECT NEW.host, 'blob', b.id, b.size, 1 FROM repo_blobs l
        JOIN blobs b ON b.id = l.blob_id WHERE l.repository_id = NEW.id
        ON CONFLICT (host, kind, id) DO UPDATE SET holders = holders + 1;
    INSERT INTO cached_content (host, kind, id, bytes, holders)
        SELECT NEW.host, 'manifest', m.id, length(m.body), 1 FROM fetched_manifests h
        JOIN manifests m ON m.id = h.manifest_id WHERE h.repository_id = NEW.id
        ON CONFLICT (host, kind, id) DO UPDATE SET holders = holders + 1;
END;
CREATE TRIGGER repository_ceases_to_be_upstream AFTER UPDATE ON repositories
WHEN OLD.kind = 'upstream' AND NEW.kind <> 'upstream' BEGIN
    UPDATE cached_content SET holders = holders - 1 WHERE host = NEW.host AND kind = 'blob'
        AND id IN (SELECT blob_id FROM repo_blobs WHERE repository_id = NEW.id);
    UPDATE cached_content SET holders = holders - 1 WHERE host = NEW.host AND kind = 'manifest'
        AND id IN (SELECT manifest_id FROM fetched_manifests WHERE repository_id = NEW.id);
END;

CREATE TRIGGER repository_added AFTER INSERT ON repositories
WHEN EXISTS (SELECT 1 FROM local_names WHERE name = NEW.name) BEGIN
    UPDATE repositories SET local = 1 WHERE id = NEW.id;
END;
CREATE TRIGGER name_claimed AFTER INSERT ON local_names BEGIN
    UPDATE repositories SET local = 1 WHERE name = NEW.name;
END;
CREATE TRIGGER name_released AFTER DELETE ON local_names BEGIN
    UPDATE repositories SET local = 0 WHERE name = OLD.name;
END;

-- First what is held, then how much of it came from where: with the first thing from its upstream
-- a repository becomes an upstream's, this row included; with the last it ceases to be one, this
-- row excluded.
CREATE TRIGGER blob_linked AFTER INSERT ON repo_blobs BEGIN
    INSERT INTO cached_content (host, kind, id, bytes, holders)
        SELECT r.host, 'blob', b.id, b.size, 1 FROM repositories r
        JOIN blobs b ON b.id = NEW.blob_id
        WHERE r.id = NEW.repository_id AND r.kind = 'upstream'
        ON CONFLICT (host, kind, id) DO UPDATE SET holders = holders + 1;
    UPDATE repositories SET fetched = fetched + NEW.given
        WHERE id = NEW.repository_id AND NEW.given;
END;
CREATE TRIGGER blob_unlinked AFTER DELETE ON repo_blobs BEGIN
    UPDATE cached_content SET holders = holders - 1 WHERE kind = 'blob' AND id = OLD.blob_id
        AND host = (SELECT host FROM repositories
            WHERE id = OLD.repository_id AND kind = 'upstream');
    UPDATE repositories SET fetched = fetched - OLD.given
        WHERE id = OLD.repository_id AND OLD.given;
END;
CREATE TRIGGER blob_given AFTER UPDATE OF given ON repo_blobs
WHEN NEW.given <> OLD.given BEGIN
    UPDATE repositories SET fetched = fetched + NEW.given - OLD.given
        WHERE id = NEW.repository_id;
END;

CREATE TRIGGER fetched_manifest_added AFTER INSERT ON repo_manifests WHEN NEW.origin = 2 BEGIN
    INSERT INTO cached_content (host, kind, id, bytes, holders)
        SELECT r.host, 'manifest', m.id, length(m.body), 1 FROM repositories r
        JOIN manifests m ON m.id = NEW.manifest_id
        WHERE r.id = NEW.repository_id AND r.kind = 'upstream'
        ON CONFLICT (host, kind, id) DO UPDATE SET holders = holders + 1;
    UPDATE repositories SET fetched = fetched + 1 WHERE id = NEW.repository_id;
END;
CREATE TRIGGER fetched_manifest_removed AFTER DELETE ON repo_manifests WHEN OLD.origin = 2 BEGIN
    UPDATE cached_content SET holders = holders - 1
        WHERE kind = 'manifest' AND id = OLD.manifest_id
        AND host = (SELECT host FROM repositories
            WHERE id = OLD.repository_id AND kind = 'upstream');
    UPDATE repositories SET fetched = fetched - 1 WHERE id = OLD.repository_id;
END;
CREATE TRIGGER manifest_no_longer_fetched AFTER UPDATE OF origin ON repo_manifests
WHEN OLD.origin = 2 AND NEW.origin <> 2 BEGIN
    UPDATE cached_content SET holders = holders - 1
        WHERE kind = 'manifest' AND id = OLD.manifest_id
        AND host = (SELECT host FROM repositories
            WHERE id = OLD.repository_id AND kind = 'upstream');
    UPDATE repositories SET fetched = fetched - 1 WHERE id = OLD.repository_id;
END;
CREATE TRIGGER manifest_fetched_after_all AFTER UPDATE OF origin ON repo_manifests
WHEN OLD.origin <> 2 AND NEW.origin = 2 BEGIN
    INSERT INTO cached_content (host, kind, id, bytes, holders)
        SELECT r.host, 'manifest', m.id, length(m.body), 1 FROM repositories r
        JOIN manifests m ON m.id = NEW.manifest_id
        WHERE r.id = NEW.repository_id AND r.kind = 'upstream'
        ON CONFLICT (host, kind, id) DO UPDATE SET holders = holders + 1;
    UPDATE repositories SET fetched = fetched + 1 WHERE id = NEW.repository_id;
END;
CREATE TRIGGER derived_manifest_added AFTER INSERT ON repo_manifests WHEN NEW.origin = 3 BEGIN
    UPDATE repositories SET computed = computed + 1 WHERE id = NEW.repository_id;
END;
CREATE TRIGGER derived_manifest_removed AFTER DELETE ON repo_manifests WHEN OLD.origin = 3 BEGIN
    UPDATE repositories SET computed = computed - 1 WHERE id = OLD.repository_id;
END;
CREATE TRIGGER manifest_no_longer_derived AFTER UPDATE OF origin ON repo_manifests
WHEN OLD.origin = 3 AND NEW.origin <> 3 BEGIN
    UPDATE repositories SET computed = computed - 1 WHERE id = OLD.repository_id;
END;

-- What is there already.
UPDATE repositories SET
    local = EXISTS (SELECT 1 FROM local_names x WHERE x.name = repositories.name),
    computed = (SELECT count(*) FROM derived_manifests h WHERE h.repository_id = repositories.id);
UPDATE repositories SET
    host = CASE WHEN instr(name, '/') > 0 THEN substr(name, 1, instr(name, '/') - 1) END,
    fetched =
        (SELECT count(*) FROM repo_blobs l WHERE l.repository_id = repositories.id AND l.given)
        + (SELECT count(*) FROM fetched_manifests h WHERE h.repository_id = repositories.id)
WHERE EXISTS (SELECT 1 FROM repo_blobs l WHERE l.repository_id = repositories.id AND l.given)
    OR EXISTS (SELECT 1 FROM fetched_manifests h WHERE h.repository_id = repositories.id);
