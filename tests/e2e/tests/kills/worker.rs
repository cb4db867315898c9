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
pub(crate) const IMAGES: u64 = 6;
pub(crate) const TAGS: u64 = 3;
pub(crate) const LOOSE: u64 = 4;
/// Content of loose blobs and uploads that no image has.
const LOOSE_SEED: u64 = 1_000_000;

pub(crate) struct Worker {
    number: u64,
    /// What there is to push.
    made: Arc<Vec<Image>>,
    random: StdRng,
    pub(crate) grace: Duration,
    pub(crate) images: BTreeMap<u64, Option<bool>>,
    /// What each tag may name.
    tags: BTreeMap<u64, BTreeSet<Option<u64>>>,
    pub(crate) loose: BTreeMap<u64, Loose>,
    pub(crate) partial: Option<Partial>,
    pub(crate) ending: Option<Ending>,
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

    pub(crate) fn path(&self, rest: &str) -> String {
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

    pub(crate) fn may_name(&mut self, tag: u64) -> &mut BTreeSet<Option<u64>> {
        self.tags
            .entry(tag)
            .or_insert_with(|| BTreeSet::from([None]))
    }

    pub(crate) fn loose_content(&self, loose: u64) -> Vec<u8> {
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
    pub(crate) async fn read_image(
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
    pub(crate) async fn pull_tag(
        &self,
        client: &mut Client,
        tag: u64,
    ) -> Result<Option<u64>, Lost> {
        let reply = self.get(client, &format!("manifests/t{tag}")).await?;
        expect(&reply, &[200, 404], "a tag");
        let named = (0..IMAGES).find(|image| reply.body == self.made[index(*image)].manifest.bytes);
        assert_eq!(named.is_some(), reply.status == 200, "t{tag}: {reply:?}");
        Ok(named)
    }

    pub(crate) async fn get(&self, client: &mut Client, rest: &str) -> Result<Reply, Lost> {
        let accept = [("Accept", MANIFEST)];
        client.send("GET", &self.path(rest), &accept, &[]).await
    }

    /// Cancels the upload of that name to this worker's repository, if there is one.
    pub(crate) async fn cancel(&self, client: &mut Client, upload: &str) -> bool {
        let path = self.path(&format!("blobs/uploads/{upload}"));
        let reply = client.send("DELETE", &path, &[], &[]).await;
        reply.is_ok_and(|reply| reply.status == 204)
    }
}
