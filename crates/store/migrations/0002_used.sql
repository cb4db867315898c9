-- When a manifest of an upstream was used last, as far as that was written down: what a bounded
-- cache keeps longest.
ALTER TABLE repo_manifests ADD COLUMN used_at INTEGER NOT NULL DEFAULT 0;
