//! How digests, times and kinds are encoded in the database.

use std::time::{Duration, SystemTime};

use metahub_oci::{Algorithm, Digest};

use crate::records::{Kind, Origin};

/// One byte for the algorithm, then the raw value: half the size of the text.
pub(super) fn digest_to_bytes(digest: &Digest) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(65);
    bytes.push(match digest.algorithm() {
        Algorithm::Sha256 => 1,
        Algorithm::Sha512 => 2,
    });
    // A digest's digits are hexadecimal by construction.
    bytes.extend(hex::decode(digest.hex()).unwrap_or_default());
    bytes
}

/// The reverse of [`digest_to_bytes`]; `None` for what it never makes.
pub(super) fn digest_from_bytes(bytes: &[u8]) -> Option<Digest> {
    let (algorithm, value) = bytes.split_first()?;
    let algorithm = match algorithm {
        1 => Algorithm::Sha256,
        2 => Algorithm::Sha512,
        _ => return None,
    };
    format!("{algorithm}:{}", hex::encode(value)).parse().ok()
}

/// The range of keys for the digests of `algorithm` whose value begins with `first`.
pub(super) fn first_key(algorithm: Algorithm, first: u8) -> (Vec<u8>, Vec<u8>) {
    let start = match algorithm {
        Algorithm::Sha256 => vec![1, first],
        Algorithm::Sha512 => vec![2, first],
    };
    let mut end = start.clone();
    // Longer than any digest that begins so.
    end.extend([0xff; 65]);
    (start, end)
}

/// Milliseconds since 1970.
pub(super) fn time_to_millis(time: SystemTime) -> i64 {
    time.duration_since(SystemTime::UNIX_EPOCH)
        .ok()
        .and_then(|since| i64::try_from(since.as_millis()).ok())
        .unwrap_or(0)
}

/// The reverse of [`time_to_millis`].
pub(super) fn time_from_millis(millis: i64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(millis).unwrap_or(0))
}

impl Origin {
    /// As it is written in the database. The least wins where a manifest came in several ways.
    pub(super) fn number(self) -> i64 {
        match self {
            Self::Pushed => 1,
            Self::Upstream => 2,
            Self::Derived => 3,
        }
    }
}

/// The reverse of [`Origin::number`].
pub(super) fn origin_from_number(number: i64) -> Option<Origin> {
    let origins = [Origin::Pushed, Origin::Upstream, Origin::Derived];
    origins.into_iter().find(|origin| origin.number() == number)
}

impl Kind {
    /// As it is written in the database.
    pub(super) fn number(self) -> i64 {
        match self {
            Self::Config => 1,
            Self::Layer => 2,
            Self::Child => 3,
            Self::Subject => 4,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_survive_the_way_into_the_database_and_back() {
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            let digest = Digest::of(algorithm, b"metahub");
            let bytes = digest_to_bytes(&digest);
            assert_eq!(bytes.len(), 1 + algorithm.hex_len() / 2);
            assert_eq!(digest_from_bytes(&bytes), Some(digest));
        }
    }

    #[test]
    fn bytes_that_are_no_digest_are_refused() {
        for bytes in [&b""[..], b"\x01", b"\x03abc", &[1; 34], &[2; 33]] {
            assert_eq!(digest_from_bytes(bytes), None, "{bytes:?}");
        }
    }
}
