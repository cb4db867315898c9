//! What logins mean: accounts, profiles, features, and what they come to when joined.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

mod composition;
mod parameters;
mod remarks;

use std::sync::Arc;

use metahub_catalog::actions::{NoneFits, Selection};
use metahub_catalog::{Action, Catalog, GrammarError, Loader, Login, LoginError};
use metahub_hardware::{Extension, Microarchitectures};
use proptest::prelude::*;
use rstest::rstest;

const DOCUMENTS: &str = "\
profiles:
  - name: library/cascadeLake:latest
    actions:
      - name: manifest-filter
        event: post-manifest-list-get
        args: {select: '.manifests .[] .platform .features', value: arch:cascadeLake}
  - name: aws/cli:latest
    actions: &cli
      - name: manifest-add
        event: post-manifest-get
        args: {layerRepository: qnib/layer-awscli, repository: qnib/featuretest}
  - name: aws/tools
    actions: *cli
  - name: aws/zen3
    features: [arch:zen3, site:aws]
  - name: glow-extended:1.5.0
    actions:
      - name: manifest-add
        event: post-manifest-get
        args: {layerRepository: qnib/glow:1.5.0, repository: .*}
  - name: glow-extended:1.6.0
    features: [glow:1.6]
  - name: gpu
    features: [cuda:12.4, cc:9.0]
  - name: grace
    features: [arch:neoverse_v2, site:grace]
    fallback: [neoverse_v1, neoverse_n1]
  - name: cpu:special
    features: [site:special]
  - name: cli
    features: [site:cli]
  - name: alice
    features: [site:alice]
";

fn catalog() -> Catalog {
    let loaded = Catalog::from_documents(&[("logins.yaml", DOCUMENTS)]);
    assert!(loaded.problems.is_empty(), "{:?}", loaded.problems);
    loaded.catalog
}

/// `alice`, `bob` and `aws` have accounts.
fn is_account(name: &str) -> bool {
    matches!(name, "alice" | "bob" | "aws")
}

fn interpret(user: &str) -> Result<Login, LoginError> {
    catalog().interpret(user, &is_account)
}

/// `account | selectors | provided features | actions`.
fn told(login: &Login) -> String {
    let features: Vec<String> = login
        .profile
        .provided()
        .features()
        .map(ToString::to_string)
        .collect();
    let actions: Vec<&str> = login.profile.actions().iter().map(Action::name).collect();
    format!(
        "{} | {} | {} | {}",
        login.account.as_deref().unwrap_or("-"),
        login.profile,
        features.join(" "),
        actions.join(" ")
    )
}

#[rstest]
// CPU targets are profiles, in any spelling.
#[case("zen3", "- | zen3 | arch:zen3 | manifest-select")]
#[case("Zen-3", "- | zen3 | arch:zen3 | manifest-select")]
#[case("znver3", "- | zen3 | arch:zen3 | manifest-select")]
#[case("milan", "- | zen3 | arch:zen3 | manifest-select")]
#[case("library/zen3", "- | zen3 | arch:zen3 | manifest-select")]
#[case("zen3=latest", "- | zen3 | arch:zen3 | manifest-select")]
#[case(
    "skylake-avx512",
    "- | skylake_avx512 | arch:skylake_avx512 | manifest-select"
)]
#[case("x86_64_v4", "- | x86_64_v4 | arch:x86_64_v4 | manifest-select")]
// A document comes before the built-in profile of the same name.
#[case("cascadeLake", "- | cascadeLake |  | manifest-filter")]
#[case("cascadelake", "- | cascadeLake |  | manifest-filter")]
#[case("CASCADE_LAKE", "- | cascadeLake |  | manifest-filter")]
#[case("clx", "- | cascadeLake |  | manifest-filter")]
#[case("grace", "- | grace | arch:neoverse_v2 site:grace | manifest-select")]
// Features, with either sign.
#[case("cpu=zen2", "- | arch=zen2 | arch:zen2 | manifest-select")]
#[case("cpu#zen2", "- | arch=zen2 | arch:zen2 | manifest-select")]
#[case(
    "arch=cascadeLake",
    "- | arch=cascadelake | arch:cascadelake | manifest-select"
)]
// Paths, as OCI and EESSI write them.
#[case("amd64/v3", "- | x86_64_v3 | arch:x86_64_v3 | manifest-select")]
#[case("linux/arm64", "- | aarch64 | arch:aarch64 | manifest-select")]
#[case("x86_64/amd/zen3", "- | zen3 | arch:zen3 | manifest-select")]
#[case("x86_64/generic", "- | x86_64 | arch:x86_64 | manifest-select")]
#[case("bob/x86_64/amd/zen3", "bob | zen3 | arch:zen3 | manifest-select")]
#[case(
    "aarch64/nvidia/grace",
    "- | neoverse_v2 | arch:neoverse_v2 | manifest-select"
)]
#[case("cpu=x86_64/amd/zen3", "- | arch=zen3 | arch:zen3 | manifest-select")]
#[case(
    "x86_64/amd/zen3+accel/nvidia/cc90",
    "- | zen3+cc=cc90 | arch:zen3 cc:cc90 | manifest-select"
)]
#[case("accel/amd/gfx90a", "- | gfx=gfx90a | gfx:gfx90a | manifest-select")]
#[case("cuda=12.4", "- | cuda=12.4 | cuda:12.4 | manifest-select")]
#[case("cuda#12.4", "- | cuda=12.4 | cuda:12.4 | manifest-select")]
#[case("site=blue", "- | site=blue | site:blue | manifest-select")]
// Versions, with either sign; a profile comes before a feature.
#[case("glow-extended#1.5.0", "- | glow-extended=1.5.0 |  | manifest-add")]
#[case(
    "glow_extended=1.6.0",
    "- | glow-extended=1.6.0 | glow:1.6 | manifest-select"
)]
#[case("cpu#special", "- | cpu=special | site:special | manifest-select")]
#[case("cpu=SPECIAL", "- | cpu=special | site:special | manifest-select")]
// Joined, in the order of the login.
#[case(
    "zen3+cuda=12.4",
    "- | zen3+cuda=12.4 | arch:zen3 cuda:12.4 | manifest-select"
)]
#[case(
    "aws/cli+zen3",
    "- | aws/cli+zen3 | arch:zen3 | manifest-add manifest-select"
)]
#[case(
    "zen3+aws/cli",
    "- | zen3+aws/cli | arch:zen3 | manifest-select manifest-add"
)]
#[case("zen3+zen3+znver3", "- | zen3 | arch:zen3 | manifest-select")]
#[case(
    "gpu+cuda=12.6",
    "- | gpu+cuda=12.6 | cc:9.0 cuda:12.6 | manifest-select"
)]
#[case(
    "aws/tools+glow-extended#1.5.0",
    "- | aws/tools+glow-extended=1.5.0 |  | manifest-add manifest-add"
)]
// A machine has one CPU target, kernel, driver: a later one replaces an earlier one.
#[case(
    "cpu=zen2+cpu=icelake",
    "- | arch=zen2+arch=icelake | arch:icelake | manifest-select"
)]
#[case(
    "cpu=icelake+cpu=zen2",
    "- | arch=icelake+arch=zen2 | arch:zen2 | manifest-select"
)]
#[case("zen2+icelake", "- | zen2+icelake | arch:icelake | manifest-select")]
#[case(
    "zen3+icelake+zen3",
    "- | zen3+icelake+zen3 | arch:zen3 | manifest-select"
)]
#[case(
    "haswell+x86_64_v4+cuda=12.4",
    "- | haswell+x86_64_v4+cuda=12.4 | arch:x86_64_v4 cuda:12.4 | manifest-select"
)]
#[case(
    "cuda=12.4+cuda=11.8",
    "- | cuda=12.4+cuda=11.8 | cuda:11.8 | manifest-select"
)]
#[case(
    "driver=550+kernel=6.1+glibc=2.36+rocm=6.2+libfabric=1.20+driver=535+kernel=5.14+glibc=2.34+rocm=6.0+libfabric=1.18",
    "- | driver=550+kernel=6.1+glibc=2.36+rocm=6.2+libfabric=1.20+driver=535+kernel=5.14+glibc=2.34+rocm=6.0+libfabric=1.18 | driver:535 glibc:2.34 kernel:5.14 libfabric:1.18 rocm:6.0 | manifest-select"
)]
// Of GPUs, MPI libraries and a site's own words it may have several.
#[case("cc=8.0+cc=9.0", "- | cc=8.0+cc=9.0 | cc:8.0 cc:9.0 | manifest-select")]
#[case(
    "gfx=gfx90a+gfx=gfx942",
    "- | gfx=gfx90a+gfx=gfx942 | gfx:gfx90a gfx:gfx942 | manifest-select"
)]
#[case(
    "mpi=mpich+mpi=openmpi",
    "- | mpi=mpich+mpi=openmpi | mpi:mpich mpi:openmpi | manifest-select"
)]
#[case(
    "site=blue+site=green",
    "- | site=blue+site=green | site:blue site:green | manifest-select"
)]
// What is not known here provides nothing, and what needs it is not served.
#[case(
    "cpu=zen9",
    "- | arch=zen9 | arch:(unknown to this registry) | manifest-select"
)]
#[case(
    "cpu#zen9",
    "- | arch=zen9 | arch:(unknown to this registry) | manifest-select"
)]
#[case(
    "cpu=x86_64/amd/zen9",
    "- | arch=x86_64/amd/zen9 | arch:(unknown to this registry) | manifest-select"
)]
#[case(
    "cpu=x86_64/intel/zen3",
    "- | arch=x86_64/intel/zen3 | arch:(unknown to this registry) | manifest-select"
)]
#[case(
    "zen3+cpu=zen9",
    "- | zen3+arch=zen9 | arch:(unknown to this registry) | manifest-select manifest-select"
)]
#[case(
    "cpu=zen9+zen3",
    "- | arch=zen9+zen3 | arch:zen3 | manifest-select manifest-select"
)]
#[case(
    "bob/cpu=zen9+cuda=12.4",
    "bob | arch=zen9+cuda=12.4 | arch:(unknown to this registry) cuda:12.4 | manifest-select"
)]
#[case(
    "zen3+mpi=newmpi",
    "- | zen3+mpi=newmpi | arch:zen3 mpi:(unknown to this registry) | manifest-select"
)]
#[case(
    "cascadeLake+zen3",
    "- | cascadeLake+zen3 | arch:zen3 | manifest-filter manifest-select"
)]
#[case(
    "zen3+cascadeLake",
    "- | zen3+cascadeLake | arch:cascadeLake | manifest-select manifest-filter"
)]
#[case(
    "icelake+cascadeLake",
    "- | icelake+cascadeLake | arch:icelake | manifest-select manifest-filter"
)]
// What is filtered by is provided, too, as soon as anything is.
#[case(
    "cascadeLake+cuda=12.4",
    "- | cascadeLake+cuda=12.4 | arch:cascadeLake cuda:12.4 | manifest-filter manifest-select"
)]
// Accounts.
#[case("bob", "bob |  |  | ")]
#[case("bob/zen3", "bob | zen3 | arch:zen3 | manifest-select")]
#[case("bob/cpu#zen2", "bob | arch=zen2 | arch:zen2 | manifest-select")]
#[case("bob/aws/cli", "bob | aws/cli |  | manifest-add")]
#[case(
    "bob/aws/cli+cuda=12.4",
    "bob | aws/cli+cuda=12.4 | cuda:12.4 | manifest-add manifest-select"
)]
#[case(
    "bob/glow-extended#1.5.0",
    "bob | glow-extended=1.5.0 |  | manifest-add"
)]
// An account that need not exist: whoever checks passwords says no.
#[case("nobody/zen3", "nobody | zen3 | arch:zen3 | manifest-select")]
#[case("nobody/aws/cli", "nobody | aws/cli |  | manifest-add")]
// Both an account and a profile: alone it is the profile, before a profile the account.
#[case("alice", "- | alice | site:alice | manifest-select")]
#[case("alice/zen3", "alice | zen3 | arch:zen3 | manifest-select")]
#[case("aws/zen3", "aws | zen3 | arch:zen3 | manifest-select")]
#[case("aws/cli", "aws | cli | site:cli | manifest-select")]
#[case("aws/aws/cli", "aws | aws/cli |  | manifest-add")]
// `tools` alone is nothing, so this is the profile although there is an account `aws`.
#[case("aws/tools", "- | aws/tools |  | manifest-add")]
fn a_login_means(#[case] user: &str, #[case] expected: &str) {
    // The cases of aws/cli in joins are about those without such an account.
    let accounts =
        |name: &str| is_account(name) && (name != "aws" || user.matches('+').count() == 0);
    assert_eq!(
        told(&catalog().interpret(user, &accounts).unwrap()),
        expected
    );
}

#[test]
fn without_an_account_of_that_name_a_namespace_is_a_namespace() {
    let login = catalog().interpret("aws/cli", &|_| false).unwrap();
    assert_eq!(told(&login), "- | aws/cli |  | manifest-add");
}

#[rstest]
#[case(
    "casadeLake",
    "no profile is called 'casadeLake': did you mean cascadeLake?"
)]
#[case("zen33", "no profile is called 'zen33': did you mean zen3?")]
#[case("aws/cly", "no profile is called 'aws/cly': did you mean aws/cli?")]
#[case(
    "awz/tools",
    "no profile is called 'awz/tools': did you mean aws/tools?"
)]
#[case(
    "bob/zen33",
    "no profile is called 'bob/zen33': did you mean bob/zen3?"
)]
#[case(
    "nobody/zen33",
    "no profile is called 'nobody/zen33': did you mean nobody/zen3?"
)]
#[case("zen3+awscli", "no profile is called 'awscli': did you mean aws/cli?")]
#[case(
    "glow-extended",
    "no profile is called 'glow-extended': did you mean glow-extended=1.5.0 or glow-extended=1.6.0?"
)]
#[case(
    "glow-extended#1.7.0",
    "no profile is called 'glow-extended#1.7.0': did you mean glow-extended=1.5.0 or glow-extended=1.6.0?"
)]
#[case(
    "glow-extendd#1.5.0",
    "no profile is called 'glow-extendd#1.5.0': did you mean glow-extended=1.5.0 or glow-extended=1.6.0?"
)]
#[case(
    "glow-extended=1.7.0",
    "no profile is called 'glow-extended=1.7.0': did you mean glow-extended=1.5.0 or glow-extended=1.6.0?"
)]
#[case("h100", "no profile is called 'h100': did you mean cc=9.0?")]
#[case("x86_64/intel/zen3", "no profile is called 'x86_64/intel/zen3'")]
#[case("accel/nvidia/new", "no profile is called 'accel/nvidia/new'")]
#[case("bob+zen3", "no profile is called 'bob'")]
#[case(
    "qqqqqqqq",
    "no profile is called 'qqqqqqqq': a user name is an account, a profile such as zen3 or aws/cli, or a feature such as cuda=12.4"
)]
fn what_is_unknown_is_told_with_what_is_near(#[case] user: &str, #[case] says: &str) {
    let error = interpret(user).unwrap_err();
    assert!(matches!(error, LoginError::Unknown { .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.starts_with(says), "{text}");
}

#[test]
fn an_error_says_the_same_whether_the_account_exists_or_not() {
    for rest in [
        "zen33",
        "a/b",
        "nothing/at/all",
        "cuda=new",
        "x#1",
        "zen33+cuda=12.4",
    ] {
        let user = format!("someone/{rest}");
        let with = catalog()
            .interpret(&user, &|name| name == "someone")
            .unwrap_err();
        let without = catalog().interpret(&user, &|_| false).unwrap_err();
        assert_eq!(with, without);
    }
}

#[rstest]
#[case("", GrammarError::Empty)]
#[case("zen3 ", GrammarError::Character { found: ' ' })]
#[case("alice@site", GrammarError::Character { found: '@' })]
#[case("library/zen3:latest", GrammarError::Character { found: ':' })]
#[case("$HOME", GrammarError::Character { found: '$' })]
#[case("zen3\0", GrammarError::Character { found: '\0' })]
#[case("zën3", GrammarError::Character { found: 'ë' })]
#[case("<token>", GrammarError::Character { found: '<' })]
#[case("zen3+", GrammarError::EmptySelector("zen3+".to_owned()))]
#[case("+zen3", GrammarError::EmptySelector("+zen3".to_owned()))]
#[case("zen3++aws/cli", GrammarError::EmptySelector("zen3++aws/cli".to_owned()))]
#[case("/", GrammarError::Selector("/".to_owned()))]
#[case("/zen3", GrammarError::Selector("/zen3".to_owned()))]
#[case("alice/", GrammarError::Selector("alice/".to_owned()))]
#[case("=zen3", GrammarError::Selector("=zen3".to_owned()))]
#[case("cpu=", GrammarError::Selector("cpu=".to_owned()))]
#[case("cpu=zen3=zen4", GrammarError::Selector("cpu=zen3=zen4".to_owned()))]
#[case("cpu#zen3/4", GrammarError::Selector("cpu#zen3/4".to_owned()))]
#[case("zen3+bob/aws/cli", GrammarError::Selector("bob/aws/cli".to_owned()))]
#[case(&"a".repeat(513), GrammarError::TooLong(513))]
#[case(&["zen3"; 33].join("+"), GrammarError::TooMany(33))]
fn what_breaks_the_grammar_is_told(#[case] user: &str, #[case] expected: GrammarError) {
    assert_eq!(interpret(user).unwrap_err(), LoginError::Grammar(expected));
}

#[test]
fn as_many_selectors_as_allowed_can_be_joined() {
    assert!(interpret(&["zen3"; 32].join("+")).is_ok());
    assert!(interpret(&format!("site={}", "a".repeat(507))).is_ok());
}

#[rstest]
#[case("zen3", "cpu#zen3")]
#[case("zen3", "znver3+zen3")]
#[case("zen3+cuda=12.4", "cuda=12.4.0+cpu=Zen-3")]
#[case("aws/cli", "bob/aws/cli")]
#[case("aws/cli", "aws/tools")]
fn logins_that_come_to_the_same_have_one_digest(#[case] a: &str, #[case] b: &str) {
    let digest = |user: &str| {
        let login = catalog().interpret(user, &|name| name == "bob").unwrap();
        login.profile.digest().clone()
    };
    assert_eq!(digest(a), digest(b));
}

#[rstest]
#[case("zen3", "zen2")]
#[case("zen3", "cascadeLake")]
#[case("aws/cli+zen3", "zen3+aws/cli")]
#[case("glow-extended=1.5.0+aws/cli", "aws/cli+glow-extended=1.5.0")]
#[case("grace", "neoverse_v2+site=grace")]
fn logins_that_come_to_something_else_have_another_digest(#[case] a: &str, #[case] b: &str) {
    let digest = |user: &str| {
        let login = catalog().interpret(user, &|_| false).unwrap();
        login.profile.digest().clone()
    };
    assert_ne!(digest(a), digest(b));
}
