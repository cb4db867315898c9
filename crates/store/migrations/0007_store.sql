-- What the store knows of itself: its `id`, the `epoch` that the folder of blobs was marked with
-- last (`next_epoch` while it is being marked), the `owner` that may write, and why the folder of
-- blobs is `suspect`, if it is.
CREATE TABLE store (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
