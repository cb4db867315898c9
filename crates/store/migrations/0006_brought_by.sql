-- Who asked for a manifest of an upstream, while only one client without an account did: a hash of
-- its network address. 0: an account, the registry itself or a second client did. What only one
-- client without an account asked for has a bounded share of the cache.
ALTER TABLE repo_manifests ADD COLUMN brought_by INTEGER NOT NULL DEFAULT 0;
