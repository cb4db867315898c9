//! `metahub catalog new NAME`: a folder for the collections of an application, to be filled in.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::{Args, ValueHint};
use metahub_oci::RepositoryName;
use miette::miette;

use crate::exit::{self, Exit};
use crate::output;

const EXAMPLES: &str = "\
Examples:
  metahub catalog new gromacs --to catalog/collections";

#[derive(Debug, Args)]
#[command(after_help = exit::table_after(EXAMPLES))]
pub(crate) struct NewArgs {
    /// What the collections are pulled as
    #[arg(value_name = "NAME")]
    name: RepositoryName,
    /// The folder in which the application gets its own
    #[arg(long = "to", value_name = "FOLDER", default_value = ".", value_hint = ValueHint::DirPath)]
    folder: PathBuf,
}

pub(crate) fn run(args: &NewArgs) -> miette::Result<Exit> {
    let name = args.name.as_str();
    let short = name.rsplit('/').next().unwrap_or(name);
    let folder = args.folder.join(short);
    let failed = |path: &Path, error: &std::io::Error| miette!("{}: {error}", path.display());
    if let Err(error) = fs::create_dir_all(&args.folder) {
        return Err(failed(&args.folder, &error));
    }
    if let Err(error) = fs::create_dir(&folder) {
        if error.kind() == std::io::ErrorKind::AlreadyExists {
            return Err(miette!(
                help = "add a collection to the document that is there, or name another folder \
                        with --to",
                "{} is there already: nothing was written",
                folder.display()
            ));
        }
        return Err(failed(&folder, &error));
    }
    let files = [
        (format!("{short}.yaml"), document(name)),
        ("README.md".to_owned(), page(name, short)),
    ];
    for (file, text) in files {
        let path = folder.join(file);
        let mut options = fs::OpenOptions::new();
        let opened = options.write(true).create_new(true).open(&path);
        let written = opened.and_then(|mut open| open.write_all(text.as_bytes()));
        written.map_err(|error| failed(&path, &error))?;
        output::line(path.display().to_string())?;
    }
    output::line(format!(
        "\nReplace every TODO; what is left is told by\n  metahub check --strict {0}\n  \
         metahub catalog test {0}",
        folder.display()
    ))?;
    Ok(Exit::Ok)
}

/// A well-formed collection with placeholders.
fn document(name: &str) -> String {
    format!(
        r#"# Replace every TODO; `metahub check --strict` names those that are left.
about:
  description: "TODO: what it is, in one sentence"
  homepage: https://TODO.example/
  license: LicenseRef-TODO # an SPDX expression, such as MIT or GPL-3.0-or-later
  keywords: [TODO]
manifests:
  - name: {name}
    tag: TODO
    manifests:
      # One image for any machine. Without one, say why: about: {{no_generic: "…"}} below tag.
      - image: docker.io/example/app:TODO
        platform: {{os: linux, architecture: amd64}}
        about: {{documented: "https://TODO.example/", certainty: low}}
      # And one for each kind of machine that is built for; remove it if there is none.
      - image: docker.io/example/app:TODO-zen3
        platform: {{os: linux, architecture: amd64, features: [arch:zen3]}}
        about: {{documented: "https://TODO.example/", certainty: low}}
# One test for each thing that decides.
tests:
  - name: a Zen 4 node gets the build for Zen 3
    login: zen4
    pull: {name}:TODO
    expect: {{image: "docker.io/example/app:TODO-zen3"}}
  - name: an older node gets what runs anywhere
    login: haswell
    pull: {name}:TODO
    expect: {{image: "docker.io/example/app:TODO"}}
"#
    )
}

fn page(name: &str, short: &str) -> String {
    format!(
        "# {short}\n\nTODO: what is to be known of these images.\n\n| tag | images | |\n|---|---|---|\n\
         | `{name}:TODO` | TODO | TODO |\n"
    )
}
