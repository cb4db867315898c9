//! `X-Meta-Profile`: how a node says what it is where the login is somebody else's, such as a
//! pod's own. It chooses among images and never adds a right.

use std::sync::Arc;

use metahub_catalog::{GrammarError, LoginError};

use crate::{Authenticator, Identity, ProfilePassword};

/// The header's name.
pub const PROFILE_HEADER: &str = "x-meta-profile";

impl Authenticator {
    /// `identity` with the selectors of the header `X-Meta-Profile` before its own. A login that
    /// names hardware itself keeps to that, and so does every login where the configuration does
    /// not let the header be read, or asks for an account beside a profile and there is none.
    ///
    /// # Errors
    /// Selectors that name nothing, or an account.
    pub fn with_profile_header(
        &self,
        identity: Arc<Identity>,
        header: &str,
    ) -> Result<Arc<Identity>, LoginError> {
        let config = self.config();
        let alone = identity.account().is_none();
        let refused = alone && config.profile_password == ProfilePassword::Account;
        let own = identity.profile();
        if !config.profile_header || refused || !own.provided().is_empty() {
            return Ok(identity);
        }
        let catalog = self.catalog();
        let named = match own.to_string() {
            own if own.is_empty() => header.to_owned(),
            own => format!("{header}+{own}"),
        };
        let login = catalog.interpret(&named, &|_| false)?;
        if login.account.is_some() {
            return Err(GrammarError::Selector(header.to_owned()).into());
        }
        Ok(Arc::new(Identity {
            profile: login.profile,
            ..Identity::clone(&identity)
        }))
    }
}
