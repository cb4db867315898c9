//! Parses the registry that a client passes to a credential helper: `HOST`, `HOST:PORT`,
//! `HOST/path`, or a URL.

/// Longest that is read, in bytes.
const MOST_BYTES: usize = 4096;

/// `NAME[:PORT]` in lower case, without scheme, path and the port that is usual for HTTPS.
/// `None` where `text` names no host.
#[must_use]
pub fn host_of(text: &str) -> Option<String> {
    let text = text.trim();
    if text.len() > MOST_BYTES {
        return None;
    }
    let rest = match text.split_once("://") {
        Some(("http" | "https", rest)) => rest,
        Some(_) => return None,
        None => text,
    };
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = host.to_ascii_lowercase();
    let (name, port) = match host.rsplit_once(':') {
        // An address of IPv6 in brackets has colons of its own.
        Some((name, port)) if !port.contains(']') => (name, Some(port)),
        _ => (host.as_str(), None),
    };
    let bracketed = name.starts_with('[') && name.ends_with(']');
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let is_address = |c: char| c.is_ascii_hexdigit() || matches!(c, ':' | '.' | '[' | ']' | '%');
    let well_written = !name.is_empty()
        && if bracketed {
            name.chars().all(is_address)
        } else {
            name.chars().all(is_name)
        };
    let port_is_number = port.is_none_or(|port| port.parse::<u16>().is_ok());
    if !well_written || !port_is_number {
        return None;
    }
    Some(match port {
        Some("443") | None => name.to_owned(),
        Some(port) => format!("{name}:{port}"),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[rstest::rstest]
    #[case("hub.example", Some("hub.example"))]
    #[case("HUB.example:5000\n", Some("hub.example:5000"))]
    #[case("https://hub.example/v1/", Some("hub.example"))]
    #[case("https://hub.example:443/v2/", Some("hub.example"))]
    #[case("hub.example/qnib/gromacs", Some("hub.example"))]
    #[case("http://127.0.0.1:5000", Some("127.0.0.1:5000"))]
    #[case("[::1]:5000/x", Some("[::1]:5000"))]
    #[case("[::1]", Some("[::1]"))]
    #[case("", None)]
    #[case("https://", None)]
    #[case("ftp://hub.example", None)]
    #[case("hub.example:port", None)]
    #[case("user@hub.example", None)]
    #[case("hub example", None)]
    fn the_host_is_found_however_it_is_written(#[case] text: &str, #[case] host: Option<&str>) {
        assert_eq!(host_of(text).as_deref(), host);
    }

    proptest! {
        #[test]
        fn a_host_is_its_own_host(text in "\\PC{0,60}") {
            if let Some(host) = host_of(&text) {
                prop_assert_eq!(host_of(&host), Some(host.clone()));
                prop_assert_eq!(host_of(&format!("https://{host}/v2/x")), Some(host));
            }
        }
    }
}
