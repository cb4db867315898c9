//! `metahub demand`: which image × target lacks a build, by what was pulled.

use std::time::Duration;

use clap::{Args, ValueEnum};
use jiff::SpanRelativeTo;
use metahub_operations::ShowDemand;
use metahub_registry::{Demand, DemandKind, DemandRow};

use crate::args::{SettingsArgs, load_config};
use crate::commands::order;
use crate::config::Layer;
use crate::exit::{self, Exit};
use crate::output;

const EXAMPLES: &str = "\
Examples:
  metahub demand
  metahub demand --since 7d --image 'lab/.*:.*' --format csv
";

#[derive(Debug, Args)]
#[command(after_help = exit::table_after(EXAMPLES))]
pub(crate) struct DemandArgs {
    /// Pulls since then, by whole days
    #[arg(long, value_name = "TIME", default_value = "30d", value_parser = time)]
    since: Duration,
    /// Only images whose whole NAME:TAG this regular expression matches
    #[arg(long, value_name = "PATTERN")]
    image: Option<String>,
    #[command(flatten)]
    settings: SettingsArgs,
    /// How to print
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    format: DemandFormat,
}

/// How the table is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum DemandFormat {
    /// A table for people
    #[default]
    Text,
    /// JSON for programs
    Json,
    /// A line for each image and kind of machine, separated by commas
    Csv,
}

/// A length of time with its unit, such as `30d`. A day has 24 hours.
fn time(text: &str) -> Result<Duration, String> {
    text.parse::<jiff::Span>()
        .ok()
        .and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()).ok())
        .and_then(|signed| Duration::try_from(signed).ok())
        .ok_or_else(|| {
            format!("'{text}' is no length of time: expected a number with a unit, such as 30d")
        })
}

pub(crate) async fn run(args: DemandArgs) -> miette::Result<Exit> {
    let config = load_config(&args.settings, Layer::default())?;
    let request = ShowDemand {
        seconds: args.since.as_secs(),
        image: args.image,
    };
    let demand = order::done(&config, request).await?;
    match args.format {
        DemandFormat::Text => text(&demand)?,
        DemandFormat::Json => output::json(&demand)?,
        DemandFormat::Csv => csv(&demand)?,
    }
    Ok(Exit::Ok)
}

fn text(demand: &Demand) -> miette::Result<()> {
    if !demand.rows.is_empty() {
        let mut table = output::table(&["IMAGE", "TARGET", "GOT", "NODES", "PULLS", "BYTES"]);
        for row in &demand.rows {
            table.add_row([
                row.image.clone(),
                target(row),
                row.got.clone(),
                nodes(row),
                row.pulls.to_string(),
                indicatif::HumanBytes(row.bytes).to_string(),
            ]);
        }
        output::print_table(&mut table)?;
        output::line("")?;
    }
    output::line(output::faint(&summary(demand)))
}

/// The sum of all rows, or why there are none.
fn summary(demand: &Demand) -> String {
    if !demand.is_recorded {
        return "nothing is recorded: demand.limit is 0 in the configuration".to_owned();
    }
    let Demand {
        pulls,
        fell_back,
        nothing,
        ..
    } = demand;
    if *pulls == 0 {
        return "no pull is recorded: counted are pulls by logins that name a processor, such as \
                zen4, of images that are built for some"
            .to_owned();
    }
    if demand.rows.is_empty() {
        return format!("all of {pulls} pulls got a build for their processor");
    }
    format!(
        "of {pulls} pulls by logins that name a processor {fell_back} got a lesser build and \
         {nothing} none"
    )
}

fn target(row: &DemandRow) -> String {
    if row.gpu.is_empty() {
        row.target.clone()
    } else {
        format!("{}+{}", row.target, row.gpu)
    }
}

/// Nodes that proved their identity; `-` for none.
fn nodes(row: &DemandRow) -> String {
    match (row.nodes, row.more_nodes) {
        (0, false) => "-".to_owned(),
        (nodes, false) => nodes.to_string(),
        (nodes, true) => format!("{nodes}+"),
    }
}

/// One line for each row, as comma-separated values. No field has a comma or a quote: they are
/// names of images, targets and numbers.
fn csv(demand: &Demand) -> miette::Result<()> {
    output::line("image,target,gpu,got,kind,nodes,more_nodes,pulls,bytes")?;
    for row in &demand.rows {
        let kind = match row.kind {
            DemandKind::None => "none",
            DemandKind::Generic => "generic",
            DemandKind::Fallback => "fallback",
            DemandKind::Exact => "exact",
        };
        let fields = [
            row.image.as_str(),
            &row.target,
            &row.gpu,
            &row.got,
            kind,
            &row.nodes.to_string(),
            &row.more_nodes.to_string(),
            &row.pulls.to_string(),
            &row.bytes.to_string(),
        ];
        output::line(fields.join(","))?;
    }
    Ok(())
}
