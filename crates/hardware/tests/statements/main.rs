//! Random images that state what they require in every place, against random logins, judged
//! a second time by a naive model that is written here: tables by hand, loops, and nothing of
//! the code under test. Any difference is a failure.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests may assert by panicking"
)]

mod image;
mod login;
mod needs;
mod random;
mod tables;

use std::collections::BTreeMap;

use crate::image::Image;
use crate::login::Login;
use crate::random::Random;
use crate::tables::CUDAS;

const CASES: usize = 40_000;

#[test]
fn random_statements_are_judged_as_the_naive_model_judges_them() {
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for case in 0..CASES {
        let mut image = Image::random(&mut random);
        if random.once_in(8) {
            let cuda = random.of(CUDAS);
            image.add_legacy(cuda, random.once_in(3));
        }
        let login = Login::random(&mut random);
        let (expected, found) = (image.expected(&login), image.found(&login));
        assert_eq!(found, expected, "case {case}\n{image:#?}\n{login:#?}");
        *counts.entry(format!("{expected:?}")).or_default() += 1;
    }
    eprintln!("{CASES} images and logins compared: {counts:?}");
    assert!(
        counts.len() == 4 && counts.values().all(|count| *count > CASES / 50),
        "{counts:?}"
    );
}
