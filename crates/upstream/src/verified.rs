//! Verifies content while it streams.
//!
//! The last piece is held back until the whole is verified: a client that counts bytes never sees
//! wrong content as complete.

use std::fmt::Display;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use metahub_oci::{Digest, Hasher};

/// Why a verified stream ended before its end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError<E: Display> {
    /// The content does not match its digest.
    #[error("the content hashes to {found} where {expected} was expected; it must not be used")]
    Mismatch {
        /// The requested digest.
        expected: Digest,
        /// The digest of the content.
        found: Digest,
    },
    /// The stream itself failed.
    #[error("{0}")]
    Stream(E),
}

/// Passes `content` on, and its last piece only if it hashes to `expected`; otherwise the stream
/// ends with an error instead.
pub fn verified<S, E>(
    content: S,
    expected: Digest,
) -> impl Stream<Item = Result<Bytes, VerifyError<E>>> + Send
where
    S: Stream<Item = Result<Bytes, E>> + Send + Unpin,
    E: Display + Send,
{
    struct State<S> {
        content: S,
        hasher: Hasher,
        held: Option<Bytes>,
        expected: Digest,
    }
    let start = State {
        content,
        hasher: Hasher::new(expected.algorithm()),
        held: None,
        expected,
    };
    stream::unfold(Some(start), |state| async move {
        let mut state = state?;
        loop {
            match state.content.next().await {
                Some(Ok(piece)) if piece.is_empty() => {}
                Some(Ok(piece)) => {
                    state.hasher.update(&piece);
                    if let Some(held) = state.held.replace(piece) {
                        return Some((Ok(held), Some(state)));
                    }
                }
                Some(Err(error)) => return Some((Err(VerifyError::Stream(error)), None)),
                None => {
                    let found = state.hasher.finish();
                    if found == state.expected {
                        return state.held.map(|held| (Ok(held), None));
                    }
                    let error = VerifyError::Mismatch {
                        expected: state.expected,
                        found,
                    };
                    return Some((Err(error), None));
                }
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    type Pieces = Vec<Result<Bytes, VerifyError<String>>>;

    async fn run(pieces: &[&'static str], expected: &[u8]) -> Pieces {
        let pieces: Vec<Result<Bytes, String>> = pieces.iter().map(|p| Ok((*p).into())).collect();
        verified(stream::iter(pieces), Digest::sha256(expected))
            .collect()
            .await
    }

    fn joined(pieces: Pieces) -> Result<Vec<u8>, VerifyError<String>> {
        let pieces: Vec<Bytes> = pieces.into_iter().collect::<Result<_, _>>()?;
        Ok(pieces.concat())
    }

    #[tokio::test]
    async fn right_content_passes_whole() {
        assert_eq!(joined(run(&["ab", "", "c"], b"abc").await).unwrap(), b"abc");
        assert_eq!(joined(run(&["abc"], b"abc").await).unwrap(), b"abc");
        assert_eq!(joined(run(&[], b"").await).unwrap(), b"");
    }

    #[tokio::test]
    async fn wrong_content_never_passes_whole() {
        let pieces = run(&["ab", "c"], b"abd").await;
        assert_eq!(pieces[0], Ok(Bytes::from("ab")));
        assert!(matches!(pieces[1], Err(VerifyError::Mismatch { .. })));
        assert_eq!(pieces.len(), 2);
        assert!(joined(run(&["x"], b"y").await).is_err());
        assert!(
            joined(run(&[], b"y").await).is_err(),
            "nothing in place of something"
        );
    }

    #[tokio::test]
    async fn an_error_of_the_stream_ends_it() {
        let pieces = vec![Ok(Bytes::from("a")), Err("cut".to_owned()), Ok("b".into())];
        let out: Pieces = verified(stream::iter(pieces), Digest::sha256(b"ab"))
            .collect()
            .await;
        assert_eq!(out, [Err(VerifyError::Stream("cut".to_owned()))]);
    }
}
