//! Identities, passwords, tokens and rights
