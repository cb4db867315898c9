//! A copy of this machine's system that packages can be installed on, and that goes away with the
//! test: an overlay in memory over `/`, in a mount namespace of its own. Nothing of it is seen
//! from outside, and nothing of the machine is changed.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::daemon::Daemon;
use crate::process::Cmd;

/// What a machine needs for [`Machine`].
pub const NEEDS: &[&str] = &[
    "unshare",
    "nsenter",
    "setpriv",
    "chroot",
    "mount",
    "dpkg",
    "dpkg-deb",
    "systemd-analyze",
    "systemd-sysusers",
    "systemd-tmpfiles",
];

/// Programs are looked for there, as services look for them.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Mounts the system below `$1`, and keeps the namespace until it is asked to shut down. `/run` is
/// empty, so that nothing there is taken for the init of this machine. Installing makes no index
/// of manual pages, which takes longer than all else.
const MOUNTS: &str = "set -e
mount -t tmpfs tmpfs \"$1\"
cd \"$1\"
mkdir upper work root
mount -t overlay overlay -o lowerdir=/,upperdir=upper,workdir=work root
rm -f root/var/lib/man-db/auto-update
mount -t tmpfs tmpfs root/run
mount -t tmpfs tmpfs root/tmp
mount -t proc proc root/proc
mount --rbind /sys root/sys
mount --rbind /dev root/dev
echo mounted
exec sleep infinity";

/// Inside a namespace of the caller's own, makes everything below `$1` read-only but the folder
/// `$2` and a `/tmp` that is the caller's alone, as `ProtectSystem=strict` and `PrivateTmp=yes` do;
/// then runs the rest.
const CONFINE: &str = "set -e
root=$1 folder=$2
shift 2
mount --bind \"$root$folder\" \"$root$folder\"
mount -o remount,bind,ro \"$root\"
mount -o remount,bind,ro \"$root/run\"
mount -o remount,bind,ro \"$root/sys\"
mount -t tmpfs -o mode=1777 tmpfs \"$root/tmp\"
exec \"$@\"";

/// The system's copy.
#[derive(Debug)]
pub struct Machine {
    holder: Daemon,
    folder: TempDir,
}

/// Whom a command is run as, and what it may write: what a unit of systemd says of a service.
#[derive(Debug, Clone, Copy)]
pub struct Service<'a> {
    /// User and group.
    pub user: &'a str,
    /// The one folder below which it may write, beside its own `/tmp`.
    pub writes: &'a str,
    /// The capabilities that it keeps, as setpriv(1) names them: `-all`, or `-all,+mknod`.
    pub capabilities: &'a str,
    /// Records its system calls in this file, with strace(1).
    pub trace: Option<&'a Path>,
}

impl Machine {
    /// Mounts it.
    ///
    /// # Panics
    /// When the kernel does not let it.
    #[must_use]
    pub fn start() -> Self {
        let folder = tempfile::Builder::new()
            .prefix("mh-machine-")
            .tempdir()
            .expect("the temporary folder is writable");
        let command = Cmd::new("unshare")
            .args(["--mount", "--propagation=private", "sh", "-c", MOUNTS, "sh"])
            .arg(folder.path());
        let mut holder = Daemon::start("a copy of the system", &command);
        holder.wait_for_line("word that it is mounted", |line| {
            (line == "mounted").then_some(())
        });
        Self { holder, folder }
    }

    /// A command inside, as root, with no environment but `PATH`.
    #[must_use]
    pub fn command(&self, args: &[&str]) -> Cmd {
        self.entered()
            .arg("chroot")
            .arg(self.root())
            .args(["env", "--ignore-environment", "--chdir=/"])
            .arg(format!("PATH={PATH}"))
            .args(["DEBIAN_FRONTEND=noninteractive", "LC_ALL=C.UTF-8"])
            .args(args)
            .shown(args.join(" "))
    }

    /// A command inside as a service is run: as its user, without rights, with a system that it
    /// cannot write to. `environment` is `NAME=VALUE`.
    #[must_use]
    pub fn service(&self, service: Service<'_>, environment: &[&str], args: &[&str]) -> Cmd {
        let mut command = self
            .entered()
            .args(["unshare", "--mount", "--propagation=private"])
            .args(["sh", "-c", CONFINE, "sh"])
            .arg(self.root())
            .arg(service.writes);
        if let Some(trace) = service.trace {
            command = command
                .args(["strace", "--follow-forks", "--daemonize", "--output"])
                .arg(trace);
        }
        command
            .arg("chroot")
            .arg(self.root())
            .args(["env", "--ignore-environment"])
            .arg(format!("--chdir={}", service.writes))
            .arg(format!("PATH={PATH}"))
            .args(environment)
            .args(["setpriv", "--reuid", service.user, "--regid", service.user])
            .args(["--clear-groups", "--no-new-privs", "--inh-caps=-all"])
            .arg(format!("--bounding-set={}", service.capabilities))
            .args(args)
            .shown(args.join(" "))
    }

    /// Copies a file of the machine into it.
    pub fn copy(&self, from: &Path, to: &str) {
        self.entered()
            .args(["cp", "--"])
            .arg(from)
            .arg(self.inside(to))
            .shown(format!("cp {} {to}", from.display()))
            .ok();
    }

    /// Writes a file inside, and the folders above it.
    pub fn write(&self, path: &str, text: &str) {
        let write = "mkdir -p \"${1%/*}\" && cat >\"$1\"";
        self.command(&["sh", "-c", write, "sh", path])
            .stdin(text)
            .ok();
    }

    /// Owner, group and mode of a path inside, such as `root root 755`; nothing where there is none.
    #[must_use]
    pub fn mode(&self, path: &str) -> String {
        let found = self.command(&["stat", "--format=%U %G %a", path]).run();
        found.stdout.trim().to_owned()
    }

    /// Whether there is such a path inside.
    #[must_use]
    pub fn has(&self, path: &str) -> bool {
        !self.mode(path).is_empty()
    }

    /// What a file inside says.
    #[must_use]
    pub fn read(&self, path: &str) -> String {
        self.command(&["cat", path]).ok().stdout
    }

    /// Where it lies, for who has entered its namespace.
    pub(crate) fn root(&self) -> PathBuf {
        self.folder.path().join("root")
    }

    fn inside(&self, path: &str) -> PathBuf {
        self.root().join(path.trim_start_matches('/'))
    }

    fn entered(&self) -> Cmd {
        Cmd::new("nsenter").arg(self.namespace())
    }

    /// nsenter(1)'s option for the namespace that it is mounted in.
    pub(crate) fn namespace(&self) -> String {
        format!("--mount=/proc/{}/ns/mnt", self.holder.id())
    }
}
