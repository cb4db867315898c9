//! Inspection: compares what the code of images needs with what logins provide.
//!
//! Layers are read in the background, each once: what they need is recorded beside their blobs and
//! removed with them. An image's needs are assembled from its layers when it is chosen, and
//! remembered; so a repeated pull reads nothing of it.

pub(crate) mod excess;
pub(crate) mod fitting;
pub(crate) mod lifted;
mod queue;
pub(crate) mod settings;
mod worker;

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use metahub_inspect::{ImageNeeds, LayerNeeds, RULE_VERSION};
use metahub_oci::{Descriptor, Digest, Document, Manifest};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::access::location::Location;
use crate::access::pass_through::Caller;
use crate::error::RegistryError;
use crate::pull::source::parse;
use crate::{Inner, Registry};

use self::queue::{Job, Next, Offered, Queue};
use self::settings::InspectionMode;
use self::worker::{Layer, Worker};

/// Bytes of cached needs.
const REMEMBERED: u64 = 16 * 1024 * 1024;
/// How long a partly unreadable image counts as unknown before it is read again.
const UNREAD: Duration = Duration::from_secs(60);

/// The known needs of images, and the queue.
pub(crate) struct Inspections {
    queue: Mutex<Queue>,
    /// By the manifest's digest.
    known: moka::sync::Cache<Digest, Arc<ImageNeeds>>,
    /// Images of which something could not be read.
    unread: moka::sync::Cache<Digest, Arc<ImageNeeds>>,
    /// Wakes pulls that wait for an image.
    done: Notify,
    /// Wakes the worker of the queue, which also waits for an image that is due later.
    offered: Arc<Notify>,
}

impl Default for Inspections {
    fn default() -> Self {
        let weigh = |_: &Digest, needs: &Arc<ImageNeeds>| {
            let files = needs.files.iter();
            let files: usize = files
                .map(|(path, file)| path.len() + 512 * (1 + file.unknown.len()))
                .sum();
            u32::try_from(256 + files + 512 * needs.unread.len()).unwrap_or(u32::MAX)
        };
        Self {
            queue: Mutex::default(),
            known: moka::sync::Cache::builder()
                .weigher(weigh)
                .max_capacity(REMEMBERED)
                .build(),
            unread: moka::sync::Cache::builder()
                .weigher(weigh)
                .max_capacity(REMEMBERED)
                .time_to_live(UNREAD)
                .build(),
            done: Notify::new(),
            offered: Arc::default(),
        }
    }
}

/// The result of reading an image.
enum ImageReading {
    Whole(ImageNeeds),
    /// A part could not be read.
    Part(ImageNeeds),
    /// Its layers are not stored.
    Absent,
}

impl Registry {
    fn inspections(&self) -> &Inspections {
        &self.inner.inspections
    }

    /// The configured use of findings.
    pub(crate) fn inspects(&self) -> InspectionMode {
        self.settings().inspection.mode
    }

    /// Queues an image that was pushed or chosen. Returns at once.
    pub(crate) fn offer_inspection(&self, location: &Location, manifest: &Digest) {
        if self.inspects() != InspectionMode::TrustLabels {
            self.offer(Job::new(
                location.clone(),
                manifest.clone(),
                false,
                self.client,
            ));
        }
    }

    fn offer(&self, job: Job) {
        let inspections = self.inspections();
        let start = {
            let mut queue = inspections.queue.lock();
            if queue.offer(job) == Offered::Full {
                self.counters().inspections_dropped.inc();
            }
            !std::mem::replace(&mut queue.running, true)
        };
        if start {
            tokio::spawn(work_off(Arc::downgrade(&self.inner)));
        } else {
            inspections.offered.notify_one();
        }
    }

    /// What an image needs, if all its layers were read. Reads nothing and does not wait.
    pub(crate) async fn known_needs(
        &self,
        location: &Location,
        manifest: &Manifest,
    ) -> Result<Option<Arc<ImageNeeds>>, RegistryError> {
        let inspections = self.inspections();
        if let Some(known) = inspections.known.get(manifest.digest()) {
            return Ok(Some(known));
        }
        let mut layers = Vec::new();
        for layer in manifest.layers() {
            match recorded(location, layer.digest()).await? {
                Some(needs) => layers.push((layer.digest().to_string(), needs)),
                None => return Ok(None),
            }
        }
        let needs = Arc::new(joined(&layers));
        inspections
            .known
            .insert(manifest.digest().clone(), Arc::clone(&needs));
        Ok(Some(needs))
    }

    /// The same, read now if necessary; `None` after `deadline`.
    pub(crate) async fn awaited_needs(
        &self,
        location: &Location,
        manifest: &Manifest,
        deadline: tokio::time::Instant,
    ) -> Result<Option<Arc<ImageNeeds>>, RegistryError> {
        if let Some(known) = self.known_needs(location, manifest).await? {
            return Ok(Some(known));
        }
        let inspections = self.inspections();
        let digest = manifest.digest();
        loop {
            let mut done = std::pin::pin!(inspections.done.notified());
            done.as_mut().enable();
            if let Some(known) = inspections.known.get(digest) {
                return Ok(Some(known));
            }
            if let Some(unread) = inspections.unread.get(digest) {
                return Ok(Some(unread));
            }
            if tokio::time::Instant::now() >= deadline {
                return Ok(None);
            }
            self.offer(Job::new(
                location.clone(),
                digest.clone(),
                true,
                self.client,
            ));
            if tokio::time::timeout_at(deadline, done).await.is_err() {
                return Ok(None);
            }
        }
    }

    /// Reads the unread layers of an image.
    async fn inspect(&self, job: &Job, worker: &Worker) -> Result<ImageReading, RegistryError> {
        let stored = job.location.stored().manifest(&job.manifest).await?;
        let Some(stored) = stored else {
            return Ok(ImageReading::Absent);
        };
        let Document::Manifest(manifest) = parse(&stored)? else {
            return Ok(ImageReading::Absent);
        };
        if !manifest.is_image() {
            return Ok(ImageReading::Absent);
        }
        let (mut layers, mut whole) = (Vec::new(), true);
        for layer in manifest.layers() {
            let digest = layer.digest();
            let needs = match recorded(&job.location, digest).await? {
                Some(known) => known,
                None => match self.read_layer(job, layer, worker).await {
                    Ok(Some(needs)) => needs,
                    Ok(None) => return Ok(ImageReading::Absent),
                    Err(error) if job.waited_for => LayerNeeds::unread(error.to_string()),
                    Err(error) => return Err(error),
                },
            };
            // Damage is permanent; an interrupted transfer is not.
            whole &=
                needs.problems().is_empty() || recorded(&job.location, digest).await?.is_some();
            layers.push((digest.to_string(), needs));
        }
        let needs = joined(&layers);
        Ok(if whole {
            ImageReading::Whole(needs)
        } else {
            ImageReading::Part(needs)
        })
    }

    /// Reads a layer and records what it needs; `None` if it is not stored and no pull waits for
    /// it.
    async fn read_layer(
        &self,
        job: &Job,
        layer: &Descriptor,
        worker: &Worker,
    ) -> Result<Option<LayerNeeds>, RegistryError> {
        let digest = layer.digest();
        let blob = if job.waited_for {
            self.blob_at(&job.location, digest).await?
        } else {
            self.blob_held(&job.location, digest).await?
        };
        let Some(blob) = blob else {
            return Ok(None);
        };
        let rate = self.settings().inspection.rate;
        let read = Layer {
            stream: blob.stream(0..blob.size()),
            rate: (!job.waited_for && rate > 0).then_some(rate),
        };
        let (needs, whole) = worker.read(read).await.ok_or_else(|| {
            RegistryError::Broken("the thread that reads the code of layers has ended".to_owned())
        })?;
        self.counters().layers_inspected.inc();
        // An interrupted transfer may succeed later.
        if whole {
            let text = needs.to_json();
            let stored = job.location.stored();
            stored.put_layer_needs(digest, RULE_VERSION, text).await?;
        }
        Ok(Some(needs))
    }

    /// Records the result of a job.
    fn inspected(&self, job: &Job, read: Result<ImageReading, RegistryError>) {
        let (inspections, counters) = (self.inspections(), self.counters());
        let digest = &job.manifest;
        let needs = match read {
            Ok(ImageReading::Whole(needs)) => {
                counters.images_inspected.inc();
                inspections
                    .known
                    .insert(digest.clone(), Arc::new(needs.clone()));
                needs
            }
            Ok(ImageReading::Part(needs)) => {
                counters.inspections_failed.inc();
                inspections
                    .unread
                    .insert(digest.clone(), Arc::new(needs.clone()));
                needs
            }
            Ok(ImageReading::Absent) => {
                counters.inspections_absent.inc();
                self.not_read(job, "its layers are not here")
            }
            Err(error) => {
                counters.inspections_failed.inc();
                let repository = job.location.storage();
                tracing::warn!(%repository, %digest, %error, "its code could not be read");
                self.not_read(job, &error.to_string())
            }
        };
        // Choices that were made without these needs are dropped.
        if !needs.is_empty() || job.waited_for {
            self.inner.derivations.choose_anew();
            self.inner.answers.forget();
        }
    }
}

impl Registry {
    /// Wakes the pulls that wait for an image that could not be read.
    fn not_read(&self, job: &Job, why: &str) -> ImageNeeds {
        let needs = ImageNeeds {
            unread: vec![why.to_owned()],
            ..ImageNeeds::default()
        };
        let unread = &self.inspections().unread;
        unread.insert(job.manifest.clone(), Arc::new(needs.clone()));
        needs
    }
}

/// Works off the queue.
async fn work_off(registry: Weak<Inner>) {
    let mut worker = None;
    loop {
        let Some(inner) = registry.upgrade() else {
            return;
        };
        let next = {
            let mut queue = inner.inspections.queue.lock();
            let next = queue.next(Instant::now());
            if matches!(next, Next::Nothing) {
                queue.running = false;
            }
            next
        };
        let job = match next {
            Next::Nothing => return,
            Next::At(due) => {
                let offered = Arc::clone(&inner.inspections.offered);
                drop(inner);
                let due = tokio::time::Instant::from_std(due);
                // What was offered meanwhile, or what is due then.
                let _ = tokio::time::timeout_at(due, offered.notified()).await;
                continue;
            }
            Next::Job(job) => job,
        };
        let registry = Registry {
            caller: Caller::Nobody,
            client: job.client,
            inner,
        };
        let read = match worker.take().map_or_else(Worker::start, Ok) {
            Ok(started) => {
                let read = without_panic(registry.inspect(&job, &started)).await;
                worker = Some(started).filter(|worker| !worker.has_ended());
                read
            }
            Err(error) => Err(RegistryError::Broken(format!(
                "no thread can be started to read code: {error}"
            ))),
        };
        let inspections = registry.inspections();
        if matches!(read, Ok(ImageReading::Absent)) && !job.waited_for {
            let stays = inspections.queue.lock().later(*job, Instant::now());
            if !stays {
                registry.counters().inspections_absent.inc();
            }
            // A waiting pull queues it again.
            inspections.done.notify_waiters();
            continue;
        }
        registry.inspected(&job, read);
        inspections.queue.lock().done(&job.manifest);
        inspections.done.notify_waiters();
    }
}

/// A panic in reading one image is an error of that image: the others are still read.
async fn without_panic<T>(
    work: impl Future<Output = Result<T, RegistryError>>,
) -> Result<T, RegistryError> {
    let done = AssertUnwindSafe(work).catch_unwind().await;
    done.unwrap_or_else(|_| {
        Err(RegistryError::Broken(
            "reading its code panicked".to_owned(),
        ))
    })
}

/// The recorded needs of a layer, if it was read.
async fn recorded(
    location: &Location,
    layer: &Digest,
) -> Result<Option<LayerNeeds>, RegistryError> {
    let text = location.stored().layer_needs(layer, RULE_VERSION).await?;
    // A record in another form is replaced by reading the layer again.
    Ok(text.and_then(|text| LayerNeeds::from_json(&text).ok()))
}

fn joined(layers: &[(String, LayerNeeds)]) -> ImageNeeds {
    ImageNeeds::of(layers.iter().map(|(name, needs)| (name.as_str(), needs)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_while_an_image_is_read_is_an_error_of_that_image() {
        let read = without_panic(async { panic!("on purpose") });
        let read: Result<(), RegistryError> = read.await;
        assert!(read.unwrap_err().to_string().contains("panicked"));
        assert!(without_panic(async { Ok(()) }).await.is_ok());
    }
}
