//! Random cases of a fetch: how an upstream gives blobs, what clients do, and how much room there
//! is. Each follows from its number alone.

use std::ops::Range;
use std::time::Duration;

use metahub_oci::Digest;
use metahub_registry::{CacheSettings, Free};

use metahub_testkit::wire::{Fault, Head, Pace, Said, Sent};

/// Larger than any blob here.
const LARGEST: u64 = 64 * 1024 * 1024 * 1024;

struct Random(u64);

impl Random {
    /// Numbers that follow from `seed` alone.
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x6d65_7461_6875_6200)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end.max(1) as u64).unwrap()
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    fn bytes(&mut self, size: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(size + 8);
        while bytes.len() < size {
            bytes.extend(self.next().to_le_bytes());
        }
        bytes.truncate(size);
        bytes
    }
}

/// A blob, and how its upstream gives it.
#[derive(Debug)]
pub(crate) struct Subject {
    pub(crate) truth: Vec<u8>,
    pub(crate) digest: Digest,
    pub(crate) fault: Fault,
    /// Whether a manifest that is kept here says how large it is.
    pub(crate) stated: bool,
}

/// What a client does.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    pub(crate) subject: usize,
    /// Leaves after so many looks whether there is an answer.
    pub(crate) leaves_before: Option<usize>,
    pub(crate) range: Option<Range<u64>>,
    /// Leaves after so many bytes.
    pub(crate) leaves_after: Option<usize>,
    /// How often others get their turn between two pieces.
    pub(crate) slow: usize,
    /// How often it asks again after an error.
    pub(crate) again: usize,
}

#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) subjects: Vec<Subject>,
    pub(crate) clients: Vec<Client>,
    pub(crate) cache: CacheSettings,
    /// Room on a disk that is nearly full.
    pub(crate) room: Option<u64>,
}

fn fault(random: &mut Random, size: usize) -> Fault {
    if random.one_in(8) {
        return Fault::HONEST;
    }
    let sent = match random.below(10) {
        0 | 1 => Sent::Flipped(random.below(size)),
        2 => Sent::Short(random.below(size)),
        3 => Sent::Long(1 + random.below(70_000)),
        4 => Sent::Endless,
        _ => Sent::Truth,
    };
    let said = match random.below(10) {
        0 | 1 => Said::Nothing,
        2 | 3 => Said::Chunked,
        4 => {
            let size = size as u64;
            Said::Wrong(random.of(&[0, 1, size / 2, size.saturating_sub(1), size + 1, 3_000_000]))
        }
        _ => Said::Length,
    };
    let at = random.below(size + 1);
    let pace = match random.below(12) {
        0 | 1 => Pace::Trickle(1 + size / 50),
        2 => Pace::Stall(at),
        3 | 4 => Pace::Close(at),
        5 | 6 => Pace::Reset(at),
        _ => Pace::AtOnce,
    };
    Fault {
        sent,
        said,
        pace,
        head: random.of(&[
            Head::Length,
            Head::Length,
            Head::NoLength,
            Head::Status(405),
        ]),
        ranges: !random.one_in(3),
        times: random.of(&[1, 2, 3, usize::MAX, usize::MAX]),
        then: random.of(&[None, None, Some(503), Some(404), Some(500)]),
        status: random
            .one_in(8)
            .then(|| random.of(&[404, 403, 500, 502, 503])),
    }
}

fn client(random: &mut Random, subjects: &[Subject], subject: usize) -> Client {
    let size = subjects[subject].truth.len();
    let range = (size > 1 && random.one_in(3)).then(|| {
        let start = random.below(size);
        start as u64..(start + 1 + random.below(size - start)) as u64
    });
    Client {
        subject,
        leaves_before: random.one_in(6).then(|| random.below(40)),
        range,
        leaves_after: random.one_in(3).then(|| random.below(size + 1)),
        slow: random.of(&[0, 0, 1, 20]),
        again: random.below(3),
    }
}

impl Case {
    pub(crate) fn new(seed: u64) -> Self {
        let random = &mut Random::new(seed);
        let subjects: Vec<Subject> = (0..=random.below(3))
            .map(|_| {
                let size = random.of(&[0, 1, 100, 10_000, 300_000, 300_000, 1_200_000, 1_200_000]);
                let truth = random.bytes(size);
                Subject {
                    digest: Digest::sha256(&truth),
                    fault: fault(random, size),
                    stated: random.one_in(2),
                    truth,
                }
            })
            .collect();
        let count = random.of(&[1, 2, 3, 5, 16]);
        let clients = (0..count)
            .map(|_| {
                let subject = random.below(subjects.len());
                client(random, &subjects, subject)
            })
            .collect();
        let size = random.of(&[None, None, Some(400_000), Some(1_500_000), Some(4_000_000)]);
        let room = random
            .one_in(5)
            .then(|| random.of(&[0, 100_000, 700_000, 2_000_000]));
        let cache = CacheSettings {
            size,
            keep_free: match room {
                Some(_) if random.one_in(2) => Free::Bytes(500_000),
                _ => Free::Percent(0),
            },
            largest_blob: match size {
                None => random.of(&[1_000_000, 2_000_000]),
                Some(_) => random.of(&[LARGEST, 1_000_000]),
            },
            spare: Duration::ZERO,
            unread: Duration::from_millis(5),
            // A full disk stays full. A bound is kept by others that end, however slow the machine.
            patience: match room {
                Some(_) => Duration::from_millis(200),
                None => Duration::from_secs(60),
            },
            ..CacheSettings::default()
        };
        Self {
            subjects,
            clients,
            cache,
            room,
        }
    }

    /// The most bytes that may ever lie there: the bound; or, alone, what is larger than that.
    pub(crate) fn bound(&self) -> u64 {
        let unsized_most = self.cache.size.unwrap_or(u64::MAX);
        let alone = |subject: &Subject| {
            let truth = subject.truth.len() as u64;
            match subject.fault.said {
                Said::Wrong(length) => truth.max(length),
                Said::Length if subject.fault.sent != Sent::Endless => match subject.fault.sent {
                    Sent::Long(more) => truth + more as u64,
                    _ => truth,
                },
                _ => truth.max(unsized_most.min(self.cache.largest_blob) + 1),
            }
        };
        let largest = self.subjects.iter().map(alone).max().unwrap_or(0);
        self.cache.size.map_or(u64::MAX, |size| size.max(largest))
    }
}
