//! A copy of this machine's system that systemd has booted, as process 1 of namespaces of its own:
//! what a unit lets a service do is seen there, and nowhere else. It has a network of its own, which
//! is its loopback, and nothing starts in it but what a test names.

use std::time::Duration;

use crate::daemon::Daemon;
use crate::machine::Machine;
use crate::process::{Cmd, wait_until};

/// What a machine needs for [`Booted`], beside what a [`Machine`] does.
pub const NEEDS: &[&str] = &["pivot_root", "systemctl", "curl", "umount"];

/// How long a service may take to start.
const LIMIT: Duration = Duration::from_secs(60);

/// Runs `$3` as the first process of new namespaces, and ends it with itself.
const SUPERVISE: &str = "nsenter \"$1\" unshare --mount --propagation=private --pid --fork --uts \
--ipc --net --cgroup sh -c \"$3\" sh \"$2\" &
outer=$!
trap 'kill -KILL $(cat /proc/$outer/task/$outer/children); exit' TERM
wait $outer";

/// Mounts what systemd expects of a container (systemd's container interface), makes `$1` the root,
/// and becomes systemd, which starts `basic.target` without what would look at the machine outside.
const BOOT: &str = "set -e
root=$1
for folder in dev sys proc tmp; do umount --lazy \"$root/$folder\"; done
mount -t proc proc \"$root/proc\"
mount -o bind,ro \"$root/proc/sys\" \"$root/proc/sys\"
mount -t sysfs -o ro sysfs \"$root/sys\"
mount -t cgroup2 cgroup2 \"$root/sys/fs/cgroup\"
mount -t tmpfs tmpfs \"$root/tmp\"
mount -t tmpfs -o mode=755 tmpfs \"$root/dev\"
for device in null zero full random urandom tty; do
    : >\"$root/dev/$device\"
    mount --bind \"/dev/$device\" \"$root/dev/$device\"
done
mkdir \"$root/dev/shm\" \"$root/dev/pts\" \"$root/dev/mqueue\"
mount -t devpts -o newinstance,ptmxmode=0666 devpts \"$root/dev/pts\"
ln -s pts/ptmx \"$root/dev/ptmx\"
ln -s /proc/self/fd \"$root/dev/fd\"
: >\"$root/dev/console\"
: >\"$root/etc/fstab\"
units=$root/etc/systemd/system
for unit in systemd-sysctl.service systemd-udevd.service systemd-udev-trigger.service \
    systemd-modules-load.service systemd-remount-fs.service systemd-binfmt.service \
    systemd-update-utmp.service networking.service ifupdown-wait-online.service \
    NetworkManager-wait-online.service systemd-networkd-wait-online.service timers.target \
    sockets.target; do
    ln -sf /dev/null \"$units/$unit\"
done
mkdir -p \"$root/.outside\"
cd \"$root\"
pivot_root . .outside
cd /
umount --lazy /.outside
exec env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    setpriv --bounding-set=-sys_module,-sys_time,-sys_boot,-sys_rawio \
    /lib/systemd/systemd --system --unit=basic.target --log-target=journal";

/// The booted system.
#[derive(Debug)]
pub struct Booted {
    supervisor: Daemon,
    /// Process 1, by its number outside.
    first: String,
}

impl Booted {
    /// Boots what is installed on `machine`.
    ///
    /// # Panics
    /// When systemd does not get as far as to answer.
    #[must_use]
    pub fn start(machine: &Machine) -> Self {
        let command = Cmd::new("sh")
            .args(["-c", SUPERVISE, "sh", &machine.namespace()])
            .arg(machine.root())
            .arg(BOOT)
            .shown("systemd");
        let supervisor = Daemon::start("systemd", &command);
        let mut booted = Self {
            supervisor,
            first: String::new(),
        };
        let up = wait_until(LIMIT, || {
            booted.first = booted.find_first().unwrap_or_default();
            !booted.first.is_empty() && booted.is("basic.target", "active")
        });
        assert!(up, "systemd is not up:\n{}", booted.supervisor.log());
        booted
    }

    /// The grandchild of the supervisor that has become systemd.
    fn find_first(&self) -> Option<String> {
        let children = |process: &str| {
            std::fs::read_to_string(format!("/proc/{process}/task/{process}/children")).ok()
        };
        let outer = children(&self.supervisor.id().to_string())?;
        let first = children(outer.split_whitespace().next()?)?;
        let first = first.split_whitespace().next()?.to_owned();
        let name = std::fs::read_to_string(format!("/proc/{first}/comm")).ok()?;
        (name.trim() == "systemd").then_some(first)
    }

    /// A command inside, as root.
    #[must_use]
    pub fn command(&self, args: &[&str]) -> Cmd {
        Cmd::new("nsenter")
            .args(["--target", &self.first])
            .args(["--mount", "--pid", "--net", "--uts", "--ipc", "--cgroup"])
            .args(["env", "--ignore-environment", "--chdir=/"])
            .args(["PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8"])
            .args(args)
            .shown(args.join(" "))
    }

    /// Whether a unit is in `state`, such as `active`.
    #[must_use]
    pub fn is(&self, unit: &str, state: &str) -> bool {
        let shown = self.command(&[
            "systemctl",
            "show",
            "--property=ActiveState",
            "--value",
            unit,
        ]);
        shown.run().stdout.trim() == state
    }

    /// Writes a file inside, and the folders above it.
    pub fn write(&self, path: &str, text: &str) {
        let write = "mkdir -p \"${1%/*}\" && cat >\"$1\"";
        let write = self.command(&["sh", "-c", write, "sh", path]);
        write.stdin(text).shown(format!("write {path}")).ok();
    }

    /// The status that an address inside answers with, as soon as something answers there.
    ///
    /// # Panics
    /// When nothing does; the message holds the journal.
    #[must_use]
    pub fn status_of(&self, url: &str) -> String {
        let mut status = String::new();
        let answered = wait_until(LIMIT, || {
            let ask = ["curl", "--silent", "--output", "/dev/null"];
            let ask = self.command(&[&ask[..], &["--write-out", "%{http_code}", url]].concat());
            let answer = ask.run();
            status = answer.stdout;
            answer.code == Some(0)
        });
        let journal = ["journalctl", "--no-pager", "--lines=50"];
        assert!(answered, "{}", self.command(&journal).run());
        status
    }
}
