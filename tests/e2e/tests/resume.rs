//! A fetch that was interrupted, by a kill, a stop or an upstream that went away, goes on where it
//! stood; what was damaged meanwhile is not believed.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use metahub_e2e::faulty::{Fault, Faulty, Image};
use metahub_e2e::http::{Answer, basic};
use metahub_e2e::metahub::MetaHub;
use metahub_e2e::process::wait_until;
use metahub_e2e::require;
use metahub_e2e::world::config;
use rustix::process::Signal;

const MIB: usize = 1024 * 1024;
const SIZE: usize = 48 * MIB;
/// Where the upstream stops.
const STOP: usize = 40 * MIB;
/// How much is certainly durable by then, once anything is said to be.
const DURABLE: usize = 16 * MIB;
const SOON: Duration = Duration::from_secs(60);

struct World {
    upstream: Faulty,
    metahub: MetaHub,
    layer: String,
}

impl World {
    /// With more keys of the upstream.
    fn start(more: &str) -> Option<Self> {
        if !require::tools(&["setpriv"]) {
            return None;
        }
        let upstream = Faulty::with(Image::of_size(SIZE));
        let config = config(upstream.host(), "read") + more;
        let metahub = MetaHub::start(&config, &[]);
        let layer = Image::blob(&upstream.image.layer);
        Some(Self {
            upstream,
            metahub,
            layer,
        })
    }

    /// The same after a client has begun to fetch a layer that stops coming, as soon as a part
    /// of it is durable.
    fn stopped() -> Option<Self> {
        Self::stopped_by(Fault::PauseWhole(STOP), "")
    }

    fn stopped_by(fault: Fault, more: &str) -> Option<Self> {
        let world = Self::start(more)?;
        world.upstream.break_path(&world.layer, fault);
        let mut client = TcpStream::connect(world.metahub.host()).unwrap();
        let (path, login) = (&world.layer, basic("zen3", "any"));
        write!(
            client,
            "GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {login}\r\n\r\n"
        )
        .unwrap();
        client.read_exact(&mut [0; 64 * 1024]).unwrap();
        let noted = || world.staged().iter().any(|file| is_note(file));
        assert!(wait_until(SOON, noted), "{}", world.metahub.log());
        Some(world)
    }

    fn staged(&self) -> Vec<PathBuf> {
        let files = std::fs::read_dir(self.metahub.data().join("staging")).unwrap();
        // One may go while the others are listed.
        files.filter_map(|entry| Some(entry.ok()?.path())).collect()
    }

    fn kill(&mut self) {
        self.metahub.signal(Signal::KILL);
        while self.metahub.is_running() {
            std::thread::yield_now();
        }
    }

    fn restart(mut self) -> Self {
        self.metahub = self.metahub.restart();
        assert!(!self.metahub.holds(&self.upstream.image.layer));
        self.upstream.mend();
        self
    }

    fn get(&self) -> Answer {
        let login = Some(("zen3", "any"));
        self.metahub.get(&self.layer).login(login).send()
    }

    fn assert_whole(&self, answer: &Answer) {
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert!(!answer.cut && answer.body == self.upstream.image.layer);
        assert!(self.metahub.files_that_lie().is_empty());
    }

    /// Where the only request for a part began, of `requests` in all.
    fn resumed_at(&self, requests: usize) -> usize {
        assert_eq!(self.upstream.times_asked(&self.layer), requests);
        let parts = self.upstream.parts_asked(&self.layer);
        assert!(parts.len() == 1 && parts[0].ends_with('-'), "{parts:?}");
        start_of(&parts[0])
    }

    fn assert_resumed(&self) {
        let before = self.upstream.bytes_sent(&self.layer);
        self.assert_whole(&self.get());
        let from = self.resumed_at(2);
        assert!((DURABLE..=STOP).contains(&from), "{from}");
        let sent = self.upstream.bytes_sent(&self.layer) - before;
        assert_eq!(sent, (SIZE - from) as u64);
        // It is like any other blob now.
        self.assert_whole(&self.get());
        assert_eq!(self.upstream.times_asked(&self.layer), 2);
        assert_eq!(self.staged(), Vec::<PathBuf>::new());
    }
}

/// The first byte of a `Range`.
fn start_of(part: &str) -> usize {
    let range = part.strip_prefix("bytes=").unwrap();
    range.split_once('-').unwrap().0.parse().unwrap()
}

fn is_note(file: &Path) -> bool {
    file.extension().is_some_and(|end| end == "note")
}

#[test]
fn after_a_kill_the_next_pull_asks_for_what_is_missing() {
    let Some(mut world) = World::stopped() else {
        return;
    };
    world.kill();
    world.restart().assert_resumed();
}

#[test]
fn after_a_stop_too() {
    let Some(world) = World::stopped() else {
        return;
    };
    world.restart().assert_resumed();
}

#[test]
fn by_several_requests_at_once_too_where_that_is_configured() {
    let fault = Fault::PauseBehind(STOP);
    let Some(mut world) = World::stopped_by(fault, "\n    parallel: 4") else {
        return;
    };
    world.kill();
    let world = world.restart();
    let (parts, sent) = (
        world.upstream.parts_asked(&world.layer).len(),
        world.upstream.bytes_sent(&world.layer),
    );
    world.assert_whole(&world.get());
    let from = start_of(&world.upstream.parts_asked(&world.layer)[parts]);
    assert!((DURABLE..=STOP).contains(&from), "{from}");
    let sent = world.upstream.bytes_sent(&world.layer) - sent;
    assert_eq!(sent, (SIZE - from) as u64);
}

#[test]
fn what_was_damaged_on_disk_meanwhile_comes_again_from_its_beginning() {
    for at in [0, DURABLE - 1] {
        let Some(mut world) = World::stopped() else {
            return;
        };
        world.kill();
        let files = world.staged();
        let staged = files.iter().find(|file| !is_note(file)).unwrap();
        let mut bytes = std::fs::read(staged).unwrap();
        bytes[at] ^= 1;
        std::fs::write(staged, bytes).unwrap();
        let world = world.restart();
        world.assert_whole(&world.get());
        assert_eq!(
            world.upstream.parts_asked(&world.layer),
            Vec::<String>::new()
        );
        assert_eq!(world.staged(), Vec::<PathBuf>::new());
    }
}

#[test]
fn an_upstream_that_ignores_ranges_gives_the_whole_and_that_is_right_too() {
    let Some(mut world) = World::stopped() else {
        return;
    };
    world.kill();
    let world = world.restart();
    let fault = Fault::CutIgnoringRange(usize::MAX);
    world.upstream.break_path(&world.layer, fault);
    world.assert_whole(&world.get());
    assert_eq!(world.upstream.times_asked(&world.layer), 2);
}

#[test]
fn what_goes_on_with_other_bytes_is_never_whole_and_the_next_pull_is() {
    let Some(mut world) = World::stopped() else {
        return;
    };
    world.kill();
    let world = world.restart();
    let fault = Fault::CutThenOther(usize::MAX);
    world.upstream.break_path(&world.layer, fault);
    let answer = world.get();
    assert!(answer.status != 200 || answer.cut, "it looks whole");
    world.upstream.mend();
    world.resumed_at(2);
    world.assert_whole(&world.get());
    // From the beginning.
    world.resumed_at(3);
}

#[test]
fn what_is_left_of_a_fetch_counts_towards_the_bound_and_is_the_first_to_go() {
    let bound = "\n    cache_size: 1 MiB\ncache: {spare: 0s}";
    let Some(world) = World::start(bound) else {
        return;
    };
    world.upstream.break_path(&world.layer, Fault::Cut);
    let answer = world.get();
    assert!(answer.status != 200 || answer.cut, "half of it is not all");
    let gone = || {
        let log = world.metahub.log();
        log.contains("discarded interrupted fills") && world.staged().is_empty()
    };
    assert!(wait_until(SOON, gone), "{}", world.metahub.log());
}

#[test]
fn a_pull_after_an_upstream_gave_up_goes_on_where_it_stood() {
    let Some(world) = World::start("") else {
        return;
    };
    world.upstream.break_path(&world.layer, Fault::Cut);
    let answer = world.get();
    assert!(answer.status != 200 || answer.cut, "half of it is not all");
    world.upstream.mend();
    let failed = || world.metahub.log().contains("could not be fetched");
    assert!(wait_until(SOON, failed), "{}", world.metahub.log());
    let before = world.upstream.bytes_sent(&world.layer);
    world.assert_whole(&world.get());
    let sent = world.upstream.bytes_sent(&world.layer) - before;
    assert!(sent <= (SIZE - DURABLE) as u64, "{sent} bytes came again");
}
