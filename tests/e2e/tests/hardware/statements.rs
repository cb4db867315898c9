//! What images say that they require, by labels and by artifacts that refer to them.

use metahub_e2e::http::digest_of;
use metahub_e2e::metahub::MetaHub;
use metahub_e2e::pusher::{MANIFEST, Pusher, descriptor};
use serde_json::json;

use crate::site::{CONFIG_FILE, Says, gives, push};

#[test]
fn what_an_image_says_it_requires_is_heeded() {
    let document = "
manifests:
  - name: gpu
    manifests:
      - image: lab/gpu:cuda
      - image: lab/gpu:labelled
      - {image: 'lab/gpu:plain', platform: {features: []}}
";
    let metahub = MetaHub::start(CONFIG_FILE, &[("gpu.yaml", document)]);
    let cuda = push(
        &metahub,
        "lab/gpu:cuda",
        "amd64",
        &Says {
            env: &[
                "NVIDIA_REQUIRE_CUDA=cuda>=12.4 brand=tesla,driver>=470,driver<471",
                "NVIDIA_REQUIRE_ARCH=arch>=7.0",
            ],
            ..Says::default()
        },
    );
    let labelled = push(
        &metahub,
        "lab/gpu:labelled",
        "amd64",
        &Says {
            labels: json!({"io.archspec.cpu.target": "zen3"}),
            ..Says::default()
        },
    );
    let plain = push(
        &metahub,
        "lab/gpu:plain",
        "amd64",
        &Says {
            labels: json!({"io.archspec.cpu.target": "zen4"}),
            variant: Some("v4"),
            ..Says::default()
        },
    );
    gives(&metahub, "gpu", "x86_64_v2", &plain);
    gives(&metahub, "gpu", "zen3", &labelled);
    gives(&metahub, "gpu", "x86_64_v2+driver=550+cc=8.0", &cuda);
    gives(&metahub, "gpu", "x86_64_v2+driver=550+cc=6.0", &plain);
    gives(
        &metahub,
        "gpu",
        "x86_64_v2+driver=470.57+cc=8.0+brand=tesla",
        &cuda,
    );
    let answer = gives(
        &metahub,
        "gpu",
        "x86_64_v2+driver=470.57+cc=8.0+brand=geforce",
        &plain,
    );
    let entries = answer["explanation"]["entries"].to_string();
    assert!(entries.contains("nvidia-require:cuda>=12.4"), "{entries}");
    assert!(entries.contains("is not met by"), "{entries}");
}

#[test]
fn a_compatibility_artifact_that_refers_to_an_image_is_heeded() {
    let document = "
manifests:
  - name: app
    manifests:
      - image: lab/app:fast
      - image: lab/app:slow
";
    let metahub = MetaHub::start(CONFIG_FILE, &[("app.yaml", document)]);
    let fast = push(&metahub, "lab/app:fast", "amd64", &Says::default());
    let slow = push(&metahub, "lab/app:slow", "amd64", &Says::default());
    let pusher = Pusher {
        host: metahub.host(),
        repository: "lab/app",
        login: None,
    };
    let rules = b"version: v1alpha1
compatibilities:
- description: needs AVX-512 and a module
  tag: preferred
  weight: 10
  rules:
  - name: cpu
    matchFeatures:
    - feature: cpu.cpuid
      matchExpressions:
        AVX512F: {op: Exists}
  - name: kernel
    matchAny:
    - matchFeatures:
      - feature: kernel.loadedmodule
        matchName: {op: InRegexp, value: ['^vfio']}
    - matchFeatures:
      - feature: kernel.version
        matchExpressions:
          full: {op: Ge, value: ['6.6'], type: version}
          major: {op: GeLe, value: ['6', '9']}
";
    pusher.blob(rules);
    pusher.blob(b"{}");
    let subject = pusher
        .call("GET", &format!("manifests/{fast}"))
        .login(Some(("zen3", "any")))
        .header("Accept", MANIFEST)
        .send()
        .expect(200);
    let artifact = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": "application/vnd.nfd.image-compatibility.v1alpha1",
        "config": descriptor("application/vnd.oci.empty.v1+json", b"{}"),
        "layers": [descriptor("application/vnd.nfd.image-compatibility.spec.v1alpha1+yaml", rules)],
        "subject": descriptor(MANIFEST, &subject.body),
    });
    let artifact = serde_json::to_vec(&artifact).unwrap();
    pusher
        .manifest(&digest_of(&artifact), MANIFEST, &artifact)
        .expect(201);

    gives(&metahub, "app", "zen4+kernel=6.8", &fast);
    gives(&metahub, "app", "zen4+kernel.loadedmodule=vfio-pci", &fast);
    gives(&metahub, "app", "zen4+kernel=6.1", &slow);
    gives(&metahub, "app", "zen4", &slow);
    let answer = gives(&metahub, "app", "zen3+kernel=6.8", &slow);
    let entries = answer["explanation"]["entries"].to_string();
    assert!(entries.contains("cpu.cpuid AVX512F Exists"), "{entries}");
}
