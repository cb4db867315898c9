//! Parameters of profiles, and profiles that extend others, as logins get them.

use metahub_catalog::{Catalog, LoginError};
use rstest::rstest;

const PROFILES: &str = r#"
profiles:
  - name: cpu
    description: The image for one kind of node
    parameters:
      cpu: {default: zen3, allowed: [zen2, zen3, skylake_avx512]}
    features: ["arch:${cpu}"]
  - name: glow-extended
    parameters:
      simd: {default: AMD64, allowed: [AMD64, AVX2]}
      note: {default: none}
    features: [site:glow]
    actions:
      - name: manifest-filter
        event: post-manifest-list-get
        args: {select: ".manifests[].annotations.simd", value: "${simd}-$${simd}"}
  - name: glow-extended:1.5.0
    features: [site:glow15]
  - name: threads
    parameters:
      threads: {type: integer, default: 4}
    features: ["threads:${threads}"]
  - name: base
    features: [site:base, glibc:2.28]
    parameters:
      cpu: {default: zen2, allowed: [zen2, zen3]}
    fallback: [x86_64_v3]
  - name: middle
    extends: [base]
    features: [glibc:2.34]
  - name: top
    extends: [middle, aws/cli]
    features: [site:top]
  - name: aws/cli
    actions:
      - name: manifest-add
        event: post-manifest-get
        args: {layerRepository: qnib/layer-awscli, repository: .*}
  - name: chosen
    parameters:
      cpu: {default: zen3, allowed: [zen2, zen3]}
    actions:
      - name: manifest-filter
        event: post-manifest-list-get
        args: {select: ".manifests[].platform.features", value: "arch:${cpu}"}
"#;

fn catalog() -> Catalog {
    let loaded = Catalog::from_documents(&[("profiles.yaml", PROFILES)]);
    assert!(loaded.problems.is_empty(), "{:?}", loaded.problems);
    loaded.catalog
}

fn provided(login: &str) -> String {
    let catalog = catalog();
    let login = catalog.interpret(login, &|name| name == "alice").unwrap();
    let features = login.profile.provided().features();
    features
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(" ")
}

#[rstest]
// The first parameter, with either sign, and in any spelling of an allowed value.
#[case("cpu", "arch:zen3")]
#[case("cpu=zen2", "arch:zen2")]
#[case("cpu#zen2", "arch:zen2")]
#[case("alice/cpu#zen2", "arch:zen2")]
#[case("library/cpu=zen2", "arch:zen2")]
#[case("cpu=Skylake-AVX512", "arch:skylake_avx512")]
// A version of that name comes before a value.
#[case("glow-extended=1.5.0", "site:glow15")]
#[case("glow-extended#AVX2", "site:glow")]
// What a login states is never replaced by a default, wherever it stands.
#[case("cpu+zen2", "arch:zen2")]
#[case("zen2+cpu", "arch:zen2")]
// A value that the login gives counts like any feature: the last.
#[case("zen2+cpu=zen3", "arch:zen3")]
#[case("cpu=zen3+zen2", "arch:zen2")]
// Under an account any value of the type is taken.
#[case("threads", "threads:4")]
#[case("alice/threads=16", "threads:16")]
// What is extended comes first, so that the profile's own counts.
#[case("middle", "glibc:2.34 site:base")]
#[case("top", "glibc:2.34 site:base site:top")]
fn a_login_sets_the_first_parameter(#[case] login: &str, #[case] features: &str) {
    assert_eq!(provided(login), features);
}

#[rstest]
#[case("cpu=zen9", "cpu is one of zen2, zen3, skylake_avx512, not 'zen9'")]
#[case("cpu=zen22", "did you mean zen2?")]
#[case("alice/cpu=zen9", "cpu is one of")]
#[case("alice/threads=many", "threads is a whole number, not 'many'")]
#[case("threads=16", "needs an account before it: ACCOUNT/threads=16")]
#[case("glow-extended=1.6.0", "simd is one of AMD64, AVX2, not '1.6.0'")]
fn a_value_that_cannot_be_is_refused_with_what_can(#[case] login: &str, #[case] words: &str) {
    let error = catalog()
        .interpret(login, &|name| name == "alice")
        .unwrap_err();
    assert!(matches!(error, LoginError::Parameter { .. }), "{error:?}");
    assert!(error.to_string().contains(words), "{error}");
}

#[test]
fn a_value_stands_in_every_text_and_equal_outcomes_have_equal_digests() {
    let catalog = catalog();
    let of = |login: &str| catalog.interpret(login, &|_| false).unwrap().profile;
    let actions = |login: &str| serde_json::to_string(of(login).actions()).unwrap();
    assert!(actions("glow-extended").contains(r#""value":"AMD64-${simd}""#));
    assert!(actions("glow-extended=avx2").contains(r#""value":"AVX2-${simd}""#));
    assert_eq!(of("cpu=zen2").digest(), of("zen2").digest());
    assert_eq!(of("cpu").digest(), of("cpu=zen3").digest());
    assert_ne!(of("cpu").digest(), of("cpu=zen2").digest());
}

#[test]
fn a_parameter_called_like_a_key_of_hardware_is_what_the_login_states_of_it() {
    let catalog = catalog();
    let actions = |login: &str| {
        let login = catalog.interpret(login, &|_| false).unwrap();
        serde_json::to_string(login.profile.actions()).unwrap()
    };
    assert!(actions("chosen").contains("arch:zen3"));
    for login in [
        "chosen+zen2",
        "zen2+chosen",
        "cpu=zen2+chosen",
        "chosen=zen2",
    ] {
        assert!(actions(login).contains("arch:zen2"), "{login}");
        assert!(!actions(login).contains("arch:zen3"), "{login}");
    }
}

#[test]
fn a_profile_with_parameters_is_written_as_it_was_read() {
    let first = catalog();
    let texts: Vec<(String, String)> = first
        .profiles()
        .filter(|profile| profile.location.is_some())
        .map(|profile| (profile.name.to_string(), profile.to_document()))
        .collect();
    let second = Catalog::from_documents(&texts);
    assert!(second.problems.is_empty(), "{:?}", second.problems);
    for login in ["cpu=zen2", "glow-extended=AVX2", "top", "chosen+zen2"] {
        let of = |catalog: &Catalog| {
            let login = catalog.interpret(login, &|_| false).unwrap();
            login.profile.digest().clone()
        };
        assert_eq!(of(&first), of(&second.catalog), "{login}");
    }
}
