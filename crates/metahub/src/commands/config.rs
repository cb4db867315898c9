//! `metahub config`: whether a configuration can be used, and where each setting comes from.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueHint};
use miette::{IntoDiagnostic as _, WrapErr as _};

use crate::args::{Format, SettingsArgs, graph, load_config};
use crate::config::{Layer, Shown, Written, misspelt, shown, variable};
use crate::exit::{self, Exit};
use crate::output;

const EXAMPLES: &str = "\
Examples:
  metahub config check --config metahub.yaml
  metahub config show
  metahub config show --changed --format json
";

/// Arguments of `metahub config`.
#[derive(Debug, Args)]
#[command(after_help = exit::table_after(EXAMPLES))]
pub(crate) struct ConfigArgs {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Say whether a server would start with this configuration
    Check {
        #[command(flatten)]
        file: FileArgs,
    },
    /// Show every setting, and where it is written
    Show {
        #[command(flatten)]
        file: FileArgs,
        /// Only what is not the default
        #[arg(long)]
        changed: bool,
        /// How to print
        #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
        format: Format,
    },
}

#[derive(Debug, Args)]
struct FileArgs {
    /// Configuration file (YAML) [env: METAHUB_CONFIG] [default: none]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    config: Option<PathBuf>,
}

impl FileArgs {
    /// The file that is read, if one is.
    fn file(&self) -> Option<PathBuf> {
        let named = std::env::var_os("METAHUB_CONFIG").filter(|name| !name.is_empty());
        self.config.clone().or(named.map(PathBuf::from))
    }

    /// All settings; the first mistake in them is the error.
    fn settings(&self) -> miette::Result<Vec<Shown>> {
        let settings = SettingsArgs {
            config: self.config.clone(),
            data: None,
        };
        let config = load_config(&settings, Layer::default())?;
        graph(&config)?;
        let read = |file: PathBuf| {
            let text = std::fs::read_to_string(&file).into_diagnostic();
            text.wrap_err_with(|| format!("cannot read {}", file.display()))
        };
        let text = self.file().map(read).transpose()?;
        Ok(shown(text.as_deref(), &|name| std::env::var_os(name)))
    }
}

pub(crate) fn run(args: &ConfigArgs) -> miette::Result<Exit> {
    match &args.command {
        ConfigCommand::Check { file } => {
            let settings = file.settings()?;
            warn_of_misspelt();
            let changed = settings.iter().filter(|one| one.from != Written::Default);
            let what = match file.file() {
                Some(file) => file.display().to_string(),
                None => "no file, the defaults".to_owned(),
            };
            let changed = changed.count();
            output::line(format!(
                "{what}: can be used; {changed} settings are not the default"
            ))?;
        }
        ConfigCommand::Show {
            file,
            changed,
            format,
        } => {
            let mut settings = file.settings()?;
            settings.retain(|one| !changed || one.from != Written::Default);
            match format {
                Format::Json => output::json(&settings)?,
                Format::Text => print(&settings, file.file().as_deref())?,
            }
            warn_of_misspelt();
        }
    }
    Ok(Exit::Ok)
}

fn print(settings: &[Shown], file: Option<&Path>) -> miette::Result<()> {
    let mut table = output::table(&["KEY", "VALUE", "FROM"]);
    for one in settings {
        let value = if one.value.is_null() {
            "-".to_owned()
        } else {
            one.value
                .as_str()
                .map_or_else(|| one.value.to_string(), str::to_owned)
        };
        let from = match one.from {
            Written::Default => "default".to_owned(),
            Written::File => file.map_or_else(String::new, |file| file.display().to_string()),
            Written::Variable => variable(&one.key),
        };
        table.add_row([one.key.clone(), value, from]);
    }
    output::print_table(&mut table)
}

/// Warns about variables that look like settings and are none.
fn warn_of_misspelt() {
    for (name, near) in misspelt(variables()) {
        anstream::eprintln!("warning: {name} is no setting: did you mean {near}?");
    }
}

/// The names of the environment's variables.
pub(crate) fn variables() -> impl Iterator<Item = String> {
    std::env::vars_os().filter_map(|(name, _)| name.into_string().ok())
}
