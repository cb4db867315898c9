//! The command line: runs the command that its arguments, or the name of the program, choose.

mod arguments;

use std::ffi::OsString;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::{CommandFactory as _, Parser as _};
use metahub_hardware::detect::Root;

use self::arguments::{Cli, Command, DetectArgs, Format, SetupArgs};

use crate::answer::Answer;
use crate::cache::Cache;
use crate::detect::{Detected, Look, detect};
use crate::helper::{Helper, MOST_INPUT, MOST_TIME, NOT_FOUND};
use crate::known_targets::NodeFacts;
use crate::logins::LoginsFile;
use crate::policy::Policy;
use crate::setup::{Client, Request, Scope};
use crate::time_limit::within;
use crate::{
    doctor, exec, format, generated, identity, importer, kubelet, refresh, resolve, setup, slurm,
};

/// Under this name the program is a credential helper.
const HELPER: &str = "docker-credential-metahub";
/// Under this name it is one for Nomad, for which whatever is not success is an error.
const NOMAD_HELPER: &str = "docker-credential-metahub-nomad";

/// Runs the command that `arguments` name, the program's own name first.
#[must_use]
pub fn run(arguments: Vec<OsString>) -> Answer {
    let called = arguments.first().map(PathBuf::from).unwrap_or_default();
    if called.file_name().is_some_and(|name| name == HELPER) {
        let action = arguments.get(1).and_then(|word| word.to_str());
        return credential(action.unwrap_or_default());
    }
    if called.file_name().is_some_and(|name| name == NOMAD_HELPER) {
        return for_nomad(credential("get"));
    }
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) if error.use_stderr() => {
            return Answer::error(2, error.to_string().trim_end().to_owned());
        }
        Err(error) => return Answer::ok(error.to_string()),
    };
    let exe = std::env::current_exe().unwrap_or(called);
    command(cli.command, &exe)
}

fn command(command: Command, exe: &Path) -> Answer {
    match command {
        // What needs no policy works with a broken one.
        Command::Credential { action } => credential(&action),
        Command::Completions { shell } => generated::completions(shell, &mut Cli::command()),
        Command::Man { out } => generated::man(out.as_deref(), Cli::command()),
        Command::Detect(args) => with_policy(|policy| detect_command(policy, &args)),
        Command::Login { registry } => with_policy(|policy| login(policy, registry.as_deref())),
        Command::Refresh => with_policy(refresh::refresh),
        Command::Join {
            registry,
            token_file,
            name,
        } => with_policy(|policy| join(policy, &registry, token_file.as_deref(), name)),
        Command::Resolve { image } => {
            with_policy(|policy| resolve::resolve(policy, &environment, &image))
        }
        Command::Exec { command } => {
            with_policy(|policy| exec::exec(policy, &environment, &command))
        }
        Command::Slurm { words } => {
            with_policy(|policy| slurm::slurm(policy, &environment, &words))
        }
        Command::Importer { action, uri } => {
            with_policy(|policy| importer::importer(policy, &environment, &action, uri.as_deref()))
        }
        Command::Kubelet => with_policy(kubelet_command),
        Command::Setup(args) => with_policy(|policy| setup_command(policy, args, exe)),
        Command::Doctor { images } => {
            with_policy(|policy| doctor::doctor(policy, &environment, &images, exe))
        }
    }
}

fn with_policy(run: impl FnOnce(&Policy) -> Answer) -> Answer {
    match policy() {
        Ok(policy) => run(&policy),
        Err(error) => Answer::error(1, error),
    }
}

fn environment(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

/// The site's policy, with the MetaHubs that the caller set clients up for.
fn policy() -> Result<Policy, String> {
    let mut policy = Policy::read(&environment).map_err(|error| error.to_string())?;
    if let Ok(logins) = LoginsFile::of_user(&environment).and_then(|file| file.read()) {
        for host in logins.registries {
            if !policy.is_metahub(&host) {
                policy.registries.push(host);
            }
        }
    }
    Ok(policy)
}

/// Answers within [`MOST_TIME`], whatever happens.
fn credential(action: &str) -> Answer {
    let action = action.to_owned();
    let answer = within(MOST_TIME, move || {
        let mut input = String::new();
        let needs_input = matches!(action.as_str(), "get" | "store" | "erase");
        let mut stdin = std::io::stdin().lock().take(MOST_INPUT);
        if needs_input && stdin.read_to_string(&mut input).is_err() {
            return Answer::failure(1, NOT_FOUND);
        }
        // A broken policy must not break pulls from all other registries.
        let policy = match policy() {
            Ok(policy) => policy,
            Err(error) => return Answer::failure(1, NOT_FOUND).noting(vec![error]),
        };
        let helper = Helper {
            policy: &policy,
            environment: &environment,
            root: &Root::new("/"),
        };
        helper.run(&action, &input)
    });
    answer.unwrap_or_else(|| {
        let note = "no answer in time, so this pull is anonymous: run metahub-node doctor";
        Answer::failure(1, NOT_FOUND).noting(vec![note.to_owned()])
    })
}

/// The same answer for Nomad: an empty one means "nothing for that host".
fn for_nomad(answer: Answer) -> Answer {
    match answer.code {
        0 => answer,
        _ => Answer::ok("{}").noting(answer.notes),
    }
}

/// Answers within [`MOST_TIME`], whatever happens.
fn kubelet_command(policy: &Policy) -> Answer {
    let policy = policy.clone();
    let answer = within(MOST_TIME, move || {
        let mut input = String::new();
        let mut stdin = std::io::stdin().lock().take(MOST_INPUT);
        match stdin.read_to_string(&mut input) {
            Ok(_) => kubelet::kubelet(&policy, &environment, &input),
            Err(error) => Answer::error(1, format!("cannot read standard input: {error}")),
        }
    });
    answer.unwrap_or_else(|| Answer::error(1, "no answer in time: run metahub-node doctor"))
}

fn detect_command(policy: &Policy, args: &DetectArgs) -> Answer {
    let cpuinfo = match args
        .cpuinfo
        .as_ref()
        .map(|file| read_text(file))
        .transpose()
    {
        Ok(cpuinfo) => cpuinfo,
        Err(problem) => return Answer::error(1, problem),
    };
    let look = Look {
        root: args.root.clone(),
        cpuinfo,
        tools: Some(refresh::TOOL_TIME),
    };
    let found = detect(policy, &look);
    let login = own_login(&found, policy);
    Answer::ok(match args.format {
        Format::Text => format::text(&found, login.as_deref(), args.why),
        Format::Json => format::json(&found, login.as_deref()),
        Format::Nfd => format::nfd(&found),
        Format::Slurm => format::slurm(&found, &host_name(&args.root)),
        Format::Flux => format::flux(&found, &host_name(&args.root)),
    })
}

/// What schedulers call the node.
fn host_name(root: &Path) -> String {
    let name = Root::new(root).text("/proc/sys/kernel/hostname");
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let name = name.as_deref().and_then(|name| name.split('.').next());
    // Anything else than a name could inject configuration.
    let name = name.filter(|name| !name.is_empty() && name.chars().all(is_part));
    name.unwrap_or("DEFAULT").to_owned()
}

fn read_text(file: &Path) -> Result<String, String> {
    let wrong = |error| format!("cannot read {}: {error}", file.display());
    let opened = std::fs::File::open(file).map_err(wrong)?;
    let mut bytes = Vec::new();
    opened
        .take(16 << 20)
        .read_to_end(&mut bytes)
        .map_err(wrong)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn own_login(found: &Detected, policy: &Policy) -> Option<String> {
    let features = found.features();
    let node = NodeFacts {
        target: found.target.as_ref(),
        features: &features,
        policy,
    };
    node.own_login()
}

fn login(policy: &Policy, registry: Option<&str>) -> Answer {
    let root = Root::new("/");
    if let Some(host) = registry {
        let Some(host) = crate::server::host_of(host) else {
            return Answer::error(2, format!("'{host}' is no registry: expected NAME[:PORT]"));
        };
        let mut notes = Vec::new();
        let helper = Helper {
            policy,
            environment: &environment,
            root: &root,
        };
        return no_login_is_an_error(helper.known(&host, &mut notes).login).noting(notes);
    }
    match Cache::read(policy, &root) {
        Ok(cache) => no_login_is_an_error(cache.login),
        Err(_) => {
            let look = Look {
                tools: Some(refresh::TOOL_TIME),
                ..Look::default()
            };
            no_login_is_an_error(own_login(&detect(policy, &look), policy))
        }
    }
}

/// Joins with a token that is in no argument list.
fn join(
    policy: &Policy,
    registry: &str,
    token_file: Option<&Path>,
    name: Option<String>,
) -> Answer {
    let Some(host) = crate::server::host_of(registry) else {
        return Answer::error(
            2,
            format!("'{registry}' is no registry: expected NAME[:PORT]"),
        );
    };
    let mut token = String::new();
    let mut stdin = std::io::stdin().lock().take(MOST_INPUT);
    let read = match token_file {
        Some(file) => read_text(file).map(|text| token = text),
        None => stdin
            .read_to_string(&mut token)
            .map(|_| ())
            .map_err(|error| format!("cannot read standard input: {error}")),
    };
    match read {
        Ok(()) => identity::join(policy, &host, name, &token),
        Err(problem) => Answer::error(1, problem),
    }
}

fn no_login_is_an_error(login: Option<String>) -> Answer {
    match login {
        Some(login) => Answer::ok(login),
        None => Answer::error(
            1,
            "nothing is known of this node: see metahub-node detect --why",
        ),
    }
}

fn setup_command(policy: &Policy, args: SetupArgs, exe: &Path) -> Answer {
    let scope = match (args.system, args.user) {
        (true, _) => Some(Scope::System),
        (_, true) => Some(Scope::User),
        _ => None,
    };
    let (clients, advice) = setup::told_apart(&args.clients, &args.registry, policy);
    if clients.is_empty() && !args.all {
        return Answer::ok(advice);
    }
    let mut notes = Vec::new();
    let node = crate::server::host_of(&args.registry)
        .filter(|_| !args.undo && (args.all || clients.contains(&Client::Containerd)))
        .and_then(|host| {
            let helper = Helper {
                policy,
                environment: &environment,
                root: &Root::new("/"),
            };
            helper.known(&host, &mut notes).login
        });
    let request = Request {
        clients,
        registry: args.registry,
        scope,
        print: args.print,
        undo: args.undo,
        root: args.root,
        slurm_version: args.slurm_version,
    };
    let mut answer = setup::run(&request, policy, &environment, node.as_deref(), exe);
    answer.stdout += &advice;
    answer
}

#[cfg(test)]
mod tests;
