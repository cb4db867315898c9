//! The accounts of a data folder, for the commands that change them.

use std::io::Read as _;
use std::sync::Arc;

use metahub_auth::Accounts;
use metahub_store::{Mode, Store};
use miette::miette;

use crate::config::Config;
use crate::data;

/// The accounts, beside a server that may run.
pub(crate) async fn open_in(config: &Config) -> miette::Result<Accounts> {
    let store = Store::open(&config.data, Mode::Beside)
        .await
        .map_err(|error| data::failed(&config.data, &error))?;
    Ok(Accounts::new(Arc::new(store)))
}

/// A password on standard input, of at most so many bytes.
pub(crate) fn password_from_stdin(most: u64) -> miette::Result<String> {
    let mut text = String::new();
    std::io::stdin()
        .lock()
        .take(most)
        .read_to_string(&mut text)
        .map_err(|error| miette!("cannot read the password from standard input: {error}"))?;
    // `echo` and editors add a line break.
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Ok(text.strip_suffix('\r').unwrap_or(text).to_owned())
}
