//! Image references as people and clients write them: `[SCHEME://]HOST/NAME[:TAG][@DIGEST]`.

use crate::server::host_of;

/// A reference to an image at a MetaHub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageRef {
    /// What stood before the host: `docker://`, or nothing.
    pub scheme: String,
    /// As written.
    pub host: String,
    /// The repository.
    pub name: String,
    /// The tag; `latest` where none was written.
    pub tag: String,
    /// The digest, where one was written: nothing is to be resolved then.
    pub digest: Option<String>,
}

/// Schemes of images in registries, as clients write them.
const SCHEMES: &[&str] = &[
    "docker://",
    "oras://",
    "https://",
    "http://",
    "docker-daemon://",
];

impl ImageRef {
    /// Reads a reference; `None` where `text` is something else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let scheme = SCHEMES.iter().find(|scheme| text.starts_with(**scheme));
        let scheme = scheme.copied().unwrap_or_default();
        let rest = text.get(scheme.len()..)?;
        let (host, path) = rest.split_once('/')?;
        let (path, digest) = match path.split_once('@') {
            Some((path, digest)) => (path, Some(digest.to_owned())),
            None => (path, None),
        };
        let (name, tag) = path.split_once(':').unwrap_or((path, "latest"));
        let is_part = |part: &str| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b))
        };
        let is_tag = !tag.is_empty()
            && tag.len() <= 128
            && tag
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
        let is_host = host_of(host).is_some() && !host.contains(['#', '?']);
        let well_written = is_host && name.split('/').all(is_part) && is_tag;
        well_written.then(|| Self {
            scheme: scheme.to_owned(),
            host: host.to_owned(),
            name: name.to_owned(),
            tag: tag.to_owned(),
            digest,
        })
    }

    /// Reads a reference as Enroot and pyxis write it: `[docker://][USER@]HOST#NAME[:TAG]`.
    #[must_use]
    pub fn parse_enroot(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("docker://").unwrap_or(text);
        let (host, path) = rest.split_once('#')?;
        let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
        Self::parse(&format!("{host}/{path}"))
    }

    /// The same image by digest, as [`ImageRef::parse_enroot`] reads it.
    #[must_use]
    pub fn by_digest_for_enroot(&self, digest: &str) -> String {
        format!("docker://{}#{}@{digest}", self.host, self.name)
    }

    /// The same image by tag, without a scheme.
    #[must_use]
    pub fn by_tag(&self) -> String {
        format!("{}/{}:{}", self.host, self.name, self.tag)
    }

    /// The registry, as the policy names it.
    #[must_use]
    pub fn registry(&self) -> Option<String> {
        host_of(&self.host)
    }

    /// The same image by digest.
    #[must_use]
    pub fn by_digest(&self, digest: &str) -> String {
        format!("{}{}/{}@{digest}", self.scheme, self.host, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case("hub.example/qnib/gromacs:2021.5", Some(("", "hub.example", "qnib/gromacs", "2021.5")))]
    #[case("hub.example:5000/app", Some(("", "hub.example:5000", "app", "latest")))]
    #[case("docker://hub.example/a/b:c", Some(("docker://", "hub.example", "a/b", "c")))]
    #[case("--image=hub.example/a:b", None)]
    #[case("gromacs:2021.5", None)]
    #[case("/etc/passwd", None)]
    #[case("hub.example/", None)]
    #[case("hub.example/a:b:c", None)]
    #[case("hub.example/A:b", None)]
    #[case("src/a:/dst", None)]
    #[case("docker://hub.example#lab/app:1", None)]
    fn references_are_told_from_other_words(
        #[case] text: &str,
        #[case] expected: Option<(&str, &str, &str, &str)>,
    ) {
        let found = ImageRef::parse(text);
        let found = found
            .as_ref()
            .map(|f| (&*f.scheme, &*f.host, &*f.name, &*f.tag));
        assert_eq!(found, expected);
    }

    #[rstest::rstest]
    #[case(
        "docker://hub.example#lab/app:1",
        Some("docker://hub.example#lab/app@sha256:0")
    )]
    #[case(
        "docker://node@hub.example:5000#app",
        Some("docker://hub.example:5000#app@sha256:0")
    )]
    #[case("docker://hub.example/app", None)]
    #[case("docker://ubuntu", None)]
    fn enroot_writes_the_registry_before_a_number_sign(
        #[case] text: &str,
        #[case] by_digest: Option<&str>,
    ) {
        let found = ImageRef::parse_enroot(text);
        let found = found.map(|image| image.by_digest_for_enroot("sha256:0"));
        assert_eq!(found.as_deref(), by_digest);
    }

    #[test]
    fn a_digest_stays() {
        let digest = format!("sha256:{}", "0".repeat(64));
        let found = ImageRef::parse(&format!("hub.example/a:b@{digest}")).unwrap();
        assert_eq!(found.digest.as_deref(), Some(&*digest));
        let found = ImageRef::parse("docker://hub.example/a:b").unwrap();
        assert_eq!(
            found.by_digest(&digest),
            format!("docker://hub.example/a@{digest}")
        );
    }
}
