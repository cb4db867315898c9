//! `metahub catalog push|pull|list`: catalogs as artifacts of registries, in the form that
//! `oras push` and `oras pull` read and write.

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueHint};
use metahub_catalog::artifact::{CatalogFile, PackedCatalog};
use metahub_catalog::{Catalog, Loader, files};
use metahub_client::session::Session;
use metahub_oci::{Digest, Document, Host, ImageReference, Reference};
use metahub_operations::CatalogReader;
use metahub_signature::{PrivateKey, Referrer};
use miette::{IntoDiagnostic as _, WrapErr as _, miette};
use serde_json::json;

use crate::args::{Format, SettingsArgs, graph, load_config};
use crate::commands::catalog_new::{self, NewArgs};
use crate::commands::catalog_site::{self, SiteArgs};
use crate::commands::catalog_test;
use crate::commands::catalog_update::{self, UpdateArgs};
use crate::commands::catalog_verify::{self, VerifyArgs};
use crate::commands::profile_test::ProfileTestArgs;
use crate::commands::registry_args::{RegistryArgs, client, push_referrer};
use crate::config::{Config, Layer, followed, parse_reference};
use crate::exit::Exit;
use crate::follow::{Status, public_key};
use crate::keys::private_key;
use crate::output;

/// Collections that others use: writing them, and catalogs as artifacts of registries
#[derive(Debug, Subcommand)]
pub(crate) enum CatalogCommand {
    /// Make a folder for the collections of an application, to be filled in
    New(NewArgs),
    /// Run the tests beside collections; each application has some
    Test(ProfileTestArgs),
    /// Verify collections against the registries of their images, and write a lock of their digests
    Verify(VerifyArgs),
    /// Add collections for new versions of applications, found by patterns in the documents
    Update(UpdateArgs),
    /// Push documents as one artifact, after checking them as metahub check does
    Push(PushArgs),
    /// Write the documents of a catalog of a registry into a folder
    Pull(PullArgs),
    /// Write static pages of collections: what each application is, and which machine gets what
    Site(SiteArgs),
    /// List the catalogs that the configuration follows, with their status
    List {
        #[command(flatten)]
        settings: SettingsArgs,
        /// How to print
        #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
        format: Format,
    },
}

#[derive(Debug, Args)]
pub(crate) struct PushArgs {
    /// Files, or folders of .yaml and .yml files
    #[arg(required = true, value_name = "PATH", value_hint = ValueHint::AnyPath)]
    paths: Vec<PathBuf>,
    /// Where to: HOST/NAME:TAG
    #[arg(value_name = "HOST/NAME:TAG", value_parser = parse_reference)]
    catalog: ImageReference,
    /// Sign it, too: a PEM file with a private key; its password, if it has one, is taken from
    /// COSIGN_PASSWORD
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    sign_key: Option<PathBuf>,
    #[command(flatten)]
    registry: RegistryArgs,
}

#[derive(Debug, Args)]
pub(crate) struct PullArgs {
    /// The catalog: HOST/NAME:TAG
    #[arg(value_name = "HOST/NAME:TAG", value_parser = parse_reference)]
    catalog: ImageReference,
    /// The folder to write into; made if it is missing
    #[arg(value_name = "DIR", default_value = ".", value_hint = ValueHint::DirPath)]
    folder: PathBuf,
    /// Only if the key in this PEM file has signed it
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    key: Option<PathBuf>,
    #[command(flatten)]
    registry: RegistryArgs,
}

pub(crate) async fn run(command: CatalogCommand) -> miette::Result<Exit> {
    match command {
        CatalogCommand::New(args) => catalog_new::run(&args),
        CatalogCommand::Test(args) => catalog_test::run(args).await,
        CatalogCommand::Verify(args) => catalog_verify::run(args).await,
        CatalogCommand::Update(args) => catalog_update::run(args).await,
        CatalogCommand::Push(args) => push(args).await,
        CatalogCommand::Pull(args) => pull(args).await,
        CatalogCommand::Site(args) => catalog_site::run(args).await,
        CatalogCommand::List { settings, format } => list(&settings, format),
    }
}

async fn push(args: PushArgs) -> miette::Result<Exit> {
    let config = args.registry.load()?;
    let key = match &args.sign_key {
        Some(file) => Some(private_key(file)?),
        None => None,
    };
    let files = files(&args.paths).into_diagnostic()?;
    if !check(&config, &files)? {
        return Ok(Exit::Failure);
    }
    let count = files.len();
    let packed = PackedCatalog::of(files).into_diagnostic()?;
    let registry = args.registry.registry(&args.catalog, &config)?;
    let client = client(&registry).await?;
    let session = client.open_to_push(args.catalog.name()).await;
    let session = session.into_diagnostic()?;
    for blob in &packed.blobs {
        session.push_blob(blob).await.into_diagnostic()?;
    }
    let digest = packed.manifest.digest().clone();
    if let Some(key) = &key {
        // The tag comes last, so that its followers find the signature at once.
        let reference = Reference::Digest(digest.clone());
        let pushed = session.push_manifest(&reference, &packed.manifest).await;
        pushed.into_diagnostic()?;
        sign(&session, key, &packed.manifest).await?;
    }
    let reference = args.catalog.reference();
    let pushed = session.push_manifest(&reference, &packed.manifest).await;
    pushed.into_diagnostic()?;
    match args.registry.format {
        Format::Json => output::json(&json!({
            "catalog": args.catalog,
            "digest": digest,
            "files": count,
            "signed_by": key.as_ref().map(|key| key.public().fingerprint()),
        }))?,
        Format::Text => output::line(format!("{}@{digest}", bare(&args.catalog)))?,
    }
    Ok(Exit::Ok)
}

/// Checks documents as a server reads them, and prints problems.
fn check(config: &Config, files: &[CatalogFile]) -> miette::Result<bool> {
    let mut loader = Loader::new(Catalog::in_graph(graph(config)?));
    for CatalogFile { title, bytes } in files {
        let text = std::str::from_utf8(bytes);
        let text = text.map_err(|_| miette!("{title} is not UTF-8 text"))?;
        loader.add_text(title, text);
    }
    let loaded = loader.finish();
    for problem in &loaded.problems {
        anstream::eprintln!("{problem}");
    }
    if loaded.has_errors() {
        anstream::eprintln!("nothing was pushed: correct the errors first");
    }
    Ok(!loaded.has_errors())
}

/// Pushes a signature of `manifest` beside it.
async fn sign(session: &Session<'_>, key: &PrivateKey, manifest: &Document) -> miette::Result<()> {
    let signature = Referrer::sign(key, &manifest.descriptor()).into_diagnostic()?;
    let document = Document::parse(signature.manifest, None).into_diagnostic()?;
    if !push_referrer(session, signature.bundle.to_vec(), &document).await? {
        anstream::eprintln!(
            "warning: the registry does not list referrers, so the signature will not be found"
        );
    }
    Ok(())
}

async fn pull(args: PullArgs) -> miette::Result<Exit> {
    let config = args.registry.load()?;
    let key = args.key.as_deref().map(public_key).transpose()?;
    let registry = args.registry.registry(&args.catalog, &config)?;
    let reader = CatalogReader::new(&args.catalog, &registry, &config.upstreams, key);
    let fetched = reader.into_diagnostic()?.fetch(None).await;
    let fetched = fetched
        .into_diagnostic()
        .wrap_err_with(|| format!("{} cannot be pulled", args.catalog))?;
    for file in &fetched.files {
        write(&args.folder, file)?;
    }
    match args.registry.format {
        Format::Json => {
            let titles: Vec<&str> = fetched.files.iter().map(|f| f.title.as_str()).collect();
            output::json(&json!({
                "catalog": args.catalog,
                "digest": fetched.digest,
                "files": titles,
                "verified_by": fetched.verified_by,
            }))?;
        }
        Format::Text => {
            for file in &fetched.files {
                output::line(args.folder.join(&file.title).display().to_string())?;
            }
        }
    }
    Ok(Exit::Ok)
}

/// Writes a file below `folder`. Its title was checked to stay there; existing links are not
/// followed.
fn write(folder: &Path, file: &CatalogFile) -> miette::Result<()> {
    let failed = |path: &Path, error: &std::io::Error| miette!("{}: {error}", path.display());
    fs::create_dir_all(folder).map_err(|error| failed(folder, &error))?;
    let mut at = folder.to_owned();
    let mut components: Vec<&str> = file.title.split('/').collect();
    let name = components.pop().unwrap_or_default();
    for component in components {
        at.push(component);
        match fs::symlink_metadata(&at) {
            Ok(found) if found.is_dir() => {}
            Ok(_) => {
                return Err(miette!(
                    help = "remove it, or name another folder",
                    "{} is no folder, and the catalog has files below it",
                    at.display()
                ));
            }
            Err(_) => fs::create_dir(&at).map_err(|error| failed(&at, &error))?,
        }
    }
    // Renamed into place, which replaces whatever has that name, even a link.
    let new = at.join(format!(".{name}.new"));
    let _ = fs::remove_file(&new);
    let path = at.join(name);
    let mut options = fs::OpenOptions::new();
    let opened = options.write(true).create_new(true).open(&new);
    opened
        .and_then(|mut open| std::io::Write::write_all(&mut open, &file.bytes))
        .and_then(|()| fs::rename(&new, &path))
        .map_err(|error| failed(&path, &error))
}

fn list(settings: &SettingsArgs, format: Format) -> miette::Result<Exit> {
    let config = load_config(settings, Layer::default())?;
    let entries = followed(&config.catalog).map(|one| format!("oci://{}", one.oci));
    let all: Vec<Status> = entries
        .map(|catalog| Status::read(&config.data, &catalog))
        .collect();
    if format == Format::Json {
        output::json(&all)?;
        return Ok(Exit::Ok);
    }
    if all.is_empty() {
        output::line("no catalogs are followed: name them under catalog in the configuration")?;
        return Ok(Exit::Ok);
    }
    let mut table = output::table(&["CATALOG", "IN USE", "FILES", "SIGNED BY", "PROBLEM"]);
    for one in all {
        let digest = |digest: &Option<Digest>| {
            let digest = digest.as_ref().map(|digest| digest.short().to_owned());
            digest.unwrap_or_else(|| "-".to_owned())
        };
        table.add_row([
            one.catalog.clone(),
            digest(&one.digest),
            one.files.to_string(),
            digest(&one.verified_by),
            one.problem.clone().unwrap_or_default(),
        ]);
    }
    output::print_table(&mut table)?;
    Ok(Exit::Ok)
}

/// A reference without its tag.
fn bare(image: &ImageReference) -> String {
    let host = image.host().map(Host::as_str).unwrap_or_default();
    format!("{host}/{}", image.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(title: &str) -> CatalogFile {
        CatalogFile {
            title: title.to_owned(),
            bytes: "new".into(),
        }
    }

    #[test]
    fn links_that_lie_in_the_folder_are_not_followed() {
        let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let outside = elsewhere.path().join("a.yaml");
        fs::write(&outside, "old").unwrap();
        std::os::unix::fs::symlink(&outside, folder.path().join("a.yaml")).unwrap();
        std::os::unix::fs::symlink(elsewhere.path(), folder.path().join("sub")).unwrap();
        write(folder.path(), &file("a.yaml")).unwrap();
        assert!(write(folder.path(), &file("sub/a.yaml")).is_err());
        write(folder.path(), &file("other/b.yaml")).unwrap();
        assert_eq!(fs::read_to_string(&outside).unwrap(), "old");
        assert_eq!(
            fs::read_to_string(folder.path().join("a.yaml")).unwrap(),
            "new"
        );
        assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 1);
    }
}
