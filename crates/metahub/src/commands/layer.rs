//! `metahub layer build PATH -t NAME[:TAG]`: a layer image of a folder or a tar file, pushed to a
//! registry or written as an OCI image layout.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::{Args, Subcommand, ValueEnum, ValueHint};
use metahub_bundle::{
    Compression, LayerFile, LayerImage, LayerSettings, write_layout, write_layout_archive,
};
use metahub_oci::{ImageReference, Platform, Reference};
use miette::{IntoDiagnostic as _, WrapErr as _, miette};
use serde_json::json;

use crate::args::Format;
use crate::commands::registry_args::{RegistryArgs, client};
use crate::exit::{self, Exit};
use crate::output;

const EXAMPLES: &str = "\
Examples:
  metahub layer build tools -t hub.example/site/layer-tools:1.0
  metahub layer build tools.tar.gz -t site/layer-tools:1.0 --to oci:layout
  metahub layer build tools -t site/layer-tools:1.0 --to oci-archive:tools.oci.tar \\
      --platform linux/amd64 --platform linux/arm64";

/// Layer images, which the action manifest-add puts on top of other images
#[derive(Debug, Subcommand)]
pub(crate) enum LayerCommand {
    /// Build a layer image of a folder or a tar file, without an engine: the same content gives the
    /// same digest on every machine
    Build(Box<BuildArgs>),
}

#[derive(Debug, Args)]
#[command(after_help = exit::table_after(EXAMPLES))]
pub(crate) struct BuildArgs {
    /// The folder, or a tar file, plain or compressed with gzip or zstd. Its root is the root of the
    /// images that get the layer.
    #[arg(value_name = "DIR|TAR", value_hint = ValueHint::AnyPath)]
    source: PathBuf,
    /// What the image is called; with a host, and without --to, it is pushed there
    #[arg(short, long, value_name = "[HOST/]NAME[:TAG]")]
    tag: ImageReference,
    /// Write an OCI image layout instead of pushing: oci:FOLDER, to which the image is added, or
    /// oci-archive:FILE
    #[arg(long, value_name = "LAYOUT")]
    to: Option<Layout>,
    /// How the layer is compressed; zstd cannot be added to images in Docker's format
    #[arg(long, value_enum, default_value_t, value_name = "COMPRESSION")]
    compression: CompressionArg,
    /// The platforms of images that may get the layer
    #[arg(long, value_name = "OS/ARCHITECTURE", default_value = "linux/amd64")]
    platform: Vec<Platform>,
    /// Who owns all files, by number
    #[arg(long, value_name = "UID:GID", default_value = "0:0", value_parser = owner)]
    owner: (u32, u32),
    /// The time of all files, in seconds since 1970
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 0,
        env = "SOURCE_DATE_EPOCH"
    )]
    mtime: u64,
    /// Reduce modes to what Git keeps, 0755 and 0644, so that the umask of a checkout changes
    /// nothing
    #[arg(long)]
    normal_modes: bool,
    #[command(flatten)]
    registry: RegistryArgs,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum CompressionArg {
    /// Read by every engine
    #[default]
    Gzip,
    /// Smaller and faster
    Zstd,
}

/// Where a layout is written.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Layout {
    Folder(PathBuf),
    Archive(PathBuf),
}

impl FromStr for Layout {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let path = |rest: &str| (!rest.is_empty()).then(|| PathBuf::from(rest));
        let found = match text.split_once(':') {
            Some(("oci", rest)) => path(rest).map(Self::Folder),
            Some(("oci-archive", rest)) => path(rest).map(Self::Archive),
            _ => None,
        };
        found.ok_or_else(|| format!("expected oci:FOLDER or oci-archive:FILE, not '{text}'"))
    }
}

fn owner(text: &str) -> Result<(u32, u32), String> {
    let parts = text
        .split_once(':')
        .and_then(|(user, group)| Some((user.parse().ok()?, group.parse().ok()?)));
    parts.ok_or_else(|| format!("expected two numbers, as in 1000:1000, not '{text}'"))
}

pub(crate) async fn run(command: LayerCommand) -> miette::Result<Exit> {
    match command {
        LayerCommand::Build(args) => build(*args).await,
    }
}

async fn build(mut args: BuildArgs) -> miette::Result<Exit> {
    check(&args)?;
    // Without a tag it is `latest`, which is then written out.
    let (host, name) = (args.tag.host().cloned(), args.tag.name().clone());
    args.tag = ImageReference::new(host, name, args.tag.reference());
    let settings = LayerSettings {
        compression: match args.compression {
            CompressionArg::Gzip => Compression::Gzip,
            CompressionArg::Zstd => Compression::Zstd,
        },
        mtime: args.mtime,
        owner: args.owner,
        normal_modes: args.normal_modes,
    };
    let source = args.source.clone();
    let built = tokio::task::spawn_blocking(move || LayerFile::build(&source, &settings)).await;
    let layer = built.into_diagnostic()?.into_diagnostic()?;
    let image = LayerImage::of(&layer.built, &args.platform).into_diagnostic()?;
    let written = match &args.to {
        Some(Layout::Folder(folder)) => {
            write_layout(folder, &args.tag.to_string(), &image, &layer).into_diagnostic()?;
            folder.display().to_string()
        }
        Some(Layout::Archive(file)) => {
            let name = args.tag.to_string();
            write_layout_archive(file, &name, &image, &layer).into_diagnostic()?;
            file.display().to_string()
        }
        None => {
            push(&args, &image, &layer).await?;
            args.tag.to_string()
        }
    };
    report(&args, &image, &layer, &written)
}

/// Checks that need no input.
fn check(args: &BuildArgs) -> miette::Result<()> {
    if args.tag.digest().is_some() {
        return Err(miette!(
            help = "name a tag: the digest is what the content makes it",
            "{} names a digest",
            args.tag
        ));
    }
    if args.to.is_none() && args.tag.host().is_none() {
        return Err(miette!(
            help = "write -t HOST/NAME:TAG to push it, or --to oci:FOLDER to write it",
            "{} names no host that the image could be pushed to",
            args.tag
        ));
    }
    let mut seen = Vec::new();
    for platform in &args.platform {
        if seen.contains(&platform) {
            return Err(miette!("--platform {platform} is given twice"));
        }
        seen.push(platform);
    }
    Ok(())
}

async fn push(args: &BuildArgs, image: &LayerImage, layer: &LayerFile) -> miette::Result<()> {
    let config = args.registry.load()?;
    let registry = args.registry.registry(&args.tag, &config)?;
    let client = client(&registry).await?;
    let session = client.open_to_push(args.tag.name()).await;
    let session = session
        .into_diagnostic()
        .wrap_err_with(|| format!("{} cannot be pushed", args.tag))?;
    let built = &layer.built;
    if !session.has_blob(&built.digest).await.into_diagnostic()? {
        let file = open(layer.path()).await?;
        let pushed = session.upload_blob(&built.digest, built.size, file.into());
        pushed.await.into_diagnostic()?;
    }
    for config in &image.configs {
        session.push_blob(config).await.into_diagnostic()?;
    }
    for manifest in &image.manifests {
        let reference = Reference::Digest(manifest.digest().clone());
        let pushed = session.push_manifest(&reference, manifest).await;
        pushed.into_diagnostic()?;
    }
    let reference = args.tag.reference();
    let pushed = session.push_manifest(&reference, &image.root).await;
    pushed.into_diagnostic()?;
    Ok(())
}

async fn open(path: &Path) -> miette::Result<tokio::fs::File> {
    let file = tokio::fs::File::open(path).await;
    file.map_err(|error| miette!("cannot read {}: {error}", path.display()))
}

fn report(
    args: &BuildArgs,
    image: &LayerImage,
    layer: &LayerFile,
    written: &str,
) -> miette::Result<Exit> {
    let built = &layer.built;
    let digest = image.root.digest();
    if args.registry.format == Format::Json {
        let platforms: Vec<String> = args.platform.iter().map(ToString::to_string).collect();
        output::json(&json!({
            "image": args.tag,
            "written": written,
            "digest": digest,
            "media_type": image.root.media_type(),
            "platforms": platforms,
            "layer": {
                "digest": built.digest,
                "media_type": built.media_type(),
                "size": built.size,
                "diff_id": built.diff_id,
                "unpacked": built.unpacked,
                "entries": built.entries,
            },
        }))?;
        return Ok(Exit::Ok);
    }
    let entries = if built.entries == 1 {
        "1 entry".to_owned()
    } else {
        format!("{} entries", built.entries)
    };
    let size = indicatif::HumanBytes(built.size);
    let unpacked = indicatif::HumanBytes(built.unpacked);
    output::line(format!("{}@{digest}", args.tag))?;
    output::line(output::faint(&format!(
        "{entries}, {unpacked}, compressed to {size}, in {written}"
    )))?;
    Ok(Exit::Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_and_owners_are_read_as_they_are_written() {
        let folder = Layout::Folder("a:b".into());
        assert_eq!("oci:a:b".parse(), Ok(folder));
        assert_eq!(
            "oci-archive:x.tar".parse(),
            Ok(Layout::Archive("x.tar".into()))
        );
        for wrong in ["x", "oci:", "oci-archive:", "docker:x"] {
            assert!(wrong.parse::<Layout>().is_err(), "{wrong}");
        }
        assert_eq!(owner("1000:100"), Ok((1000, 100)));
        for wrong in ["1000", "a:b", "1:-1", ":"] {
            assert!(owner(wrong).is_err(), "{wrong}");
        }
    }
}
