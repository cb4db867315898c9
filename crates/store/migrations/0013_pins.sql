-- Manifests that an operator pinned: neither evicted nor collected, with all that they lead to.
-- Who deletes one by its name deletes its pin.
CREATE TABLE pins (
    repository_id INTEGER NOT NULL,
    manifest_id   INTEGER NOT NULL,
    pinned_at     INTEGER NOT NULL,
    PRIMARY KEY (repository_id, manifest_id),
    FOREIGN KEY (repository_id, manifest_id)
        REFERENCES repo_manifests (repository_id, manifest_id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

-- Records that lead to a pinned manifest stay, and do not count for the bound of the others.
ALTER TABLE derived ADD COLUMN pinned INTEGER NOT NULL DEFAULT 0;
DROP INDEX derived_by_use;
CREATE INDEX derived_by_use ON derived (used_at, key) WHERE NOT pinned;

DROP TRIGGER derived_added;
DROP TRIGGER derived_removed;
DROP TRIGGER derived_resized;
CREATE TRIGGER derived_added AFTER INSERT ON derived WHEN NOT NEW.pinned BEGIN
    UPDATE derived_total SET records = records + 1, bytes = bytes + NEW.bytes;
END;
CREATE TRIGGER derived_removed AFTER DELETE ON derived WHEN NOT OLD.pinned BEGIN
    UPDATE derived_total SET records = records - 1, bytes = bytes - OLD.bytes;
END;
CREATE TRIGGER derived_resized AFTER UPDATE OF bytes, pinned ON derived BEGIN
    UPDATE derived_total SET
        records = records + OLD.pinned - NEW.pinned,
        bytes = bytes + iif(NEW.pinned, 0, NEW.bytes) - iif(OLD.pinned, 0, OLD.bytes);
END;

CREATE TRIGGER pin_added AFTER INSERT ON pins BEGIN
    UPDATE derived SET pinned = 1
        WHERE repository_id = NEW.repository_id AND manifest_id = NEW.manifest_id;
END;
CREATE TRIGGER pin_removed AFTER DELETE ON pins BEGIN
    UPDATE derived SET pinned = 0
        WHERE repository_id = OLD.repository_id AND manifest_id = OLD.manifest_id;
END;
