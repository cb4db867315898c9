//! What images need, as reading their code shows it, held against what logins provide.

pub(crate) mod excess;
