//! Why a connection was closed on a client that kept it waiting.

/// Why a connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Overdue {
    /// No request came on a connection that had none yet, or its head did not end.
    #[error("the client took too long to send a request's head")]
    Head,
    /// No further request came.
    #[error("the client asked for nothing more")]
    Idle,
    /// The client takes nothing of its answer.
    #[error("the client takes nothing of its answer")]
    Stalled,
}
