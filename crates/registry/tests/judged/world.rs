//! A registry with generated images, indexes and collections, and what each of them needs.

use super::*;

/// What a tag leads to: images by digest, and what each needs there.
pub(crate) type Leaders = Vec<(Digest, Needs)>;

pub(crate) struct World {
    pub(crate) registry: Registry,
    pub(crate) sender: watch::Sender<Arc<Catalog>>,
    /// What there is to point to, with its descriptor.
    pub(crate) pool: Vec<(Value, Needs)>,
    pub(crate) tags: Vec<(String, Leaders)>,
    /// The own words of single images by tag, where an entry of a collection replaces them.
    pub(crate) singles: HashMap<String, Needs>,
}

impl World {
    pub(crate) async fn new(policy: Policy) -> Self {
        let catalog = Arc::new(Catalog::builtin());
        let sender = watch::Sender::new(catalog);
        let upstreams = Upstreams::new(&UpstreamsConfig {
            offline: true,
            ..UpstreamsConfig::default()
        });
        let settings = Settings {
            sparse: true,
            policy,
            ..Settings::default()
        };
        let store = Store::temporary().await.unwrap();
        Self {
            registry: Registry::new(store, upstreams.unwrap(), sender.subscribe(), settings),
            sender,
            pool: Vec::new(),
            tags: Vec::new(),
            singles: HashMap::new(),
        }
    }

    pub(crate) async fn blob(&self, bytes: Vec<u8>, media_type: &str) -> Value {
        let digest = Digest::sha256(&bytes);
        let size = bytes.len();
        let name: RepositoryName = REPOSITORY.parse().unwrap();
        let store = self.registry.store();
        store
            .put_blob(&name, &digest, Bytes::from(bytes))
            .await
            .unwrap();
        json!({"mediaType": media_type, "digest": digest, "size": size})
    }

    pub(crate) async fn push(&self, document: &Value, tag: Option<&str>) -> Value {
        let bytes = serde_json::to_vec(document).unwrap();
        let (digest, size) = (Digest::sha256(&bytes), bytes.len());
        let media_type = document["mediaType"].as_str().unwrap();
        let reference = match tag {
            Some(tag) => Reference::Tag(tag.parse().unwrap()),
            None => Reference::Digest(digest.clone()),
        };
        let name = REPOSITORY.parse().unwrap();
        let content: MediaType = media_type.parse().unwrap();
        self.registry
            .operator()
            .push(&name)
            .unwrap()
            .push_manifest(&reference, Some(&content), bytes.into(), Vec::new())
            .await
            .unwrap();
        json!({"mediaType": media_type, "digest": digest, "size": size})
    }

    /// Pushes an image, of which anything may be said anywhere.
    pub(crate) async fn image(&mut self, at: usize, random: &mut Random) {
        let arm = random.one_in(5);
        let mut needs = Needs {
            architecture: if arm { "arm64" } else { "amd64" }.to_owned(),
            ..Needs::default()
        };
        let (mut labels, mut annotations) = (json!({}), json!({"name": at.to_string()}));
        for said in [&mut labels, &mut annotations] {
            if random.one_in(3) {
                let target = match arm {
                    true => random.of(&["aarch64", "neoverse_v1"]),
                    false => random.of(TARGETS),
                };
                said["io.archspec.cpu.target"] = target.into();
                needs.targets.push(target.to_owned());
            }
        }
        let mut variant = None;
        if !arm && random.one_in(5) {
            let one = random.of(&["v2", "v3", "v4"]);
            needs.targets.push(format!("x86_64_{one}"));
            variant = Some(one);
        }
        let mut env = vec!["PATH=/bin"];
        if random.one_in(5) {
            env.push("NVIDIA_REQUIRE_CUDA=cuda>=12.4");
            needs.cuda = true;
        }
        let config = json!({
            "os": "linux", "architecture": needs.architecture, "variant": variant,
            "config": {"Labels": labels, "Env": env, "n": at},
            "rootfs": {"type": "layers", "diff_ids": []},
        });
        let config = self
            .blob(config.to_string().into_bytes(), MediaType::OCI_CONFIG)
            .await;
        let tag = format!("p{at}");
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MediaType::OCI_MANIFEST, "config": config,
            "layers": [], "annotations": annotations,
        });
        let descriptor = self.push(&manifest, Some(&tag)).await;
        if random.one_in(12) {
            needs.unreadable = true;
            self.unreadable_artifact(&descriptor).await;
        }
        needs.unreadable |= needs.targets.iter().any(|target| target == "zenn3");
        let digest: Digest = descriptor["digest"].as_str().unwrap().parse().unwrap();
        self.tags.push((tag.clone(), vec![(digest, needs.clone())]));
        self.singles.insert(tag, needs.clone());
        self.pool.push((descriptor, needs));
    }

    pub(crate) async fn unreadable_artifact(&self, subject: &Value) {
        let spec = self.blob(b"compatibilities: 3".to_vec(), "text/yaml").await;
        let empty = self.blob(b"{}".to_vec(), MediaType::OCI_EMPTY).await;
        let artifact = json!({
            "schemaVersion": 2, "mediaType": MediaType::OCI_MANIFEST,
            "artifactType": "application/vnd.nfd.image-compatibility.v1alpha1",
            "config": empty, "layers": [spec], "subject": subject,
        });
        self.push(&artifact, None).await;
    }

    /// What is in an index and runs nowhere.
    pub(crate) async fn others(&mut self) {
        let nothing = || Needs {
            nothing: true,
            ..Needs::default()
        };
        let absent = json!({
            "mediaType": MediaType::OCI_MANIFEST, "digest": Digest::sha256(b"absent"), "size": 7,
        });
        self.pool.push((absent, nothing()));
        let config = self
            .blob(b"{}".to_vec(), "application/vnd.example.model.v1+json")
            .await;
        let model = json!({
            "schemaVersion": 2, "mediaType": MediaType::OCI_MANIFEST, "config": config, "layers": [],
        });
        let model = self.push(&model, None).await;
        self.pool.push((model.clone(), nothing()));
        let mut typed = model;
        typed["artifactType"] = "application/vnd.example.model".into();
        self.pool.push((typed, nothing()));
    }

    /// An entry of an index, and what its image needs there.
    pub(crate) fn entry(&self, random: &mut Random) -> (Value, Digest, Needs) {
        let (mut entry, mut needs) = self.pool[random.below(self.pool.len())].clone();
        let digest = entry["digest"].as_str().unwrap().parse().unwrap();
        match random.below(8) {
            0 => {}
            1 => entry["platform"] = json!({}),
            2 => entry["platform"] = json!({"os": "", "architecture": ""}),
            3 if random.one_in(3) => {
                // The index and the image cannot both be right.
                let other = if needs.architecture == "amd64" {
                    "arm64"
                } else {
                    "amd64"
                };
                entry["platform"] = json!({"os": "linux", "architecture": other});
                needs.nothing = true;
            }
            _ => {
                let architecture = match needs.architecture.as_str() {
                    "" => "amd64",
                    own => own,
                };
                entry["platform"] = json!({"os": "linux", "architecture": architecture});
                if architecture == "amd64" && random.one_in(3) {
                    let target = random.of(TARGETS);
                    entry["platform"]["features"] = json!([format!("arch:{target}")]);
                    needs.by_index |= target == "zenn3";
                    needs.targets.push(target.to_owned());
                }
                if architecture == "amd64" && random.one_in(4) {
                    let variant = random.of(&["v2", "v3", "v4"]);
                    entry["platform"]["variant"] = variant.into();
                    needs.targets.push(format!("x86_64_{variant}"));
                }
            }
        }
        (entry, digest, needs)
    }

    /// Pushes an index of up to `most` entries, some of which are indexes.
    pub(crate) async fn index(&mut self, at: usize, most: usize, random: &mut Random) {
        let (mut entries, mut leaders) = (Vec::new(), Vec::new());
        for number in 0..=random.below(most) {
            if random.one_in(8) {
                let (mut inner, mut led) = (Vec::new(), Vec::new());
                for _ in 0..=random.below(3) {
                    let (entry, digest, needs) = self.entry(random);
                    inner.push(entry);
                    led.push((digest, needs));
                }
                let mut outer = self
                    .push(&index(&inner, &format!("{at}-{number}")), None)
                    .await;
                if random.one_in(2) {
                    let target = random.of(TARGETS);
                    outer["platform"] = json!({
                        "os": "linux", "architecture": "amd64", "features": [format!("arch:{target}")],
                    });
                    for (_, needs) in &mut led {
                        needs.nothing |= needs.architecture == "arm64";
                        needs.by_index |= target == "zenn3";
                        needs.targets.push(target.to_owned());
                    }
                }
                entries.push(outer);
                leaders.extend(led);
            } else {
                let (entry, digest, needs) = self.entry(random);
                entries.push(entry);
                leaders.push((digest, needs));
            }
        }
        let tag = format!("i{at}");
        self.push(&index(&entries, &tag), Some(&tag)).await;
        self.tags.push((tag, leaders));
    }

    /// Collections of what was pushed, as documents.
    pub(crate) fn collections(&self, count: usize, random: &mut Random) -> Vec<(String, Leaders)> {
        let (mut all, mut text) = (Vec::new(), "manifests:\n".to_owned());
        for at in 0..count {
            let mut leaders = Leaders::new();
            text.push_str(&format!("  - name: c{at}\n    manifests:\n"));
            for _ in 0..=random.below(4) {
                let (tag, led) = &self.tags[random.below(self.tags.len())];
                let written = random.of(&[None, None, Some("x86_64"), Some("zen3"), Some("")]);
                let features = match written {
                    None => String::new(),
                    Some("") => ", platform: {features: []}".to_owned(),
                    Some(target) => format!(", platform: {{features: ['arch:{target}']}}"),
                };
                text.push_str(&format!(
                    "      - {{image: '{REPOSITORY}:{tag}'{features}}}\n"
                ));
                leaders.extend(self.by_entry(tag, led, written));
            }
            all.push((format!("c{at}:latest"), leaders));
        }
        let loaded = Catalog::from_documents(&[("generated.yaml", text)]);
        assert!(loaded.problems.iter().all(|problem| !problem.is_error()));
        self.sender.send_replace(Arc::new(loaded.catalog));
        all
    }

    /// What images need, of which an entry of a collection says something.
    pub(crate) fn by_entry(&self, tag: &str, led: &Leaders, written: Option<&str>) -> Leaders {
        let single = self.singles.contains_key(tag);
        let mut led = led.clone();
        for (_, needs) in &mut led {
            match written {
                None => {}
                // The entry has the last word on a single image.
                Some("") if single => {
                    *needs = Needs {
                        architecture: needs.architecture.clone(),
                        ..Needs::default()
                    };
                }
                Some(target) if single => {
                    // What refers to it counts all the same.
                    let label = needs.targets.iter().any(|target| target == "zenn3");
                    needs.unreadable &= !label;
                    needs.targets = vec![target.to_owned()];
                }
                // It cannot replace what tells the images of an index apart.
                Some("") => {}
                Some(target) => needs.targets.push(target.to_owned()),
            }
        }
        led
    }

    /// Holds what a login is served against what its machine runs.
    pub(crate) async fn holds(
        &self,
        image: &str,
        leaders: &Leaders,
        machine: usize,
        policy: &Policy,
    ) -> Runs {
        let login = MACHINES[machine].0;
        let profile = self
            .registry
            .catalog()
            .interpret(login, &|_| false)
            .unwrap()
            .profile;
        let reference: ImageReference = image.parse().unwrap();
        let tag = match reference.reference() {
            Reference::Tag(tag) => tag,
            Reference::Digest(_) => panic!("a tag"),
        };
        let answer = self
            .registry
            .operator()
            .read(reference.name())
            .tagged(&tag, &profile, Accepts::Index)
            .await;
        let best = |wanted: Runs| {
            leaders
                .iter()
                .any(|(_, needs)| needs.on(machine, policy) == wanted)
        };
        let images = leaders.iter().any(|(_, needs)| !needs.nothing);
        let served = match answer {
            Ok(served) => served,
            Err(error) => {
                let nothing = matches!(
                    error.root(),
                    RegistryError::NothingFits { .. } | RegistryError::ManifestUnknown { .. }
                );
                assert!(nothing, "{image} as {login}: {error}");
                assert!(!best(Runs::Yes), "{image} as {login}: {error}");
                assert!(!best(Runs::Perhaps), "{image} as {login}: {error}");
                return Runs::No;
            }
        };
        let digests: Vec<Digest> = match Document::parse(served.bytes, Some(&served.media_type)) {
            Ok(Document::Index(index)) => index
                .manifests()
                .iter()
                .map(|entry| entry.digest().clone())
                .collect(),
            _ => vec![served.digest],
        };
        let mut worst = Runs::Yes;
        for digest in digests {
            // The same image may be led to in several ways; one that runs is enough.
            let ways = leaders.iter().filter(|(own, _)| *own == digest);
            let ways: Vec<Runs> = ways.map(|(_, needs)| needs.on(machine, policy)).collect();
            let authorised_route = [Runs::Yes, Runs::Perhaps]
                .into_iter()
                .find(|authorised_route| ways.contains(authorised_route));
            match authorised_route {
                Some(Runs::Perhaps) => {
                    assert!(
                        !best(Runs::Yes),
                        "{image} as {login}: another is known to run"
                    );
                    let warning = served.warning.as_deref().unwrap_or_default();
                    assert!(warning.contains("states nothing"), "{image}: {warning}");
                    worst = Runs::Perhaps;
                }
                Some(_) => {}
                None => assert!(!images, "{image} as {login} was served {digest}: {ways:?}"),
            }
        }
        worst
    }
}

pub(crate) fn index(entries: &[Value], name: &str) -> Value {
    json!({
        "schemaVersion": 2, "mediaType": MediaType::OCI_INDEX, "manifests": entries,
        "annotations": {"name": name},
    })
}
