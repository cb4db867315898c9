//! `metahub node …`: the nodes that can prove their identity to a data folder's registry, and their
//! join tokens. Works beside a running server, which sees the change within seconds. A join token
//! is shown once, when it is made.

use std::time::{Duration, SystemTime};

use clap::Subcommand;
use metahub_auth::{NodeName, NodeSecret, join_token_id};
use metahub_store::{JoinToken, Mode, NodeRecord, Store};
use miette::{IntoDiagnostic as _, bail, miette};
use serde_json::json;

use crate::args::{Format, SettingsArgs, load_config};
use crate::commands::upkeep::time;
use crate::config::{Config, Layer};
use crate::data;
use crate::exit::Exit;
use crate::output;

/// Most join tokens at once.
const MOST_TOKENS: u64 = 1000;
/// The longest validity of a join token.
const LONGEST: Duration = Duration::from_hours(24 * 366);

#[derive(Debug, Subcommand)]
pub(crate) enum NodeCommand {
    /// List the nodes: what they provide, what they pulled last, and which are revoked
    List {
        /// How to print
        #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
        format: Format,
        #[command(flatten)]
        settings: SettingsArgs,
    },
    /// Refuse nodes from now on, however they prove who they are
    Revoke {
        /// Names of nodes
        #[arg(required = true, value_name = "NAME")]
        names: Vec<NodeName>,
        #[command(flatten)]
        settings: SettingsArgs,
    },
    /// Forget nodes: their tokens, and that they are revoked
    Remove {
        /// Names of nodes
        #[arg(required = true, value_name = "NAME")]
        names: Vec<NodeName>,
        #[command(flatten)]
        settings: SettingsArgs,
    },
    /// Make a token that nodes join with, and show it once
    Token {
        /// How long nodes can join with it
        #[arg(long, value_name = "TIME", default_value = "1h", value_parser = time)]
        valid_for: Duration,
        /// How many nodes can join with it
        #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
        uses: u32,
        /// Let it take over the names of nodes that joined before, as after they were installed
        /// anew
        #[arg(long)]
        replace: bool,
        #[command(flatten)]
        settings: SettingsArgs,
    },
    /// List join tokens by their short names, or remove some
    Tokens {
        /// Remove these
        #[arg(long, value_name = "ID")]
        remove: Vec<String>,
        /// How to print
        #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
        format: Format,
        #[command(flatten)]
        settings: SettingsArgs,
    },
}

pub(crate) async fn run(command: NodeCommand) -> miette::Result<Exit> {
    match command {
        NodeCommand::List { format, settings } => {
            let nodes = open(&settings).await?.1.nodes().await.into_diagnostic()?;
            list(&nodes, format)?;
        }
        NodeCommand::Revoke { names, settings } => {
            let (_, store) = open(&settings).await?;
            for name in names {
                let known = store.revoke_node(name.as_str()).await.into_diagnostic()?;
                let seen = if known { "" } else { ", which was never seen" };
                output::line(format!("revoked node {name}{seen}"))?;
            }
        }
        NodeCommand::Remove { names, settings } => {
            let (_, store) = open(&settings).await?;
            let mut unknown = Vec::new();
            for name in names {
                if store.remove_node(name.as_str()).await.into_diagnostic()? {
                    output::line(format!("removed node {name}"))?;
                } else {
                    unknown.push(name.to_string());
                }
            }
            if !unknown.is_empty() {
                bail!("no node is called {}", unknown.join(", "));
            }
        }
        NodeCommand::Token {
            valid_for,
            uses,
            replace,
            settings,
        } => make_token(&settings, valid_for, uses, replace).await?,
        NodeCommand::Tokens {
            remove,
            format,
            settings,
        } => {
            let (_, store) = open(&settings).await?;
            for id in remove {
                let tokens = store.join_tokens().await.into_diagnostic()?;
                let mut named = tokens.iter().filter(|t| join_token_id(&t.hash) == id);
                let token = named.next().ok_or_else(|| {
                    miette!("no join token is called {id}: list them with metahub node tokens")
                })?;
                let removing = store.remove_join_token(token.hash.clone());
                removing.await.into_diagnostic()?;
            }
            tokens(&store.join_tokens().await.into_diagnostic()?, format)?;
        }
    }
    Ok(Exit::Ok)
}

/// The store of the data folder that `settings` name, beside a server that may run.
async fn open(settings: &SettingsArgs) -> miette::Result<(Config, Store)> {
    let config = load_config(settings, Layer::default())?;
    data::must_exist(&config.data)?;
    let store = Store::open(&config.data, Mode::Beside).await;
    let store = store.map_err(|error| data::failed(&config.data, &error))?;
    Ok((config, store))
}

async fn make_token(
    settings: &SettingsArgs,
    valid_for: Duration,
    uses: u32,
    replace: bool,
) -> miette::Result<()> {
    if valid_for.is_zero() || valid_for > LONGEST {
        bail!("a join token is good for some time, and for a year at most");
    }
    let config = load_config(settings, Layer::default())?;
    // As the first command on a new folder, too.
    let store = Store::open(&config.data, Mode::Beside).await;
    let store = store.map_err(|error| data::failed(&config.data, &error))?;
    let (secret, now) = (NodeSecret::for_joining(), SystemTime::now());
    let token = JoinToken {
        hash: secret.hash(),
        created_at: now,
        expires_at: now + valid_for,
        uses,
        replace,
    };
    let id = join_token_id(&token.hash);
    if !store
        .add_join_token(token, MOST_TOKENS)
        .await
        .into_diagnostic()?
    {
        bail!("there are {MOST_TOKENS} join tokens: remove some (metahub node tokens)");
    }
    if !config.nodes.join {
        anstream::eprintln!(
            "warning: nodes.join is off in this configuration: no node can join until the server's \
             says nodes: {{join: true}}"
        );
    }
    output::line(secret.expose())?;
    anstream::eprintln!(
        "{}",
        output::faint(&format!(
            "join token {id}: it is not shown again; on a node: metahub-node join --registry HOST"
        ))
    );
    Ok(())
}

fn shown(time: SystemTime) -> String {
    jiff::Timestamp::try_from(time)
        .map(|time| time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
        .unwrap_or_default()
}

fn list(nodes: &[NodeRecord], format: Format) -> miette::Result<()> {
    if format == Format::Json {
        let rows: Vec<_> = nodes
            .iter()
            .map(|node| {
                json!({
                    "name": node.name,
                    "way": node.way,
                    "features": node.features,
                    "version": node.version,
                    "first_seen": shown(node.first_seen),
                    "last_seen": shown(node.last_seen),
                    "last_pull": node.last_pull.map(shown),
                    "images": node.images,
                    "revoked_at": node.revoked_at.map(shown),
                })
            })
            .collect();
        return output::json(&rows);
    }
    if nodes.is_empty() {
        return output::line("no nodes; see nodes in the configuration, and metahub node token");
    }
    let mut table = output::table(&[
        "NAME",
        "WAY",
        "LAST SEEN",
        "LAST PULL",
        "LAST IMAGE",
        "VERSION",
        "FEATURES",
    ]);
    for node in nodes {
        let way = match node.revoked_at {
            Some(_) => "revoked",
            None => node.way.as_str(),
        };
        table.add_row([
            node.name.clone(),
            way.to_owned(),
            shown(node.last_seen),
            node.last_pull.map(shown).unwrap_or_default(),
            node.images
                .first()
                .map(|one| one.image.clone())
                .unwrap_or_default(),
            node.version.clone().unwrap_or_default(),
            node.features.join(" "),
        ]);
    }
    output::print_table(&mut table)
}

fn tokens(tokens: &[JoinToken], format: Format) -> miette::Result<()> {
    if format == Format::Json {
        let rows: Vec<_> = tokens
            .iter()
            .map(|token| {
                json!({
                    "id": join_token_id(&token.hash),
                    "created": shown(token.created_at),
                    "expires": shown(token.expires_at),
                    "uses": token.uses,
                    "replace": token.replace,
                })
            })
            .collect();
        return output::json(&rows);
    }
    if tokens.is_empty() {
        return output::line("no join tokens; make one with: metahub node token");
    }
    let mut table = output::table(&["ID", "CREATED", "EXPIRES", "USES LEFT", "REPLACES"]);
    for token in tokens {
        table.add_row([
            join_token_id(&token.hash),
            shown(token.created_at),
            shown(token.expires_at),
            token.uses.to_string(),
            if token.replace { "yes" } else { "no" }.to_owned(),
        ]);
    }
    output::print_table(&mut table)
}
