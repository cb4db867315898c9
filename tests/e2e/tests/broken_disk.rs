//! What clients see of a disk that fails: content that changed or vanished under the server, no
//! space, a folder that cannot be written. A clear error, never half an answer that looks whole,
//! and service for everything else.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use metahub_e2e::faulty::{Faulty, Image};
use metahub_e2e::http::{Call, digest_of};
use metahub_e2e::metahub::MetaHub;
use metahub_e2e::process::wait_until;
use metahub_e2e::pusher::{Pusher, with_query};
use metahub_e2e::require;
use rstest::rstest;

const LIMIT: Duration = Duration::from_secs(30);
const ALONE: &str = "anonymous: write\noffline: true\nupstreams: []\ngc: {every: 0s}";

fn start() -> Option<MetaHub> {
    require::tools(&["setpriv"]).then(|| MetaHub::start(ALONE, &[]))
}

fn lab(metahub: &MetaHub) -> Pusher<'_> {
    Pusher {
        host: metahub.host(),
        repository: "lab/app",
        login: Some(("zen3", "any")),
    }
}

fn content(seed: u8, size: usize) -> Vec<u8> {
    (0..size)
        .map(|at| (at >> 8) as u8 ^ (at as u8) ^ seed)
        .collect()
}

fn pull(metahub: &MetaHub, content: &[u8]) -> Call {
    let path = format!("blobs/{}", digest_of(content));
    lab(metahub).call("GET", &path)
}

fn expect_served(metahub: &MetaHub, content: &[u8]) {
    let answer = pull(metahub, content).send().expect(200);
    assert!(!answer.cut && answer.body == content);
}

/// The file of a blob, by its name.
fn file_of(metahub: &MetaHub, content: &[u8]) -> PathBuf {
    let name = digest_of(content).replace("sha256:", "");
    let mut folders = vec![metahub.data()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.file_name().is_some_and(|file| *file == *name) {
                return path;
            }
        }
    }
    panic!("no file of that name");
}

fn flip(file: &Path) {
    let file = fs::File::options()
        .read(true)
        .write(true)
        .open(file)
        .unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, 150_000).unwrap();
    file.write_all_at(&[byte[0] ^ 1], 150_000).unwrap();
}

fn shorten(file: &Path) {
    let file = fs::File::options().write(true).open(file).unwrap();
    file.set_len(100_000).unwrap();
}

fn remove(file: &Path) {
    fs::remove_file(file).unwrap();
}

#[rstest]
#[case::flipped(flip)]
#[case::shortened(shorten)]
#[case::removed(remove)]
fn damaged_content_never_passes_for_whole_and_is_healed_by_a_push(
    #[case] damage: fn(&Path),
    #[values(false, true)] restarted: bool,
    #[values(300_000, 3_000_000)] size: usize,
) {
    let Some(mut metahub) = start() else {
        return;
    };
    let (damaged, whole) = (content(1, size), content(2, size));
    lab(&metahub).blob(&damaged);
    lab(&metahub).blob(&whole);
    expect_served(&metahub, &damaged);
    damage(&file_of(&metahub, &damaged));
    if restarted {
        metahub = metahub.restart();
    }
    for _ in 0..2 {
        let answer = pull(&metahub, &damaged).send();
        // A large one is verified while it is sent.
        if size > 1024 * 1024 && answer.status == 200 {
            assert!(answer.cut, "it looks whole: {} bytes", answer.body.len());
        } else {
            // As if it were not there: a client that pushes asks first, and then pushes it again.
            answer.expect_error(404, "BLOB_UNKNOWN");
        }
    }
    // The log is written a little later.
    let told = wait_until(LIMIT, || {
        let log = metahub.log();
        log.lines()
            .any(|line| line.contains(&digest_of(&damaged)) && !line.contains("outcome=\"ok\""))
    });
    assert!(told, "the log says what is wrong");
    expect_served(&metahub, &whole);
    lab(&metahub).blob(&damaged);
    expect_served(&metahub, &damaged);
}

/// A small file system in memory under a server's data folder; unmounted when dropped,
/// which is to happen before that folder is removed.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// With a server on it.
    fn start() -> Option<(MetaHub, Self)> {
        Self::start_with(ALONE)
    }

    fn start_with(config: &str) -> Option<(MetaHub, Self)> {
        if !require::root_and(&["setpriv", "mount", "umount"]) {
            return None;
        }
        let mut metahub = MetaHub::start(config, &[]);
        assert!(metahub.terminate().unwrap().success());
        let disk = Self(metahub.data());
        let mounted = disk.mount(&["-t", "tmpfs", "-o", "size=32m", "tmpfs"]);
        if !require::that(mounted, "the right to mount a file system") {
            return None;
        }
        Some((metahub.restart(), disk))
    }

    /// Fills it to the last byte, with a file that this returns.
    fn fill(&self) -> PathBuf {
        let path = self.0.join("ballast");
        let mut file = fs::File::create(&path).unwrap();
        while file.write_all(&[0; 4096]).is_ok() {}
        path
    }

    fn mount(&self, options: &[&str]) -> bool {
        let mut mount = Command::new("mount");
        let status = mount.args(options).arg(&self.0).status();
        status.is_ok_and(|status| status.success())
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_refuses_pushes_with_words_and_serves_what_is_there() {
    let Some((metahub, _disk)) = SmallDisk::start() else {
        return;
    };
    let lab = lab(&metahub);
    let first = content(0, 2_000_000);
    let manifest = lab.image("1", "amd64", &first);
    let mut held = Vec::new();
    let refused = (1..40).find_map(|seed| {
        let bytes = content(seed, 2_000_000);
        let end = with_query(
            &lab.start_upload(),
            &format!("digest={}", digest_of(&bytes)),
        );
        let answer = metahub
            .call("PUT", &end)
            .login(lab.login)
            .body(bytes.clone())
            .send();
        if answer.status == 201 {
            held.push(bytes);
            return None;
        }
        Some((answer, bytes))
    });
    let (answer, bytes) = refused.expect("32 MiB do not hold 80 MB");
    let answer = answer.expect_error(503, "UNAVAILABLE");
    assert!(answer.text().contains("no space left"), "{answer}");
    assert!(!held.is_empty());
    // What was refused is nowhere, and what was acknowledged is served.
    let path = format!("blobs/{}", digest_of(&bytes));
    lab.call("HEAD", &path).send().expect(404);
    expect_served(&metahub, held.last().unwrap());
    let digest = manifest["digest"].as_str().unwrap();
    lab.call("GET", &format!("manifests/{digest}"))
        .send()
        .expect(200);

    // Garbage can be collected without any room, and then there is some.
    metahub.command(&["gc", "--grace", "0s"]).ok().says("freed");
    lab.blob(&bytes);
    expect_served(&metahub, &bytes);
    expect_served(&metahub, &first);
}

/// Bytes in the files of the staging folder.
fn staged(metahub: &MetaHub) -> u64 {
    let files = fs::read_dir(metahub.data().join("staging")).unwrap();
    let sizes = files.filter_map(|file| Some(file.ok()?.metadata().ok()?.len()));
    sizes.sum()
}

#[test]
fn a_full_disk_fails_pulls_and_pushes_and_the_next_succeeds_when_there_is_room() {
    let upstream = Faulty::with(Image::of_size(3_000_000));
    let config = format!(
        "anonymous: write\ngc: {{every: 0s}}\nupstreams: [{{host: up.test, url: 'http://{}', \
         plain_http: true}}]",
        upstream.host()
    );
    let Some((metahub, disk)) = SmallDisk::start_with(&config) else {
        return;
    };
    let first = content(1, 300_000);
    lab(&metahub).blob(&first);
    let image = upstream.image.clone();
    let blob = |bytes: &[u8]| {
        let path = format!("/v2/up.test/team/app/blobs/{}", digest_of(bytes));
        metahub.get(&path).login(Some(("zen3", "any")))
    };
    // The manifest is kept while there is room, the layer is asked for when there is none.
    let manifest = metahub.get("/v2/up.test/team/app/manifests/1.0");
    let manifest = manifest.login(Some(("zen3", "any"))).send().expect(200);
    assert!(manifest.body == image.manifest);
    let pushed = content(2, 300_000);
    let upload = lab(&metahub).start_upload();
    let ballast = disk.fill();
    for _ in 0..3 {
        match blob(&image.layer).try_send() {
            // Cut off before its head was sent.
            None => {}
            Some(answer) if answer.status == 200 => {
                assert!(answer.cut, "{} bytes look whole", answer.body.len());
                assert!(image.layer.starts_with(&answer.body));
            }
            Some(answer) => {
                let answer = answer.expect_error(503, "UNAVAILABLE");
                assert_eq!(answer.header("Retry-After"), "10", "{answer}");
            }
        }
        let freed = wait_until(LIMIT, || staged(&metahub) == 0);
        assert!(freed, "{} bytes are staged", staged(&metahub));
    }
    let end = with_query(&upload, &format!("digest={}", digest_of(&pushed)));
    let put = metahub.call("PUT", &end).login(lab(&metahub).login);
    let refused = put.body(pushed.clone()).send();
    let refused = refused.expect_error(503, "UNAVAILABLE");
    assert_eq!(refused.header("Retry-After"), "10", "{refused}");
    expect_served(&metahub, &first);
    // What can be stored is up to the disk: the server itself is well.
    metahub.get("/readyz").send().expect(200);
    fs::remove_file(ballast).unwrap();
    let answer = blob(&image.layer).send().expect(200);
    assert!(!answer.cut && answer.body == image.layer);
    lab(&metahub).blob(&pushed);
    expect_served(&metahub, &pushed);
    metahub.get("/readyz").send().expect(200);
    assert!(!metahub.log().contains("panicked"), "{}", metahub.log());
}

#[test]
fn a_folder_that_cannot_be_written_is_said_to_be_read_only() {
    let Some((mut metahub, disk)) = SmallDisk::start() else {
        return;
    };
    let bytes = content(1, 200_000);
    lab(&metahub).blob(&bytes);
    assert!(metahub.terminate().unwrap().success());
    assert!(disk.mount(&["-o", "remount,ro"]));
    let refused = metahub
        .command(&["serve", "--listen", "127.0.0.1:0"])
        .fails();
    refused.says("read-only").does_not_say("panicked");
    assert!(disk.mount(&["-o", "remount,rw"]));
    metahub = metahub.restart();
    expect_served(&metahub, &bytes);
}
