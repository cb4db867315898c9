-- Whether a repository has a blob from its own upstream, rather than pushed, mounted or imported:
-- what an upstream gave for one of its repositories is not fetched again for another.
ALTER TABLE repo_blobs ADD COLUMN given INTEGER NOT NULL DEFAULT 0;
