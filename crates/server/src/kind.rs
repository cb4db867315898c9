//! The kind of a request, for metrics: an operation without its parameters.

use std::fmt::{self, Write as _};

use prometheus_client::encoding::{EncodeLabelValue, LabelValueEncoder};

use crate::operation::Operation;
use crate::route::{Curated, Route};

macro_rules! kinds {
    ($($kind:ident => $name:literal,)*) => {
        /// A kind of request.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub(crate) enum Kind {
            $(#[doc = $name] $kind,)*
        }

        impl Kind {
            /// How many there are.
            pub(crate) const COUNT: usize = [$(Self::$kind,)*].len();

            /// Its name in metrics.
            pub(crate) fn name(self) -> &'static str {
                match self {
                    $(Self::$kind => $name,)*
                }
            }
        }
    };
}

kinds! {
    Unknown => "unknown",
    Base => "base",
    Repositories => "list-repositories",
    Token => "token",
    Resolve => "resolve",
    Demand => "demand",
    Hardware => "hardware",
    JoinNode => "join-node",
    ReportNode => "report-node",
    OpenApi => "openapi",
    ListDocuments => "list-documents",
    GetDocument => "get-document",
    PutDocument => "put-document",
    DeleteDocument => "delete-document",
    Health => "health",
    Metrics => "metrics",
    Welcome => "welcome",
    GetBlob => "get-blob",
    DeleteBlob => "delete-blob",
    GetManifest => "get-manifest",
    PutManifest => "put-manifest",
    DeleteManifest => "delete-manifest",
    StartUpload => "start-upload",
    UploadStatus => "upload-status",
    AppendUpload => "append-upload",
    FinishUpload => "finish-upload",
    CancelUpload => "cancel-upload",
    Tags => "list-tags",
    DeleteTag => "delete-tag",
    Referrers => "list-referrers",
}

impl EncodeLabelValue for Kind {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        encoder.write_str(self.name())
    }
}

impl From<&Route> for Kind {
    fn from(route: &Route) -> Self {
        match route {
            Route::Base => Self::Base,
            Route::Repositories => Self::Repositories,
            Route::Token => Self::Token,
            Route::Resolve => Self::Resolve,
            Route::Demand => Self::Demand,
            Route::Hardware => Self::Hardware,
            Route::JoinNode => Self::JoinNode,
            Route::ReportNode => Self::ReportNode,
            Route::OpenApi => Self::OpenApi,
            Route::Curated(_, asked) => match asked {
                Curated::List | Curated::History(_) => Self::ListDocuments,
                Curated::Show(_) => Self::GetDocument,
                Curated::Put(_) => Self::PutDocument,
                Curated::Delete(_) => Self::DeleteDocument,
            },
            Route::Health | Route::Ready => Self::Health,
            Route::Metrics => Self::Metrics,
            Route::Welcome => Self::Welcome,
            Route::In(_, operation) => match operation {
                Operation::GetBlob(_) => Self::GetBlob,
                Operation::DeleteBlob(_) => Self::DeleteBlob,
                Operation::GetManifest(_) => Self::GetManifest,
                Operation::PutManifest(_) => Self::PutManifest,
                Operation::DeleteManifest(_) => Self::DeleteManifest,
                Operation::StartUpload => Self::StartUpload,
                Operation::UploadStatus(_) => Self::UploadStatus,
                Operation::AppendUpload(_) => Self::AppendUpload,
                Operation::FinishUpload(_) => Self::FinishUpload,
                Operation::CancelUpload(_) => Self::CancelUpload,
                Operation::Tags => Self::Tags,
                Operation::DeleteTag(_) => Self::DeleteTag,
                Operation::Referrers(_) => Self::Referrers,
            },
        }
    }
}
