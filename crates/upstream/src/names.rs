//! Maps repository names between this registry and its upstreams: the host as the first component,
//! prefixes that are rewritten, and Docker Hub's `library/`.

use std::borrow::Cow;
use std::net::IpAddr;

use metahub_oci::{Host, RepositoryName};

use crate::address::Reach;
use crate::config::Prefix;
use crate::well_known;

/// The name on `host` for `name`: Docker Hub has its official images in `library/`.
pub(crate) fn in_library_of(host: &Host, name: &RepositoryName) -> RepositoryName {
    if well_known::canonical(host.as_str()) == well_known::DOCKER_HUB {
        name.in_library()
    } else {
        name.clone()
    }
}

/// A host as the first component of a repository's name, which has no colon: the port stands
/// behind `_`.
#[must_use]
pub fn named_host(host: &Host) -> String {
    host.as_str().replace(':', "_").replace(['[', ']'], "")
}

/// The opposite for a host that is not listed: no public host's name ends in `_` and digits.
pub(crate) fn with_port(component: &str) -> Cow<'_, str> {
    match component.rsplit_once('_') {
        Some((host, port))
            if port.bytes().all(|b| b.is_ascii_digit())
                && port.parse::<u16>().is_ok_and(|port| port > 0) =>
        {
            Cow::Owned(format!("{host}:{port}"))
        }
        _ => Cow::Borrowed(component),
    }
}

/// `name` with `prefix` replaced, if it begins with it.
pub(crate) fn rewrite(name: &RepositoryName, prefix: &Prefix) -> Option<RepositoryName> {
    let rest = name.as_str().strip_prefix(prefix.prefix.as_str())?;
    let rest = rest.strip_prefix('/')?;
    match &prefix.to {
        Some(to) => format!("{to}/{rest}").parse().ok(),
        None => rest.parse().ok(),
    }
}

/// Not plainly this machine or a private network. Names are judged again when they resolve.
pub(crate) fn may_be_public(host: &Host) -> bool {
    let text = host.as_str();
    let name = match text.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => text,
    };
    let address = name.trim_matches(['[', ']']).parse::<IpAddr>();
    match address {
        Ok(address) => Reach::of(address) == Reach::Public,
        // Public names have a dot and end in letters, so that no number is taken for one.
        Err(_) => {
            let last = name.rsplit('.').next().unwrap_or("");
            name.contains('.')
                && last.bytes().any(|b| b.is_ascii_alphabetic())
                && !matches!(last, "localhost" | "local" | "internal" | "localdomain")
        }
    }
}
