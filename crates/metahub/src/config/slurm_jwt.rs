//! The setting for the keys that sign Slurm's tokens.

use std::path::{Path, PathBuf};

use metahub_auth::{SlurmJwtConfig, SlurmKeys};
use schemars::JsonSchema;
use serde::Deserialize;

/// Keys in one file, of either kind, and whose tokens count.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(try_from = "Written")]
#[schemars(with = "Written")]
pub(crate) struct SlurmJwtSource {
    keys: SlurmKeys,
    users: Vec<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Written {
    /// A set of public keys (RFC 7517).
    jwks_file: Option<PathBuf>,
    /// The key that Slurm's daemons share.
    hs256_key_file: Option<PathBuf>,
    /// The users whose tokens speak for nodes; root where nothing is said.
    users: Option<Vec<String>>,
}

impl TryFrom<Written> for SlurmJwtSource {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let keys = match (written.jwks_file, written.hs256_key_file) {
            (Some(file), None) => SlurmKeys::Jwks(file),
            (None, Some(file)) => SlurmKeys::Shared(file),
            _ => return Err("expected either jwks_file or hs256_key_file".to_owned()),
        };
        let users = written.users.unwrap_or_else(|| vec!["root".to_owned()]);
        Ok(Self { keys, users })
    }
}

impl SlurmJwtSource {
    /// A relative path starts at `folder`.
    pub(super) fn rebase(&mut self, folder: &Path) {
        let (SlurmKeys::Jwks(file) | SlurmKeys::Shared(file)) = &mut self.keys;
        *file = folder.join(&*file);
    }

    pub(super) fn config(self) -> SlurmJwtConfig {
        SlurmJwtConfig {
            keys: self.keys,
            users: self.users,
        }
    }
}
