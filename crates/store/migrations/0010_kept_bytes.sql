-- How much is kept of each upstream, exact in every transaction: looked at after each fetch, when
-- counting all rows anew would cost more than the fetch. A repository counts while it holds
-- something that its upstream gave and its name is not local; what several repositories of one
-- upstream hold counts once.

CREATE TABLE kept_repositories (
    repository_id INTEGER PRIMARY KEY REFERENCES repositories (id) ON DELETE CASCADE,
    -- The first part of its name.
    host          TEXT    NOT NULL,
    -- Manifests and blobs of it that the upstream gave.
    given         INTEGER NOT NULL,
    local         INTEGER NOT NULL
) STRICT;

-- What counts, and how many repositories hold it. Kind 0: a blob, 1: a manifest.
CREATE TABLE kept_content (
    host    TEXT    NOT NULL,
    kind    INTEGER NOT NULL,
    id      INTEGER NOT NULL,
    bytes   INTEGER NOT NULL,
    holders INTEGER NOT NULL,
    PRIMARY KEY (host, kind, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE kept_totals (
    host  TEXT    PRIMARY KEY,
    bytes INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TRIGGER kept_content_added AFTER INSERT ON kept_content BEGIN
    INSERT INTO kept_totals (host, bytes) VALUES (NEW.host, NEW.bytes)
        ON CONFLICT (host) DO UPDATE SET bytes = bytes + excluded.bytes;
END;
CREATE TRIGGER kept_content_removed AFTER DELETE ON kept_content BEGIN
    UPDATE kept_totals SET bytes = bytes - OLD.bytes WHERE host = OLD.host;
    DELETE FROM kept_totals WHERE host = OLD.host AND bytes = 0;
END;
CREATE TRIGGER kept_content_unheld AFTER UPDATE OF holders ON kept_content
WHEN NEW.holders = 0 BEGIN
    DELETE FROM kept_content WHERE host = NEW.host AND kind = NEW.kind AND id = NEW.id;
END;

-- A repository begins or ceases to count with all that it holds.
CREATE TRIGGER kept_repository_counts AFTER UPDATE ON kept_repositories
WHEN (NEW.given > 0 AND NEW.local = 0) AND NOT (OLD.given > 0 AND OLD.local = 0) BEGIN
    INSERT INTO kept_content (host, kind, id, bytes, holders)
        SELECT NEW.host, 0, b.id, b.size, 1 FROM repo_blobs l
        JOIN blobs b ON b.id = l.blob_id WHERE l.repository_id = NEW.repository_id
        ON CONFLICT (host, kind, id) DO UPDATE SET holders = holders + 1;
    INSERT INTO kept_content (host, kind, id, bytes, holders)
        SELECT NEW.host, 1, m.id, length(m.body), 1 FROM repo_manifests h
        JOIN manifests m ON m.id = h.manifest_id
        WHERE h.repository_id = NEW.repository_id AND h.origin = 2
        ON CONFLICT (host, kind, id) DO UPDATE SET holders = holders + 1;
END;
CREATE TRIGGER kept_repository_ceases AFTER UPDATE ON kept_repositories
WHEN (OLD.given > 0 AND OLD.local = 0) AND NOT (NEW.given > 0 AND NEW.local = 0) BEGIN
    UPDATE kept_content SET holders = holders - 1 WHERE host = NEW.host AND kind = 0
        AND id IN (SELECT blob_id FROM repo_blobs WHERE repository_id = NEW.repository_id);
    UPDATE kept_content SET holders = holders - 1 WHERE host = NEW.host AND kind = 1
        AND id IN (SELECT manifest_id FROM repo_manifests
            WHERE repository_id = NEW.repository_id AND origin = 2);
END;

CREATE TRIGGER kept_repository_added AFTER INSERT ON repositories
WHEN instr(NEW.name, '/') > 0 BEGIN
    INSERT INTO kept_repositories (repository_id, host, given, local)
        VALUES (NEW.id, substr(NEW.name, 1, instr(NEW.name, '/') - 1), 0,
            EXISTS (SELECT 1 FROM local_names x WHERE x.name = NEW.name));
END;
CREATE TRIGGER kept_name_claimed AFTER INSERT ON local_names BEGIN
    UPDATE kept_repositories SET local = 1
        WHERE repository_id = (SELECT id FROM repositories WHERE name = NEW.name);
END;
CREATE TRIGGER kept_name_released AFTER DELETE ON local_names BEGIN
    UPDATE kept_repositories SET local = 0
        WHERE repository_id = (SELECT id FROM repositories WHERE name = OLD.name);
END;

-- First what is held, then how much of it was given: with the first of that the repository begins
-- to count, this row included; with the last it ceases to, this row excluded.
CREATE TRIGGER kept_blob_linked AFTER INSERT ON repo_blobs BEGIN
    INSERT INTO kept_content (host, kind, id, bytes, holders)
        SELECT k.host, 0, b.id, b.size, 1 FROM kept_repositories k
        JOIN blobs b ON b.id = NEW.blob_id
        WHERE k.repository_id = NEW.repository_id AND k.given > 0 AND k.local = 0
        ON CONFLICT (host, kind, id) DO UPDATE SET holders = holders + 1;
    UPDATE kept_repositories SET given = given + NEW.given
        WHERE repository_id = NEW.repository_id AND NEW.given <> 0;
END;
CREATE TRIGGER kept_blob_unlinked AFTER DELETE ON repo_blobs BEGIN
    UPDATE kept_content SET holders = holders - 1 WHERE kind = 0 AND id = OLD.blob_id
        AND host = (SELECT host FROM kept_repositories
            WHERE repository_id = OLD.repository_id AND given > 0 AND local = 0);
    UPDATE kept_repositories SET given = given - OLD.given
        WHERE repository_id = OLD.repository_id AND OLD.given <> 0;
END;
CREATE TRIGGER kept_blob_given AFTER UPDATE OF given ON repo_blobs
WHEN NEW.given <> OLD.given BEGIN
    UPDATE kept_repositories SET given = given + NEW.given - OLD.given
        WHERE repository_id = NEW.repository_id;
END;

CREATE TRIGGER kept_manifest_held AFTER INSERT ON repo_manifests WHEN NEW.origin = 2 BEGIN
    INSERT INTO kept_content (host, kind, id, bytes, holders)
        SELECT k.host, 1, m.id, length(m.body), 1 FROM kept_repositories k
        JOIN manifests m ON m.id = NEW.manifest_id
        WHERE k.repository_id = NEW.repository_id AND k.given > 0 AND k.local = 0
        ON CONFLICT (host, kind, id) DO UPDATE SET holders = holders + 1;
    UPDATE kept_repositories SET given = given + 1 WHERE repository_id = NEW.repository_id;
END;
CREATE TRIGGER kept_manifest_gone AFTER DELETE ON repo_manifests WHEN OLD.origin = 2 BEGIN
    UPDATE kept_content SET holders = holders - 1 WHERE kind = 1 AND id = OLD.manifest_id
        AND host = (SELECT host FROM kept_repositories
            WHERE repository_id = OLD.repository_id AND given > 0 AND local = 0);
    UPDATE kept_repositories SET given = given - 1 WHERE repository_id = OLD.repository_id;
END;
CREATE TRIGGER kept_manifest_pushed AFTER UPDATE OF origin ON repo_manifests
WHEN OLD.origin = 2 AND NEW.origin <> 2 BEGIN
    UPDATE kept_content SET holders = holders - 1 WHERE kind = 1 AND id = OLD.manifest_id
        AND host = (SELECT host FROM kept_repositories
            WHERE repository_id = OLD.repository_id AND given > 0 AND local = 0);
    UPDATE kept_repositories SET given = given - 1 WHERE repository_id = OLD.repository_id;
END;
CREATE TRIGGER kept_manifest_read AFTER UPDATE OF origin ON repo_manifests
WHEN OLD.origin <> 2 AND NEW.origin = 2 BEGIN
    INSERT INTO kept_content (host, kind, id, bytes, holders)
        SELECT k.host, 1, m.id, length(m.body), 1 FROM kept_repositories k
        JOIN manifests m ON m.id = NEW.manifest_id
        WHERE k.repository_id = NEW.repository_id AND k.given > 0 AND k.local = 0
        ON CONFLICT (host, kind, id) DO UPDATE SET holders = holders + 1;
    UPDATE kept_repositories SET given = given + 1 WHERE repository_id = NEW.repository_id;
END;

-- What is there already.
INSERT INTO kept_repositories (repository_id, host, given, local)
    SELECT r.id, substr(r.name, 1, instr(r.name, '/') - 1), 0,
        EXISTS (SELECT 1 FROM local_names x WHERE x.name = r.name)
    FROM repositories r WHERE instr(r.name, '/') > 0;
UPDATE kept_repositories SET given =
    (SELECT count(*) FROM repo_blobs l
        WHERE l.repository_id = kept_repositories.repository_id AND l.given = 1)
    + (SELECT count(*) FROM repo_manifests h
        WHERE h.repository_id = kept_repositories.repository_id AND h.origin = 2);
