//! What holds for every choice, whatever the images and the machine.

use metahub_hardware::{
    DecidedBy, Entry, Feature, Microarchitectures, Mismatch, Nearness, Provided, Target, choose,
    fit, least_required,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

fn all_targets() -> Vec<Target> {
    Microarchitectures::builtin()
        .iter()
        .map(|entry| entry.target().clone())
        .collect()
}

fn any_feature() -> impl Strategy<Value = Feature> {
    let target = select(all_targets()).prop_map(|target| Feature::of_target(&target));
    let other = select(vec![
        "cuda:11.8",
        "cuda:12.4",
        "cuda:13.0",
        "driver:470.57",
        "driver:550.54",
        "driver:580.1",
        "cc:7.0",
        "cc:8.0+ptx",
        "cc:8.6",
        "cc:9.0a",
        "cc:9.0",
        "gfx:gfx90a",
        "gfx:gfx1031",
        "gfx:gfx10-3-generic",
        "mpi:mpich",
        "mpi:openmpi",
        "mpi:cray-mpich",
        "glibc:2.17",
        "glibc:2.34",
        "kernel:5.14",
        "kernel:6.1",
        "libfabric:1.15",
        "rocm:6.2",
        "site:a",
        "site:b",
        "arch:futurelake",
    ])
    .prop_filter_map("a feature", |text| Feature::parse(text).ok());
    prop_oneof![target, other]
}

fn any_features(most: usize) -> impl Strategy<Value = Vec<Feature>> {
    vec(any_feature(), 0..=most)
}

#[derive(Debug, Clone, PartialEq)]
struct Image {
    requirements: Vec<Feature>,
    weight: i64,
}

fn any_images() -> impl Strategy<Value = Vec<Image>> {
    let image = (any_features(3), -2..3_i64).prop_map(|(requirements, weight)| Image {
        requirements,
        weight,
    });
    vec(image, 0..12)
}

/// Images that all fit a zen4, for targets of which two are equally near.
fn images_of_one_line() -> impl Strategy<Value = Vec<Image>> {
    let pool = [
        "arch:zen3",
        "arch:x86_64_v4",
        "arch:zen2",
        "arch:x86_64_v3",
        "site:a",
    ];
    let pool: Vec<Feature> = pool
        .iter()
        .filter_map(|text| Feature::parse(text).ok())
        .collect();
    let image = (subsequence(pool, 0..4), 0..2_i64).prop_map(|(requirements, weight)| Image {
        requirements,
        weight,
    });
    vec(image, 2..6)
}

fn entries(images: &[Image]) -> Vec<Entry<'_>> {
    images
        .iter()
        .map(|image| Entry {
            requirements: &image.requirements,
            weight: image.weight,
        })
        .collect()
}

fn winner<'a>(images: &'a [Image], machine: &Provided) -> Option<&'a Image> {
    choose(&entries(images), machine)
        .winner()
        .and_then(|at| images.get(at))
}

/// The best place that any permutation could give: all that the rule looks at before
/// the order in the file.
fn standing(image: &Image, machine: &Provided) -> (Nearness, usize, i64) {
    let found = fit(&image.requirements, machine);
    (found.nearness(), found.distinct(), image.weight)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2_000) })]

    #[test]
    fn only_what_fits_is_chosen_and_something_is_when_anything_fits(
        images in any_images(),
        machine in any_features(5),
    ) {
        let machine = Provided::new(machine);
        let fits = |image: &Image| fit(&image.requirements, &machine).fits();
        match winner(&images, &machine) {
            Some(image) => prop_assert!(fits(image)),
            None => prop_assert!(!images.iter().any(fits)),
        }
    }

    #[test]
    fn the_order_of_entries_decides_only_between_equals(
        (images, shuffled) in any_images()
            .prop_flat_map(|images| (Just(images.clone()), Just(images).prop_shuffle())),
        machine in any_features(5),
    ) {
        let machine = Provided::new(machine);
        let standing = |images: &[Image]| winner(images, &machine).map(|i| standing(i, &machine));
        prop_assert_eq!(standing(&images), standing(&shuffled));
    }

    #[test]
    fn the_order_of_features_never_matters(
        (images, shuffled) in any_images().prop_flat_map(|images| {
            let shuffled: Vec<_> = images
                .iter()
                .map(|image| Just(image.requirements.clone()).prop_shuffle())
                .collect();
            (Just(images), shuffled)
        }),
        (machine, other_machine) in any_features(5)
            .prop_flat_map(|machine| (Just(machine.clone()), Just(machine).prop_shuffle())),
    ) {
        let (machine, other_machine) = (Provided::new(machine), Provided::new(other_machine));
        let turned: Vec<Image> = images
            .iter()
            .zip(shuffled)
            .map(|(image, requirements)| Image { requirements, weight: image.weight })
            .collect();
        let (one, other) = (entries(&images), entries(&turned));
        let (one, other) = (choose(&one, &machine), choose(&other, &other_machine));
        prop_assert_eq!(one.ranking(), other.ranking());
        prop_assert_eq!(one.decided_by(), other.decided_by());
    }

    #[test]
    fn the_order_of_an_entrys_targets_never_matters(
        (images, shuffled) in images_of_one_line().prop_flat_map(|images| {
            let shuffled: Vec<_> = images
                .iter()
                .map(|image| Just(image.requirements.clone()).prop_shuffle())
                .collect();
            (Just(images), shuffled)
        }),
    ) {
        let machine = ["arch:zen4", "site:a"].iter().filter_map(|text| Feature::parse(text).ok());
        let machine = Provided::new(machine);
        let turned: Vec<Image> = images
            .iter()
            .zip(shuffled)
            .map(|(image, requirements)| Image { requirements, weight: image.weight })
            .collect();
        let (one, other) = (entries(&images), entries(&turned));
        let (one, other) = (choose(&one, &machine), choose(&other, &machine));
        prop_assert_eq!(one.ranking(), other.ranking());
        prop_assert_eq!(one.decided_by(), other.decided_by());
    }

    #[test]
    fn of_entries_in_another_order_another_one_wins_only_in_a_full_tie(
        (images, shuffled) in any_images()
            .prop_flat_map(|images| (Just(images.clone()), Just(images).prop_shuffle())),
        machine in any_features(5),
    ) {
        let machine = Provided::new(machine);
        let (one, other) = (entries(&images), entries(&shuffled));
        let (one, other) = (choose(&one, &machine), choose(&other, &machine));
        let mine = one.winner().and_then(|at| images.get(at));
        let theirs = other.winner().and_then(|at| shuffled.get(at));
        if mine != theirs {
            prop_assert_eq!(one.decided_by(), Some(DecidedBy::Order));
            prop_assert_eq!(other.decided_by(), Some(DecidedBy::Order));
        }
        if one.decided_by() == Some(DecidedBy::Order) {
            prop_assert!(one.winner() < one.runner_up());
        }
    }

    #[test]
    fn what_is_not_stated_is_never_a_proof(image in any_features(4)) {
        let nothing = Provided::new([]);
        let found = fit(&image, &nothing);
        let proven = found.mismatch() == Some(Mismatch::Proven);
        prop_assert!(!proven, "{}", found);
    }

    #[test]
    fn an_entry_that_does_not_fit_changes_nothing(
        images in any_images(),
        extra in any_features(3),
        at in 0..12_usize,
        machine in any_features(5),
    ) {
        let machine = Provided::new(machine);
        prop_assume!(!fit(&extra, &machine).fits());
        let mut more = images.clone();
        more.insert(at.min(images.len()), Image { requirements: extra, weight: i64::MAX });
        prop_assert_eq!(winner(&images, &machine), winner(&more, &machine));
    }

    #[test]
    fn a_machine_that_provides_more_runs_all_it_ran_before(
        image in any_features(4),
        machine in any_features(5),
        more in any_features(3),
    ) {
        let before = fit(&image, &Provided::new(machine.clone())).fits();
        let after = fit(&image, &Provided::new(machine.into_iter().chain(more))).fits();
        prop_assert!(after || !before);
    }

    #[test]
    fn the_choice_for_a_descendant_is_never_less_specific_than_for_its_ancestor(
        machine in select(all_targets()),
        targets in subsequence(all_targets(), 0..40).prop_shuffle(),
    ) {
        let graph = Microarchitectures::builtin();
        let images: Vec<Image> = targets
            .iter()
            .map(|t| Image { requirements: vec![Feature::of_target(t)], weight: 0 })
            .collect();
        let chosen = |target: &Target| {
            choose(&entries(&images), &Provided::new([Feature::of_target(target)]))
                .winner()
                .and_then(|at| targets.get(at))
        };
        for ancestor in graph.ancestors(&machine) {
            if let Some(for_ancestor) = chosen(&ancestor) {
                let mine = chosen(&machine);
                prop_assert!(mine.is_some());
                let less = mine.is_some_and(|mine| {
                    mine != for_ancestor && graph.descends_from(for_ancestor, mine)
                });
                prop_assert!(!less, "{} gets {:?}, {} gets {}", machine, mine, ancestor, for_ancestor);
            }
        }
    }

    #[test]
    fn features_read_back_as_they_were_written(feature in any_feature()) {
        let again: Feature = feature.to_string().parse().map_err(|e| TestCaseError::fail(format!("{e}")))?;
        prop_assert_eq!(&again, &feature);
        let canonical: Feature =
            feature.canonical().parse().map_err(|e| TestCaseError::fail(format!("{e}")))?;
        prop_assert_eq!(canonical.canonical(), feature.canonical());
    }

    #[test]
    fn any_text_is_read_or_refused_but_never_breaks(text in "\\PC{0,24}") {
        let _ = Feature::parse(&text);
        let _ = Feature::parse_login(&text);
        for key in ["arch", "cuda", "cc", "gfx", "mpi", "kernel"] {
            let _ = Feature::new(key, &text);
        }
        let _ = Microarchitectures::builtin().find(&text);
    }

    #[test]
    fn the_least_required_image_fits_wherever_one_with_more_of_the_same_does(
        images in any_images(),
    ) {
        let graph = Microarchitectures::builtin();
        let least = least_required(&entries(&images), &graph);
        prop_assert_eq!(least.is_some(), !images.is_empty());
        let bare = images.iter().any(|image| image.requirements.is_empty());
        if let (true, Some(image)) = (bare, least.and_then(|at| images.get(at))) {
            prop_assert!(image.requirements.is_empty());
        }
    }
}
