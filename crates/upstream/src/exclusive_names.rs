//! Checks that names lead to a pass-through upstream alone: where several upstreams are asked in
//! turn, the answer would reveal what the first one has.

use metahub_oci::Host;

use crate::config::{Prefix, UpstreamConfig};
use crate::names::named_host;
use crate::pass_through::PassThroughError;
use crate::well_known;

/// Whether names lead to each upstream with `pass_through` alone; if not, which is the first that
/// others come before or after.
pub(crate) fn check(upstreams: &[UpstreamConfig]) -> Result<(), (usize, PassThroughError)> {
    let same_host = |one: &Host, other: &Host| {
        let canonical = well_known::canonical(one.as_str());
        canonical == well_known::canonical(other.as_str()) || named_host(one) == named_host(other)
    };
    for (place, one) in upstreams.iter().enumerate() {
        if one.pass_through.is_none() {
            continue;
        }
        let host = || one.host.clone();
        if one.default {
            return Err((place, PassThroughError::Default(host())));
        }
        for (at, other) in upstreams.iter().enumerate() {
            if at == place {
                continue;
            }
            if same_host(&one.host, &other.host) {
                let error = PassThroughError::Host(host(), other.host.clone());
                return Err((place, error));
            }
            let shared =
                |prefix: &&Prefix| other.prefixes.iter().any(|p| p.prefix == prefix.prefix);
            if let Some(shared) = one.prefixes.iter().find(shared) {
                let prefix = shared.prefix.to_string();
                let other = other.host.clone();
                return Err((place, PassThroughError::Prefix(host(), other, prefix)));
            }
        }
    }
    Ok(())
}

impl UpstreamConfig {
    /// Whether names lead to each upstream with `pass_through` alone. [`Upstreams::new`] asks the
    /// same; who reads a configuration file can say where it is wrong.
    ///
    /// [`Upstreams::new`]: crate::Upstreams::new
    ///
    /// # Errors
    /// The first upstream that others come before or after, by its place in the list.
    pub fn check_pass_through(upstreams: &[Self]) -> Result<(), (usize, PassThroughError)> {
        check(upstreams)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::pass_through::PassThrough;

    fn checked(json: &str) -> Result<(), String> {
        let upstreams: Vec<UpstreamConfig> = serde_json::from_str(json).unwrap();
        check(&upstreams).map_err(|(_, error)| error.to_string())
    }

    #[test]
    fn names_must_lead_to_a_pass_through_upstream_alone() {
        for (json, expected) in [
            (
                r#"[{"host": "a.org", "default": true, "pass_through": {}}]"#,
                "upstream a.org: pass_through and default: true exclude each other",
            ),
            (
                r#"[{"host": "docker.io"}, {"host": "index.docker.io", "pass_through": {}}]"#,
                "upstream index.docker.io: pass_through needs the host for one upstream alone",
            ),
            (
                r#"[{"host": "a.org:5000", "pass_through": {}}, {"host": "a.org:5000"}]"#,
                "upstream a.org:5000: pass_through needs the host for one upstream alone",
            ),
            (
                r#"[{"host": "a.org", "pass_through": {}, "prefixes": [{"prefix": "p"}]},
                    {"host": "b.org", "prefixes": [{"prefix": "p"}]}]"#,
                "upstream a.org: pass_through needs its prefixes for itself, and 'p' is also one \
                 of b.org",
            ),
        ] {
            let error = checked(json).unwrap_err();
            assert!(error.starts_with(expected), "{error}");
        }
    }

    #[test]
    fn beside_others_it_is_reached_by_host_and_by_prefixes_of_its_own() {
        let json = r#"[
            {"host": "a.org", "pass_through": {"remember": "1m"},
             "prefixes": [{"prefix": "p"}, {"prefix": "p/q", "to": "r"}]},
            {"host": "b.org", "prefixes": [{"prefix": "p/q/r"}]},
            {"host": "docker.io", "default": true}
        ]"#;
        checked(json).unwrap();
        let upstreams: Vec<UpstreamConfig> = serde_json::from_str(json).unwrap();
        let remembered = upstreams[0].pass_through.unwrap().remember;
        assert_eq!(remembered, Duration::from_secs(60));
        assert_eq!(PassThrough::default().remember, Duration::from_secs(300));
    }
}
