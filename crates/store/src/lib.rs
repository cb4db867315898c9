//! Blobs and metadata on local disk: content-addressed files and SQLite
