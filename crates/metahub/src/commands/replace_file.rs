//! Replaces a file atomically: a concurrent reader sees the old one or the new one.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use miette::miette;

/// Writes `text` in place of what is at `path`, through a link if that is one. The permissions of
/// a file that is there stay.
pub(crate) fn replace(path: &Path, text: &str) -> miette::Result<()> {
    let failed = |error: std::io::Error| miette!("{}: {error}", path.display());
    let real = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let mut name = std::ffi::OsString::from(".");
    name.push(real.file_name().unwrap_or_default());
    name.push(".new");
    let new = real.with_file_name(name);
    let write = || {
        let mut file = fs::File::create(&new)?;
        file.write_all(text.as_bytes())?;
        if let Ok(before) = fs::metadata(&real) {
            fs::set_permissions(&new, before.permissions())?;
        }
        file.sync_all()?;
        fs::rename(&new, &real)
    };
    write().map_err(failed)
}
