//! Identifiers of uploads.

use std::fmt;
use std::str::FromStr;

use rand::RngExt as _;

/// Names an upload: 32 hexadecimal digits that cannot be guessed.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct UploadId(Box<str>);

/// The text is no upload's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' names no upload: expected the 32 hexadecimal digits that beginning one gave")]
pub struct UploadIdError(String);

impl UploadId {
    /// A fresh one.
    pub(crate) fn random() -> Self {
        Self(format!("{:032x}", rand::rng().random::<u128>()).into())
    }

    /// The name as text, good for URLs and file names.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for UploadId {
    type Err = UploadIdError;

    fn from_str(text: &str) -> Result<Self, UploadIdError> {
        let digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if text.len() == 32 && text.bytes().all(digit) {
            Ok(Self(text.into()))
        } else {
            Err(UploadIdError(text.to_owned()))
        }
    }
}

impl fmt::Display for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upload_is_named_by_32_hexadecimal_digits_and_nothing_else() {
        let id = UploadId::random();
        assert_eq!(id.as_str().parse(), Ok(id));
        let dots = "../".repeat(11);
        for text in [
            "",
            "0",
            &"g".repeat(32),
            &"A".repeat(32),
            &"0".repeat(33),
            &dots[..32],
        ] {
            assert!(text.parse::<UploadId>().is_err(), "{text}");
        }
    }
}
