//! The maximum size of a blob that is read from its upstream: as manifests here state it; else as
//! the upstream's answer states it; else a configured bound.

use metahub_oci::{Digest, Hasher};

use crate::Registry;
use crate::access::location::UpstreamRepository;
use crate::error::RegistryError;

/// The bound on the bytes of a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bound {
    /// Exactly so many.
    Exactly(u64),
    /// Its size is unknown; so many are read at most.
    AtMost(u64),
}

impl Bound {
    /// The size, if it is known.
    pub(crate) fn known(self) -> Option<u64> {
        match self {
            Self::Exactly(size) => Some(size),
            Self::AtMost(_) => None,
        }
    }

    /// The most that the blob may have, in bytes.
    pub(crate) fn most(self) -> u64 {
        match self {
            Self::Exactly(size) | Self::AtMost(size) => size,
        }
    }

    /// The end of the range to read: with an unknown size, one byte more shows whether there are
    /// too many.
    pub(crate) fn end(self) -> u64 {
        match self {
            Self::Exactly(size) => size,
            Self::AtMost(most) => most.saturating_add(1),
        }
    }

    /// Refuses a size of zero for a digest of something: without any byte, there is no last one to
    /// hold back until the whole is verified.
    fn fits(self, digest: &Digest) -> Result<Self, String> {
        let is_of_nothing = || Hasher::new(digest.algorithm()).finish() == *digest;
        if self == Self::Exactly(0) && !is_of_nothing() {
            return Err(
                "it is said to have no bytes, which is another digest's content".to_owned(),
            );
        }
        Ok(self)
    }

    /// The bound of a blob with the sizes `stated` by manifests and `said` by an answer.
    ///
    /// # Errors The reason for not reading it: the sizes differ, or it is larger than `largest`.
    /// `unsized_most` is the bound for content of unknown size.
    fn of(
        stated: &[u64],
        said: Option<u64>,
        largest: u64,
        unsized_most: u64,
    ) -> Result<Self, String> {
        let bound = match (stated, said) {
            ([], None) => Self::AtMost(unsized_most.min(largest)),
            ([], Some(size)) => Self::Exactly(size),
            ([size], None) => Self::Exactly(*size),
            (sizes, Some(size)) if sizes.contains(&size) => Self::Exactly(size),
            (sizes, Some(size)) => {
                let stated: Vec<String> = sizes.iter().map(u64::to_string).collect();
                return Err(format!(
                    "it has {size} bytes there, and {} as the manifest says",
                    stated.join(" or ")
                ));
            }
            (sizes, None) => {
                let most = sizes.iter().copied().max().unwrap_or(0);
                Self::AtMost(most.min(largest))
            }
        };
        if let Self::Exactly(size) = bound
            && size > largest
        {
            return Err(format!(
                "it has {size} bytes, and {largest} are fetched at most (cache.largest_blob)"
            ));
        }
        Ok(bound)
    }
}

impl Registry {
    /// The bound of a blob from there, whose answer states `said` bytes.
    ///
    /// # Errors If it must not be read.
    pub(crate) fn bound(
        &self,
        from: &UpstreamRepository,
        digest: &Digest,
        stated: &[u64],
        said: Option<u64>,
    ) -> Result<Bound, RegistryError> {
        let cache = &self.settings().cache;
        let unsized_most = cache.size.unwrap_or(u64::MAX);
        let bound = Bound::of(stated, said, cache.largest_blob, unsized_most);
        bound.and_then(|bound| bound.fits(digest)).map_err(|why| {
            let host = from.upstream().host();
            RegistryError::Broken(format!("{digest} is not fetched from {host}: {why}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manifest_comes_before_the_answer_and_a_contradiction_is_refused() {
        let of = |stated: &[u64], said| Bound::of(stated, said, 1000, 100);
        for (stated, said, expected) in [
            (&[][..], Some(7), Some(Bound::Exactly(7))),
            (&[], None, Some(Bound::AtMost(100))),
            (&[7], None, Some(Bound::Exactly(7))),
            (&[7], Some(7), Some(Bound::Exactly(7))),
            (&[7], Some(8), None),
            (&[7], Some(6), None),
            (&[7, 9], Some(9), Some(Bound::Exactly(9))),
            (&[7, 9], Some(8), None),
            (&[7, 9], None, Some(Bound::AtMost(9))),
            (&[], Some(1000), Some(Bound::Exactly(1000))),
            (&[], Some(1001), None),
            (&[2000], None, None),
            (&[2000], Some(2000), None),
            (&[0], None, Some(Bound::Exactly(0))),
        ] {
            assert_eq!(of(stated, said).ok(), expected, "{stated:?} {said:?}");
        }
        assert_eq!(Bound::of(&[], None, 50, u64::MAX), Ok(Bound::AtMost(50)));
        let error = of(&[7], Some(8)).unwrap_err();
        assert!(error.contains('7') && error.contains('8'), "{error}");
    }

    #[test]
    fn no_bytes_are_only_the_content_of_their_own_digest() {
        let (nothing, something) = (Digest::sha256(b""), Digest::sha256(b"x"));
        assert!(Bound::Exactly(0).fits(&nothing).is_ok());
        assert!(Bound::Exactly(0).fits(&something).is_err());
        assert!(Bound::Exactly(1).fits(&something).is_ok());
    }

    #[test]
    fn no_byte_more_is_read_than_tells_that_there_are_too_many() {
        assert_eq!(Bound::Exactly(7).end(), 7);
        assert_eq!(Bound::AtMost(7).end(), 8);
        assert_eq!(Bound::AtMost(u64::MAX).end(), u64::MAX);
    }
}
