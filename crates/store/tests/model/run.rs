//! The steps, on the store and on the model.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use crate::step::{REPOSITORIES, Step, TAGS};
use crate::support::{self, Kind, chunks, content, image, index, name, read, tag};
use bytes::Bytes;
use metahub_oci::{Algorithm, Digest, Document};
use metahub_store::{
    DerivedOutcome, FinishError, GcOptions, Mode, Origin, PutError, PutManifest, Store, TagRecord,
};

/// Everything there is to store.
pub(crate) struct World {
    blobs: Vec<Vec<u8>>,
    documents: Vec<Document>,
    /// Blobs and documents that each document needs.
    needs: Vec<(Vec<usize>, Vec<usize>)>,
}

impl World {
    pub(crate) fn new() -> Self {
        // Two small ones, which lie in the database; the empty one; two in files.
        let sizes = [0, 100, 64 * 1024, 64 * 1024 + 1, 300_000];
        let blobs: Vec<Vec<u8>> = sizes
            .iter()
            .enumerate()
            .map(|(seed, size)| content(seed as u64, *size))
            .collect();
        let images = [vec![1], vec![1, 0], vec![1, 3], vec![2, 4, 3]];
        let mut documents = Vec::new();
        let mut needs = Vec::new();
        for parts in images {
            let layers: Vec<&[u8]> = parts[1..].iter().map(|b| blobs[*b].as_slice()).collect();
            documents.push(image(&blobs[parts[0]], &layers));
            needs.push((parts, vec![]));
        }
        documents.push(index(&[&documents[0], &documents[2]]));
        needs.push((vec![], vec![0, 2]));
        documents.push(index(&[]));
        needs.push((vec![], vec![]));
        Self {
            blobs,
            documents,
            needs,
        }
    }

    fn digest(&self, blob: usize) -> Digest {
        Digest::sha256(&self.blobs[blob])
    }
}

#[derive(Default)]
pub(crate) struct Model {
    /// Who may read which content, and the content.
    links: BTreeMap<(usize, Digest), usize>,
    /// What is stored, by digest.
    stored: BTreeSet<Digest>,
    held: BTreeSet<(usize, usize)>,
    tags: BTreeMap<(usize, usize), usize>,
    derived: BTreeSet<(usize, usize)>,
}

impl Model {
    fn has(&self, world: &World, repository: usize, blob: usize) -> bool {
        self.links.contains_key(&(repository, world.digest(blob)))
    }

    fn link(&mut self, repository: usize, digest: Digest, blob: usize) {
        self.stored.insert(digest.clone());
        self.links.insert((repository, digest), blob);
    }

    fn complete(&self, world: &World, repository: usize, document: usize) -> bool {
        let (blobs, children) = &world.needs[document];
        blobs.iter().all(|blob| self.has(world, repository, *blob))
            && children
                .iter()
                .all(|child| self.held.contains(&(repository, *child)))
    }

    fn collect(&mut self, world: &World) {
        let needed = |repository: usize, digest: &Digest| {
            self.held.iter().any(|(r, document)| {
                *r == repository
                    && world.needs[*document]
                        .0
                        .iter()
                        .any(|blob| world.digest(*blob) == *digest)
            })
        };
        let garbage: Vec<_> = self
            .links
            .keys()
            .filter(|(repository, digest)| !needed(*repository, digest))
            .cloned()
            .collect();
        for key in garbage {
            self.links.remove(&key);
        }
        self.stored = self
            .links
            .keys()
            .map(|(_, digest)| digest.clone())
            .collect();
    }
}

pub(crate) struct Run<'w> {
    pub(crate) kind: Kind,
    pub(crate) world: &'w World,
    pub(crate) model: Model,
    pub(crate) store: Store,
    pub(crate) folder: tempfile::TempDir,
}

impl Run<'_> {
    #[allow(clippy::too_many_lines, reason = "one arm for each kind of step")]
    pub(crate) async fn step(&mut self, step: &Step) {
        let (world, store) = (self.world, self.store.clone());
        let repository = |i: usize| name(REPOSITORIES[i]);
        match *step {
            Step::PutBlob(r, b) => {
                support::put(&store, &repository(r), &world.blobs[b]).await;
                self.model.link(r, world.digest(b), b);
            }
            Step::Upload {
                repository: r,
                blob,
                chunk,
                sha512,
                wrong,
            } => {
                self.upload(r, blob, chunk, sha512, wrong).await;
            }
            Step::Fill {
                repository: r,
                blob,
            } => {
                let digest = world.digest(blob);
                let mut fill = store.fill(&digest, Some(world.blobs[blob].len() as u64));
                for part in world.blobs[blob].chunks(50_000) {
                    fill.write(Bytes::copy_from_slice(part)).await.unwrap();
                }
                fill.commit(r.map(repository).as_ref()).await.unwrap();
                self.model.stored.insert(digest.clone());
                if let Some(r) = r {
                    self.model.link(r, digest, blob);
                }
            }
            Step::Mount(from, to, b) => {
                let (from_name, to_name) = (repository(from), repository(to));
                let mounted = store
                    .mount(&from_name, &to_name, &world.digest(b))
                    .await
                    .unwrap();
                assert_eq!(mounted, self.model.has(world, from, b));
                if mounted {
                    self.model.link(to, world.digest(b), b);
                }
            }
            Step::DeleteBlob(r, b) => {
                let deleted = store
                    .delete_blob(&repository(r), &world.digest(b))
                    .await
                    .unwrap();
                let known = self.model.links.remove(&(r, world.digest(b)));
                assert_eq!(deleted, known.is_some());
            }
            Step::PutManifest {
                repository: r,
                document,
                tag: t,
                require,
                fixed,
            } => {
                self.put_manifest(r, document, t, require, fixed).await;
            }
            Step::DeleteManifest(r, d) => {
                let digest = world.documents[d].digest();
                let deleted = store.delete_manifest(&repository(r), digest).await.unwrap();
                assert_eq!(deleted, self.model.held.remove(&(r, d)));
                self.model.tags.retain(|(tr, _), td| *tr != r || *td != d);
                self.model.derived.remove(&(r, d));
            }
            Step::SetTag(r, t, d) => {
                let record = TagRecord {
                    digest: world.documents[d].digest().clone(),
                    origin: Origin::Upstream,
                    checked_at: SystemTime::now(),
                    etag: None,
                };
                let set = store
                    .set_tag(&repository(r), &tag(TAGS[t]), record)
                    .await
                    .unwrap();
                assert_eq!(set, self.model.held.contains(&(r, d)));
                if set {
                    self.model.tags.insert((r, t), d);
                }
            }
            Step::DeleteTag(r, t) => {
                let deleted = store
                    .delete_tag(&repository(r), &tag(TAGS[t]))
                    .await
                    .unwrap();
                assert_eq!(deleted, self.model.tags.remove(&(r, t)).is_some());
            }
            Step::Derive(r, d) => {
                let digest = world.documents[d].digest();
                let key = derived_key(r, d);
                let outcome = DerivedOutcome {
                    key: key.clone(),
                    blobs: Vec::new(),
                    manifests: Vec::new(),
                    served: digest.clone(),
                    bytes: 100,
                };
                store.put_outcome(&repository(r), outcome).await.unwrap();
                let put = store.derived(&key).await.unwrap().is_some();
                assert_eq!(put, self.model.held.contains(&(r, d)));
                if put {
                    self.model.derived.insert((r, d));
                }
            }
            Step::Collect => {
                let options = GcOptions {
                    grace: Duration::ZERO,
                    dry_run: true,
                };
                let would = store.collect_garbage(&options).await.unwrap();
                let options = GcOptions {
                    dry_run: false,
                    ..options
                };
                let did = store.collect_garbage(&options).await.unwrap();
                assert_eq!(
                    (would.links, would.blobs, would.blob_bytes),
                    (did.links, did.blobs, did.blob_bytes)
                );
                self.model.collect(world);
            }
            // What is in memory ends with its store.
            Step::Reopen if self.kind == Kind::Memory => {}
            Step::Reopen => {
                self.store.close().await;
                drop(store);
                self.store = Store::open(self.folder.path(), Mode::Serve).await.unwrap();
            }
        }
    }

    async fn upload(&mut self, r: usize, blob: usize, chunk: usize, sha512: bool, wrong: bool) {
        let repository = name(REPOSITORIES[r]);
        let algorithm = if sha512 {
            Algorithm::Sha512
        } else {
            Algorithm::Sha256
        };
        let content = &self.world.blobs[blob];
        let digest = Digest::of(algorithm, content);
        let id = self.store.start_upload(&repository).await.unwrap();
        let upload = self.store.upload(&repository, &id).await.unwrap().unwrap();
        let middle = content.len() / 3;
        upload
            .append(Some(0), chunks(&content[..middle], chunk))
            .await
            .unwrap();
        upload
            .append(None, chunks(&content[middle..], chunk))
            .await
            .unwrap();
        if wrong {
            let other = Digest::of(algorithm, b"something else");
            let finished = upload.finish(&other).await;
            assert!(matches!(finished, Err(FinishError::Mismatch { .. })));
            assert!(self.store.upload(&repository, &id).await.unwrap().is_none());
        } else {
            upload.finish(&digest).await.unwrap();
            self.model.link(r, digest, blob);
        }
    }

    async fn put_manifest(
        &mut self,
        r: usize,
        document: usize,
        t: Option<usize>,
        require: bool,
        fixed: bool,
    ) {
        let tags: Vec<_> = t.iter().map(|t| tag(TAGS[*t])).collect();
        let options = PutManifest {
            require_references: require,
            fixed: if fixed { tags.clone() } else { vec![] },
            ..PutManifest::pushed(tags)
        };
        let body = &self.world.documents[document];
        let put = self
            .store
            .put_manifest(&name(REPOSITORIES[r]), body, options)
            .await;
        if require && !self.model.complete(self.world, r, document) {
            assert!(matches!(put, Err(PutError::Missing { .. })), "{put:?}");
            return;
        }
        let taken = t
            .and_then(|t| self.model.tags.get(&(r, t)))
            .is_some_and(|d| *d != document);
        if fixed && taken {
            assert!(matches!(put, Err(PutError::TagExists { .. })), "{put:?}");
            return;
        }
        put.unwrap();
        self.model.held.insert((r, document));
        if let Some(t) = t {
            self.model.tags.insert((r, t), document);
        }
    }

    /// Compares everything.
    pub(crate) async fn audit(&self) {
        let kept = self.store.cached_bytes().await.unwrap();
        assert_eq!(kept, self.store.recounted_bytes().await.unwrap());
        let (store, world, model) = (&self.store, self.world, &self.model);
        for (r, text) in REPOSITORIES.iter().enumerate() {
            let repository = name(text);
            for bytes in &world.blobs {
                for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
                    let digest = Digest::of(algorithm, bytes);
                    let expected = model.links.get(&(r, digest.clone())).map(|_| bytes.clone());
                    let found = read(store, &repository, &digest).await.unwrap();
                    assert_eq!(found, expected, "{digest} in {text}");
                    let anywhere = store.blob_anywhere(&digest).await.unwrap();
                    assert_eq!(anywhere.is_some(), model.stored.contains(&digest));
                }
            }
            for (d, document) in world.documents.iter().enumerate() {
                let digest = document.digest();
                let found = store.manifest(&repository, digest).await.unwrap();
                assert_eq!(found.is_some(), model.held.contains(&(r, d)));
                if let Some(found) = found {
                    assert_eq!(&found.bytes, document.bytes());
                }
                let derived = store.derived(&derived_key(r, d)).await.unwrap();
                assert_eq!(derived.is_some(), model.derived.contains(&(r, d)));
            }
            let mut expected = Vec::new();
            for (t, text) in TAGS.iter().enumerate() {
                let found = store.tag(&repository, &tag(text)).await.unwrap();
                let known = model
                    .tags
                    .get(&(r, t))
                    .map(|d| world.documents[*d].digest());
                assert_eq!(found.as_ref().map(|record| &record.digest), known);
                expected.extend(known.map(|_| tag(text)));
            }
            let page = store.tags(&repository, None, 10).await.unwrap();
            assert_eq!(page.items, expected);
        }
        let holding: BTreeSet<usize> = model.held.iter().map(|(r, _)| *r).collect();
        let page = store.repositories(None, 10).await.unwrap();
        let mut names: Vec<_> = holding.into_iter().map(|r| name(REPOSITORIES[r])).collect();
        names.sort();
        assert_eq!(page.items, names);
    }
}

fn derived_key(repository: usize, document: usize) -> Digest {
    Digest::sha256(format!("{repository} {document}").as_bytes())
}
