//! Compares what a worker knows with what the server has after a kill.

use std::collections::BTreeSet;

use metahub_e2e::http::digest_of;
use metahub_e2e::pusher::with_query;

use crate::client::{Client, Lost};
use crate::unfinished::{Ending, Loose, Partial, expect};
use crate::worker::{IMAGES, LOOSE, TAGS, Worker};

impl Worker {
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
