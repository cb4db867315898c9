//! Passwords, chosen or generated, and their argon2id hashes. Neither ever prints itself.

use std::fmt;

use argon2::password_hash::phc;
use argon2::{Algorithm, Argon2, Block, Params, PasswordHasher, Version};
use rand::RngExt;

/// Shortest password that an account may be given, in bytes.
const MIN_BYTES: usize = 8;
/// Longest password that is looked at, in bytes. Long enough for a token used as a password.
pub(crate) const MAX_BYTES: usize = 4096;
/// Letters of generated passwords: no two look alike. 24 of them hold 118 bits.
const ALPHABET: &[u8; 31] = b"abcdefghjkmnpqrstuvwxyz23456789";
const GENERATED_LEN: usize = 24;

/// Why a password is not accepted for an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// Easily guessed.
    #[error("a password of {0} bytes is too short: at least 8 are needed")]
    TooShort(usize),
    /// More than clients and headers carry.
    #[error("a password of {0} bytes is too long: at most 4096 are accepted")]
    TooLong(usize),
    /// A line end or another control character, most likely by accident.
    #[error("a password holds no control characters: remove line ends and tabs")]
    Control,
}

/// A password in the clear. Prints as dots; [`expose`](Self::expose) is the one way to read it.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(Box<str>);

impl Password {
    /// What a client sent: anything.
    #[must_use]
    pub fn new(text: impl Into<Box<str>>) -> Self {
        Self(text.into())
    }

    /// A password that an account may be given.
    ///
    /// # Errors
    /// It is shorter than 8 bytes, longer than 4096, or holds a control character.
    pub fn chosen(text: impl Into<Box<str>>) -> Result<Self, PasswordError> {
        let text = text.into();
        match text.len() {
            len if len < MIN_BYTES => Err(PasswordError::TooShort(len)),
            len if len > MAX_BYTES => Err(PasswordError::TooLong(len)),
            _ if text.chars().any(char::is_control) => Err(PasswordError::Control),
            _ => Ok(Self(text)),
        }
    }

    /// A random password of 24 letters and digits.
    #[must_use]
    pub fn generate() -> Self {
        let mut rng = rand::rng();
        let letters = (0..GENERATED_LEN).map(|_| {
            let at = rng.random_range(0..ALPHABET.len());
            char::from(ALPHABET.get(at).copied().unwrap_or(b'x'))
        });
        Self(letters.collect::<String>().into())
    }

    /// The password itself, to hash it or to show it once to the person who asked for it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// Why a text is not a password hash that this crate verifies.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a stored password hash is not an argon2 string: set the account's password anew")]
pub struct PasswordHashError;

/// A password's argon2id hash as a PHC string: `$argon2id$v=19$m=…,t=…,p=…$SALT$HASH`.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(Box<str>);

impl PasswordHash {
    /// A hash as a store kept it.
    ///
    /// # Errors
    /// It is not an argon2 PHC string.
    pub fn parse(text: &str) -> Result<Self, PasswordHashError> {
        let hash = phc::PasswordHash::new(text).map_err(|_| PasswordHashError)?;
        let whole = hash.algorithm.as_str().starts_with("argon2") && hash.hash.is_some();
        if whole {
            Ok(Self(text.into()))
        } else {
            Err(PasswordHashError)
        }
    }

    /// The PHC string, for the store alone.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Hashes `password` with a fresh salt. Takes tens of milliseconds: never on an async thread.
    pub(crate) fn compute(
        password: &Password,
        cost: HashCost,
    ) -> Result<Self, argon2::password_hash::Error> {
        let params = Params::new(cost.memory_kib, cost.passes, 1, None)?;
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let hash = argon2.hash_password(password.expose().as_bytes())?;
        Ok(Self(hash.to_string().into()))
    }

    /// Whether `password` is the one that was hashed. As slow as [`compute`](Self::compute). The
    /// work is done in `blocks`, which are made as many as are needed.
    pub(crate) fn matches_in(&self, password: &Password, blocks: &mut Vec<Block>) -> bool {
        let verify = || {
            let stored = phc::PasswordHash::new(&self.0).ok()?;
            let (salt, expected) = (stored.salt.as_ref()?, stored.hash.as_ref()?);
            let algorithm = Algorithm::try_from(stored.algorithm.as_str()).ok()?;
            let version = match stored.version {
                Some(version) => Version::try_from(version).ok()?,
                None => Version::default(),
            };
            let params = Params::try_from(&stored).ok()?;
            if blocks.len() < params.block_count() {
                blocks.resize(params.block_count(), Block::default());
            }
            let mut buffer = [0; phc::Output::MAX_LENGTH];
            let output = buffer.get_mut(..expected.len())?;
            Argon2::new(algorithm, version, params)
                .hash_password_into_with_memory(password.expose().as_bytes(), salt, output, blocks)
                .ok()?;
            // Compared in constant time.
            Some(phc::Output::new(output).ok()? == *expected)
        };
        verify().unwrap_or(false)
    }

    #[cfg(test)]
    pub(crate) fn matches(&self, password: &Password) -> bool {
        self.matches_in(password, &mut Vec::new())
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(…)")
    }
}

/// How much work a hash costs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HashCost {
    memory_kib: u32,
    passes: u32,
}

impl HashCost {
    /// 19 MiB and two passes: what OWASP recommends for argon2id.
    pub(crate) const STANDARD: Self = Self {
        memory_kib: Params::DEFAULT_M_COST,
        passes: Params::DEFAULT_T_COST,
    };
    /// As little as argon2 takes, for tests that are not about the cost.
    #[cfg(test)]
    pub(crate) const CHEAP: Self = Self {
        memory_kib: 8,
        passes: 1,
    };
}

/// A hash at [`HashCost::STANDARD`] of an unknown password. A name without an account is checked
/// against it, so that it takes as long as a wrong password.
pub(crate) fn nobodys_hash() -> PasswordHash {
    PasswordHash(NOBODY.into())
}

const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$c29kaXVtY2hsb3JpZGUxMg\
                      $tv+Hq6vHjbYGvsSzLrSUSw0lQhKQkuCFPb8b8jWgTDg";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_matches_its_password_and_no_other() {
        let password = Password::new("correct horse");
        let hash = PasswordHash::compute(&password, HashCost::CHEAP).unwrap();
        assert!(hash.matches(&password));
        for wrong in ["", "correct horsf", "correct horse ", "Correct horse"] {
            assert!(!hash.matches(&Password::new(wrong)), "{wrong}");
        }
        assert_eq!(PasswordHash::parse(hash.as_str()).unwrap(), hash);
    }

    #[test]
    fn memory_that_was_used_before_changes_no_answer() {
        let (one, two) = (Password::new("one"), Password::new("two"));
        let hash = PasswordHash::compute(&one, HashCost::CHEAP).unwrap();
        let mut blocks = Vec::new();
        assert!(!nobodys_hash().matches_in(&two, &mut blocks));
        for _ in 0..3 {
            assert!(hash.matches_in(&one, &mut blocks));
            assert!(!hash.matches_in(&two, &mut blocks));
        }
    }

    #[test]
    fn a_hash_is_salted() {
        let password = Password::new("same");
        let hash = || PasswordHash::compute(&password, HashCost::CHEAP).unwrap();
        assert_ne!(hash(), hash());
    }

    #[test]
    fn the_hash_of_nobody_costs_what_a_new_hash_costs() {
        let ours = PasswordHash::compute(&Password::new("x"), HashCost::STANDARD).unwrap();
        let cost = |hash: &PasswordHash| {
            let parts: Vec<_> = hash.as_str().split('$').map(str::to_owned).collect();
            (parts[1..4].to_vec(), parts[4].len(), parts[5].len())
        };
        assert_eq!(cost(&ours), cost(&nobodys_hash()));
        assert!(PasswordHash::parse(NOBODY).is_ok());
        assert!(!nobodys_hash().matches(&Password::new("")));
    }

    #[test]
    fn what_is_not_an_argon2_hash_is_refused() {
        for text in [
            "",
            "secret",
            "$2y$05$abcdefghijklmnopqrstuv",
            "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ",
        ] {
            assert_eq!(PasswordHash::parse(text), Err(PasswordHashError), "{text}");
        }
    }

    #[test]
    fn generated_passwords_differ_and_are_accepted() {
        let (one, two) = (Password::generate(), Password::generate());
        assert_ne!(one, two);
        assert_eq!(one.expose().len(), 24);
        assert!(Password::chosen(one.expose()).is_ok());
    }

    #[test]
    fn weak_and_odd_passwords_are_refused_for_accounts() {
        assert_eq!(Password::chosen("short"), Err(PasswordError::TooShort(5)));
        assert_eq!(
            Password::chosen("a".repeat(4097)),
            Err(PasswordError::TooLong(4097))
        );
        assert_eq!(
            Password::chosen("with a\nline end"),
            Err(PasswordError::Control)
        );
        assert!(Password::chosen("pässword").is_ok());
    }

    #[test]
    fn secrets_do_not_print() {
        let password = Password::new("hunter2hunter2");
        let hash = PasswordHash::compute(&password, HashCost::CHEAP).unwrap();
        let printed = format!("{password:?} {hash:?}");
        assert!(
            !printed.contains("hunter2") && !printed.contains("argon2"),
            "{printed}"
        );
    }
}
