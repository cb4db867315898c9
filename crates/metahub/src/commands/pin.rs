//! `metahub pin NAME@DIGEST...`: exempts derived or cached images from eviction, until the pin is
//! removed.

use clap::Args;
use metahub_oci::ImageReference;
use metahub_operations::{ListPins, PinImage, UnpinImage};
use metahub_registry::PinnedImage;

use crate::args::{Format, SettingsArgs, load_config};
use crate::commands::order;
use crate::config::{Config, Layer};
use crate::exit::{self, Exit};
use crate::output;

const EXAMPLES: &str = "\
Examples:
  metahub pin lab/app@sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a
  metahub pin --list
";

#[derive(Debug, Args)]
#[command(after_help = exit::table_after(EXAMPLES))]
pub(crate) struct PinArgs {
    /// Images by their digests, as they are pulled: NAME@DIGEST
    #[arg(value_name = "NAME@DIGEST", required_unless_present = "list")]
    images: Vec<ImageReference>,
    /// List what is pinned
    #[arg(long, conflicts_with_all = ["images", "remove"])]
    list: bool,
    /// Remove the pins of these images: their content goes when it is not used
    #[arg(long)]
    remove: bool,
    #[command(flatten)]
    settings: SettingsArgs,
    /// How to print
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    format: Format,
}

pub(crate) async fn run(args: PinArgs) -> miette::Result<Exit> {
    let config = load_config(&args.settings, Layer::default())?;
    if args.list {
        let pins = order::done(&config, ListPins {}).await?;
        print(&args, &pins)?;
        return Ok(Exit::Ok);
    }
    let (mut done, mut failed) = (Vec::new(), Vec::new());
    for image in &args.images {
        match one(&config, image, args.remove).await {
            Ok(pin) => done.push(pin),
            Err(error) => failed.push(format!("{image}: {error}")),
        }
    }
    print(&args, &done)?;
    Ok(match exit::in_part(&failed) {
        Exit::Partial if done.is_empty() => Exit::Failure,
        exit => exit,
    })
}

/// Pins an image, or removes its pin.
async fn one(config: &Config, image: &ImageReference, remove: bool) -> miette::Result<PinnedImage> {
    let image = image.clone();
    if !remove {
        return order::done(config, PinImage { image }).await;
    }
    let name = image.to_string();
    if order::done(config, UnpinImage { image }).await? {
        Ok(PinnedImage {
            image: name,
            pinned_at: 0,
        })
    } else {
        Err(miette::miette!("it is not pinned"))
    }
}

fn print(args: &PinArgs, pins: &[PinnedImage]) -> miette::Result<()> {
    if args.format == Format::Json {
        return output::json(&pins);
    }
    for pin in pins {
        let since = i64::try_from(pin.pinned_at).ok();
        let since = since.filter(|_| !args.remove);
        let since = since.and_then(|since| jiff::Timestamp::from_second(since).ok());
        let since = since.map_or_else(String::new, |since| format!("since {since}"));
        output::line(format!("{}  {}", pin.image, output::faint(&since)).trim_end())?;
    }
    Ok(())
}
