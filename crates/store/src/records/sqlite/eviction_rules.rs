//! Which cached manifests can be evicted, and when each was used, as parts of statements.

/// When `l`, or a manifest of its repository that leads to its body `m`, was used.
macro_rules! last_used {
    () => {
        "max(l.pushed_at, l.used_at, coalesce((
             SELECT max(max(p.pushed_at, p.used_at)) FROM child_refs f
             CROSS JOIN repo_manifests p ON p.manifest_id = f.manifest_id
                 AND p.repository_id = l.repository_id
             WHERE f.digest = m.digest), 0))"
    };
}

/// Whether the fetched manifest `l` of the repository `r` can be evicted: the name is not local, it
/// is not pinned, and it leads to no other manifest that is here.
macro_rules! evictable {
    () => {
        "r.kind <> 'local'
         AND NOT EXISTS (SELECT 1 FROM pins p
             WHERE p.repository_id = l.repository_id AND p.manifest_id = l.manifest_id)
         AND NOT EXISTS (SELECT 1 FROM child_refs f JOIN manifests c ON c.digest = f.digest
             JOIN repo_manifests h
                 ON h.manifest_id = c.id AND h.repository_id = l.repository_id
             WHERE f.manifest_id = l.manifest_id)"
    };
}
pub(super) use {evictable, last_used};
