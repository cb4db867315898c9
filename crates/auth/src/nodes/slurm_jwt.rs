//! Slurm's JSON Web Tokens (RFC 7519) as proof of a node: `slurm:NODE:TOKEN`, with a token of a
//! user who may speak for nodes. The name is sent besides the token, since Slurm's tokens name no
//! node.
//!
//! Only the configured keys count, each with its own kind of algorithm: a token's header never
//! selects a key by itself, and no key of a key set is a shared secret.

use std::io;
use std::path::{Path, PathBuf};

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;

use crate::Password;
use crate::node::{NodeName, NodeRefused};

/// What such a password begins with.
const PREFIX: &str = "slurm:";
/// Shortest shared key, in bytes: what HMAC-SHA-256 asks for.
const SHORTEST_KEY: usize = 32;
/// Largest file of keys, in bytes.
const MOST_BYTES: u64 = 1 << 20;
/// Seconds by which clocks may differ.
const LEEWAY: u64 = 10;

/// The keys that sign tokens, and the users whose tokens speak for nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlurmJwtConfig {
    /// Where the keys are.
    pub keys: SlurmKeys,
    /// The users whose tokens speak for nodes.
    pub users: Vec<String>,
}

/// Where keys are that sign tokens of Slurm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SlurmKeys {
    /// A set of public keys (RFC 7517).
    Jwks(PathBuf),
    /// The key that Slurm shares among its daemons.
    Shared(PathBuf),
}

/// Why keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SlurmKeysError {
    /// The file cannot be read.
    #[error("cannot read {file}: {source}", file = .file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It holds no key that can be used.
    #[error("{file}: {why}", file = .file.display())]
    Unusable {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

struct Key {
    id: Option<String>,
    algorithms: Vec<Algorithm>,
    key: DecodingKey,
}

pub(super) struct SlurmJwt {
    keys: Vec<Key>,
    users: Vec<String>,
}

impl std::fmt::Debug for SlurmJwt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SlurmJwt(…)")
    }
}

#[derive(Deserialize)]
struct Claims {
    sun: Option<String>,
    username: Option<String>,
}

impl SlurmJwt {
    /// Reads the keys.
    pub(super) fn read(config: &SlurmJwtConfig) -> Result<Self, SlurmKeysError> {
        let (SlurmKeys::Jwks(file) | SlurmKeys::Shared(file)) = &config.keys;
        let bytes = read(file)?;
        let keys = match &config.keys {
            SlurmKeys::Jwks(_) => public_keys(&bytes),
            SlurmKeys::Shared(_) => shared_key(&bytes),
        };
        Ok(Self {
            keys: keys.map_err(|why| SlurmKeysError::Unusable {
                file: file.clone(),
                why,
            })?,
            users: config.users.clone(),
        })
    }

    /// Whether a password has this form.
    pub(super) fn is_credential(password: &Password) -> bool {
        password.expose().starts_with(PREFIX)
    }

    /// The node for which a password speaks.
    pub(super) fn node(&self, password: &Password) -> Result<NodeName, NodeRefused> {
        let rest = password.expose().strip_prefix(PREFIX);
        let (name, token) = rest
            .and_then(|rest| rest.split_once(':'))
            .ok_or(NodeRefused::OtherPurpose)?;
        let name: NodeName = name.parse().map_err(|_| NodeRefused::OtherPurpose)?;
        let header = jsonwebtoken::decode_header(token).map_err(|_| NodeRefused::Foreign)?;
        let mut refused = NodeRefused::Foreign;
        for key in &self.keys {
            let other = header.kid.is_some() && key.id.is_some() && header.kid != key.id;
            if other || !key.algorithms.contains(&header.alg) {
                continue;
            }
            let mut validation = Validation::new(header.alg);
            validation.leeway = LEEWAY;
            validation.validate_nbf = true;
            validation.validate_aud = false;
            validation.set_required_spec_claims(&["exp"]);
            match jsonwebtoken::decode::<Claims>(token, &key.key, &validation) {
                Ok(data) => {
                    let user = data.claims.sun.or(data.claims.username);
                    let user = user.unwrap_or_default();
                    return match self.users.contains(&user) {
                        true => Ok(name),
                        false => Err(NodeRefused::NotForNodes(user.chars().take(64).collect())),
                    };
                }
                Err(error) => match error.kind() {
                    ErrorKind::ExpiredSignature => refused = NodeRefused::Expired,
                    ErrorKind::ImmatureSignature => refused = NodeRefused::OfTheFuture,
                    _ => {}
                },
            }
        }
        Err(refused)
    }
}

fn read(file: &Path) -> Result<Vec<u8>, SlurmKeysError> {
    use io::Read as _;
    let reading = || {
        let mut bytes = Vec::new();
        let opened = std::fs::File::open(file)?;
        opened.take(MOST_BYTES).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    reading().map_err(|source| SlurmKeysError::Unreadable {
        file: file.to_owned(),
        source,
    })
}

fn shared_key(secret: &[u8]) -> Result<Vec<Key>, String> {
    if secret.len() < SHORTEST_KEY {
        return Err(format!(
            "a shared key of {} bytes is too short: {SHORTEST_KEY} are needed",
            secret.len()
        ));
    }
    Ok(vec![Key {
        id: None,
        algorithms: vec![Algorithm::HS256],
        key: DecodingKey::from_secret(secret),
    }])
}

fn public_keys(text: &[u8]) -> Result<Vec<Key>, String> {
    let set: JwkSet = serde_json::from_slice(text)
        .map_err(|_| "expected a set of public keys (JWKS): {\"keys\": [...]}")?;
    let mut keys = Vec::new();
    for jwk in &set.keys {
        let algorithms = algorithms(jwk)
            .ok_or("expected public keys of RSA, of the curves P-256 and P-384, or Ed25519")?;
        let key = DecodingKey::from_jwk(jwk);
        keys.push(Key {
            id: jwk.common.key_id.clone(),
            algorithms,
            key: key.map_err(|error| format!("a key cannot be used: {error}"))?,
        });
    }
    if keys.is_empty() {
        return Err("the set has no key".to_owned());
    }
    Ok(keys)
}

/// The algorithms of a public key; `None` for one that is none.
fn algorithms(jwk: &Jwk) -> Option<Vec<Algorithm>> {
    use Algorithm::{ES256, ES384, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
    match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => Some(vec![RS256, RS384, RS512, PS256, PS384, PS512]),
        AlgorithmParameters::EllipticCurve(curve) => match curve.curve {
            EllipticCurve::P256 => Some(vec![ES256]),
            EllipticCurve::P384 => Some(vec![ES384]),
            _ => None,
        },
        AlgorithmParameters::OctetKeyPair(_) => Some(vec![EdDSA]),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use jsonwebtoken::{EncodingKey, Header, encode};
    use serde_json::{Value, json};

    use super::*;

    const SECRET: &[u8] = b"a key that slurmctld and slurmdbd share";

    fn with(keys: Vec<Key>) -> SlurmJwt {
        let users = vec!["root".to_owned(), "slurm".to_owned()];
        SlurmJwt { keys, users }
    }

    fn now() -> i64 {
        jiff::Timestamp::now().as_second()
    }

    fn token(claims: &Value, secret: &[u8]) -> String {
        let header = Header::new(Algorithm::HS256);
        encode(&header, claims, &EncodingKey::from_secret(secret)).unwrap()
    }

    #[test]
    fn a_token_of_one_who_speaks_for_nodes_is_good_until_it_expires() {
        let jwt = with(shared_key(SECRET).unwrap());
        let node = |text: &str| {
            let node = jwt.node(&Password::new(text));
            node.map(|name| name.as_str().to_owned())
        };
        let of = |user: &str, expires: i64| json!({"sun": user, "iat": now(), "exp": expires});
        let good = token(&of("root", now() + 60), SECRET);
        assert_eq!(node(&format!("slurm:Node7:{good}")).as_deref(), Ok("node7"));
        for (text, refused) in [
            (format!("slurm:{good}"), NodeRefused::OtherPurpose),
            (format!("slurm:a b:{good}"), NodeRefused::OtherPurpose),
            (format!("slurm:n:{good}x"), NodeRefused::Foreign),
            ("slurm:n:x".to_owned(), NodeRefused::Foreign),
            (
                format!("slurm:n:{}", token(&of("alice", now() + 60), SECRET)),
                NodeRefused::NotForNodes("alice".to_owned()),
            ),
            (
                format!("slurm:n:{}", token(&of("root", now() - 60), SECRET)),
                NodeRefused::Expired,
            ),
            (
                format!("slurm:n:{}", token(&json!({"sun": "root"}), SECRET)),
                NodeRefused::Foreign,
            ),
            (
                format!("slurm:n:{}", token(&of("root", now() + 60), &[7; 40])),
                NodeRefused::Foreign,
            ),
        ] {
            assert_eq!(node(&text), Err(refused), "{text}");
        }
    }

    #[test]
    fn what_is_no_set_of_public_keys_is_refused() {
        let error = shared_key(b"short").map(|_| ()).unwrap_err();
        assert!(error.contains("too short"), "{error}");
        for (text, says) in [
            ("", "JWKS"),
            (r#"{"keys": []}"#, "no key"),
            // A shared key in a set would let every reader of the set sign.
            (
                r#"{"keys": [{"kty": "oct", "k": "c2VjcmV0", "alg": "HS256"}]}"#,
                "public keys",
            ),
        ] {
            let error = public_keys(text.as_bytes()).map(|_| ()).unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    #[test]
    fn a_public_key_verifies_what_its_private_key_signed_and_nothing_signed_by_the_public_one() {
        let pem = include_str!("../../../signature/tests/keys/plain.pem");
        let letters: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        let key = EncodingKey::from_ec_der(&STANDARD.decode(letters).unwrap());
        let mut jwk = Jwk::from_encoding_key(&key, Algorithm::ES256).unwrap();
        jwk.common.key_id = Some("one".to_owned());
        let set = serde_json::to_vec(&json!({"keys": [jwk]})).unwrap();
        let jwt = with(public_keys(&set).unwrap());
        let claims = json!({"username": "slurm", "exp": now() + 60});
        let signed = |kid: &str, key: &EncodingKey, algorithm| {
            let header = Header {
                kid: Some(kid.to_owned()),
                ..Header::new(algorithm)
            };
            let token = encode(&header, &claims, key).unwrap();
            jwt.node(&Password::new(format!("slurm:n:{token}")))
        };
        assert_eq!(signed("one", &key, Algorithm::ES256).unwrap().as_str(), "n");
        assert_eq!(
            signed("two", &key, Algorithm::ES256),
            Err(NodeRefused::Foreign)
        );
        let forged = signed("one", &EncodingKey::from_secret(&set), Algorithm::HS256);
        assert_eq!(forged, Err(NodeRefused::Foreign));
    }
}
