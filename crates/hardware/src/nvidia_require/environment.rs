//! The requirements in the environment of a CUDA image.

use std::collections::BTreeMap;

use super::NvidiaRequire;
use crate::feature::Feature;
use crate::keys::Key;
use crate::version::Version;

/// A variable by which an image says what its CUDA needs.
#[derive(Debug, PartialEq)]
pub(crate) enum Variable<'a> {
    Requires(&'a str, Feature),
    /// Its name, the part that cannot be read, and what was expected.
    Unread(&'a str, &'a str, &'static str),
}

const FACTOR: &str = "cuda, driver, arch or brand, a comparison and a version, e.g. cuda>=12.4";
const CUDA: &str = "the version of CUDA, e.g. 12.4.1";
/// The variable by which images from before `NVIDIA_REQUIRE_CUDA` state their CUDA.
const LEGACY: &str = "CUDA_VERSION";

/// The requirements in an image's environment, as NVIDIA's container toolkit reads them. Every
/// `NVIDIA_REQUIRE_*` must hold, except those that begin with `NVIDIA_REQUIRE_JETPACK`, which say
/// what is mounted. `CUDA_VERSION` without `NVIDIA_REQUIRE_CUDA` requires that CUDA.
/// `NVIDIA_DISABLE_REQUIRE` says that none is to be looked at. If a variable is set twice, the last
/// one counts.
pub(crate) fn from_env<'a>(env: impl IntoIterator<Item = &'a str>) -> Vec<Variable<'a>> {
    let ours = [LEGACY, "NVIDIA_DISABLE_REQUIRE"];
    let variables: BTreeMap<&str, &str> = env
        .into_iter()
        .filter_map(|entry| entry.split_once('='))
        .filter(|(name, _)| ours.contains(name) || name.starts_with("NVIDIA_REQUIRE_"))
        .collect();
    let value = |wanted: &str| variables.get(wanted).map_or("", |value| value.trim());
    let disabled = value("NVIDIA_DISABLE_REQUIRE").to_ascii_lowercase();
    if matches!(disabled.as_str(), "1" | "t" | "true") {
        return Vec::new();
    }
    let mut found = Vec::new();
    for (name, value) in &variables {
        if name.starts_with("NVIDIA_REQUIRE_") && !name.starts_with("NVIDIA_REQUIRE_JETPACK") {
            let (known, unknown) = NvidiaRequire::read(value);
            let text = match unknown.as_slice() {
                [] => known.map(|_| (*value).to_owned()),
                _ => known.map(|known| known.to_string()),
            };
            found.extend(text.and_then(|text| required(name, &text)));
            let unread = unknown.into_iter();
            found.extend(unread.map(|factor| Variable::Unread(name, factor, FACTOR)));
        }
    }
    let legacy = value(LEGACY);
    if !legacy.is_empty() && value("NVIDIA_REQUIRE_CUDA").is_empty() {
        let cuda = major_and_minor(legacy);
        let stated = cuda.and_then(|cuda| required(LEGACY, &format!("cuda>={cuda}")));
        found.push(stated.unwrap_or(Variable::Unread(LEGACY, legacy, CUDA)));
    }
    found
}

fn required<'a>(name: &'a str, expression: &str) -> Option<Variable<'a>> {
    let feature = Feature::new(Key::NvidiaRequire.as_str(), expression).ok()?;
    Some(Variable::Requires(name, feature))
}

/// NVIDIA's toolkit looks at the major and the minor version only.
fn major_and_minor(version: &str) -> Option<String> {
    Version::parse(version)?;
    let mut numbers = version.trim_start_matches(['v', 'V']).splitn(3, '.');
    let mut number = || {
        let word = numbers.next()?;
        let digits = word.split(|c: char| !c.is_ascii_digit()).next()?;
        (!digits.is_empty()).then_some(digits)
    };
    let major = number()?;
    Some(format!("{major}.{}", number().unwrap_or("0")))
}

#[cfg(test)]
mod tests {
    use super::super::MOST_CONSTRAINTS;
    use super::*;
    use rstest::rstest;

    /// `NAME requires FEATURE` and `NAME? TEXT`.
    fn read(env: &[&str]) -> Vec<String> {
        from_env(env.iter().copied())
            .iter()
            .map(|variable| match variable {
                Variable::Requires(name, feature) => format!("{name} requires {feature}"),
                Variable::Unread(name, text, expected) => {
                    assert!(expected.contains("e.g."));
                    format!("{name}? {text}")
                }
            })
            .collect()
    }

    #[test]
    fn every_variable_of_the_environment_must_hold() {
        let env = [
            "PATH=/bin",
            "NVIDIA_REQUIRE_CUDA=cuda>=12.4",
            "NVIDIA_REQUIRE_DRIVER=driver>=550",
            "NVIDIA_REQUIRE_EMPTY=",
        ];
        assert_eq!(
            read(&env),
            [
                "NVIDIA_REQUIRE_CUDA requires nvidia-require:cuda>=12.4",
                "NVIDIA_REQUIRE_DRIVER requires nvidia-require:driver>=550",
            ]
        );
    }

    #[rstest]
    #[case::one_factor("cuda>=12.4,memory>=8", &["requires nvidia-require:cuda>=12.4", "? memory>=8"])]
    #[case::one_alternative("memory>=8 cuda>=12.4", &["requires nvidia-require:cuda>=12.4", "? memory>=8"])]
    #[case::all("memory>=8", &["? memory>=8"])]
    #[case::no_version("cuda>=x", &["? cuda>=x"])]
    #[case::no_comparison("cuda", &["? cuda"])]
    #[case::other_comparison("cuda==12.4,driver>=535", &["requires nvidia-require:driver>=535.0", "? cuda==12.4"])]
    #[case::several("cuda>=12.4,a=1,b=2", &["requires nvidia-require:cuda>=12.4", "? a=1", "? b=2"])]
    fn a_factor_that_nobody_knows_is_named_and_the_others_count(
        #[case] value: &str,
        #[case] found: &[&str],
    ) {
        let variable = format!("NVIDIA_REQUIRE_CUDA={value}");
        let expected: Vec<String> = found
            .iter()
            .map(|found| {
                let blank = if found.starts_with('?') { "" } else { " " };
                format!("NVIDIA_REQUIRE_CUDA{blank}{found}")
            })
            .collect();
        assert_eq!(read(&[&variable]), expected);
    }

    #[test]
    fn what_is_beyond_the_bound_is_not_known() {
        let many = vec!["cuda>=12.4"; MOST_CONSTRAINTS + 1].join(",");
        let variable = format!("NVIDIA_REQUIRE_CUDA={many}");
        assert_eq!(read(&[&variable]), ["NVIDIA_REQUIRE_CUDA? cuda>=12.4"]);
    }

    #[rstest]
    #[case::patch(&["CUDA_VERSION=10.0.130"], &["CUDA_VERSION requires nvidia-require:cuda>=10.0"])]
    #[case::major(&["CUDA_VERSION=11"], &["CUDA_VERSION requires nvidia-require:cuda>=11.0"])]
    #[case::v(&["CUDA_VERSION=v9.2"], &["CUDA_VERSION requires nvidia-require:cuda>=9.2"])]
    #[case::blank(&["CUDA_VERSION="], &[])]
    #[case::no_version(&["CUDA_VERSION=cu121"], &["CUDA_VERSION? cu121"])]
    #[case::operator(&["CUDA_VERSION=>=12"], &["CUDA_VERSION? >=12"])]
    #[case::not_legacy(
        &["CUDA_VERSION=12.4.1", "NVIDIA_REQUIRE_CUDA=cuda>=12.4"],
        &["NVIDIA_REQUIRE_CUDA requires nvidia-require:cuda>=12.4"]
    )]
    #[case::emptied(
        &["CUDA_VERSION=12.4.1", "NVIDIA_REQUIRE_CUDA="],
        &["CUDA_VERSION requires nvidia-require:cuda>=12.4"]
    )]
    #[case::other_requirements(
        &["CUDA_VERSION=12.4.1", "NVIDIA_REQUIRE_DRIVER=driver>=550"],
        &[
            "NVIDIA_REQUIRE_DRIVER requires nvidia-require:driver>=550",
            "CUDA_VERSION requires nvidia-require:cuda>=12.4",
        ]
    )]
    #[case::disabled(&["CUDA_VERSION=12.4.1", "NVIDIA_DISABLE_REQUIRE=1"], &[])]
    fn a_legacy_image_requires_its_cuda(#[case] env: &[&str], #[case] found: &[&str]) {
        assert_eq!(read(env), found);
    }

    #[test]
    fn what_jetpack_mounts_is_no_requirement() {
        let env = [
            "NVIDIA_REQUIRE_JETPACK=csv-mounts=all",
            "NVIDIA_REQUIRE_JETPACK_HOST_MOUNTS=base-only",
        ];
        assert_eq!(read(&env), [""; 0]);
    }

    #[test]
    fn of_a_variable_that_stands_twice_the_last_counts() {
        let env = [
            "NVIDIA_REQUIRE_CUDA=cuda>=99",
            "NVIDIA_REQUIRE_CUDA=cuda>=12.4",
        ];
        assert_eq!(
            read(&env),
            ["NVIDIA_REQUIRE_CUDA requires nvidia-require:cuda>=12.4"]
        );
    }

    #[test]
    fn an_image_may_say_that_its_requirements_are_not_to_be_looked_at() {
        let env = [
            "NVIDIA_REQUIRE_CUDA=cuda>=99",
            "NVIDIA_DISABLE_REQUIRE=true",
        ];
        assert_eq!(read(&env), [""; 0]);
    }
}
