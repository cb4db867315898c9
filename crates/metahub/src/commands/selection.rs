//! The images of a command, with the login and the platforms.

use clap::Args;
use metahub_oci::{ImageReference, Platform};
use metahub_operations::Images;
use miette::miette;

#[derive(Debug, Args)]
pub(crate) struct SelectionArgs {
    /// Images as this registry names them, such as gromacs:2021.5 or quay.io/org/app:1
    #[arg(value_name = "IMAGE", required_unless_present = "list")]
    images: Vec<ImageReference>,
    /// A file with one image a line; # begins a comment, - is standard input
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    list: Option<std::path::PathBuf>,
    /// Only what this login gets of them; everything that they lead to by default
    #[arg(long = "as", value_name = "LOGIN", env = "METAHUB_LOGIN")]
    login: Option<String>,
    /// Only for this platform, may be repeated [default: linux on this machine's architecture]
    #[arg(long, value_name = "OS/ARCH")]
    platform: Vec<Platform>,
    /// For all platforms
    #[arg(long, conflicts_with = "platform")]
    all_platforms: bool,
}

impl SelectionArgs {
    /// The images, those of the list after those named.
    pub(crate) fn images(&self, profiles: bool) -> miette::Result<Images> {
        let mut images = self.images.clone();
        if let Some(file) = &self.list {
            let text = if file.as_os_str() == "-" {
                std::io::read_to_string(std::io::stdin())
            } else {
                std::fs::read_to_string(file)
            };
            let text = text.map_err(|error| miette!("cannot read {}: {error}", file.display()))?;
            let name = file.display().to_string();
            images.extend(list(&name, &text)?);
        }
        if images.is_empty() {
            return Err(miette!("no image is named: there is nothing to do"));
        }
        let platforms = match (self.all_platforms, self.platform.as_slice()) {
            (true, _) => Vec::new(),
            (false, []) => vec![this_machines()],
            (false, platforms) => platforms.to_vec(),
        };
        Ok(Images {
            images,
            login: self.login.clone().filter(|login| !login.is_empty()),
            platforms,
            profiles,
        })
    }
}

/// The images of a list. An error names file and line.
fn list(name: &str, text: &str) -> miette::Result<Vec<ImageReference>> {
    let mut images = Vec::new();
    for (number, line) in text.lines().enumerate() {
        // An image has no blank, so what follows one is a comment or a mistake.
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        let image = line.parse();
        images.push(image.map_err(|error| miette!("{name}:{}: {error}", number + 1))?);
    }
    Ok(images)
}

/// Linux on this machine's architecture, by the name that images have for it.
pub(crate) fn this_machines() -> Platform {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "powerpc64" => "ppc64le",
        "x86" => "386",
        other => other,
    };
    Platform::new("linux", architecture)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_has_an_image_a_line_blanks_and_comments() {
        let images = list(
            "l",
            "# ours\nquay.io/x/y:1\n\n  gromacs:2021.5  # all builds\n",
        )
        .unwrap();
        let names: Vec<String> = images.iter().map(ToString::to_string).collect();
        assert_eq!(names, ["quay.io/x/y:1", "gromacs:2021.5"]);
    }

    #[test]
    fn what_is_no_image_is_told_with_file_and_line() {
        let error = list("ours.txt", "a/b:1\nNo Image\n").unwrap_err();
        assert!(error.to_string().starts_with("ours.txt:2: "), "{error}");
    }
}
