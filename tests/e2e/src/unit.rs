//! A unit of systemd as its file has it, and whether what a process did is what the unit lets it
//! do: a filter of system calls that is too narrow shows only on a machine that runs the unit.

use std::collections::BTreeSet;

use crate::process::Cmd;

/// A unit's settings.
#[derive(Debug, Clone)]
pub struct Unit(Vec<(String, String)>);

impl Unit {
    /// Reads a unit's text.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let settings = text
            .lines()
            .filter(|line| !line.starts_with(['#', ';', '[']))
            .filter_map(|line| line.split_once('='))
            .map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned()));
        Self(settings.collect())
    }

    /// All values of a setting.
    #[must_use]
    pub fn all(&self, key: &str) -> Vec<&str> {
        let of_key = self.0.iter().filter(|(name, _)| name == key);
        of_key.map(|(_, value)| value.as_str()).collect()
    }

    /// The words of all values of a setting.
    #[must_use]
    pub fn words(&self, key: &str) -> Vec<&str> {
        let values = self.all(key);
        values.iter().flat_map(|v| v.split_whitespace()).collect()
    }

    /// The one value of a setting.
    ///
    /// # Panics
    /// When it has none, or several.
    #[must_use]
    #[track_caller]
    pub fn one(&self, key: &str) -> &str {
        let values = self.all(key);
        assert!(values.len() == 1, "{key}: {values:?}");
        values[0]
    }

    /// The system calls that the unit lets through.
    #[must_use]
    pub fn allowed_calls(&self) -> BTreeSet<String> {
        let mut allowed = BTreeSet::new();
        for list in self.all("SystemCallFilter") {
            let (takes, list) = match list.strip_prefix('~') {
                Some(list) => (true, list),
                None => (false, list),
            };
            for call in list.split_whitespace().flat_map(calls_of) {
                if takes {
                    allowed.remove(&call);
                } else {
                    allowed.insert(call);
                }
            }
        }
        // systemd always lets these through.
        allowed.extend(calls_of("@default"));
        allowed
    }

    /// What a trace of strace(1) shows that the unit would refuse, from the first execution of
    /// `program` on.
    ///
    /// # Panics
    /// When `program` is not executed, or no system call is found.
    #[must_use]
    pub fn refused(&self, trace: &str, program: &str) -> BTreeSet<String> {
        let start = trace
            .find(&format!("execve(\"{program}\""))
            .expect("the program is executed");
        let allowed = self.allowed_calls();
        let families = self.words("RestrictAddressFamilies");
        let no_writable_code = self.all("MemoryDenyWriteExecute") == ["yes"];
        let mut refused = BTreeSet::new();
        let mut seen = 0;
        for line in trace.get(start..).unwrap_or_default().lines() {
            let call = line.trim_start_matches(|c: char| c.is_ascii_digit() || c == ' ');
            let Some((name, arguments)) = call.split_once('(') else {
                continue;
            };
            let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
            if name.is_empty() || !name.chars().all(is_name) {
                continue;
            }
            seen += 1;
            if !allowed.contains(name) {
                refused.insert(name.to_owned());
            }
            let family = arguments.split([',', ')']).next().unwrap_or_default();
            if name == "socket" && !families.contains(&family) {
                refused.insert(format!("socket({family})"));
            }
            let writable_code = arguments.contains("PROT_WRITE") && arguments.contains("PROT_EXEC");
            if no_writable_code && writable_code {
                refused.insert(format!("{name} of code that is writable"));
            }
        }
        assert!(seen > 20, "only {seen} system calls were seen");
        refused
    }
}

/// The system calls of a group such as `@file-system`, or one by its name.
fn calls_of(word: &str) -> Vec<String> {
    if !word.starts_with('@') {
        return vec![word.to_owned()];
    }
    let listed = Cmd::new("systemd-analyze")
        .args(["syscall-filter", "--no-pager", word])
        .shown(format!("systemd-analyze syscall-filter {word}"))
        .ok();
    let words = listed.stdout.lines().skip(1).map(str::trim);
    words
        .filter(|word| !word.is_empty() && !word.starts_with('#'))
        .flat_map(calls_of)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_is_held_against_the_unit() {
        let unit = Unit::parse(
            "[Service]\n# SystemCallFilter=swapon\nSystemCallFilter=read openat socket mmap\n\
             SystemCallFilter=~openat\nRestrictAddressFamilies=AF_INET AF_UNIX\n\
             MemoryDenyWriteExecute=yes\n",
        );
        assert_eq!(unit.words("SystemCallFilter").len(), 5);
        let mut trace = "7 swapon(\"/x\") = 0\n7 execve(\"/bin/x\", []) = 0\n".to_owned();
        trace += &"7 read(3) = 0\n".repeat(20);
        if !crate::require::tools(&["systemd-analyze"]) {
            return;
        }
        assert_eq!(unit.refused(&trace, "/bin/x"), BTreeSet::new());
        trace += "8 openat(AT_FDCWD, \"x\") = 3\n7 socket(AF_NETLINK, 3, 0) = 4\n\
                  7 mmap(NULL, 1, PROT_READ|PROT_WRITE|PROT_EXEC) = 5\n7 +++ exited with 0 +++\n";
        let refused: Vec<String> = unit.refused(&trace, "/bin/x").into_iter().collect();
        assert_eq!(
            refused,
            [
                "mmap of code that is writable",
                "openat",
                "socket(AF_NETLINK)"
            ]
        );
    }
}
