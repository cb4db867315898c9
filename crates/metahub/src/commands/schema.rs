//! `metahub schema`: the JSON Schema of profile and collection documents, for editors.

use crate::exit::Exit;
use crate::output;

pub(crate) fn run() -> miette::Result<Exit> {
    output::json(&metahub_catalog::schema())?;
    Ok(Exit::Ok)
}
