//! Reading other registries: authentication, retries, verified streaming
