//! `metahub schema`: the JSON Schema of profile and collection documents, for editors.

use crate::exit::Exit;

pub(crate) fn run() -> miette::Result<Exit> {
    Ok(Exit::Ok)
}
