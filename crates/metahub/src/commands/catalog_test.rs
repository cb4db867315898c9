//! `metahub catalog test PATH...`: runs the tests beside collections, of which each application has
//! at least one.

use std::collections::BTreeSet;

use metahub_catalog::Catalog;
use metahub_oci::ImageReference;

use crate::commands::profile_test::{self, ProfileTestArgs};
use crate::exit::Exit;

pub(crate) async fn run(args: ProfileTestArgs) -> miette::Result<Exit> {
    let paths = args.paths.clone();
    let config = profile_test::config(&args)?;
    let report = profile_test::report(args, &config).await?;
    let pulled: BTreeSet<String> = report
        .tests
        .iter()
        .filter_map(|test| test.pull.parse::<ImageReference>().ok())
        .map(|image| image.name().to_string())
        .collect();
    let catalog = Catalog::load_in(crate::args::graph(&config)?, &paths).catalog;
    let mut untested = BTreeSet::new();
    for collection in catalog.collections() {
        let (name, location) = (collection.name.as_str(), &collection.location);
        if !pulled.contains(name) && untested.insert(name) {
            anstream::eprintln!(
                "{location}: no test pulls an image of {name}: write `tests:` beside `manifests:`"
            );
        }
    }
    let failed = !untested.is_empty() || profile_test::failed(&report);
    Ok(if failed { Exit::Failure } else { Exit::Ok })
}
