//! `metahub catalog site PATH... --to FOLDER`: the collections of a catalog as static pages, one for each
//! application and a list to search in.

mod application;
mod pages;

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, ValueHint};
use metahub_catalog::Catalog;
use metahub_operations::Coverage;
use miette::{IntoDiagnostic as _, WrapErr as _};

use crate::args::{SettingsArgs, graph, load_config};
use crate::config::Layer;
use crate::exit::Exit;
use crate::output;

#[derive(Debug, Args)]
pub(crate) struct SiteArgs {
    /// Files, or folders of .yaml and .yml files
    #[arg(required = true, value_name = "PATH", value_hint = ValueHint::AnyPath)]
    paths: Vec<PathBuf>,
    /// The folder to write into; made if it is missing
    #[arg(long = "to", value_name = "FOLDER", value_hint = ValueHint::DirPath)]
    folder: PathBuf,
    /// The MetaHub that the pages tell people to pull from, a host and perhaps a port
    #[arg(long, value_name = "HOST", default_value = "localhost:5000")]
    host: String,
    #[command(flatten)]
    settings: SettingsArgs,
}

pub(crate) async fn run(args: SiteArgs) -> miette::Result<Exit> {
    let config = load_config(&args.settings, Layer::default())?;
    let graph = graph(&config)?;
    let coverage = Coverage {
        graph: Arc::clone(&graph),
        paths: args.paths.clone(),
        followed: Vec::new(),
        targets: Vec::new(),
        collections: Vec::new(),
        images: None,
    };
    // It refuses documents with errors, and a catalog without collections.
    let matrix = coverage.run().await?;
    let catalog = Catalog::load_in(graph, &args.paths).catalog;
    let applications = application::applications(&catalog, &matrix);
    fs::create_dir_all(&args.folder)
        .into_diagnostic()
        .wrap_err_with(|| format!("{} cannot be made", args.folder.display()))?;
    let mut written = vec![("index.html".to_owned(), pages::list(&applications))];
    for application in &applications {
        let page = pages::application(application, &args.host);
        written.push((pages::file_name(application.name), page));
    }
    for (name, page) in &written {
        let path = args.folder.join(name);
        fs::write(&path, page)
            .into_diagnostic()
            .wrap_err_with(|| format!("{} cannot be written", path.display()))?;
    }
    output::line(format!(
        "{} pages in {}: open {}",
        written.len(),
        args.folder.display(),
        args.folder.join("index.html").display()
    ))?;
    Ok(Exit::Ok)
}
