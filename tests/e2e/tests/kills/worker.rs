//! One client's work and what it may expect: for each thing whether it is there, is not, or may
//! be either because the server was killed before it said.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use metahub_e2e::http::digest_of;
use metahub_e2e::pusher::{MANIFEST, with_query};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::client::{Client, Lost, Reply};
use crate::content::{Content, Image, content, image};
use crate::unfinished::{Ending, Loose, Partial, expect, index};

/// Images, tags and loose blobs of each worker. Few, so that what was deleted and collected is
/// pushed again.
const IMAGES: u64 = 6;
const TAGS: u64 = 3;
const LOOSE: u64 = 4;
/// Content of loose blobs and uploads that no image has.
const LOOSE_SEED: u64 = 1_000_000;

pub(crate) struct Worker {
    number: u64,
    /// What there is to push.
    made: Arc<Vec<Image>>,
    random: StdRng,
    grace: Duration,
    images: BTreeMap<u64, Option<bool>>,
    /// What each tag may name.
    tags: BTreeMap<u64, BTreeSet<Option<u64>>>,
    loose: BTreeMap<u64, Loose>,
    partial: Option<Partial>,
    ending: Option<Ending>,
    uploads: u64,
    /// Operations that were acknowledged.
    pub(crate) acknowledged: u64,
    /// Uploads that went on after a kill.
    pub(crate) resumed: u64,
    /// Answers that broke off since the last look.
    pub(crate) cut: u64,
    /// Kills that it was not told of.
    pub(crate) unheard: u64,
}

impl Worker {
    pub(crate) fn new(number: u64, seed: u64, grace: Duration) -> Self {
        Self {
            number,
            made: Arc::new((0..IMAGES).map(|n| image(number, n)).collect()),
            random: StdRng::seed_from_u64(seed.wrapping_add(number)),
            grace,
            images: BTreeMap::new(),
            tags: BTreeMap::new(),
            loose: BTreeMap::new(),
            partial: None,
            ending: None,
            uploads: 0,
            acknowledged: 0,
            resumed: 0,
            cut: 0,
            unheard: 0,
        }
    }

    pub(crate) fn repository(&self) -> String {
        format!("kill/{}", self.number)
    }

    fn path(&self, rest: &str) -> String {
        format!("/v2/{}/{rest}", self.repository())
    }

    /// Works until the server is gone.
    pub(crate) async fn work(&mut self, mut client: Client) {
        loop {
            match self.step(&mut client).await {
                Ok(()) => self.acknowledged += 1,
                Err(lost) => {
                    self.cut += u64::from(lost == Lost::Cut);
                    self.unheard += u64::from(lost == Lost::Unheard);
                    return;
                }
            }
        }
    }

    async fn step(&mut self, client: &mut Client) -> Result<(), Lost> {
        let image = self.random.random_range(0..IMAGES);
        let tag = self.random.random_range(0..TAGS);
        let loose = self.random.random_range(0..LOOSE);
        let is_there = self.images.get(&image) == Some(&Some(true));
        match self.random.random_range(0..20) {
            0..=5 => self.push(client, image, tag).await,
            6..=7 if is_there => self.delete(client, image).await,
            8 => self.untag(client, tag).await,
            9..=10 => self.push_loose(client, loose).await,
            11 => self.delete_loose(client, loose).await,
            12..=13 if self.partial.is_none() => self.begin_upload(client).await,
            _ if is_there => self.pull(client, image).await,
            _ => self.pull_tag(client, tag).await.map(drop),
        }
    }

    async fn push(&mut self, client: &mut Client, image: u64, tag: u64) -> Result<(), Lost> {
        // What is there stays there when it is pushed again.
        if self.images.get(&image) != Some(&Some(true)) {
            self.images.insert(image, None);
        }
        self.may_name(tag).insert(Some(image));
        let made = Arc::clone(&self.made);
        let Image {
            config,
            layer,
            manifest,
        } = &made[index(image)];
        let path = self.path(&format!("manifests/t{tag}"));
        loop {
            self.push_blob(client, config).await?;
            self.push_blob(client, layer).await?;
            let typed = [("Content-Type", MANIFEST)];
            let put = client.send("PUT", &path, &typed, &manifest.bytes).await?;
            expect(&put, &[201, 400, 404], "a push");
            // A machine so slow that the grace period is over has what was pushed collected.
            if put.status == 201 {
                break;
            }
        }
        self.images.insert(image, Some(true));
        self.tags.insert(tag, BTreeSet::from([Some(image)]));
        Ok(())
    }

    /// Pushes a blob in one of the ways there are.
    async fn push_blob(&mut self, client: &mut Client, blob: &Content) -> Result<(), Lost> {
        let Content { bytes, digest } = blob;
        let start = self.path("blobs/uploads/");
        let way = self.random.random_range(0..4);
        let first = match way {
            0 => {
                let once = with_query(&start, &format!("digest={digest}"));
                let reply = client.send("POST", &once, &[], bytes).await?;
                expect(&reply, &[201], "a blob in one request");
                return Ok(());
            }
            1 => {
                let neighbour = (self.number + 1) % 2;
                let mount = format!("mount={digest}&from=kill/{neighbour}");
                client
                    .send("POST", &with_query(&start, &mount), &[], &[])
                    .await?
            }
            _ => client.send("POST", &start, &[], &[]).await?,
        };
        expect(&first, &[201, 202], "the beginning of an upload");
        if first.status == 201 {
            return Ok(());
        }
        let location = first.header("location").to_owned();
        let (begun, rest) = bytes.split_at(if way == 2 { bytes.len() / 2 } else { 0 });
        if !begun.is_empty() {
            let patched = client.send("PATCH", &location, &[], begun).await?;
            expect(&patched, &[202], "a chunk");
            self.ending = Some(Ending {
                path: location.clone(),
                acknowledged: begun.len(),
                digest: digest.clone(),
                began: Instant::now(),
            });
        }
        let end = with_query(&location, &format!("digest={digest}"));
        let reply = client.send("PUT", &end, &[], rest).await?;
        expect(&reply, &[201], "the end of an upload");
        self.ending = None;
        Ok(())
    }

    async fn delete(&mut self, client: &mut Client, image: u64) -> Result<(), Lost> {
        self.images.insert(image, None);
        for names in self.tags.values_mut() {
            if names.contains(&Some(image)) {
                names.insert(None);
            }
        }
        let digest = &self.made[index(image)].manifest.digest;
        let path = self.path(&format!("manifests/{digest}"));
        let reply = client.send("DELETE", &path, &[], &[]).await?;
        expect(&reply, &[202], "the deletion of an image that is there");
        self.images.insert(image, Some(false));
        for names in self.tags.values_mut() {
            if names.remove(&Some(image)) {
                names.insert(None);
            }
        }
        Ok(())
    }

    async fn untag(&mut self, client: &mut Client, tag: u64) -> Result<(), Lost> {
        self.may_name(tag).insert(None);
        let path = self.path(&format!("manifests/t{tag}"));
        let reply = client.send("DELETE", &path, &[], &[]).await?;
        expect(&reply, &[202, 404], "the deletion of a tag");
        self.tags.insert(tag, BTreeSet::from([None]));
        Ok(())
    }

    fn may_name(&mut self, tag: u64) -> &mut BTreeSet<Option<u64>> {
        self.tags
            .entry(tag)
            .or_insert_with(|| BTreeSet::from([None]))
    }

    fn loose_content(&self, loose: u64) -> Vec<u8> {
        content(LOOSE_SEED + self.number * 100 + loose, 90_000)
    }

    async fn push_loose(&mut self, client: &mut Client, loose: u64) -> Result<(), Lost> {
        let began = Instant::now();
        self.loose.insert(loose, Loose::Unknown);
        let blob = Content::new(self.loose_content(loose));
        self.push_blob(client, &blob).await?;
        self.loose.insert(loose, Loose::Pushed(began));
        Ok(())
    }

    async fn delete_loose(&mut self, client: &mut Client, loose: u64) -> Result<(), Lost> {
        self.loose.insert(loose, Loose::Unknown);
        let digest = digest_of(&self.loose_content(loose));
        let path = self.path(&format!("blobs/{digest}"));
        let reply = client.send("DELETE", &path, &[], &[]).await?;
        expect(&reply, &[202, 404], "the deletion of a blob");
        self.loose.insert(loose, Loose::Gone);
        Ok(())
    }

    async fn begin_upload(&mut self, client: &mut Client) -> Result<(), Lost> {
        self.uploads += 1;
        let seed = 2 * LOOSE_SEED + self.number * 100_000 + self.uploads;
        let start = self.path("blobs/uploads/");
        let reply = client.send("POST", &start, &[], &[]).await?;
        expect(&reply, &[202], "the beginning of an upload");
        let partial = self.partial.insert(Partial {
            path: reply.header("location").to_owned(),
            acknowledged: 0,
            content: content(seed, 200_000),
        });
        let half = &partial.content[..100_000];
        let reply = client.send("PATCH", &partial.path, &[], half).await?;
        expect(&reply, &[202], "a chunk");
        partial.acknowledged = half.len();
        Ok(())
    }

    /// Reads an image that is there, whole and in part.
    async fn pull(&mut self, client: &mut Client, image: u64) -> Result<(), Lost> {
        assert!(
            self.read_image(client, image).await?.unwrap(),
            "image {image}"
        );
        let layer = &self.made[index(image)].layer;
        let path = self.path(&format!("blobs/{}", layer.digest));
        let part = [("Range", "bytes=1000-50999")];
        let reply = client.send("GET", &path, &part, &[]).await?;
        expect(&reply, &[206], "a range");
        assert!(
            reply.body == layer.bytes[1000..51_000],
            "a range of {image}"
        );
        Ok(())
    }

    /// Whether an image is there. If it is, then with everything that it names.
    async fn read_image(
        &self,
        client: &mut Client,
        image: u64,
    ) -> Result<Result<bool, String>, Lost> {
        let Image {
            config,
            layer,
            manifest,
        } = &self.made[index(image)];
        let digest = &manifest.digest;
        let reply = self.get(client, &format!("manifests/{digest}")).await?;
        if reply.status == 404 {
            return Ok(Ok(false));
        }
        if reply.status != 200 || reply.body != manifest.bytes {
            return Ok(Err(format!("image {image}: {reply:?}")));
        }
        if reply.header("docker-content-digest") != *digest {
            return Ok(Err(format!("image {image} has no Docker-Content-Digest")));
        }
        for Content { bytes, digest } in [config, layer] {
            let reply = self.get(client, &format!("blobs/{digest}")).await?;
            if reply.status != 200 || reply.body != *bytes {
                let (status, length) = (reply.status, reply.body.len());
                let problem = format!("blob {digest} of image {image}: {status}, {length} bytes");
                return Ok(Err(problem));
            }
        }
        Ok(Ok(true))
    }

    /// The image that a tag names.
    async fn pull_tag(&self, client: &mut Client, tag: u64) -> Result<Option<u64>, Lost> {
        let reply = self.get(client, &format!("manifests/t{tag}")).await?;
        expect(&reply, &[200, 404], "a tag");
        let named = (0..IMAGES).find(|image| reply.body == self.made[index(*image)].manifest.bytes);
        assert_eq!(named.is_some(), reply.status == 200, "t{tag}: {reply:?}");
        Ok(named)
    }

    async fn get(&self, client: &mut Client, rest: &str) -> Result<Reply, Lost> {
        let accept = [("Accept", MANIFEST)];
        client.send("GET", &self.path(rest), &accept, &[]).await
    }

    /// Cancels the upload of that name to this worker's repository, if there is one.
    pub(crate) async fn cancel(&self, client: &mut Client, upload: &str) -> bool {
        let path = self.path(&format!("blobs/uploads/{upload}"));
        let reply = client.send("DELETE", &path, &[], &[]).await;
        reply.is_ok_and(|reply| reply.status == 204)
    }

    /// Compares all that is known with what the server has, and takes over what was open. How
    /// many objects were read whole.
    pub(crate) async fn audit(&mut self, client: &mut Client) -> Result<u64, String> {
        let audited = self.compare(client).await;
        audited.unwrap_or_else(|lost| Err(format!("the server does not answer: {lost:?}")))
    }

    async fn compare(&mut self, client: &mut Client) -> Result<Result<u64, String>, Lost> {
        let mut whole = 0;
        for image in 0..IMAGES {
            let there = match self.read_image(client, image).await? {
                Ok(there) => there,
                Err(problem) => return Ok(Err(problem)),
            };
            whole += u64::from(there);
            let expected = self
                .images
                .insert(image, Some(there))
                .unwrap_or(Some(false));
            if expected.is_some_and(|expected| expected != there) {
                return Ok(Err(format!("image {image} is there: {there}")));
            }
        }
        for tag in 0..TAGS {
            let named = self.pull_tag(client, tag).await?;
            let may = std::mem::replace(self.may_name(tag), BTreeSet::from([named]));
            if !may.contains(&named) {
                return Ok(Err(format!(
                    "t{tag} names {named:?}, which is none of {may:?}"
                )));
            }
            if named.is_some_and(|image| self.images.get(&image) != Some(&Some(true))) {
                return Ok(Err(format!("t{tag} names an image that is not there")));
            }
        }
        for loose in 0..LOOSE {
            let bytes = self.loose_content(loose);
            let path = format!("blobs/{}", digest_of(&bytes));
            let reply = self.get(client, &path).await?;
            let there = reply.status == 200;
            if there && reply.body != bytes || !there && reply.status != 404 {
                return Ok(Err(format!("loose blob {loose}: {}", reply.status)));
            }
            whole += u64::from(there);
            let known = self.loose.get(&loose).copied().unwrap_or(Loose::Gone);
            match known {
                Loose::Gone if there => return Ok(Err(format!("loose blob {loose} came back"))),
                Loose::Pushed(began) if !there && began.elapsed() < self.grace => {
                    return Ok(Err(format!("loose blob {loose} was lost")));
                }
                _ if !there => self.loose.insert(loose, Loose::Gone),
                _ => None,
            };
        }
        if let Some(ending) = self.ending.take()
            && let Err(problem) = self.settle(client, ending).await?
        {
            return Ok(Err(problem));
        }
        if let Some(partial) = self.partial.take()
            && let Err(problem) = self.resume(client, partial).await?
        {
            return Ok(Err(problem));
        }
        Ok(Ok(whole))
    }

    /// An upload whose end a kill interrupted has all that was acknowledged of it, or its blob is
    /// there.
    async fn settle(
        &mut self,
        client: &mut Client,
        ending: Ending,
    ) -> Result<Result<(), String>, Lost> {
        let reply = client.send("GET", &ending.path, &[], &[]).await?;
        if reply.status == 204 {
            let last = reply.header("range").split_once('-').map(|(_, last)| last);
            let last = last.and_then(|last| last.parse::<usize>().ok());
            if last.map_or(0, |last| last + 1) < ending.acknowledged {
                let range = reply.header("range");
                let acknowledged = ending.acknowledged;
                return Ok(Err(format!(
                    "an ending upload of {acknowledged} has {range}"
                )));
            }
            let gone = client.send("DELETE", &ending.path, &[], &[]).await?;
            expect(&gone, &[204], "the cancelling of an upload");
            self.resumed += 1;
            return Ok(Ok(()));
        }
        let blob = self
            .get(client, &format!("blobs/{}", ending.digest))
            .await?;
        // Nothing names it, so it may have been collected by now.
        if blob.status != 200 && ending.began.elapsed() < self.grace {
            let (status, digest) = (blob.status, ending.digest);
            return Ok(Err(format!("neither upload nor blob {digest}: {status}")));
        }
        Ok(Ok(()))
    }

    /// An upload goes on where it stands, which is no less than what was acknowledged.
    async fn resume(
        &mut self,
        client: &mut Client,
        partial: Partial,
    ) -> Result<Result<(), String>, Lost> {
        let Partial {
            path,
            acknowledged,
            content,
        } = partial;
        let reply = client.send("GET", &path, &[], &[]).await?;
        let last = reply.header("range").split_once('-').map(|(_, last)| last);
        let received = match last.and_then(|last| last.parse::<usize>().ok()) {
            Some(0) | None => 0,
            Some(last) => last + 1,
        };
        if reply.status != 204 || received < acknowledged {
            let status = reply.status;
            return Ok(Err(format!(
                "an upload of {acknowledged} has {received}: {status}"
            )));
        }
        let digest = digest_of(&content);
        let end = with_query(&path, &format!("digest={digest}"));
        let reply = client.send("PUT", &end, &[], &content[received..]).await?;
        expect(
            &reply,
            &[201],
            "the end of an upload that a kill interrupted",
        );
        let blob = format!("blobs/{digest}");
        let read = self.get(client, &blob).await?;
        if read.body != content {
            return Ok(Err("an upload that went on is not what was sent".to_owned()));
        }
        let reply = client.send("DELETE", &self.path(&blob), &[], &[]).await?;
        expect(&reply, &[202], "the deletion of a blob");
        self.resumed += 1;
        Ok(Ok(()))
    }
}
