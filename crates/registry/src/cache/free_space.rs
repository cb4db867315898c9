//! How much of a disk is left free: bytes, or a part of the whole.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

/// Space that is left free.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Free {
    /// A percentage of the disk.
    Percent(u8),
    /// So many bytes.
    Bytes(u64),
}

impl Free {
    /// The bytes to leave free on a disk of `size` bytes.
    #[must_use]
    pub fn of(self, size: u64) -> u64 {
        match self {
            Self::Percent(percent) => size / 100 * u64::from(percent),
            Self::Bytes(bytes) => bytes,
        }
    }
}

impl fmt::Display for Free {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Percent(percent) => write!(f, "{percent}%"),
            Self::Bytes(bytes) => write!(f, "{bytes} bytes"),
        }
    }
}

/// The text is neither a size nor a part of a disk.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no free space: expected a part of the disk up to 99%, or bytes such as 50 GiB")]
pub struct FreeError(String);

impl FromStr for Free {
    type Err = FreeError;

    fn from_str(text: &str) -> Result<Self, FreeError> {
        let wrong = || FreeError(text.to_owned());
        if let Some(percent) = text.strip_suffix('%') {
            let percent: u8 = percent.trim().parse().map_err(|_| wrong())?;
            return (percent < 100)
                .then_some(Self::Percent(percent))
                .ok_or_else(wrong);
        }
        let bytes: bytesize::ByteSize = text.parse().map_err(|_| wrong())?;
        Ok(Self::Bytes(bytes.as_u64()))
    }
}

impl TryFrom<String> for Free {
    type Error = FreeError;

    fn try_from(text: String) -> Result<Self, FreeError> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_space_is_a_part_or_bytes() {
        for (text, expected) in [
            ("10%", Some(Free::Percent(10))),
            ("0%", Some(Free::Percent(0))),
            ("99 %", Some(Free::Percent(99))),
            ("50 GiB", Some(Free::Bytes(50 << 30))),
            ("0 B", Some(Free::Bytes(0))),
            ("100%", None),
            ("-1%", None),
            ("%", None),
            ("much", None),
            ("", None),
        ] {
            assert_eq!(text.parse().ok(), expected, "{text}");
        }
        assert_eq!(Free::Percent(10).of(1000), 100);
        assert_eq!(Free::Percent(99).of(u64::MAX), u64::MAX / 100 * 99);
        assert_eq!(Free::Bytes(7).of(1000), 7);
    }
}
