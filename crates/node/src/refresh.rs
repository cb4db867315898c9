//! `refresh`: detects what the node provides, asks each MetaHub of the policy which of its targets
//! the registry knows, and writes the cache. Run once at boot, before anything pulls.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use metahub_client::blocking::{Login, Registry};
use metahub_hardware::detect::Root;
use serde_json::json;

use crate::answer::Answer;
use crate::cache::{Cache, Fingerprint, Known};
use crate::detect::{Look, detect};
use crate::identity;
use crate::known_targets::{self, NodeFacts};
use crate::policy::Policy;
use crate::setup::renew_containerd;

/// Most time for one of the node's tools: some load drivers first.
pub const TOOL_TIME: Duration = Duration::from_secs(10);

/// Looks at this node and writes what it finds.
#[must_use]
pub fn refresh(policy: &Policy) -> Answer {
    // Taken before looking: what changes meanwhile makes the cache invalid.
    let fingerprint = Fingerprint::of(&Root::new("/"));
    let look = Look {
        tools: Some(TOOL_TIME),
        ..Look::default()
    };
    let found = detect(policy, &look);
    let features = found.features();
    let node = NodeFacts {
        target: found.target.as_ref(),
        features: &features,
        policy,
    };
    let mut notes = Vec::new();
    let mut registries = BTreeMap::new();
    for host in &policy.registries {
        let secret = identity::secret(policy, host);
        let secret = secret.unwrap_or_else(|problem| {
            notes.push(problem);
            None
        });
        let known = ask(host, &node, secret.as_deref(), &mut notes);
        if let (Some(secret), Some(login)) = (secret, &known.login) {
            let login = Login {
                user: login.clone(),
                secret,
            };
            report(host, &node, &login, &mut notes);
        }
        registries.insert(host.clone(), known);
    }
    let mut out = format!("login: {}\n", node.own_login().as_deref().unwrap_or("none"));
    for (host, known) in &registries {
        out += &format!("{host}: {}\n", shown(known));
    }
    let facts = features.iter().map(ToString::to_string).collect();
    let cache = Cache::new(fingerprint, policy, node.own_login(), facts, registries);
    if let Err(error) = cache.write(&policy.cache) {
        let path = Cache::path(&policy.cache);
        return Answer::error(
            1,
            format!(
                "cannot write {}: {error}; helpers look at the node anew each time until \
                 metahub-node refresh succeeds as root",
                path.display()
            ),
        )
        .noting(notes);
    }
    renew_files(&cache, &mut out, &mut notes);
    Answer::ok(out).noting(notes)
}

/// Files of clients that know no helper hold the login itself, and follow it.
fn renew_files(cache: &Cache, out: &mut String, notes: &mut Vec<String>) {
    for (host, known) in &cache.registries {
        let Some(login) = &known.login else {
            continue;
        };
        match renew_containerd(Path::new("/"), host, login) {
            Ok(Some(file)) => *out += &format!("wrote {}\n", file.display()),
            Ok(None) => {}
            Err(error) => notes.push(error.to_string()),
        }
    }
}

/// Tells a registry what this node provides, where it knows nodes.
fn report(host: &str, node: &NodeFacts<'_>, login: &Login, notes: &mut Vec<String>) {
    let features: Vec<String> = node.features.iter().map(ToString::to_string).collect();
    let body = json!({"features": features, "version": env!("CARGO_PKG_VERSION")});
    let connect = node.policy.connect(host, node.policy.timeout);
    let told = Registry::new(host, &connect)
        .and_then(|registry| registry.post("/api/v1/nodes/report", &body, Some(login)));
    if let Err(error) = told {
        notes.push(format!(
            "{error}; {host} was not told what this node provides"
        ));
    }
}

fn ask(host: &str, node: &NodeFacts<'_>, secret: Option<&str>, notes: &mut Vec<String>) -> Known {
    let connect = node.policy.connect(host, node.policy.timeout);
    let asked = Registry::new(host, &connect)
        .and_then(|registry| known_targets::ask(&registry, node, secret));
    let own = node.target.map(ToString::to_string);
    match asked {
        Ok(known) => {
            if let (Some(own), Some(nearest)) = (&own, &known.target)
                && own != nearest
            {
                notes.push(format!(
                    "{host} does not know {own}: this node asks it for {nearest}"
                ));
            }
            if !known.alone && !known.proven {
                notes.push(format!(
                    "{host} does not take this node's login without an account: who has none \
                     pulls anonymously"
                ));
            }
            known
        }
        Err(error) => {
            notes.push(format!(
                "{error}; this node's own login is kept for it until the next refresh"
            ));
            Known::unasked(node.own_login(), own)
        }
    }
}

fn shown(known: &Known) -> String {
    match &known.login {
        Some(login) if known.alone && known.checked => login.clone(),
        Some(login) if known.alone => format!("{login} (not asked)"),
        Some(login) if known.proven => format!("{login}, for root's clients"),
        Some(login) => format!("anonymous; ACCOUNT/{login} for accounts"),
        None => "anonymous".to_owned(),
    }
}
