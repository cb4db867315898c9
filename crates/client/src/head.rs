//! The headers of an answer that describe a manifest (distribution specification, "Pulling
//! manifests") or a body's length.

use http::HeaderMap;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, ETAG};
use metahub_oci::{Digest, MediaType};

/// The headers about a manifest in the answer to a `HEAD`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Its digest, where the registry says it.
    pub digest: Option<Digest>,
    /// Its media type, where the registry says one.
    pub media_type: Option<MediaType>,
    /// Its size in bytes, where the registry says it.
    pub size: Option<u64>,
    /// The registry's validator, for a later `If-None-Match`.
    pub etag: Option<String>,
}

impl Head {
    /// Parses `headers`; an ill-formed one counts as absent.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        Self {
            digest: text("docker-content-digest").and_then(|text| text.parse().ok()),
            media_type: text(CONTENT_TYPE.as_str()).and_then(|text| text.parse().ok()),
            size: content_length(headers),
            etag: text(ETAG.as_str()).map(str::to_owned),
        }
    }
}

/// The length in bytes that `headers` announce.
#[must_use]
pub fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn head(headers: &[(&'static str, &str)]) -> Head {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        Head::of(&map)
    }

    #[test]
    fn what_is_ill_formed_counts_as_absent() {
        let digest = Digest::sha256(b"x");
        let whole = head(&[
            ("docker-content-digest", &digest.to_string()),
            ("content-type", MediaType::OCI_INDEX),
            ("content-length", "7"),
            ("etag", "\"e\""),
        ]);
        assert_eq!(whole.digest, Some(digest));
        assert_eq!(whole.media_type.unwrap().as_str(), MediaType::OCI_INDEX);
        assert_eq!(
            (whole.size, whole.etag.as_deref()),
            (Some(7), Some("\"e\""))
        );
        let nothing = Head {
            digest: None,
            media_type: None,
            size: None,
            etag: None,
        };
        for (name, value) in [
            ("docker-content-digest", "sha256:../../x"),
            ("docker-content-digest", "md5:00"),
            ("docker-content-digest", "sha256:\u{e9}"),
            ("content-type", "no type"),
            ("content-length", "-1"),
            ("content-length", "18446744073709551616"),
            ("etag", "\u{e9}"),
        ] {
            assert_eq!(head(&[(name, value)]), nothing, "{name}: {value}");
        }
    }
}
