//! Tokens: JSON Web Tokens (RFC 7519) that only this registry issues and reads.
//!
//! A token names the user name, the account that vouched for it and the scopes that were granted.
//! It says nothing about roles: those are read from the store when it is used. The algorithm is
//! HMAC-SHA-256 and no other is read; `kid` and `jku` mean nothing here.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use metahub_oci::RepositoryName;
use serde::ser::SerializeStruct;
use serde::{Deserialize, Serialize, Serializer};

use crate::{AccountName, Actions, AuthError, Node, PasswordHash, Scope};

const ALGORITHM: Algorithm = Algorithm::HS256;
/// Longest token that is read: 32 scopes of the longest names fit.
pub(crate) const MAX_TOKEN_BYTES: usize = 16 * 1024;
const ISSUER: &str = "metahub";
/// Letters of the base64 of a password's version that are kept: 132 bits.
const VERSION_LETTERS: usize = 22;

/// The secret that tokens are signed with. All replicas share one through the store.
pub struct SigningKey {
    signing: EncodingKey,
    verifying: DecodingKey,
}

impl SigningKey {
    /// A key made of 32 random bytes.
    #[must_use]
    pub fn new(secret: &[u8; 32]) -> Self {
        Self {
            signing: EncodingKey::from_secret(secret),
            verifying: DecodingKey::from_secret(secret),
        }
    }

    /// A short fingerprint of a stored password, which reveals nothing about it and changes with
    /// it. Tokens carry it, so that a new password invalidates the tokens of the old one.
    pub(crate) fn version_of(&self, password: &PasswordHash) -> Result<Box<str>, AuthError> {
        self.version(&format!("password-version:{}", password.as_str()))
    }

    /// The same for a node's credential.
    pub(crate) fn version_of_node(&self, basis: &str) -> Result<Box<str>, AuthError> {
        self.version(&format!("node-version:{basis}"))
    }

    fn version(&self, message: &str) -> Result<Box<str>, AuthError> {
        let mut text = jsonwebtoken::crypto::sign(message.as_bytes(), &self.signing, ALGORITHM)
            .map_err(AuthError::unavailable)?;
        text.truncate(VERSION_LETTERS);
        Ok(text.into())
    }

    pub(crate) fn sign(&self, claims: &Claims) -> Result<String, AuthError> {
        jsonwebtoken::encode(&Header::new(ALGORITHM), claims, &self.signing)
            .map_err(AuthError::unavailable)
    }

    /// The claims of a token that this key signed for `service` and that has not expired.
    pub(crate) fn verify(&self, token: &str, service: &str) -> Result<Claims, AuthError> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(AuthError::BadToken);
        }
        let mut validation = Validation::new(ALGORITHM);
        validation.leeway = 0;
        validation.set_audience(&[service]);
        validation.set_issuer(&[ISSUER]);
        validation.set_required_spec_claims(&["exp", "aud", "iss", "sub"]);
        match jsonwebtoken::decode(token, &self.verifying, &validation) {
            Ok(data) => Ok(data.claims),
            Err(error) if matches!(error.kind(), ErrorKind::ExpiredSignature) => {
                Err(AuthError::Expired)
            }
            Err(_) => Err(AuthError::BadToken),
        }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(…)")
    }
}

/// The claims of a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Claims {
    pub(crate) iss: String,
    pub(crate) aud: String,
    /// The user name as it was sent; empty for an anonymous token.
    pub(crate) sub: String,
    /// Seconds since 1970.
    pub(crate) iat: i64,
    /// Seconds since 1970.
    pub(crate) exp: i64,
    /// The account whose password was given. Without it the user name is never an account's,
    /// even if one of that name is added later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) account: Option<AccountName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) version: Option<Box<str>>,
    /// The node, if one proved its identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) node: Option<Node>,
    pub(crate) access: Vec<Access>,
    /// Whether the list of repositories may be read with it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) catalog: bool,
}

impl Claims {
    pub(crate) fn new(service: &str, issued_at: Timestamp, lifetime: Duration) -> Self {
        let iat = issued_at.as_second();
        let lifetime = i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX);
        Self {
            iss: ISSUER.to_owned(),
            aud: service.to_owned(),
            sub: String::new(),
            iat,
            exp: iat.saturating_add(lifetime),
            account: None,
            version: None,
            node: None,
            access: Vec::new(),
            catalog: false,
        }
    }

    /// When it expires; a time out of range counts as past.
    pub(crate) fn expires(&self) -> Timestamp {
        Timestamp::from_second(self.exp).unwrap_or(Timestamp::UNIX_EPOCH)
    }

    pub(crate) fn scopes(&self) -> Box<[Scope]> {
        self.access.iter().map(Access::scope).collect()
    }
}

/// From `now` until `later` in whole seconds; zero if that is past.
pub(crate) fn until(later: Timestamp, now: Timestamp) -> Duration {
    let left = later.as_second().saturating_sub(now.as_second());
    Duration::from_secs(u64::try_from(left).unwrap_or(0))
}

/// A granted scope, in the form that registries share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Access {
    #[serde(rename = "type")]
    kind: Kind,
    name: RepositoryName,
    actions: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Repository,
}

impl Access {
    fn scope(&self) -> Scope {
        let actions = self.actions.iter().map(|name| Actions::named(name));
        Scope {
            repository: self.name.clone(),
            actions: actions.fold(Actions::NONE, Actions::union),
        }
    }
}

impl From<Scope> for Access {
    fn from(scope: Scope) -> Self {
        Self {
            kind: Kind::Repository,
            actions: scope.actions.names().map(str::to_owned).collect(),
            name: scope.repository,
        }
    }
}

/// A token just issued. Serializes as the token endpoint's answer: `token`, `access_token`
/// (the same), `expires_in` in seconds, `issued_at` (RFC 3339). Its debug print hides the token.
#[derive(Clone, PartialEq, Eq)]
pub struct Issued {
    pub(crate) token: String,
    pub(crate) expires_in: u64,
    pub(crate) issued_at: Timestamp,
}

impl Issued {
    /// The token, for the answer alone.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Seconds until it expires.
    #[must_use]
    pub const fn expires_in(&self) -> u64 {
        self.expires_in
    }

    /// When it was issued.
    #[must_use]
    pub const fn issued_at(&self) -> Timestamp {
        self.issued_at
    }
}

impl Serialize for Issued {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut answer = serializer.serialize_struct("Issued", 4)?;
        answer.serialize_field("token", &self.token)?;
        answer.serialize_field("access_token", &self.token)?;
        answer.serialize_field("expires_in", &self.expires_in)?;
        answer.serialize_field("issued_at", &self.issued_at.to_string())?;
        answer.end()
    }
}

impl fmt::Debug for Issued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Issued {{ token: …, expires_in: {} }}", self.expires_in)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use rstest::rstest;
    use serde_json::json;

    fn key() -> SigningKey {
        SigningKey::new(&[7; 32])
    }

    fn claims() -> Claims {
        let mut claims = Claims::new("metahub", Timestamp::now(), Duration::from_secs(300));
        claims.sub = "alice/zen3".to_owned();
        claims.account = Some("alice".parse().unwrap());
        claims.access = vec![
            "repository:alice/x:pull,push"
                .parse::<Scope>()
                .unwrap()
                .into(),
        ];
        claims
    }

    fn encode(value: &serde_json::Value) -> String {
        URL_SAFE_NO_PAD.encode(value.to_string())
    }

    #[test]
    fn a_token_is_read_as_it_was_signed() {
        let token = key().sign(&claims()).unwrap();
        assert_eq!(key().verify(&token, "metahub").unwrap(), claims());
        assert_eq!(
            claims().scopes()[0].to_string(),
            "repository:alice/x:pull,push"
        );
    }

    #[test]
    fn a_token_of_another_key_service_or_issuer_is_refused() {
        let token = key().sign(&claims()).unwrap();
        assert!(matches!(
            SigningKey::new(&[8; 32]).verify(&token, "metahub"),
            Err(AuthError::BadToken)
        ));
        assert!(matches!(
            key().verify(&token, "other"),
            Err(AuthError::BadToken)
        ));
        let foreign = Claims {
            iss: "other".to_owned(),
            ..claims()
        };
        let token = key().sign(&foreign).unwrap();
        assert!(matches!(
            key().verify(&token, "metahub"),
            Err(AuthError::BadToken)
        ));
    }

    #[test]
    fn an_old_token_has_expired() {
        let now = Timestamp::now().as_second();
        let old = Claims {
            exp: now - 1,
            ..claims()
        };
        let token = key().sign(&old).unwrap();
        assert!(matches!(
            key().verify(&token, "metahub"),
            Err(AuthError::Expired)
        ));
    }

    #[rstest]
    #[case(json!({"alg": "none", "typ": "JWT"}), "")]
    #[case(json!({"alg": "none"}), "AAAA")]
    #[case(json!({"alg": "None"}), "")]
    #[case(json!({"alg": "HS512"}), "AAAA")]
    #[case(json!({"alg": "EdDSA"}), "AAAA")]
    #[case(json!({"alg": "HS256"}), "")]
    #[case(json!({"alg": "HS256", "jwk": {"kty": "oct", "k": "AAAA"}}), "AAAA")]
    #[case(json!({"alg": "HS256", "kid": "metahub"}), "AAAA")]
    #[case(json!({"alg": "HS256", "kid": "../../dev/null"}), "")]
    #[case(json!({"alg": "HS256", "jku": "https://evil.example/keys"}), "AAAA")]
    #[case(json!({"alg": "HS256", "x5c": ["AAAA"]}), "AAAA")]
    fn a_token_that_chooses_its_own_algorithm_or_key_is_refused(
        #[case] header: serde_json::Value,
        #[case] signature: &str,
    ) {
        let payload = serde_json::to_value(claims()).unwrap();
        let token = format!("{}.{}.{signature}", encode(&header), encode(&payload));
        assert!(matches!(
            key().verify(&token, "metahub"),
            Err(AuthError::BadToken)
        ));
    }

    #[test]
    fn a_token_signed_by_the_right_key_with_another_algorithm_is_refused() {
        let secret = EncodingKey::from_secret(&[7; 32]);
        let token = jsonwebtoken::encode(&Header::new(Algorithm::HS512), &claims(), &secret);
        assert!(matches!(
            key().verify(&token.unwrap(), "metahub"),
            Err(AuthError::BadToken)
        ));
    }

    #[test]
    fn a_token_changed_anywhere_is_refused() {
        let token = key().sign(&claims()).unwrap();
        for at in 0..token.len() {
            let mut bytes = token.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(bytes).unwrap();
            assert!(key().verify(&changed, "metahub").is_err(), "byte {at}");
            assert!(
                key().verify(&token[..at], "metahub").is_err(),
                "cut at {at}"
            );
        }
    }

    #[test]
    fn a_token_without_its_required_claims_is_refused() {
        let whole = serde_json::to_value(claims()).unwrap();
        for claim in ["exp", "aud", "iss", "sub", "access"] {
            let mut claims = whole.clone();
            claims.as_object_mut().unwrap().remove(claim);
            let secret = EncodingKey::from_secret(&[7; 32]);
            let token = jsonwebtoken::encode(&Header::new(ALGORITHM), &claims, &secret).unwrap();
            assert!(key().verify(&token, "metahub").is_err(), "{claim}");
        }
    }

    #[test]
    fn a_password_version_follows_the_password_and_shows_nothing_of_it() {
        let hash = |salt: &str| {
            PasswordHash::parse(&format!(
                "$argon2id$v=19$m=8,t=1,p=1${salt}$tv+Hq6vHjbYGvsSzLrSUSw0lQhKQkuCFPb8b8jWgTDg"
            ))
            .unwrap()
        };
        let one = key().version_of(&hash("c29kaXVtY2hsb3JpZGUxMg")).unwrap();
        let two = key().version_of(&hash("c29kaXVtY2hsb3JpZGUxMw")).unwrap();
        assert_ne!(one, two);
        assert_eq!(one.len(), VERSION_LETTERS);
    }

    #[test]
    fn the_answer_of_the_token_endpoint_names_the_token_twice() {
        let issued = Issued {
            token: "t.o.k".to_owned(),
            expires_in: 300,
            issued_at: Timestamp::from_second(1_790_000_000).unwrap(),
        };
        assert_eq!(
            serde_json::to_value(&issued).unwrap(),
            json!({
                "token": "t.o.k",
                "access_token": "t.o.k",
                "expires_in": 300,
                "issued_at": "2026-09-21T14:13:20Z",
            })
        );
        assert!(!format!("{issued:?}").contains("t.o.k"));
    }
}
