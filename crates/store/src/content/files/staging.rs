//! Implements [`crate::content::Staging`] on a staged file.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt as _};
use metahub_oci::{Algorithm, Digest};
use tokio::task::spawn_blocking;

use crate::content::files::place::{TOGETHER, put_in_place};
use crate::content::files::publishing;
use crate::content::files::staged::Staged;
use crate::content::resumption::Resumption;
use crate::content::source::StagedBytes;
use crate::content::traits::{Answer, Placing, Staging};
use crate::content::write_buffer::Batch;
use crate::folder::layout::remove_file;
use crate::task::blocking;

impl Staging for Staged {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> u64 {
        self.len
    }

    fn durable(&self) -> u64 {
        self.durable.load(Ordering::Acquire).min(self.len)
    }

    fn bytes(&mut self) -> Answer<'_, StagedBytes> {
        async { self.file().await.map(StagedBytes::File) }.boxed()
    }

    fn opened(&self) -> Option<StagedBytes> {
        self.file.clone().map(StagedBytes::File)
    }

    fn append(&mut self, bytes: Batch) -> Answer<'_, ()> {
        self.write(bytes).boxed()
    }

    fn absorb(&mut self, end: u64) -> Answer<'_, ()> {
        self.absorb_to(end).boxed()
    }

    fn digest(&mut self, algorithm: Algorithm) -> Answer<'_, Digest> {
        self.hash(algorithm).boxed()
    }

    fn read(&mut self) -> Answer<'_, Bytes> {
        self.read_all().boxed()
    }

    fn settle(&mut self) -> Answer<'_, ()> {
        async {
            self.cut().await?;
            if self.len > TOGETHER {
                self.sync().await?;
            }
            Ok(())
        }
        .boxed()
    }

    fn publish(mut self: Box<Self>, digest: &Digest, placing: Placing) -> Answer<'static, ()> {
        let digest = digest.clone();
        async move {
            let (file, folder) = (self.file().await?, Arc::clone(&self.folder));
            blocking(move || {
                if placing.reversible {
                    let step = "note that it is published";
                    folder.steps.before(step, &self.path)?;
                    publishing::begin(&self.path, &digest)?;
                }
                folder.check_in_place()?;
                put_in_place(&folder, (&file, self.len), &self.path, &digest, placing)?;
                self.moved();
                Ok(())
            })
            .await
        }
        .boxed()
    }

    fn resumption(&self) -> Option<Resumption> {
        self.mark.as_ref().map(|mark| mark.resumption().clone())
    }

    fn rest(&mut self) {
        self.file = None;
    }

    fn give_up(mut self: Box<Self>) -> BoxFuture<'static, ()> {
        async move {
            if let Some(flush) = self.flush.take() {
                let _ = flush.await;
            }
            self.keep().await;
            self.end().await;
        }
        .boxed()
    }

    fn end(mut self: Box<Self>) -> BoxFuture<'static, ()> {
        async move {
            if let Some(remove) = self.removal() {
                let _ = spawn_blocking(remove).await;
            }
        }
        .boxed()
    }

    fn remove(mut self: Box<Self>) -> Answer<'static, ()> {
        self.emptied = false;
        let path = self.path.clone();
        async move {
            blocking(move || remove_file(&path)).await?;
            self.end().await;
            Ok(())
        }
        .boxed()
    }
}
