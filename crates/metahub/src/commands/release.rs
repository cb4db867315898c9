//! `metahub release [NAME...]`: releases local names without content, so that they are looked up at
//! upstreams again.

use clap::Args;
use metahub_oci::RepositoryName;
use metahub_operations::{ListEmptyNames, Release};
use metahub_registry::EmptyName;

use crate::args::{Format, SettingsArgs, load_config};
use crate::commands::order;
use crate::config::Layer;
use crate::exit::{self, Exit};
use crate::output;

#[derive(Debug, Args)]
#[command(after_help = exit::TABLE)]
pub(crate) struct ReleaseArgs {
    /// Names as they were pushed to, such as team/app; without any, lists those that hold nothing
    #[arg(value_name = "NAME")]
    names: Vec<RepositoryName>,
    #[command(flatten)]
    settings: SettingsArgs,
    /// How to print
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    format: Format,
}

pub(crate) async fn run(args: ReleaseArgs) -> miette::Result<Exit> {
    let config = load_config(&args.settings, Layer::default())?;
    if args.names.is_empty() {
        let names = order::done(&config, ListEmptyNames {}).await?;
        if args.format == Format::Json {
            output::json(&names)?;
            return Ok(Exit::Ok);
        }
        for EmptyName { name, account } in names {
            let by =
                account.map_or_else(String::new, |account| format!("first pushed by {account}"));
            output::line(format!("{name}  {}", output::faint(&by)))?;
        }
        return Ok(Exit::Ok);
    }
    let names = args.names;
    let released = order::done(&config, Release { names }).await?;
    if args.format == Format::Json {
        output::json(&released)?;
    }
    let mut failed = Vec::new();
    for one in &released {
        match &one.problem {
            Some(problem) => failed.push(format!("{}: {problem}", one.name)),
            None if args.format == Format::Text => output::line(one.name.to_string())?,
            None => {}
        }
    }
    let all = failed.len() == released.len();
    Ok(match exit::in_part(&failed) {
        Exit::Partial if all => Exit::Failure,
        exit => exit,
    })
}
