//! Charliecloud: pulls over HTTPS alone, and runs what it unpacked as a user without rights.

use std::fs::OpenOptions;

use crate::node::NodeUser;
use crate::process::{Cmd, Outcome};
use crate::site::Site;

/// What a machine needs for [`pull`] and [`run`].
pub const NEEDS: &[&str] = &["ch-image", "ch-run"];

/// `ch-image` with a storage folder of this user, given to the command `before`, if any.
#[must_use]
pub fn image(user: &NodeUser, site: &Site, before: &[&str], args: &[&str]) -> Outcome {
    let storage = user.path("storage").display().to_string();
    let own = ["ch-image", "--no-cache", "--storage", &storage];
    program(user, site, &[before, &own, args].concat(), None)
}

/// `ch-image pull IMAGE` under a login, which Charliecloud takes from its environment.
#[must_use]
pub fn pull(user: &NodeUser, site: &Site, image: &str, login: (&str, &str)) -> Outcome {
    let storage = user.path("storage").display().to_string();
    let words = [
        "ch-image",
        "--no-cache",
        "--storage",
        &storage,
        "pull",
        image,
    ];
    program(user, site, &words, Some(login))
}

/// `ch-run ARGS...`
#[must_use]
pub fn run(user: &NodeUser, site: &Site, args: &[&str]) -> Outcome {
    program(user, site, &[&["ch-run"], args].concat(), None)
}

/// The folder of the one image that this user has pulled, with what `ch-run` mounts over.
///
/// # Panics
/// When there is none, or it is not writable.
#[must_use]
pub fn unpacked(user: &NodeUser) -> String {
    let images = std::fs::read_dir(user.path("storage/img")).unwrap();
    let unpacked = images
        .map(|image| image.unwrap().path())
        .find(|image| image.is_dir());
    let unpacked = unpacked.unwrap();
    for folder in ["dev", "etc", "home", "proc", "sys", "tmp"] {
        std::fs::create_dir_all(unpacked.join(folder)).unwrap();
    }
    for file in ["group", "hosts", "passwd", "resolv.conf"] {
        let file = unpacked.join("etc").join(file);
        let mut open = OpenOptions::new();
        open.create(true).append(true).open(file).unwrap();
    }
    unpacked.display().to_string()
}

fn program(user: &NodeUser, site: &Site, words: &[&str], login: Option<(&str, &str)>) -> Outcome {
    let (first, rest) = words.split_first().expect("a program is named");
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = user
        .with(Cmd::new(first).args(rest).env_clear_of_proxies())
        .env("USER", "node")
        .env("REQUESTS_CA_BUNDLE", site.path("trusted/ca.crt"))
        // It is written for Debian's Python.
        .env("PATH", format!("/usr/bin:/bin:{path}"));
    if let Some((name, password)) = login {
        command = command
            .env("CH_IMAGE_AUTH", "yes")
            .env("CH_IMAGE_USERNAME", name)
            .env("CH_IMAGE_PASSWORD", password);
    }
    command.run()
}
