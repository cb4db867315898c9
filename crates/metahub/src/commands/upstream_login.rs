//! `metahub account upstream-login|upstream-logins|upstream-logout`: accounts' logins at
//! pass-through upstreams. A server that runs on the data folder sees the change within seconds. No
//! password is ever shown.

use std::io::IsTerminal as _;

use clap::Subcommand;
use metahub_auth::AccountName;
use metahub_oci::Host;
use metahub_upstream::{Login, Secret};
use miette::{IntoDiagnostic as _, miette};
use serde_json::json;

use crate::app;
use crate::args::{Format, SettingsArgs, load_config};
use crate::commands::accounts_of;
use crate::config::{Config, Layer};
use crate::data;
use crate::output;

/// Accounts' logins at pass-through upstreams.
#[derive(Debug, Subcommand)]
pub(crate) enum UpstreamLoginCommand {
    /// Say who an account is at an upstream with pass_through: its user name and password there
    #[command(name = "upstream-login")]
    Login {
        /// The account
        name: AccountName,
        /// The upstream's host, as images are written: quay.io
        host: Host,
        /// Its user name there
        #[arg(long, value_name = "USER")]
        username: String,
        /// Read its password or access token there from standard input
        #[arg(long)]
        password_stdin: bool,
        #[command(flatten)]
        settings: SettingsArgs,
    },
    /// List who accounts are at upstreams, without their passwords
    #[command(name = "upstream-logins")]
    Logins {
        /// Only of this account
        name: Option<AccountName>,
        /// How to print
        #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
        format: Format,
        #[command(flatten)]
        settings: SettingsArgs,
    },
    /// Forget who an account is at an upstream
    #[command(name = "upstream-logout")]
    Logout {
        /// The account
        name: AccountName,
        /// The upstream's host
        host: Host,
        #[command(flatten)]
        settings: SettingsArgs,
    },
}

/// Most that is read of a password on standard input, in bytes. Access tokens can be long.
const MAX_PASSWORD: u64 = 64 * 1024;

pub(super) async fn run(command: UpstreamLoginCommand) -> miette::Result<()> {
    match command {
        UpstreamLoginCommand::Login {
            name,
            host,
            username,
            password_stdin,
            settings,
        } => login(&name, &host, &username, password_stdin, &settings).await,
        UpstreamLoginCommand::Logins {
            name,
            format,
            settings,
        } => list(name.as_ref(), format, &settings),
        UpstreamLoginCommand::Logout {
            name,
            host,
            settings,
        } => logout(&name, &host, &settings),
    }
}

async fn login(
    name: &AccountName,
    host: &Host,
    username: &str,
    password_stdin: bool,
    settings: &SettingsArgs,
) -> miette::Result<()> {
    let config = load_config(settings, Layer::default())?;
    data::must_exist(&config.data)?;
    let accounts = accounts_of::open_in(&config).await?;
    let known = accounts.list().await.into_diagnostic()?;
    if known.iter().all(|account| account.name != *name) {
        return Err(miette!(
            help = "list the accounts with: metahub account list",
            "there is no account {name}"
        ));
    }
    let password = password(password_stdin)?;
    app::logins(&config)
        .set(name.as_str(), host, username, &password)
        .into_diagnostic()?;
    output::line(format!("account {name} is {username} at {host}"))?;
    if !passes_through(&config, host) {
        anstream::eprintln!(
            "warning: no upstream {host} with pass_through is in this configuration, so the login \
             is not used"
        );
    }
    Ok(())
}

fn list(name: Option<&AccountName>, format: Format, settings: &SettingsArgs) -> miette::Result<()> {
    let config = load_config(settings, Layer::default())?;
    data::must_exist(&config.data)?;
    let mut logins = app::logins(&config).list().into_diagnostic()?;
    logins.retain(|login| name.is_none_or(|name| login.account == name.as_str()));
    match format {
        Format::Json => {
            let row = |login: &Login| {
                json!({
                    "account": login.account,
                    "host": login.host,
                    "username": login.username,
                })
            };
            output::json(&logins.iter().map(row).collect::<Vec<_>>())
        }
        Format::Text if logins.is_empty() => output::line(
            "no logins at upstreams; add one with: metahub account upstream-login NAME HOST",
        ),
        Format::Text => {
            let mut table = output::table(&["ACCOUNT", "HOST", "USERNAME"]);
            for login in logins {
                let username = login.username.unwrap_or_else(|| "(a token)".to_owned());
                table.add_row([login.account, login.host, username]);
            }
            output::print_table(&mut table)
        }
    }
}

fn logout(name: &AccountName, host: &Host, settings: &SettingsArgs) -> miette::Result<()> {
    let config = load_config(settings, Layer::default())?;
    data::must_exist(&config.data)?;
    let logins = app::logins(&config);
    if logins.remove(name.as_str(), host).into_diagnostic()? {
        return output::line(format!("account {name} has no login at {host}"));
    }
    Err(miette!(
        help = "list the logins with: metahub account upstream-logins",
        "account {name} has no login at {host}"
    ))
}

fn passes_through(config: &Config, host: &Host) -> bool {
    let mut upstreams = config.upstreams.upstreams.iter();
    upstreams.any(|one| one.host == *host && one.pass_through.is_some())
}

fn password(from_stdin: bool) -> miette::Result<Secret> {
    if !from_stdin && std::io::stdin().is_terminal() {
        let text = rpassword::prompt_password("Password there: ").into_diagnostic()?;
        return Ok(Secret::from(text));
    }
    if !from_stdin {
        return Err(miette!(
            help = "add --password-stdin, or run this on a terminal",
            "there is no terminal to ask for the password on"
        ));
    }
    accounts_of::password_from_stdin(MAX_PASSWORD).map(Secret::from)
}
