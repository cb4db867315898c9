//! User names. What one comes to is named so that its name comes to the same, and no image is given
//! to it that its hardware cannot run.

use metahub_catalog::{Catalog, LoginError, MAX_LOGIN_BYTES};

use super::{CATALOG, plain, words};
use crate::Target;

pub(super) const TARGET: Target = Target {
    name: "logins",
    files: &[],
    cases: 8_000,
    most_bytes: 2048,
    words: &[
        "zen3",
        "znver3",
        "cpu=",
        "cpu#",
        "arch=",
        "cuda=12.4",
        "cc=9.0",
        "gpu=h100",
        "mpi=mpich",
        "site/node",
        "site/filtered",
        "glow-extended",
        "=1.5.0",
        "#1.5.0",
        "threads=16",
        "any",
        "alice",
        "alice/",
        "library/",
        "+",
        "/",
        "=",
        "#",
        "amd64/v3",
        "x86_64/amd/zen3",
        "accel/nvidia/cc90",
        "neoverse_v2",
        "site=blue",
        "glibc=2.34",
        "nfd=",
        "{}",
    ],
    read,
};

fn read(input: &[u8]) -> String {
    let text = String::from_utf8_lossy(input);
    let is_account = |name: &str| matches!(name, "alice" | "zen3" | "site");
    let login = match CATALOG.interpret(&text, &is_account) {
        Ok(login) => login,
        Err(error) => return refused(&error),
    };
    let profile = &login.profile;
    let again = CATALOG.interpret(&text, &is_account).unwrap();
    assert_eq!(again.profile.digest(), profile.digest());
    let name = profile.to_string();
    // Values that anybody may set are taken under an account only, and `arch` is longer than `cpu`.
    let short = (1..=MAX_LOGIN_BYTES).contains(&name.len());
    if short && login.account.is_none() {
        let named = same(&CATALOG, &name);
        assert_eq!(named.as_ref(), Ok(profile.digest()), "{name}");
    }
    let given = plain::given(profile);
    format!(
        "{} {} {} {:?} {given}",
        login.account.is_some(),
        profile.provided().features().count().min(3),
        profile.actions().len().min(3),
        profile.remarks().iter().map(|remark| words(remark)).min(),
    )
}

fn refused(error: &LoginError) -> String {
    let text = error.to_string();
    assert!(text.len() < 8 * 1024, "{text}");
    words(error)
}

fn same(catalog: &Catalog, name: &str) -> Result<metahub_oci::Digest, String> {
    let login = catalog.interpret(name, &|_| false);
    let login = login.map_err(|error| error.to_string())?;
    Ok(login.profile.digest().clone())
}
