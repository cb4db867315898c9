//! Adds a MetaHub to the site's policy and preserves the rest of that file: the text is edited by
//! lines, and the result is parsed again before it is written.

use super::plan::{Change, Context, SetupError, existing_text};
use crate::policy::{POLICY_FILE, Policy, registries_of};

const WRITTEN: &str = "# This node's policy for MetaHub; every key is explained in docs/node.md.\n";

/// The change that names the host in the policy, or takes it out; `None` where it is as it is to
/// be.
pub(super) fn change(context: &Context<'_>) -> Result<Option<Change>, SetupError> {
    let path = match context.variable(crate::policy::POLICY_VARIABLE) {
        Some(file) => file,
        None => context.system(POLICY_FILE),
    };
    let before = existing_text(&path, "YAML")?;
    let text = before.clone().unwrap_or_default();
    let wrong = |problem: String| SetupError::Policy(format!("{}:{problem}", path.display()));
    let mut wanted = registries_of(&text).map_err(wrong)?;
    let is_named = wanted.iter().any(|host| host == context.host);
    if is_named != context.undo {
        return Ok(None);
    }
    let after = if context.undo {
        wanted.retain(|host| host != context.host);
        without(&text, context.host)
    } else {
        wanted.push(context.host.to_owned());
        with(&text, context.host)
    };
    let mut found = registries_of(&after).unwrap_or_default();
    found.sort();
    wanted.sort();
    if found != wanted {
        let verb = if context.undo { "take" } else { "add" };
        return Err(SetupError::Policy(format!(
            "{}: {verb} {} under registries: by hand; the file is written in a way that this \
             program does not edit",
            path.display(),
            context.host
        )));
    }
    let after = (after != WRITTEN && !after.trim().is_empty()).then(|| after.into_bytes());
    Ok(Some(Change {
        path,
        before: before.map(String::into_bytes),
        after,
        mode: 0o644,
    }))
}

fn with(text: &str, host: &str) -> String {
    let item = format!("\"{host}\"");
    let Some(at) = key_line(text) else {
        let start = if text.is_empty() { WRITTEN } else { text };
        let line_break = if start.ends_with('\n') { "" } else { "\n" };
        return format!("{start}{line_break}registries:\n  - {item}\n");
    };
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let next = lines.get(at + 1).cloned().unwrap_or_default();
    let indent = next.len() - next.trim_start().len();
    if let Some(line) = lines.get_mut(at)
        && let Some(inside) = line.find('[')
    {
        let rest = line.get(inside + 1..).unwrap_or_default();
        let is_empty = rest.trim_start().starts_with(']');
        let text = if is_empty { item } else { format!("{item}, ") };
        line.insert_str(inside + 1, &text);
        return lines.join("\n") + "\n";
    }
    let indent = if next.trim_start().starts_with('-') {
        indent
    } else {
        2
    };
    lines.insert(at + 1, format!("{}- {item}", " ".repeat(indent)));
    lines.join("\n") + "\n"
}

fn without(text: &str, host: &str) -> String {
    let Some(at) = key_line(text) else {
        return text.to_owned();
    };
    let names = |word: &str| {
        let word = word.split(" #").next().unwrap_or(word);
        crate::server::host_of(word.trim().trim_matches(['"', '\''])).as_deref() == Some(host)
    };
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    if let Some(line) = lines.get_mut(at)
        && let Some((start, rest)) = line.clone().split_once('[')
        && let Some((inside, end)) = rest.split_once(']')
    {
        let left: Vec<&str> = inside
            .split(',')
            .map(str::trim)
            .filter(|w| !names(w))
            .collect();
        *line = format!("{start}[{}]{end}", left.join(", "));
        return lines.join("\n") + "\n";
    }
    let mut kept = Vec::with_capacity(lines.len());
    let mut items = 0;
    for (number, line) in lines.iter().enumerate() {
        let item = line.trim_start().strip_prefix("- ");
        let in_list = number > at
            && lines.iter().take(number).skip(at + 1).all(|before| {
                let before = before.trim_start();
                before.is_empty() || before.starts_with(['-', '#'])
            });
        match item {
            Some(item) if in_list && names(item) => {}
            Some(_) if in_list => {
                items += 1;
                kept.push(line.clone());
            }
            _ => kept.push(line.clone()),
        }
    }
    if items == 0 {
        // A key with nothing under it.
        kept.retain(|line| !line.starts_with("registries:"));
    }
    kept.join("\n") + "\n"
}

fn key_line(text: &str) -> Option<usize> {
    text.lines()
        .position(|line| line.starts_with("registries:"))
}

/// The policy with the host among its registries, for this run.
pub(super) fn naming(policy: &Policy, host: &str) -> Policy {
    let mut policy = policy.clone();
    if !policy.is_metahub(host) {
        policy.registries.push(host.to_owned());
    }
    policy
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case("")]
    #[case("# mine\ntools: false\n")]
    #[case("registries: []\ntools: false\n")]
    #[case("registries: [a.example]  # ours\n")]
    #[case("registries:\n  - a.example # ours\n  - \"b.example:5000\"\ntools: false\n")]
    #[case("tools: false\nregistries:\n- a.example\n# the end\n")]
    fn a_registry_is_added_and_taken_out_again(#[case] text: &str) {
        let before = registries_of(text).unwrap();
        let added = with(text, "hub.example:5000");
        let named = registries_of(&added).unwrap_or_else(|error| panic!("{error}\n{added}"));
        assert_eq!(named.len(), before.len() + 1, "{added}");
        assert!(
            named.iter().any(|host| host == "hub.example:5000"),
            "{added}"
        );
        for line in text.lines().filter(|line| line.contains('#')) {
            let comment = line.split_once('#').unwrap().1;
            assert!(added.contains(comment), "{added}");
        }
        let removed = without(&added, "hub.example:5000");
        assert_eq!(registries_of(&removed).unwrap(), before, "{removed}");
        if !text.is_empty() {
            assert_eq!(removed, text);
        }
    }
}
