//! `metahub export` and `metahub import`: images, collections and profiles in one file, for sites
//! without a network.
//!
//! What to export is worked out, and fetched, by whoever serves the data folder; the content is
//! then read from the folder here, and hashed once more on its way.

use std::collections::HashMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, ValueHint};
use metahub_bundle::{BundleWriter, Documents, ORIGIN, PARTIAL, REF_NAME};
use metahub_oci::{Digest, ImageReference, MediaType};
use metahub_registry::{Imported, Inventory, InventoryContent, InventoryEntry};
use metahub_store::{Content, Mode, Store};
use miette::{IntoDiagnostic as _, miette};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::args::{Format, SettingsArgs, load_config};
use crate::commands::order;
use crate::commands::selection::SelectionArgs;
use crate::config::Layer;
use crate::control::Order;
use crate::data;
use crate::exit::{self, Exit};
use crate::output;

#[derive(Debug, Args)]
#[command(after_help = exit::TABLE)]
pub(crate) struct ExportArgs {
    #[command(flatten)]
    selection: SelectionArgs,
    /// The file to write; until it is whole it is called FILE.partial
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    output: PathBuf,
    /// Also take every profile of this site's documents, with the layer images that they add
    #[arg(long)]
    profiles: bool,
    #[command(flatten)]
    settings: SettingsArgs,
    /// How to print
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    format: Format,
}

#[derive(Debug, Args)]
#[command(after_help = exit::TABLE)]
pub(crate) struct ImportArgs {
    /// The file: an OCI image layout in a tar file, of metahub export or of another tool
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    file: PathBuf,
    /// What its one image is called here, in place of what the file says
    #[arg(long, value_name = "NAME:TAG")]
    name: Option<ImageReference>,
    /// Leave its collections and profiles out
    #[arg(long)]
    without_documents: bool,
    #[command(flatten)]
    settings: SettingsArgs,
    /// How to print
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    format: Format,
}

/// What `metahub export --format json` prints.
#[derive(Serialize)]
struct Exported {
    file: PathBuf,
    /// The size of the file in bytes.
    bytes: u64,
    /// The names under which tools find its images.
    images: Vec<ExportedImage>,
    /// How many documents of profiles and collections are in it.
    documents: usize,
    /// Pieces of content in it.
    contents: usize,
    /// Those that a former run had written.
    resumed: usize,
    warnings: Vec<String>,
    /// Images that could not be had, and why.
    failed: Vec<String>,
}

#[derive(Serialize)]
struct ExportedImage {
    name: String,
    digest: Digest,
}

pub(crate) async fn export(args: ExportArgs) -> miette::Result<Exit> {
    let config = load_config(&args.settings, Layer::default())?;
    let images = args.selection.images(args.profiles)?;
    let report = match order::done(&config, Order::Inventory(images)).await {
        Ok(report) => report,
        Err(error) => return exit::of(error),
    };
    let plan: Inventory = serde_json::from_value(report).into_diagnostic()?;
    let store = Store::open(&config.data, Mode::Beside)
        .await
        .map_err(|error| data::failed(&config.data, &error))?;
    let exported = write(&store, &plan, &args.output).await;
    store.close().await;
    let exported = exported?;
    if args.format == Format::Json {
        output::json(&exported)?;
        return Ok(exit::in_part(&exported.failed));
    }
    for warning in &exported.warnings {
        anstream::eprintln!("warning: {warning}");
    }
    for image in &exported.images {
        output::line(format!(
            "{}  {}",
            image.name,
            output::faint(image.digest.as_str())
        ))?;
    }
    if exported.documents > 0 {
        let plural = if exported.documents == 1 { "" } else { "s" };
        output::line(format!("{} document{plural}", exported.documents))?;
    }
    let resumed = match exported.resumed {
        0 => String::new(),
        some => format!(", {some} of them from a run that broke off"),
    };
    output::line(format!(
        "{}: {} in {} pieces{resumed}",
        exported.file.display(),
        indicatif::HumanBytes(exported.bytes),
        exported.contents
    ))?;
    Ok(exit::in_part(&exported.failed))
}

/// Writes the bundle; what is in it.
async fn write(store: &Store, plan: &Inventory, path: &Path) -> miette::Result<Exported> {
    let documents = (!plan.documents.is_empty()).then(|| Documents::pack(&plan.documents));
    let packed = documents.iter().flat_map(|documents| &documents.contents);
    let mut wanted: HashMap<Digest, u64> = plan
        .contents
        .iter()
        .map(|content| (content.digest.clone(), content.size))
        .collect();
    wanted.extend(
        packed
            .clone()
            .map(|(digest, bytes)| (digest.clone(), bytes.len() as u64)),
    );
    let contents = wanted.len();
    let path = path.to_owned();
    let file = path.clone();
    let mut writer = blocking(move || BundleWriter::begin(&file, &wanted)).await?;
    let bar = order::bytes_bar(plan.bytes());
    let mut resumed = 0;
    for content in &plan.contents {
        if writer.has(&content.digest) {
            resumed += 1;
            bar.inc(content.size);
            continue;
        }
        let source = Source::of(store, content).await?;
        let (digest, size, bar) = (content.digest.clone(), content.size, bar.clone());
        writer = blocking(move || {
            let mut read = source.read();
            writer.add(&digest, size, &mut *read, |bytes| bar.inc(bytes))?;
            drop(read);
            Ok(writer)
        })
        .await?;
    }
    for (digest, bytes) in packed {
        if writer.has(digest) {
            resumed += 1;
        } else {
            let size = bytes.len() as u64;
            writer
                .add(digest, size, &mut bytes.as_ref(), |_| {})
                .into_diagnostic()?;
        }
    }
    let entries: Vec<Value> = plan
        .entries
        .iter()
        .map(entry)
        .chain(documents.as_ref().map(|documents| documents.entry.clone()))
        .collect();
    let index = json!({
        "schemaVersion": 2,
        "mediaType": MediaType::OCI_INDEX,
        "manifests": entries,
    });
    let bytes = blocking(move || writer.finish(index.to_string().as_bytes())).await?;
    bar.finish_and_clear();
    let named = plan.entries.iter().filter_map(|entry| {
        Some(ExportedImage {
            name: entry.name.clone()?,
            digest: entry.descriptor()?.digest().clone(),
        })
    });
    Ok(Exported {
        file: path,
        bytes,
        images: named.collect(),
        documents: plan.documents.len(),
        contents,
        resumed,
        warnings: plan.warnings.clone(),
        failed: plan.failed.clone(),
    })
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, metahub_bundle::BundleError> + Send + 'static,
) -> miette::Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .into_diagnostic()?
        .into_diagnostic()
}

/// Where content is read from.
enum Source {
    Bytes(bytes::Bytes),
    File(Arc<std::fs::File>),
}

impl Source {
    async fn of(store: &Store, content: &InventoryContent) -> miette::Result<Self> {
        let gone = || {
            miette!(
                help = "run the same command again: it goes on where it stopped",
                "{} was removed from {} while it was exported",
                content.digest,
                content.repository
            )
        };
        let (repository, digest) = (&content.repository, &content.digest);
        if content.manifest {
            let stored = store.manifest(repository, digest).await.into_diagnostic()?;
            return Ok(Self::Bytes(stored.ok_or_else(gone)?.bytes.clone()));
        }
        let blob = store.blob(repository, digest).await.into_diagnostic()?;
        let open = blob.ok_or_else(gone)?.open().await.into_diagnostic()?;
        Ok(match open.content() {
            Content::Memory(bytes) => Self::Bytes(bytes.clone()),
            Content::File(file) => Self::File(Arc::clone(file)),
        })
    }

    fn read(&self) -> Box<dyn Read + '_> {
        match self {
            Self::Bytes(bytes) => Box::new(bytes.as_ref()),
            Self::File(file) => Box::new(&**file),
        }
    }
}

/// An entry of the bundle's index.
fn entry(entry: &InventoryEntry) -> Value {
    let mut annotations = json!({
        metahub_resolve::IMAGE: entry.image,
        ORIGIN: entry.origin.as_str(),
    });
    if let Some(annotations) = annotations.as_object_mut() {
        if let Some(name) = &entry.name {
            annotations.insert(REF_NAME.to_owned(), json!(name));
        }
        if entry.partial {
            annotations.insert(PARTIAL.to_owned(), json!("true"));
        }
    }
    let mut descriptor = entry.descriptor.clone();
    if let Some(descriptor) = descriptor.as_object_mut() {
        descriptor.insert("annotations".to_owned(), annotations);
    }
    descriptor
}

/// What an import reports.
#[derive(Deserialize, Serialize)]
struct Report {
    #[serde(flatten)]
    imported: Imported,
    documents: Vec<String>,
}

pub(crate) async fn import(args: ImportArgs) -> miette::Result<Exit> {
    let config = load_config(&args.settings, Layer::default())?;
    let order = Order::Import {
        // The server may stand in another folder.
        path: std::path::absolute(&args.file).into_diagnostic()?,
        name: args.name,
        documents: !args.without_documents,
    };
    let report = order::done(&config, order).await?;
    let report: Report = serde_json::from_value(report).into_diagnostic()?;
    if args.format == Format::Json {
        output::json(&report)?;
        return Ok(Exit::Ok);
    }
    for image in &report.imported.images {
        output::line(image.to_string())?;
    }
    for document in &report.documents {
        output::line(document)?;
    }
    let Imported {
        blobs,
        bytes,
        held,
        held_bytes,
        ..
    } = report.imported;
    output::line(format!(
        "{blobs} blobs stored ({}), {held} were here already ({})",
        indicatif::HumanBytes(bytes),
        indicatif::HumanBytes(held_bytes)
    ))?;
    Ok(Exit::Ok)
}
