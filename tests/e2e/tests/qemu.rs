//! Proof by execution: a real program, compiled for many CPU targets, run on emulated processors
//! as the image that MetaHub gives to a machine of that kind. What it gives runs; the better
//! image that it refuses dies of an illegal instruction.
//!
//! The machine is detected under the emulator, too, so that the whole way is proven: processor →
//! login → image. Debian's emulator knows AVX2 and no AVX-512; images that need it are refused
//! there, and run on the machine itself where it has it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use metahub_e2e::fixture::target_folder;
use metahub_e2e::http::{call, image_of};
use metahub_e2e::metahub::MetaHub;
use metahub_e2e::process::Cmd;
use metahub_e2e::pusher::Pusher;
use metahub_e2e::require;
use serde_json::Value;
use tempfile::TempDir;

const NEEDS: &[&str] = &["qemu-x86_64", "gcc", "tar"];
const SOURCE: &str = include_str!("../images/workload.c");
const REPOSITORY: &str = "lab/workload";

/// CPU target and the compiler's name for it, the most general first. The first is the generic
/// image, which requires nothing.
const BUILDS: &[(&str, &str)] = &[
    ("generic", "x86-64"),
    ("x86_64_v2", "x86-64-v2"),
    ("sandybridge", "sandybridge"),
    ("x86_64_v3", "x86-64-v3"),
    ("haswell", "haswell"),
    ("zen", "znver1"),
    ("zen3", "znver3"),
    ("x86_64_v4", "x86-64-v4"),
    ("skylake_avx512", "skylake-avx512"),
];

/// A MetaHub that holds the program of each build in an image, under one tag.
struct Lab {
    /// What was pulled, and whatever a program leaves that dies.
    folder: TempDir,
    metahub: MetaHub,
    /// What the program prints wherever it runs.
    output: String,
}

/// How a program ended.
#[derive(Debug, PartialEq, Eq)]
enum End {
    Ran(String),
    /// SIGILL.
    Illegal,
}

impl Lab {
    #[track_caller]
    fn start() -> Option<Self> {
        if !require::tools(NEEDS) {
            return None;
        }
        let metahub = MetaHub::start(
            "anonymous: write\nallow_any_host: false\nupstreams: []\n",
            &[],
        );
        let pusher = Pusher {
            host: metahub.host(),
            repository: REPOSITORY,
            login: None,
        };
        let mut images: Vec<(Value, Vec<String>)> = Vec::new();
        for (target, _) in BUILDS {
            let image = pusher.image(
                target,
                "amd64",
                &layer_of(program(target).parent().unwrap()),
            );
            let requires = match *target {
                "generic" => Vec::new(),
                target => vec![format!("arch:{target}")],
            };
            images.push((image, requires));
        }
        let features: Vec<Vec<&str>> = images
            .iter()
            .map(|(_, requires)| requires.iter().map(String::as_str).collect())
            .collect();
        let entries: Vec<(&Value, &str, &[&str])> = images
            .iter()
            .zip(&features)
            .map(|((image, _), features)| (image, "amd64", features.as_slice()))
            .collect();
        pusher.index("latest", &entries);
        Some(Self {
            output: Cmd::new(program("generic")).ok().stdout,
            folder: tempfile::tempdir().unwrap(),
            metahub,
        })
    }

    /// How MetaHub explains what `login` gets: target, whether it fits, whether it is given.
    fn verdicts(&self, login: &str) -> Vec<(String, bool, bool)> {
        let path = format!("/api/v1/resolve?image={REPOSITORY}:latest");
        let answer = self
            .metahub
            .call("GET", &path)
            .login(Some((login, "any")))
            .send()
            .expect(200)
            .json();
        let entries = answer["explanation"]["entries"].as_array().unwrap().clone();
        entries
            .iter()
            .map(|entry| {
                let target = match entry["requires"][0].as_str() {
                    None => "generic".to_owned(),
                    Some(feature) => feature.trim_start_matches("arch:").to_owned(),
                };
                let fits = entry["rank"].is_number();
                (target, fits, entry["kept"].as_bool().unwrap())
            })
            .collect()
    }

    /// Pulls the tag under `login` as a client does, and unpacks the program out of its layer.
    fn pull(&self, login: &str) -> PathBuf {
        let get = |path: &str| {
            call(
                self.metahub.host(),
                "GET",
                &format!("/v2/{REPOSITORY}/{path}"),
            )
            .login(Some((login, "any")))
            .header(
                "Accept",
                "application/vnd.oci.image.index.v1+json, \
                     application/vnd.oci.image.manifest.v1+json",
            )
            .send()
            .expect(200)
        };
        let digest = |value: &Value| value["digest"].as_str().unwrap().to_owned();
        let image = image_of(&get("manifests/latest"));
        let manifest = get(&format!("manifests/{image}")).json();
        let layer = get(&format!("blobs/{}", digest(&manifest["layers"][0]))).body;
        let folder = self.folder.path().join("pulled").join(login);
        std::fs::create_dir_all(&folder).unwrap();
        let archive = folder.join("layer.tar");
        std::fs::write(&archive, layer).unwrap();
        Cmd::new("tar")
            .arg("-xf")
            .arg(&archive)
            .arg("-C")
            .arg(&folder)
            .ok();
        folder.join("workload")
    }

    fn run(&self, model: Option<&str>, program: &Path) -> End {
        let mut command = match model {
            Some(model) => {
                let mut command = Command::new("qemu-x86_64");
                command.args(["-cpu", model]).arg(program);
                command
            }
            None => Command::new(program),
        };
        // Whatever it leaves when it dies, it leaves here.
        let output = command.current_dir(self.folder.path()).output().unwrap();
        let signal = std::os::unix::process::ExitStatusExt::signal(&output.status);
        match (output.status.code(), signal) {
            (Some(0), _) => End::Ran(String::from_utf8(output.stdout).unwrap()),
            (_, Some(4)) => End::Illegal,
            _ => panic!(
                "{} on {model:?} ended with {}: {}",
                program.display(),
                output.status,
                String::from_utf8_lossy(&output.stderr)
            ),
        }
    }

    #[track_caller]
    fn runs(&self, model: Option<&str>, program: &Path) {
        let ended = self.run(model, program);
        assert_eq!(
            ended,
            End::Ran(self.output.clone()),
            "{}",
            program.display()
        );
    }
}

/// The program for a target, as it was compiled: once for all tests here.
fn program(target: &str) -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let folder = BUILT.get_or_init(|| {
        let folder = target_folder().join("e2e-shared/workload");
        let _ = std::fs::remove_dir_all(&folder);
        for (target, march) in BUILDS {
            compile(march, &folder.join(target).join("workload"));
        }
        folder
    });
    folder.join(target).join("workload")
}

fn compile(march: &str, program: &Path) {
    std::fs::create_dir_all(program.parent().unwrap()).unwrap();
    let source = program.with_extension("c");
    std::fs::write(&source, SOURCE).unwrap();
    Cmd::new("gcc")
        .args([
            "-O3",
            "-ffast-math",
            "-static",
            "-s",
            &format!("-march={march}"),
        ])
        // Compilers shy away from the widest registers; whoever builds for v4 may ask for them.
        .args(march.contains("v4").then_some("-mprefer-vector-width=512"))
        .args(
            march
                .contains("avx512")
                .then_some("-mprefer-vector-width=512"),
        )
        .arg(&source)
        .arg("-o")
        .arg(program)
        .ok();
    std::fs::remove_file(source).unwrap();
}

fn layer_of(folder: &Path) -> Vec<u8> {
    // Of this call's own: several tests make the same layers at once.
    let archive = tempfile::NamedTempFile::new().unwrap();
    Cmd::new("tar")
        .arg("-cf")
        .arg(archive.path())
        .arg("-C")
        .arg(folder)
        .arg("workload")
        .ok();
    std::fs::read(archive).unwrap()
}

/// The program that says what the machine it runs on is, built from this workspace.
fn detector() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let test = std::env::current_exe().unwrap();
        let profile = test.ancestors().nth(2).unwrap();
        let release = profile.file_name().is_some_and(|name| name == "release");
        Cmd::new(env!("CARGO"))
            .args(["build", "--quiet", "--workspace", "--example", "detect"])
            .args(release.then_some("--release"))
            .arg("--target-dir")
            .arg(target_folder())
            .dir(Path::new(env!("CARGO_MANIFEST_DIR")))
            .limit(std::time::Duration::from_secs(1800))
            .ok();
        profile.join("examples/detect")
    })
}

/// The CPU target that the detector finds on a processor.
fn detected(model: Option<&str>) -> String {
    let command = match model {
        Some(model) => Cmd::new("qemu-x86_64")
            .args(["-cpu", model])
            .arg(detector()),
        None => Cmd::new(detector()),
    };
    let printed = command.ok().stdout;
    let first = printed.lines().next().unwrap_or_default();
    let target = first
        .strip_prefix("arch:")
        .and_then(|rest| rest.split(' ').next());
    target
        .unwrap_or_else(|| panic!("no CPU target in {printed}"))
        .to_owned()
}

/// The emulator's model, the CPU target that it is, the build that it is given, and a better one
/// that is refused and would die.
const MODELS: &[(&str, &str, &str, &str)] = &[
    ("core2duo", "core2", "generic", "x86_64_v2"),
    ("Penryn", "core2", "generic", "x86_64_v2"),
    ("Opteron_G3", "x86_64", "generic", "x86_64_v2"),
    ("Nehalem", "nehalem", "x86_64_v2", "sandybridge"),
    ("Westmere", "westmere", "x86_64_v2", "sandybridge"),
    // An Atom without AVX.
    ("Denverton", "westmere", "x86_64_v2", "sandybridge"),
    // AMD before Zen: AVX and no AVX2.
    ("Opteron_G5", "x86_64_v2", "x86_64_v2", "x86_64_v3"),
    ("SandyBridge", "sandybridge", "sandybridge", "x86_64_v3"),
    ("IvyBridge", "ivybridge", "sandybridge", "haswell"),
    ("Haswell", "haswell", "haswell", "x86_64_v4"),
    ("Broadwell", "broadwell", "haswell", "x86_64_v4"),
    ("Skylake-Client", "skylake", "haswell", "skylake_avx512"),
    // With AVX-512 in reality, and without it in the emulator: what is there counts.
    ("Cascadelake-Server", "skylake", "haswell", "x86_64_v4"),
    // Without flags that no compiler emits, and with all that it does.
    ("EPYC", "zen", "zen", "x86_64_v4"),
    ("EPYC-Rome", "zen2", "zen", "x86_64_v4"),
    // Without some of a Zen 3's that compilers do emit.
    ("EPYC-Milan", "zen2", "zen", "skylake_avx512"),
    ("max", "x86_64_v3", "x86_64_v3", "x86_64_v4"),
];

#[test]
fn what_is_given_runs_and_the_better_image_that_is_refused_dies() {
    let Some(lab) = Lab::start() else { return };
    for (model, target, given, refused) in MODELS {
        let login = detected(Some(model));
        assert_eq!(login, *target, "{model}");
        let verdicts = lab.verdicts(&login);
        assert_eq!(verdicts.len(), BUILDS.len());
        let kept: Vec<&str> = verdicts
            .iter()
            .filter(|(.., kept)| *kept)
            .map(|(target, ..)| target.as_str())
            .collect();
        assert_eq!(kept, [*given], "{model}");

        // The very bytes that a pull gives.
        let pulled = lab.pull(&login);
        let built = std::fs::read(program(given)).unwrap();
        assert_eq!(std::fs::read(&pulled).unwrap(), built, "{model}");
        lab.runs(Some(model), &pulled);

        // Whatever else is said to fit runs as well.
        for (target, ..) in verdicts.iter().filter(|(_, fits, _)| *fits) {
            lab.runs(Some(model), &program(target));
        }
        let fits = |wanted: &str| verdicts.iter().any(|(t, fits, _)| t == wanted && *fits);
        assert!(!fits(refused), "{model}");
        let ended = lab.run(Some(model), &program(refused));
        assert_eq!(ended, End::Illegal, "{refused} on {model}");
    }
}

#[test]
fn an_emulators_model_is_a_login_and_gets_what_runs_on_it() {
    let Some(lab) = Lab::start() else { return };
    for (model, given) in [
        ("Nehalem", "x86_64_v2"),
        ("SandyBridge", "sandybridge"),
        ("Haswell", "haswell"),
        ("EPYC", "zen"),
        ("EPYC-Rome", "zen"),
        ("EPYC-Milan", "zen3"),
    ] {
        let verdicts = lab.verdicts(model);
        let kept = verdicts.iter().find(|(.., kept)| *kept).unwrap();
        assert_eq!(kept.0, given, "{model}");
        lab.runs(Some(model), &lab.pull(model));
    }
}

/// AVX-512 is proven where there is a processor with it: on the machine itself.
#[test]
fn the_machine_itself_runs_what_it_is_given_and_all_that_fits() {
    let Some(lab) = Lab::start() else { return };
    if !require::that(cfg!(target_arch = "x86_64"), "an x86-64 processor") {
        return;
    }
    let login = detected(None);
    lab.runs(None, &lab.pull(&login));
    let verdicts = lab.verdicts(&login);
    for (target, fits, _) in &verdicts {
        if *fits {
            lab.runs(None, &program(target));
        }
    }
    let v4 = verdicts
        .iter()
        .find(|(target, ..)| target == "x86_64_v4")
        .unwrap();
    let flags = std::fs::read_to_string("/proc/cpuinfo").unwrap();
    let has = |flag: &str| flags.split_whitespace().any(|word| word == flag);
    let all = ["avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"];
    assert_eq!(v4.1, all.iter().all(|flag| has(flag)), "{login}");
    if !has("avx512f") {
        assert_eq!(lab.run(None, &program("x86_64_v4")), End::Illegal);
    }
}
