//! The operations on a repository, and the right that each needs. The one place that maps
//! operations to rights: no handler decides about them.
//!
//! The comments name the distribution specification's endpoints by their `end-` numbers.

use metahub_auth::Right;
use metahub_oci::{Digest, Reference, Tag};

/// One operation in a repository, with its parameters from the path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// end-2: `GET|HEAD /v2/<name>/blobs/<digest>`.
    GetBlob(Digest),
    /// end-10: `DELETE /v2/<name>/blobs/<digest>`.
    DeleteBlob(Digest),
    /// end-3: `GET|HEAD /v2/<name>/manifests/<reference>`.
    GetManifest(Reference),
    /// end-7: `PUT /v2/<name>/manifests/<reference>`.
    PutManifest(Reference),
    /// end-9: `DELETE /v2/<name>/manifests/<reference>`.
    DeleteManifest(Reference),
    /// end-4, end-11: `POST /v2/<name>/blobs/uploads/`.
    StartUpload,
    /// end-13: `GET /v2/<name>/blobs/uploads/<id>`.
    UploadStatus(String),
    /// end-5: `PATCH /v2/<name>/blobs/uploads/<id>`.
    AppendUpload(String),
    /// end-6: `PUT /v2/<name>/blobs/uploads/<id>`.
    FinishUpload(String),
    /// end-14: `DELETE /v2/<name>/blobs/uploads/<id>`.
    CancelUpload(String),
    /// end-8: `GET /v2/<name>/tags/list`.
    Tags,
    /// `DELETE /v2/<name>/tags/<tag>`, as some registries offer it beside end-9.
    DeleteTag(Tag),
    /// end-12: `GET /v2/<name>/referrers/<digest>`.
    Referrers(Digest),
}

impl Operation {
    /// The right that the operation needs. Deleting needs another right than pushing
    /// (GHSA-qg67-7m6v-qg25), except for unfinished uploads.
    pub(crate) fn right(&self) -> Right {
        match self {
            Self::GetBlob(_) | Self::GetManifest(_) | Self::Tags | Self::Referrers(_) => {
                Right::Pull
            }
            Self::PutManifest(_)
            | Self::StartUpload
            | Self::UploadStatus(_)
            | Self::AppendUpload(_)
            | Self::FinishUpload(_)
            | Self::CancelUpload(_) => Right::Push,
            Self::DeleteBlob(_) | Self::DeleteManifest(_) | Self::DeleteTag(_) => Right::Delete,
        }
    }

    /// Whether it changes content, so that a read-only registry refuses it.
    pub(crate) fn changes(&self) -> bool {
        match self {
            Self::GetBlob(_)
            | Self::GetManifest(_)
            | Self::UploadStatus(_)
            | Self::Tags
            | Self::Referrers(_) => false,
            Self::DeleteBlob(_)
            | Self::PutManifest(_)
            | Self::DeleteManifest(_)
            | Self::StartUpload
            | Self::AppendUpload(_)
            | Self::FinishUpload(_)
            | Self::CancelUpload(_)
            | Self::DeleteTag(_) => true,
        }
    }

    /// The tag, digest or upload that the operation names, for the log.
    pub(crate) fn reference(&self) -> &str {
        match self {
            Self::GetBlob(digest) | Self::DeleteBlob(digest) | Self::Referrers(digest) => {
                digest.as_str()
            }
            Self::GetManifest(reference)
            | Self::PutManifest(reference)
            | Self::DeleteManifest(reference) => match reference {
                Reference::Tag(tag) => tag.as_str(),
                Reference::Digest(digest) => digest.as_str(),
            },
            Self::UploadStatus(id)
            | Self::AppendUpload(id)
            | Self::FinishUpload(id)
            | Self::CancelUpload(id) => id,
            Self::DeleteTag(tag) => tag.as_str(),
            Self::StartUpload | Self::Tags => "",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_needs_more_than_the_right_to_pull_changes_something() {
        let digest = Digest::sha256(b"");
        let tag: Tag = "v1".parse().unwrap();
        let id = || "id".to_owned();
        for (operation, right, changes) in [
            (Operation::GetBlob(digest.clone()), Right::Pull, false),
            (
                Operation::GetManifest(tag.clone().into()),
                Right::Pull,
                false,
            ),
            (Operation::Tags, Right::Pull, false),
            (Operation::Referrers(digest.clone()), Right::Pull, false),
            (Operation::UploadStatus(id()), Right::Push, false),
            (Operation::StartUpload, Right::Push, true),
            (Operation::AppendUpload(id()), Right::Push, true),
            (Operation::FinishUpload(id()), Right::Push, true),
            (Operation::CancelUpload(id()), Right::Push, true),
            (
                Operation::PutManifest(tag.clone().into()),
                Right::Push,
                true,
            ),
            (Operation::DeleteBlob(digest), Right::Delete, true),
            (
                Operation::DeleteManifest(tag.clone().into()),
                Right::Delete,
                true,
            ),
            (Operation::DeleteTag(tag), Right::Delete, true),
        ] {
            assert_eq!(operation.right(), right, "{operation:?}");
            assert_eq!(operation.changes(), changes, "{operation:?}");
        }
    }
}
