//! `doctor`: whether this node's login works at each MetaHub, why not, and what to do about it. It
//! changes nothing.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use metahub_client::blocking::{CertificateFault, ClientError, Registry};
use metahub_hardware::detect::Root;

use crate::answer::Answer;
use crate::cache::Cache;
use crate::identity;
use crate::known_targets;
use crate::policy::{Environment, Identity, Policy};
use crate::reference::ImageRef;
use crate::resolve::Resolver;

/// A clock that is further off than this breaks certificates and tokens, in seconds.
const MOST_CLOCK_ERROR: i64 = 60;
const HELPER: &str = "docker-credential-metahub";

/// One finding.
struct Finding {
    good: bool,
    text: String,
}

/// Runs all checks; exit code 1 if one fails.
#[must_use]
pub fn doctor(
    policy: &Policy,
    environment: Environment<'_>,
    images: &[String],
    exe: &Path,
) -> Answer {
    let mut findings = vec![cache(policy)];
    findings.extend(helper(environment, exe));
    if policy.registries.is_empty() {
        findings.push(bad(
            "no MetaHub is named: run metahub-node setup CLIENT --registry HOST, or name it under \
             registries in /etc/metahub/node.yaml",
        ));
    }
    for host in &policy.registries {
        registry(policy, environment, host, &mut findings);
    }
    for image in images {
        findings.push(image_of(policy, environment, image));
    }
    let mut out = String::new();
    for finding in &findings {
        let mark = if finding.good { "ok  " } else { "BAD " };
        let _ = writeln!(out, "{mark} {}", finding.text);
    }
    let all_good = findings.iter().all(|finding| finding.good);
    Answer {
        stdout: out,
        notes: Vec::new(),
        code: u8::from(!all_good),
    }
}

fn good(text: impl Into<String>) -> Finding {
    Finding {
        good: true,
        text: text.into(),
    }
}

fn bad(text: impl Into<String>) -> Finding {
    Finding {
        good: false,
        text: text.into(),
    }
}

fn cache(policy: &Policy) -> Finding {
    match Cache::read(policy, &Root::new("/")) {
        Ok(cache) => good(format!(
            "cache: {} holds; the node's login is {}",
            Cache::path(&policy.cache).display(),
            cache.login.as_deref().unwrap_or("none")
        )),
        Err(miss) => bad(format!(
            "cache: {miss}: run metahub-node refresh as root, and at every boot"
        )),
    }
}

/// Whether the helper is found, and is this program.
fn helper(environment: Environment<'_>, exe: &Path) -> Option<Finding> {
    let path = environment("PATH")?;
    let found: Vec<PathBuf> = std::env::split_paths(&path)
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(HELPER))
        .filter(|program| program.is_file())
        .collect();
    let Some(first) = found.first() else {
        return Some(bad(format!(
            "helper: {HELPER} is not on PATH: Docker pulls anonymously without a word, Podman \
             fails for every registry: run metahub-node setup, or --undo it"
        )));
    };
    let version = |program: &Path| {
        let output = std::process::Command::new(program)
            .arg("version")
            .stdin(std::process::Stdio::null())
            .output()
            .ok()?;
        String::from_utf8(output.stdout).ok()
    };
    let same = std::fs::canonicalize(first).ok() == std::fs::canonicalize(exe).ok();
    if same || version(first).is_some_and(|said| said.starts_with("metahub-node ")) {
        return Some(good(format!("helper: {}", first.display())));
    }
    Some(bad(format!(
        "helper: {} is another program and shadows this one: remove it, or put the folder of this \
         one before its own in PATH",
        first.display()
    )))
}

fn registry(
    policy: &Policy,
    environment: Environment<'_>,
    host: &str,
    findings: &mut Vec<Finding>,
) {
    let connect = policy.connect(host, policy.timeout);
    let asked = Registry::new(host, &connect).and_then(|registry| {
        let date = registry.date()?;
        Ok((registry, date))
    });
    let (registry, date) = match asked {
        Ok(asked) => asked,
        Err(error) => {
            findings.push(bad(format!("{host}: {error}: {}", advice(&error))));
            return;
        }
    };
    if let Some(off) = date.as_deref().and_then(clock_error)
        && off.abs() > MOST_CLOCK_ERROR
    {
        findings.push(bad(format!(
            "{host}: this node's clock differs by {off} s from the registry's: set it, for \
             certificates and tokens depend on it"
        )));
    }
    if policy.identity != Identity::None
        && let Err(problem) = identity::secret(policy, host)
    {
        findings.push(bad(format!("{host}: {problem}")));
    }
    let mut notes = Vec::new();
    let Some(login) = Resolver::new(policy, environment).login(host, &mut notes) else {
        findings.push(bad(format!(
            "{host}: no login is answered, so clients pull anonymously: {}",
            notes.last().map_or(
                "the registry takes none without an account: log in",
                String::as_str
            )
        )));
        return;
    };
    match registry.token(Some(&login), "") {
        Ok(_) => {
            let as_node = match identity::is_secret(&login.secret) {
                true => ", and prove which node this is",
                false => "",
            };
            findings.push(good(format!(
                "{host}: clients log in as {}{as_node}",
                login.user
            )));
        }
        Err(error) if error.status() == Some(401) => {
            let alone = login.secret == known_targets::PASSWORD;
            let what = if identity::is_secret(&login.secret) {
                "this node's credential is refused there: ask the operator of the registry"
            } else if alone {
                "the registry does not know this node's target or a profile of its policy: run \
                 metahub-node refresh"
            } else {
                "the stored login is refused: log out and in again"
            };
            findings.push(bad(format!(
                "{host}: {} is refused ({error}): {what}",
                login.user
            )));
        }
        Err(error) => findings.push(bad(format!("{host}: {error}: {}", advice(&error)))),
    }
}

fn image_of(policy: &Policy, environment: Environment<'_>, image: &str) -> Finding {
    let Some(reference) = ImageRef::parse(image) else {
        return bad(format!("{image}: expected HOST/NAME:TAG"));
    };
    match Resolver::new(policy, environment).digest(&reference, &mut Vec::new()) {
        Ok(digest) => good(format!("{image}: {}", reference.by_digest(&digest))),
        Err(error) => bad(format!("{image}: {error}")),
    }
}

fn advice(error: &ClientError) -> &'static str {
    match error {
        ClientError::Unreachable { .. } => {
            "check its name and port, the network, and whether it speaks HTTP without TLS \
             (plain_http in node.yaml)"
        }
        ClientError::Certificate { fault, .. } => match fault {
            CertificateFault::UnknownIssuer => {
                "name the authority that issued it as ca_file in node.yaml"
            }
            CertificateFault::NotYetValid => {
                "set this node's clock, which is behind if the certificate is in use elsewhere"
            }
            CertificateFault::Expired => {
                "have it renewed, or set this node's clock, which is ahead if the certificate is \
                 in use elsewhere"
            }
            CertificateFault::OtherName => {
                "name the registry as its certificate does, or have it issued for this name"
            }
            CertificateFault::Other => "ask the operator of the registry",
        },
        ClientError::Refused { .. } => "ask the operator of the registry",
        ClientError::BadAnswer { .. } => "check that this is a MetaHub",
        ClientError::Authorities { .. } => "correct ca_file in node.yaml",
    }
}

/// This node's clock less the registry's, in seconds.
fn clock_error(date: &str) -> Option<i64> {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .ok()?;
    Some(i64::try_from(now.as_secs()).ok()? - seconds_of(date)?)
}

/// Seconds since 1970 of `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110 section 5.6.7).
fn seconds_of(date: &str) -> Option<i64> {
    let (_, rest) = date.split_once(", ")?;
    let mut words = rest.split(' ');
    let day: i64 = words.next()?.parse().ok()?;
    let name = words.next()?;
    let months = "JanFebMarAprMayJunJulAugSepOctNovDec";
    let month = i64::try_from(months.find(name).filter(|at| at % 3 == 0)? / 3).ok()? + 1;
    let year: i64 = words.next()?.parse().ok()?;
    let mut clock = words
        .next()?
        .split(':')
        .map(|part| part.parse::<i64>().ok());
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
    // Days since 1970 by the civil calendar, with years that start in March.
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    Some((days - 719_468) * 86_400 + hour * 3600 + minute * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_http_are_read() {
        assert_eq!(seconds_of("Thu, 01 Jan 1970 00:00:00 GMT"), Some(0));
        assert_eq!(
            seconds_of("Sun, 06 Nov 1994 08:49:37 GMT"),
            Some(784_111_777)
        );
        assert_eq!(
            seconds_of("Sat, 28 Nov 2026 16:10:13 GMT"),
            Some(1_795_882_213)
        );
        for wrong in [
            "",
            "yesterday",
            "Sun, 06 Foo 1994 08:49:37 GMT",
            "Sun, 06 Nov",
        ] {
            assert_eq!(seconds_of(wrong), None, "{wrong}");
        }
    }
}
