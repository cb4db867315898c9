//! Slurm: a filter of its commands that sets a job's constraint and environment, and a prolog of
//! tasks. `slurm.conf` itself, which is one file for all nodes, is not edited: it includes the
//! written file.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::plan::{Change, Context, Plan, Scope, SetupError, existing_text};
use super::program;

const FOLDER: &str = "/etc/slurm";
const LUA: &str = include_str!("slurm/metahub.lua");
const CLI_FILTER: &str = include_str!("slurm/cli_filter.lua");
const IMPORTER: &str = include_str!("slurm/importer");
const TASK_PROLOG: &str = include_str!("slurm/task-prolog");
/// What every file begins with that `setup` may replace and remove.
const WRITTEN: &str = "Written by metahub-node setup slurm.";
/// Most time for a program of Slurm to tell its version.
const VERSION_TIME: Duration = Duration::from_secs(5);
/// The first version whose filter of commands can be written in Lua.
const FIRST: (u32, u32) = (20, 2);
/// The first version with `--container`.
const CONTAINER: (u32, u32) = (21, 8);
/// The version that the end-to-end tests run.
const TRIED: (u32, u32) = (22, 5);

/// What Slurm needs.
pub(super) fn plan(context: &Context<'_>) -> Result<Plan, SetupError> {
    if context.scope == Scope::User {
        return Err(SetupError::Scope(
            "Slurm is set up for the whole machine: leave --user out",
        ));
    }
    let folder = match context.variable("SLURM_CONF") {
        Some(file) if context.root == Path::new("/") => {
            file.parent().unwrap_or(Path::new(FOLDER)).to_owned()
        }
        _ => PathBuf::from(FOLDER),
    };
    let mut plan = Plan::default();
    let left: Vec<&String> = context
        .policy
        .registries
        .iter()
        .filter(|host| !context.undo || *host != context.host)
        .collect();
    if left.is_empty() {
        undo(context, &folder, &mut plan)?;
    } else {
        set_up(context, &folder, &left, &mut plan)?;
    }
    Ok(plan)
}

fn set_up(
    context: &Context<'_>,
    folder: &Path,
    registries: &[&String],
    plan: &mut Plan,
) -> Result<(), SetupError> {
    let version = version(context)?;
    if version < FIRST {
        return Err(SetupError::Slurm(format!(
            "Slurm {} has no filter of commands in Lua, which came with {}: nothing was written",
            shown(version),
            shown(FIRST)
        )));
    }
    if version != TRIED {
        plan.notes.push(format!(
            "Slurm {} is here; this was tried with {}",
            shown(version),
            shown(TRIED)
        ));
    }
    let program = program_of(context);
    let hosts: Vec<String> = registries.iter().map(|host| format!("'{host}'")).collect();
    let fill = |text: &str| {
        text.replace("@PROGRAM@", &program)
            .replace("@FOLDER@", &folder.display().to_string())
            .replace("@REGISTRIES@", &hosts.join(", "))
            .replace(
                "@CONTAINER@",
                if version >= CONTAINER {
                    "true"
                } else {
                    "false"
                },
            )
    };
    write(context, &folder.join("metahub.lua"), fill(LUA), 0o644, plan)?;
    let filter = folder.join("cli_filter.lua");
    let is_another = |text: &String| !text.contains(WRITTEN);
    if existing_text(&context.system(&filter.display().to_string()), "Lua")?
        .as_ref()
        .is_some_and(is_another)
    {
        plan.notes.push(format!(
            "{filter} is the site's own and was left alone: add to it local metahub = \
             dofile('{folder}/metahub.lua'), and metahub(options) in slurm_cli_pre_submit",
            filter = filter.display(),
            folder = folder.display()
        ));
    } else {
        write(context, &filter, fill(CLI_FILTER), 0o644, plan)?;
    }
    let prolog = folder.join("metahub-task-prolog");
    write(context, &prolog, fill(TASK_PROLOG), 0o755, plan)?;
    let importer = folder.join("metahub-importer");
    write(context, &importer, fill(IMPORTER), 0o755, plan)?;
    let conf = Conf::read(context, folder)?;
    let mut fragment = format!("# {WRITTEN}\n");
    match conf.value("CliFilterPlugins") {
        None => fragment.push_str("CliFilterPlugins=cli_filter/lua\n"),
        Some(list) if list.split(',').any(|name| name.trim().ends_with("lua")) => {}
        Some(list) => plan.notes.push(format!(
            "slurm.conf has CliFilterPlugins={list}: add cli_filter/lua to it"
        )),
    }
    let prolog = prolog.display();
    match conf.value("TaskProlog") {
        None => fragment.push_str(&format!("TaskProlog={prolog}\n")),
        Some(own) if own == prolog.to_string() => {}
        Some(own) => plan.notes.push(format!(
            "slurm.conf has TaskProlog={own}: have that program run {prolog} at its end"
        )),
    }
    let path = folder.join("metahub.conf");
    write(context, &path, fragment, 0o644, plan)?;
    if !conf.includes() {
        plan.notes.push(format!(
            "add to slurm.conf: Include {}, and to the line of each kind of node what \
             metahub-node detect --format slurm prints there; then run scontrol reconfigure",
            path.display()
        ));
    }
    Ok(())
}

fn undo(context: &Context<'_>, folder: &Path, plan: &mut Plan) -> Result<(), SetupError> {
    if Conf::read(context, folder)?.includes() {
        return Err(SetupError::Slurm(format!(
            "slurm.conf includes {}/metahub.conf, and Slurm does not start without a file that it \
             includes: take that line out and run scontrol reconfigure first; nothing was removed",
            folder.display()
        )));
    }
    for name in [
        "metahub.conf",
        "metahub-importer",
        "metahub-task-prolog",
        "cli_filter.lua",
        "metahub.lua",
    ] {
        let path = context.system(&folder.join(name).display().to_string());
        let Some(before) = existing_text(&path, "text")? else {
            continue;
        };
        if !before.contains(WRITTEN) {
            plan.notes.push(format!(
                "{} is the site's own and was left alone",
                path.display()
            ));
            continue;
        }
        plan.changes.push(Change {
            path,
            before: Some(before.into_bytes()),
            after: None,
            mode: 0o644,
        });
    }
    Ok(())
}

fn write(
    context: &Context<'_>,
    path: &Path,
    text: String,
    mode: u32,
    plan: &mut Plan,
) -> Result<(), SetupError> {
    let path = context.system(&path.display().to_string());
    let before = existing_text(&path, "text")?;
    if let Some(before) = &before
        && !before.contains(WRITTEN)
    {
        return Err(SetupError::Slurm(format!(
            "{} is there and is not this program's: move it away; nothing was written",
            path.display()
        )));
    }
    if before.as_ref() != Some(&text) {
        plan.changes.push(Change {
            path,
            before: before.map(String::into_bytes),
            after: Some(text.into_bytes()),
            mode,
        });
    }
    Ok(())
}

/// `slurm.conf`, as far as it matters here.
struct Conf(String);

impl Conf {
    fn read(context: &Context<'_>, folder: &Path) -> Result<Self, SetupError> {
        let path = context.system(&folder.join("slurm.conf").display().to_string());
        Ok(Self(existing_text(&path, "text")?.unwrap_or_default()))
    }

    fn lines(&self) -> impl Iterator<Item = &str> {
        self.0
            .lines()
            .map(|line| line.split('#').next().unwrap_or_default().trim())
    }

    fn value(&self, key: &str) -> Option<&str> {
        self.lines()
            .filter_map(|line| line.split_once('='))
            .find(|(name, _)| name.trim().eq_ignore_ascii_case(key))
            .map(|(_, value)| value.trim())
    }

    fn includes(&self) -> bool {
        self.lines().any(|line| {
            let mut words = line.split_whitespace();
            words
                .next()
                .is_some_and(|word| word.eq_ignore_ascii_case("include"))
                && words
                    .next()
                    .is_some_and(|file| file.ends_with("metahub.conf"))
        })
    }
}

/// This program, where the machine to be has it.
fn program_of(context: &Context<'_>) -> String {
    const NAME: &str = "metahub-node";
    let usual = ["/usr/bin", "/usr/local/bin"].map(|folder| Path::new(folder).join(NAME));
    if context.root != Path::new("/") {
        let here = usual
            .iter()
            .find(|path| context.system(&path.display().to_string()).is_file());
        return here.unwrap_or(&usual[0]).display().to_string();
    }
    let found = program::find(context, NAME).or_else(|| std::env::current_exe().ok());
    found
        .unwrap_or_else(|| usual[0].clone())
        .display()
        .to_string()
}

/// The version of the Slurm that is installed: major and minor, which are year and month.
fn version(context: &Context<'_>) -> Result<(u32, u32), SetupError> {
    if let Some(stated) = context.slurm_version {
        return parse(stated).ok_or_else(|| {
            SetupError::Slurm(format!("'{stated}' is no version of Slurm: expected 22.05"))
        });
    }
    let unknown = || {
        SetupError::Slurm(
            "the version of Slurm is not known: neither sinfo nor slurmd is on PATH; state it by \
             --slurm-version 22.05"
                .to_owned(),
        )
    };
    if context.root != Path::new("/") {
        return Err(unknown());
    }
    ["sinfo", "slurmd", "slurmctld"]
        .iter()
        .filter_map(|name| program::find(context, name))
        .find_map(|path| parse(&said_by(&path)?))
        .ok_or_else(unknown)
}

fn said_by(program: &Path) -> Option<String> {
    let mut command = Command::new(program);
    command.arg("-V").stdin(Stdio::null()).stderr(Stdio::null());
    let output = crate::time_limit::within(VERSION_TIME, move || command.output().ok())??;
    String::from_utf8(output.stdout).ok()
}

/// `slurm-wlm 22.05.8`, `slurm 23.11.4`, `22.05`.
fn parse(text: &str) -> Option<(u32, u32)> {
    let version = text.split_whitespace().last()?;
    let mut numbers = version.split(['.', '-']).map(str::parse::<u32>);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

fn shown((major, minor): (u32, u32)) -> String {
    format!("{major}.{minor:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case("slurm-wlm 22.05.8\n", Some((22, 5)))]
    #[case("slurm 23.11.4", Some((23, 11)))]
    #[case("slurm 24.05.0-0rc1", Some((24, 5)))]
    #[case("20.02", Some((20, 2)))]
    #[case("slurm", None)]
    #[case("", None)]
    fn versions_are_read(#[case] text: &str, #[case] expected: Option<(u32, u32)>) {
        assert_eq!(parse(text), expected);
    }

    #[test]
    fn slurm_conf_is_read_as_slurm_reads_it() {
        let conf = Conf(
            "# TaskProlog=/old\nclifilterplugins = cli_filter/syslog # ours\n\
             include /etc/slurm/metahub.conf\n"
                .to_owned(),
        );
        assert_eq!(conf.value("CliFilterPlugins"), Some("cli_filter/syslog"));
        assert_eq!(conf.value("TaskProlog"), None);
        assert!(conf.includes());
        assert!(!Conf("#Include /etc/slurm/metahub.conf".to_owned()).includes());
    }
}
