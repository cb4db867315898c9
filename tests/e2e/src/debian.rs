//! The Debian packages that `scripts/build-deb` makes of the programs under test.

use std::path::Path;

use tempfile::TempDir;

use crate::machine::Machine;
use crate::process::{Cmd, Outcome};
use crate::{metahub, node};

/// Packages of one version.
#[derive(Debug)]
pub struct Packages {
    folder: TempDir,
    version: String,
}

impl Packages {
    /// Builds both, without what debuggers need.
    ///
    /// # Panics
    /// When they cannot be built.
    #[must_use]
    pub fn build(version: &str) -> Self {
        let folder = tempfile::tempdir().expect("the temporary folder is writable");
        let programs = folder.path().join("programs");
        std::fs::create_dir_all(&programs).expect("the temporary folder is writable");
        for program in [metahub::program(), node::program()] {
            let name = program.file_name().unwrap_or_default();
            Cmd::new("strip")
                .arg(program)
                .arg("-o")
                .arg(programs.join(name))
                .ok();
        }
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts");
        Cmd::new(scripts.join("build-deb"))
            .args(["--version", version, "--out"])
            .arg(folder.path())
            .arg("--binaries")
            .arg(&programs)
            // Nobody downloads these.
            .env("DPKG_DEB_COMPRESSOR_TYPE", "gzip")
            .env("DPKG_DEB_COMPRESSOR_LEVEL", "1")
            .shown(format!("scripts/build-deb --version {version}"))
            .ok();
        Self {
            folder,
            version: version.to_owned(),
        }
    }

    /// Installs one of them, or upgrades to it.
    pub fn install(&self, machine: &Machine, package: &str) -> Outcome {
        let own = Cmd::new("dpkg").arg("--print-architecture").ok().stdout;
        let file = format!("{package}_{}_{}.deb", self.version, own.trim());
        let inside = format!("/tmp/{file}");
        machine.copy(&self.folder.path().join(&file), &inside);
        // Whatever it needs is here: nothing is fetched.
        let install = ["apt-get", "install", "--yes", "--quiet"];
        let install = [&install[..], &["--no-install-recommends", &inside]].concat();
        machine.command(&install).ok()
    }
}
