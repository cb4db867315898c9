//! Whatever documents say, nobody reads through them what they could not read directly.
//!
//! Everybody who may pull may pull everywhere but from pass-through upstreams, where the upstream
//! decides for each account. Generated profiles and collections name such images in every place
//! where an image can be named; then everybody asks for everything by tag, and for every digest
//! that anybody was told of.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use metahub_testkit::http::{Answer, digest_of};
use metahub_testkit::scripted::Scripted;
use metahub_upstream::{Logins, PassThrough, Prefix, RetryPolicy, Secret, UpstreamConfig};
use serde_json::Value;

use crate::site::{Site, With, password_of};

/// How many sites are made up, where the environment does not say: `METAHUB_TEST_RIGHTS`.
const SITES: u64 = 2;
/// How many catalogs each of them has in turn.
const CATALOGS: usize = 3;
const CLOSED: usize = 3;
const PROFILES: usize = 5;
/// Those who have a login at the upstream, and those who have none.
const CALLERS: [&str; 5] = ["alice", "carol", "bob", "root", ""];

/// Numbers that are the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound as u64).unwrap()
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }
}

/// An image that only some may read.
struct Closed {
    readers: Vec<&'static str>,
    manifest: String,
    /// Its layer, and the digests of all of it: whoever is told of one of them was told of it.
    marks: Vec<String>,
}

struct World {
    site: Site,
    closed: Vec<Closed>,
    /// Every name that is asked for.
    names: Vec<String>,
    /// Digests that somebody was told of, or could know.
    digests: BTreeSet<String>,
    _upstreams: [Scripted; 2],
    _logins: tempfile::TempDir,
}

#[derive(Debug, Default)]
struct Seen {
    /// Closed images that were read directly, by those who may.
    direct: usize,
    /// Answers under a profile or from a collection that hold what is open.
    open: usize,
    refused: usize,
}

fn world(random: &mut Random) -> World {
    let (private, public) = (Scripted::start(), Scripted::start());
    let folder = tempfile::tempdir().unwrap();
    let logins = Logins::new(folder.path().join("logins"));
    for account in ["alice", "carol"] {
        let (user, password) = (format!("{account}-there"), format!("{account}-secret"));
        private.add_user(&user, &password);
        let host = "up.test".parse().unwrap();
        let secret = Secret::new(password);
        logins.set(account, &host, &user, &secret).unwrap();
    }
    let mut names = Vec::new();
    let closed = (0..CLOSED).map(|number| {
        let layer = format!("only for some: {number}");
        let repository = format!("team/r{number}");
        let manifest = private.put(&repository, "1", &layer);
        let json: Value = serde_json::from_slice(&manifest).unwrap();
        let mut readers = vec!["alice", "carol"];
        readers.retain(|_| random.below(2) == 0);
        let there: Vec<String> = readers.iter().map(|who| format!("{who}-there")).collect();
        let there: Vec<&str> = there.iter().map(String::as_str).collect();
        private.close(&repository, &there, [403, 404][random.below(2)]);
        names.extend([
            format!("up.test/{repository}"),
            format!("mine/{repository}"),
        ]);
        let digest = |value: &Value| value["digest"].as_str().unwrap().to_owned();
        Closed {
            readers,
            manifest: digest_of(&manifest),
            marks: vec![
                digest_of(&manifest),
                digest(&json["config"]),
                digest(&json["layers"][0]),
                layer,
            ],
        }
    });
    let closed: Vec<Closed> = closed.collect();
    for number in 0..2 {
        public.put(
            &format!("pub/o{number}"),
            "1",
            &format!("for all: {number}"),
        );
        names.push(format!("open.test/pub/o{number}"));
    }
    let upstream = |host: &str, scripted: &Scripted| UpstreamConfig {
        url: Some(format!("http://{}", scripted.host()).parse().unwrap()),
        plain_http: true,
        retry: RetryPolicy {
            attempts: 1,
            ..RetryPolicy::default()
        },
        ..UpstreamConfig::new(host.parse().unwrap())
    };
    let site = Site::start(With {
        upstreams: vec![
            UpstreamConfig {
                pass_through: Some(PassThrough {
                    remember: [Duration::ZERO, Duration::from_mins(5)][random.below(2)],
                }),
                prefixes: vec![Prefix {
                    prefix: "mine".parse().unwrap(),
                    to: None,
                }],
                ..upstream("up.test", &private)
            },
            upstream("open.test", &public),
        ],
        logins: Some(logins),
        ..With::default()
    });
    for number in 0..2 {
        site.push(&format!("lab/l{number}"), "1", &format!("local: {number}"));
        names.push(format!("lab/l{number}"));
    }
    names.extend((0..2).map(|number| format!("site/c{number}")));
    let digests = closed.iter().flat_map(|one| one.marks.iter().take(3));
    World {
        digests: digests.cloned().collect(),
        site,
        closed,
        names,
        _upstreams: [private, public],
        _logins: folder,
    }
}

impl World {
    /// An image as documents name it.
    fn image(&self, random: &mut Random) -> String {
        let name = &self.names[random.below(self.names.len())];
        match random.below(6) {
            // Whose digest is known, where it is and where it is not.
            0 => format!("{name}@{}", self.closed[random.below(CLOSED)].manifest),
            _ => format!("{name}:1"),
        }
    }

    fn documents(&self, random: &mut Random) -> String {
        let mut text = "profiles:\n".to_owned();
        for number in 0..PROFILES {
            let _ = writeln!(text, "  - name: p{number}\n    actions:");
            for _ in 0..=random.below(3) {
                text += &self.action(random);
            }
        }
        text += "---\nmanifests:\n";
        for number in 0..2 {
            let _ = writeln!(text, "  - name: site/c{number}\n    tag: 1\n    manifests:");
            for _ in 0..=random.below(3) {
                let platform = random.one(&["amd64", "arm64"]);
                let image = self.image(random);
                let _ = writeln!(
                    text,
                    "      - image: '{image}'\n        platform: {{os: linux, architecture: {platform}}}"
                );
            }
        }
        text
    }

    fn action(&self, random: &mut Random) -> String {
        let (event, name, args) = match random.below(5) {
            0 | 1 => {
                let (one, two) = (self.image(random), self.image(random));
                let position = random.one(&["before", "after"]);
                let layers = match random.below(3) {
                    0 => format!("'{one}', '{two}'"),
                    _ => format!("'{one}'"),
                };
                let args = format!("layers: [{layers}], position: {position}");
                ("post-manifest-get", "manifest-add", args)
            }
            2 | 3 => {
                let to = &self.names[random.below(self.names.len())];
                let from = random.one(&[".*", "lab/.*", "site/.*", "(up.test|mine)/.*"]);
                let args = format!("repository: '{from}', to: '{to}'");
                ("pre-manifest-get", "redirect", args)
            }
            _ => {
                let args = "labels: {site: here}".to_owned();
                ("post-manifest-get", "config-set", args)
            }
        };
        format!("      - {{event: {event}, name: {name}, args: {{{args}}}}}\n")
    }

    /// What `caller`, who is perhaps logged in under a profile, is told at a path.
    fn ask(&self, caller: &str, profile: Option<usize>, path: &str) -> Answer {
        let password = password_of(caller);
        match (caller, profile) {
            ("", None) => self.site.call("", "GET", path).send_as_anybody(),
            ("", Some(number)) => self.site.call_as(&format!("p{number}"), "", path).send(),
            (_, None) => self.site.get(caller, path),
            (_, Some(number)) => {
                let user = format!("{caller}/p{number}");
                self.site.call_as(&user, &password, path).send()
            }
        }
    }

    /// Nothing in the answer is of an image that the caller may not read.
    fn check(&self, caller: &str, asked: &str, answer: &Answer) {
        let text = answer.text();
        for closed in &self.closed {
            if closed.readers.contains(&caller) {
                continue;
            }
            let told = closed.marks.iter().enumerate().find(|(number, mark)| {
                // A refusal may say again what was asked for, but never what the image holds.
                let said = answer.status < 300 || *number == 3;
                said && text.contains(*mark)
            });
            assert_eq!(told, None, "{caller} {asked}: {answer}");
            let named = answer.header("docker-content-digest");
            assert!(
                answer.status >= 300 || !closed.marks.iter().any(|mark| mark == named),
                "{caller} {asked}: {named}"
            );
        }
    }

    fn tags(&mut self, seen: &mut Seen) {
        for name in self.names.clone() {
            for caller in CALLERS {
                for profile in [None].into_iter().chain((0..PROFILES).map(Some)) {
                    for rest in ["manifests/1", "tags/list"] {
                        let path = format!("/v2/{name}/{rest}");
                        let answer = self.ask(caller, profile, &path);
                        self.check(caller, &format!("{profile:?} {path}"), &answer);
                        self.learn(&name, profile, &answer, seen);
                    }
                }
            }
        }
    }

    /// Remembers the digests that an answer names.
    fn learn(&mut self, name: &str, profile: Option<usize>, answer: &Answer, seen: &mut Seen) {
        if answer.status != 200 {
            seen.refused += 1;
            return;
        }
        let closed = name.starts_with("up.test") || name.starts_with("mine");
        match (closed, profile) {
            (true, None) => seen.direct += 1,
            (false, Some(_)) => seen.open += 1,
            _ => {}
        }
        let text = answer.text();
        let named = text.split('"').filter(|word| word.starts_with("sha256:"));
        self.digests.extend(named.map(str::to_owned));
        let digest = answer.header("docker-content-digest");
        if !digest.is_empty() {
            self.digests.insert(digest.to_owned());
        }
    }

    /// Asks for digests that were told of, everywhere.
    fn by_digest(&mut self, random: &mut Random, seen: &mut Seen) {
        let digests: Vec<String> = self.digests.iter().cloned().collect();
        for name in self.names.clone() {
            for digest in &digests {
                // Those of closed images always, others now and then.
                let secret = self.closed.iter().any(|one| one.marks.contains(digest));
                if !secret && random.below(4) != 0 {
                    continue;
                }
                let caller = random.one(&CALLERS);
                let profile = [None, Some(random.below(PROFILES))][random.below(2)];
                for kind in ["manifests", "blobs", "referrers"] {
                    let path = format!("/v2/{name}/{kind}/{digest}");
                    let answer = self.ask(caller, profile, &path);
                    self.check(caller, &format!("{profile:?} {path}"), &answer);
                    if kind != "blobs" {
                        self.learn(&name, profile, &answer, seen);
                    }
                }
            }
        }
    }
}

#[test]
fn nothing_is_readable_through_documents_that_is_not_readable_directly() {
    let sites = std::env::var("METAHUB_TEST_RIGHTS");
    let sites = sites.map_or(SITES, |number| number.parse().unwrap());
    let mut seen = Seen::default();
    for number in 1..=sites {
        let mut random = Random(number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut world = world(&mut random);
        for _ in 0..CATALOGS {
            let documents = world.documents(&mut random);
            world.site.documents(&documents);
            world.tags(&mut seen);
            world.by_digest(&mut random, &mut seen);
        }
    }
    assert!(
        seen.direct > 10 && seen.open > 100 && seen.refused > 100,
        "{seen:?}"
    );
}

/// A profile or a collection may answer a name from other repositories that everybody may read;
/// under their own names those stay closed to a token that names one repository.
#[test]
fn a_token_for_one_repository_opens_no_other_whatever_documents_say() {
    let mut random = Random(7);
    let world = world(&mut random);
    for _ in 0..CATALOGS {
        let documents = world.documents(&mut random);
        world.site.documents(&documents);
        for user in (0..PROFILES).map(|number| format!("alice/p{number}")) {
            let mine = "lab/l0";
            let path = format!("/token?service=x&scope=repository:{mine}:pull");
            let given = world.site.call_as(&user, &password_of("alice"), &path);
            let given = given.send().expect(200).json();
            let token = format!("Bearer {}", given["token"].as_str().unwrap());
            let asked = |path: &str| {
                let call = world.site.call("", "GET", path);
                call.header("Authorization", token.clone()).send()
            };
            for name in &world.names {
                let digest = &world.closed[0].manifest;
                for rest in ["manifests/1".to_owned(), format!("manifests/{digest}")] {
                    let path = format!("/v2/{name}/{rest}");
                    let answer = asked(&path);
                    world.check("", &path, &answer);
                    assert!(
                        name == mine || answer.status == 401,
                        "{user} {path}: {answer}"
                    );
                }
            }
        }
    }
}
