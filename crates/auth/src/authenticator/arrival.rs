//! The identity of a request after its profile was chosen by what the request shows.

use std::sync::Arc;

use metahub_catalog::Composed;

use super::{Authenticator, ProfilePassword};
use crate::Identity;
use crate::profiles_by::{Arrival, ChannelError, compose};

impl Authenticator {
    /// `identity` with the profile chosen by the request's channels, if its own login names no
    /// hardware: selectors of a channel come before those of the login, and a channel that names no
    /// hardware leaves the choice to the next. The header counts if the configuration allows it,
    /// and, where profiles require an account, only with an account.
    ///
    /// # Errors
    /// Selectors that name nothing, or an account.
    pub fn under_arrival(
        &self,
        identity: Arc<Identity>,
        arrival: &Arrival<'_>,
    ) -> Result<Arc<Identity>, ChannelError> {
        if states_hardware(identity.profile()) {
            return Ok(identity);
        }
        let config = self.config();
        let alone = identity.account().is_none();
        let refused = alone && config.profile_password == ProfilePassword::Account;
        let header = config.profile_header && !refused;
        let channels = config.profiles_by.of(arrival, header);
        if channels.is_empty() {
            return Ok(identity);
        }
        let catalog = self.catalog();
        let mut selectors = identity.profile().to_string();
        let mut profile = Arc::clone(identity.profile());
        let mut by = Vec::new();
        for (channel, login) in channels {
            by.push(channel.to_string());
            // By itself first, so that an error is about this channel alone.
            profile = compose(&catalog, login, &channel)?;
            if selectors.is_empty() {
                login.clone_into(&mut selectors);
            } else {
                selectors = format!("{login}+{selectors}");
                profile = compose(&catalog, &selectors, &channel)?;
            }
            if states_hardware(&profile) {
                break;
            }
        }
        Ok(Arc::new(Identity {
            profile,
            profile_by: Some(by.join(", ").into()),
            ..Identity::clone(&identity)
        }))
    }
}

/// Whether a profile states the machine, or that nothing is to be chosen.
fn states_hardware(profile: &Composed) -> bool {
    !profile.provided().is_empty() || profile.gets_everything()
}
