//! `importer get URI` and `importer release`: pyxis's plug-in for images, as its `plugstack.conf`
//! names it by `importer=`. `get` prints the path of a squashfs of this node's image as its first
//! line; `release`, which may come more than once and without a `get`, removes it.
//!
//! Enroot makes the squashfs, or Charliecloud where Enroot is not installed. Images of other
//! registries are handled alike, without a login of this node.

use std::ffi::OsString;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use metahub_client::blocking::Login;

use crate::answer::Answer;
use crate::policy::{Environment, Policy};
use crate::reference::ImageRef;
use crate::resolve::{ResolveError, Resolver};

/// What a squashfs is called after: nothing else in that folder is ever removed.
const PREFIX: &str = "metahub-";

/// Carries out `importer ACTION [URI]`.
#[must_use]
pub fn importer(
    policy: &Policy,
    environment: Environment<'_>,
    action: &str,
    uri: Option<&str>,
) -> Answer {
    let step = match Step::of(environment) {
        Ok(step) => step,
        Err(error) => return Answer::error(2, error),
    };
    match (action, uri) {
        ("get", Some(uri)) => get(policy, environment, &step, uri),
        ("release", _) => match step.remove() {
            Ok(()) => Answer::ok(""),
            Err(error) => Answer::error(1, error),
        },
        _ => Answer::error(2, "expected importer get URI, or importer release"),
    }
}

fn get(policy: &Policy, environment: Environment<'_>, step: &Step, uri: &str) -> Answer {
    let mut notes = Vec::new();
    let image = match Image::of(policy, environment, uri, &mut notes) {
        Ok(image) => image,
        Err(error) => return Answer::error(error.code(), error.to_string()).noting(notes),
    };
    let made = step.make(&image, environment);
    match made {
        Ok(path) => Answer::ok(path.display().to_string()).noting(notes),
        Err(error) => Answer::error(1, error).noting(notes),
    }
}

/// The image to import.
struct Image {
    /// By digest where it is of a MetaHub, as it was written otherwise.
    host: Option<String>,
    path: String,
    login: Option<(String, Login)>,
}

impl Image {
    fn of(
        policy: &Policy,
        environment: Environment<'_>,
        uri: &str,
        notes: &mut Vec<String>,
    ) -> Result<Self, ResolveError> {
        let found = ImageRef::parse_enroot(uri).or_else(|| ImageRef::parse(uri));
        let registry = found.as_ref().and_then(ImageRef::registry);
        let metahub = registry.filter(|host| policy.is_metahub(host));
        if let (Some(image), Some(host)) = (found, metahub) {
            let resolver = Resolver::new(policy, environment);
            let digest = resolver.digest(&image, notes)?;
            return Ok(Self {
                path: format!("{}@{digest}", image.name),
                host: Some(image.host),
                login: resolver.login(&host, notes).map(|login| (host, login)),
            });
        }
        let rest = uri.strip_prefix("docker://").unwrap_or(uri);
        let (host, path) = match rest.split_once('#') {
            Some((host, path)) => (Some(host.to_owned()), path),
            None => (None, rest),
        };
        Ok(Self {
            host,
            path: path.to_owned(),
            login: None,
        })
    }

    fn enroot(&self) -> String {
        match &self.host {
            Some(host) => format!("docker://{host}#{}", self.path),
            None => format!("docker://{}", self.path),
        }
    }

    fn plain(&self) -> String {
        match &self.host {
            Some(host) => format!("{host}/{}", self.path),
            None => self.path.clone(),
        }
    }
}

/// The job step that an image is imported for, and where.
struct Step {
    folder: PathBuf,
    name: String,
}

impl Step {
    fn of(environment: Environment<'_>) -> Result<Self, &'static str> {
        let text = |name: &str| {
            let value = environment(name)?.into_string().ok()?;
            let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
            Some(value).filter(|value| !value.is_empty() && value.chars().all(is_part))
        };
        let folder = environment("PYXIS_RUNTIME_PATH").filter(|path| !path.is_empty());
        let folder = folder.ok_or("PYXIS_RUNTIME_PATH names no folder: pyxis sets it")?;
        let part = |name| text(name).unwrap_or_else(|| "0".to_owned());
        let name = format!(
            "{PREFIX}{}.{}.{}",
            part("SLURM_JOB_ID"),
            part("SLURM_STEP_ID"),
            part("SLURMD_NODENAME")
        );
        Ok(Self {
            folder: folder.into(),
            name,
        })
    }

    fn path(&self, end: &str) -> PathBuf {
        self.folder.join(format!("{}{end}", self.name))
    }

    /// Makes the squashfs, whole or not at all.
    fn make(&self, image: &Image, environment: Environment<'_>) -> Result<PathBuf, String> {
        let failed = |path: &Path, error: io::Error| format!("{}: {error}", path.display());
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.folder)
            .map_err(|error| failed(&self.folder, error))?;
        // Files left by an import that was killed.
        self.remove()?;
        let (made, part) = (self.path(".sqsh"), self.path(".part"));
        let find = |name: &str| {
            let path = environment("PATH")?;
            std::env::split_paths(&path)
                .map(|folder| folder.join(name))
                .find(|program| program.is_file())
        };
        let outcome = match (find("enroot"), find("ch-image"), find("ch-convert")) {
            (Some(enroot), ..) => self.by_enroot(&enroot, image, &part),
            (None, Some(pull), Some(convert)) => self.by_charliecloud(&pull, &convert, image, &part),
            _ => Err(
                "nothing makes a squashfs here: install enroot, or charliecloud with squashfs-tools"
                    .to_owned(),
            ),
        };
        let outcome = outcome
            .and_then(|()| std::fs::rename(&part, &made).map_err(|error| failed(&made, error)));
        match outcome {
            Ok(()) => Ok(made),
            Err(error) => {
                let _ = self.remove();
                Err(error)
            }
        }
    }

    fn by_enroot(&self, enroot: &Path, image: &Image, part: &Path) -> Result<(), String> {
        let mut command = Command::new(enroot);
        command
            .args(["import", "--output"])
            .arg(part)
            .arg(image.enroot());
        let Some((host, login)) = &image.login else {
            return run(command);
        };
        // A configuration for this one import: the user's own may be shared by unlike nodes.
        let folder = self.path(".enroot");
        let failed = |error: io::Error| format!("{}: {error}", folder.display());
        self.write_credentials(&folder, host, login)
            .map_err(failed)?;
        command.env("ENROOT_CONFIG_PATH", &folder);
        let outcome = run(command);
        // The login stays no longer than it is needed.
        remove(&folder).map_err(failed)?;
        outcome
    }

    fn write_credentials(&self, folder: &Path, host: &str, login: &Login) -> io::Result<()> {
        use std::io::Write as _;
        std::fs::DirBuilder::new().mode(0o700).create(folder)?;
        let mut open = std::fs::OpenOptions::new();
        let mut file = open
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(folder.join(".credentials"))?;
        // Enroot looks up the host without its port, and has a shell read what begins with $.
        let host = host.rsplit_once(':').map_or(host, |(name, _)| name);
        let quoted = |text: &str| text.replace('\\', "\\\\").replace('$', "\\$");
        writeln!(
            file,
            "machine {host} login {} password {}",
            login.user,
            quoted(&login.secret)
        )
    }

    fn by_charliecloud(
        &self,
        pull: &Path,
        convert: &Path,
        image: &Image,
        part: &Path,
    ) -> Result<(), String> {
        let storage = self.path(".storage");
        let reference = image.plain();
        let mut pulling = Command::new(pull);
        pulling
            .args(["--no-cache", "--storage"])
            .arg(&storage)
            .args(["pull", &reference]);
        if let Some((_, login)) = &image.login {
            pulling
                .env("CH_IMAGE_AUTH", "yes")
                .env("CH_IMAGE_USERNAME", &login.user)
                .env("CH_IMAGE_PASSWORD", &login.secret);
        }
        run(pulling)?;
        let images = storage.join("img");
        let unpacked = only_folder(&images)
            .ok_or_else(|| format!("{}: expected one image in there", images.display()))?;
        let mut converting = Command::new(convert);
        converting
            .args(["--in-fmt", "dir", "--out-fmt", "squash", "--tmp"])
            .arg(&self.folder)
            .arg(unpacked)
            .arg(part);
        run(converting)?;
        remove(&storage).map_err(|error| format!("{}: {error}", storage.display()))
    }

    /// Removes files left by this step's imports. A missing one is no error.
    fn remove(&self) -> Result<(), String> {
        for end in [".sqsh", ".part", ".enroot", ".storage"] {
            let path = self.path(end);
            remove(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        }
        Ok(())
    }
}

fn only_folder(of: &Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(of).ok()?;
    let mut folders = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.is_dir());
    let only = folders.next()?;
    folders.next().is_none().then_some(only)
}

fn remove(path: &Path) -> io::Result<()> {
    let removed = match std::fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => std::fs::remove_dir_all(path),
        Ok(_) => std::fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Runs it with its output on standard error: the first line of standard output is the path.
fn run(mut command: Command) -> Result<(), String> {
    let name = command.get_program().to_owned();
    let told = |name: OsString| PathBuf::from(name).display().to_string();
    command.stdin(Stdio::null()).stdout(io::stderr());
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{}: {status}", told(name))),
        Err(error) => Err(format!("cannot run {}: {error}", told(name))),
    }
}
