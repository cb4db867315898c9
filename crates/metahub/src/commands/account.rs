//! `metahub account …`: the accounts of a data folder. Works beside a running server, which sees
//! the change within seconds. A generated password is shown once, any other never.

use std::io::IsTerminal as _;

use clap::Subcommand;
use metahub_auth::{Account, AccountName, Accounts, Password, Role};
use miette::{IntoDiagnostic as _, bail};
use serde_json::json;

use crate::app;
use crate::args::{Format, PasswordArgs, SettingsArgs, load_config};
use crate::commands::accounts_of::{open_in, password_from_stdin};
use crate::commands::upstream_login;
use crate::commands::upstream_login::UpstreamLoginCommand;
use crate::config::{Config, Layer};
use crate::data;
use crate::exit::Exit;
use crate::follow;
use crate::output;
use crate::sources::Sources;

#[derive(Debug, Subcommand)]
pub(crate) enum AccountCommand {
    /// Add an account; its password is asked for, read, or generated and shown once
    Add {
        /// Its name, also the namespace that it may push to
        name: AccountName,
        /// What it may do: reader pulls, pusher also pushes into its own namespace, curator also
        /// changes profiles and collections, admin does all
        #[arg(long, default_value = "pusher")]
        role: Role,
        #[command(flatten)]
        password: PasswordArgs,
        #[command(flatten)]
        settings: SettingsArgs,
    },
    /// List the accounts
    List {
        /// How to print
        #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
        format: Format,
        #[command(flatten)]
        settings: SettingsArgs,
    },
    /// Give an account another role
    Role {
        /// The account
        name: AccountName,
        /// reader, pusher, curator or admin
        role: Role,
        #[command(flatten)]
        settings: SettingsArgs,
    },
    /// Give an account another password
    Password {
        /// The account
        name: AccountName,
        #[command(flatten)]
        password: PasswordArgs,
        #[command(flatten)]
        settings: SettingsArgs,
    },
    /// Remove an account and its logins at upstreams; what it pushed stays
    Remove {
        /// The account
        name: AccountName,
        #[command(flatten)]
        settings: SettingsArgs,
    },
    #[command(flatten)]
    Upstream(UpstreamLoginCommand),
}

/// Most that is read of a password on standard input, in bytes.
const MAX_PASSWORD: u64 = 8192;

pub(crate) async fn run(command: AccountCommand) -> miette::Result<Exit> {
    match command {
        AccountCommand::Add {
            name,
            role,
            password,
            settings,
        } => {
            let config = load_config(&settings, Layer::default())?;
            let accounts = open_in(&config).await?;
            let chosen = choose(password)?;
            let generated = accounts.add(&name, role, chosen).await.into_diagnostic()?;
            output::line(format!("added account {name} ({role})"))?;
            show(generated.as_ref())?;
            let login = if is_profile(&name, &config) {
                anstream::eprintln!(
                    "warning: {name} is also a profile, and as a login {name} means the profile; \
                     this account is used as {name}/PROFILE"
                );
                format!("{name}/PROFILE")
            } else {
                name.to_string()
            };
            output::line(output::faint(&format!(
                "log in with: docker login HOST -u {login}"
            )))?;
        }
        AccountCommand::List { format, settings } => {
            list(
                &open(&settings).await?.list().await.into_diagnostic()?,
                format,
            )?;
        }
        AccountCommand::Role {
            name,
            role,
            settings,
        } => {
            open(&settings)
                .await?
                .set_role(&name, role)
                .await
                .into_diagnostic()?;
            output::line(format!("account {name} is now {role}"))?;
        }
        AccountCommand::Password {
            name,
            password,
            settings,
        } => {
            let accounts = open(&settings).await?;
            let chosen = choose(password)?;
            let generated = accounts
                .set_password(&name, chosen)
                .await
                .into_diagnostic()?;
            output::line(format!("account {name} has a new password"))?;
            show(generated.as_ref())?;
        }
        AccountCommand::Remove { name, settings } => {
            let config = load_config(&settings, Layer::default())?;
            data::must_exist(&config.data)?;
            // First, so that a later account of this name does not get these logins.
            let logins = app::logins(&config);
            logins.forget(name.as_str()).into_diagnostic()?;
            open_in(&config)
                .await?
                .remove(&name)
                .await
                .into_diagnostic()?;
            output::line(format!("removed account {name}; what it pushed stays"))?;
        }
        AccountCommand::Upstream(command) => upstream_login::run(command).await?,
    }
    Ok(Exit::Ok)
}

/// The accounts of the data folder that `settings` name.
async fn open(settings: &SettingsArgs) -> miette::Result<Accounts> {
    let config = load_config(settings, Layer::default())?;
    data::must_exist(&config.data)?;
    open_in(&config).await
}

/// Whether `name` alone would log in under a profile. Only by these settings: a running server may
/// have other documents.
fn is_profile(name: &AccountName, config: &Config) -> bool {
    // The server reports errors in targets or documents.
    let Ok(sources) = Sources::of(config, &config.data) else {
        return false;
    };
    let _ = follow::stored(config, &sources);
    name.is_profile_in(&sources.load().catalog)
}

/// The password that the user enters, or `None` to generate one.
fn choose(args: PasswordArgs) -> miette::Result<Option<Password>> {
    if args.password_stdin {
        let text = password_from_stdin(MAX_PASSWORD)?;
        return Password::chosen(text).map(Some).into_diagnostic();
    }
    if args.generate || !std::io::stdin().is_terminal() {
        return Ok(None);
    }
    let ask = |prompt: &str| rpassword::prompt_password(prompt).into_diagnostic();
    let first = ask("Password (leave empty to generate one): ")?;
    if first.is_empty() {
        return Ok(None);
    }
    if ask("Once more: ")? != first {
        bail!("the two passwords differ: nothing was changed");
    }
    Password::chosen(first).map(Some).into_diagnostic()
}

/// Shows a password that was generated, this once.
fn show(generated: Option<&Password>) -> miette::Result<()> {
    let Some(password) = generated else {
        return Ok(());
    };
    output::line(format!("password: {}", password.expose()))?;
    output::line(output::faint("it is not shown again"))
}

fn list(accounts: &[Account], format: Format) -> miette::Result<()> {
    let created = |account: &Account| {
        jiff::Timestamp::try_from(account.created)
            .map(|time| time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
            .unwrap_or_default()
    };
    match format {
        Format::Json => {
            let rows: Vec<_> = accounts
                .iter()
                .map(|account| {
                    json!({
                        "name": account.name,
                        "role": account.role,
                        "created": created(account),
                    })
                })
                .collect();
            output::json(&rows)
        }
        Format::Text if accounts.is_empty() => {
            output::line("no accounts; add one with: metahub account add NAME")
        }
        Format::Text => {
            let mut table = output::table(&["NAME", "ROLE", "CREATED"]);
            for account in accounts {
                table.add_row([
                    account.name.to_string(),
                    account.role.to_string(),
                    created(account),
                ]);
            }
            output::print_table(&mut table)
        }
    }
}
