//! A node that tells of itself: tools that print, hang or are missing; an NVML made for the test;
//! metadata services on the loopback.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test"
)]

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use metahub_hardware::Microarchitectures;
use metahub_hardware::detect::{DetectOptions, Root, detect};
use metahub_probe::{Cloud, MetadataService, Probe};

/// Nobody is asked.
fn nobody(folder: &Path) -> Probe {
    Probe {
        path: None,
        nvml: Some(folder.join("no-such-library")),
        clouds: Vec::new(),
        patience: Duration::from_secs(20),
    }
}

fn features(options: &DetectOptions) -> Vec<String> {
    let root = Root::new("/nonexistent");
    let node = detect(&root, &Microarchitectures::builtin(), options);
    node.features().map(ToString::to_string).collect()
}

fn tool(folder: &Path, name: &str, script: &str) {
    let path = folder.join(name);
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_node_where_there_is_nothing_provides_nothing_of_itself() {
    let folder = tempfile::tempdir().unwrap();
    let probe = Probe {
        path: Some(folder.path().into()),
        ..nobody(folder.path())
    };
    assert_eq!(probe.ask(), DetectOptions::default());
}

#[test]
fn tools_are_run_and_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    tool(
        path,
        "nvidia-smi",
        "[ \"$1\" = --query-gpu=driver_version,compute_cap ] && echo 550.54.15, 9.0",
    );
    tool(path, "fi_info", "echo 'libfabric: 1.20.1'");
    tool(path, "mpichversion", "echo 'MPICH Version:    \t4.1.2'");
    // Slurm lists them on standard error.
    tool(
        path,
        "srun",
        "echo 'specific pmix plugin versions available: pmix_v4' >&2",
    );
    tool(path, "ldd", "echo 'ldd (GNU libc) 2.34'");
    let probe = Probe {
        path: Some(path.into()),
        ..nobody(path)
    };
    assert_eq!(
        features(&probe.ask()),
        [
            "gpu:nvidia",
            "driver:550.54.15",
            "cc:9.0",
            "libfabric:1.20.1",
            "mpi:mpich-4.1.2",
            "pmi:pmix",
            "pmix:4",
            "glibc:2.34",
        ]
    );
}

#[test]
fn a_tool_that_hangs_or_fails_is_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    tool(path, "nvidia-smi", "exec tail -f /dev/null");
    tool(path, "fi_info", "exit 3");
    fs::create_dir(path.join("srun")).unwrap();
    fs::write(path.join("mpichversion"), "not a program").unwrap();
    let probe = Probe {
        path: Some(path.into()),
        patience: Duration::from_millis(300),
        ..nobody(path)
    };
    let found = probe.ask();
    assert_eq!(found.tools.nvidia_smi, None);
    assert_eq!(features(&found), [""; 0]);
}

#[test]
fn every_tool_is_told_that_a_probe_runs_it_and_one_that_asks_again_runs_none() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    // As a Slurm cli_filter would: what asks for a login is run with what the tool was given.
    for name in [
        "nvidia-smi",
        "fi_info",
        "mpichversion",
        "ompi_info",
        "srun",
        "ldd",
    ] {
        let file = path.join(format!("{name}.env"));
        tool(
            path,
            name,
            &format!("echo \"$METAHUB_PROBING\" >> {}", file.display()),
        );
    }
    let probe = Probe {
        path: Some(path.into()),
        ..nobody(path)
    };
    let _ = probe.ask();
    let mut told = 0;
    for name in [
        "nvidia-smi",
        "fi_info",
        "mpichversion",
        "ompi_info",
        "srun",
        "ldd",
    ] {
        // srun is left out where Slurm runs this test.
        if let Ok(text) = fs::read_to_string(path.join(format!("{name}.env"))) {
            assert_eq!(text, "1\n", "{name}");
            told += 1;
        }
    }
    assert!(told >= 5, "{told}");
}

#[test]
fn what_a_tool_starts_ends_with_its_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let held = path.join("held");
    let made = Command::new("mkfifo").arg(&held).status();
    assert!(made.is_ok_and(|status| status.success()));
    // What the tool starts holds the pipe open for as long as it lives.
    let script = format!("tail -f /dev/null > {} & wait", held.display());
    tool(path, "nvidia-smi", &script);
    let reader = thread::spawn(move || fs::read(held).unwrap());
    let probe = Probe {
        path: Some(path.into()),
        patience: Duration::from_secs(2),
        ..nobody(path)
    };
    assert_eq!(probe.ask().tools.nvidia_smi, None);
    assert_eq!(reader.join().unwrap(), b"");
}

/// Enough of NVML for what is asked: two GPUs.
const NVML: &str = r#"
#include <string.h>
int nvmlInit_v2(void) { return 0; }
int nvmlInitWithFlags(unsigned f) { return 0; }
int nvmlShutdown(void) { return 0; }
int nvmlSystemGetDriverVersion(char *t, unsigned n) { strncpy(t, "550.54.15", n); return 0; }
int nvmlSystemGetCudaDriverVersion_v2(int *v) { *v = 12040; return 0; }
int nvmlSystemGetCudaDriverVersion(int *v) { *v = 12040; return 0; }
int nvmlDeviceGetCount_v2(unsigned *n) { *n = 3; return 0; }
static int devices[3];
int nvmlDeviceGetHandleByIndex_v2(unsigned i, void **d) {
    if (i == 1) return 15; /* lost */
    *d = &devices[i]; return 0;
}
int nvmlDeviceGetCudaComputeCapability(void *d, int *a, int *b) {
    *a = d == &devices[0] ? 9 : 8; *b = 0; return 0;
}
int nvmlDeviceGetBrand(void *d, unsigned *b) { *b = 2; return 0; }
"#;

#[test]
fn nvml_is_loaded_where_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let (source, library) = (
        folder.path().join("nvml.c"),
        folder.path().join("libnvidia-ml.so.1"),
    );
    fs::write(&source, NVML).unwrap();
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-w", "-o"])
        .args([&library, &source])
        .status();
    if !built.is_ok_and(|status| status.success()) {
        let required = std::env::var("METAHUB_REQUIRE_ALL").is_ok_and(|value| value == "1");
        assert!(
            !required,
            "METAHUB_REQUIRE_ALL=1, but there is no C compiler"
        );
        eprintln!("SKIPPED: no C compiler: NVML was not tried");
        return;
    }
    let probe = Probe {
        nvml: Some(library),
        ..nobody(folder.path())
    };
    assert_eq!(
        features(&probe.ask()),
        [
            "gpu:nvidia",
            "driver:550.54.15",
            "cuda:12.4",
            "cc:9.0",
            "cc:8.0",
            "brand:tesla",
        ]
    );
}

/// Answers requests as `answer` says, given the first line and the headers; 404 for none.
fn service(answer: impl Fn(&str, &str) -> Option<String> + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut lines = Vec::new();
            for line in BufReader::new(stream.try_clone().unwrap()).lines() {
                match line {
                    Ok(line) if !line.is_empty() => lines.push(line),
                    _ => break,
                }
            }
            let headers = lines.join("\n").to_ascii_lowercase();
            let first = lines.first().cloned().unwrap_or_default();
            let (status, body) = match answer(&first, &headers) {
                Some(body) => ("200 OK", body),
                None => ("404 Not Found", String::new()),
            };
            let length = body.len();
            let _ = write!(
                stream,
                "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
            );
        }
    });
    address
}

fn instance(cloud: Cloud, address: String) -> Vec<String> {
    let probe = Probe {
        clouds: vec![MetadataService { cloud, address }],
        ..nobody(Path::new("/nonexistent"))
    };
    features(&probe.ask())
}

#[test]
fn a_cloud_that_is_asked_tells_the_instance_type() {
    let amazon = service(|line, headers| match line {
        "PUT /latest/api/token HTTP/1.1" => headers
            .contains("x-aws-ec2-metadata-token-ttl-seconds: 60")
            .then(|| "t0ken".to_owned()),
        "GET /latest/meta-data/instance-type HTTP/1.1" => headers
            .contains("x-aws-ec2-metadata-token: t0ken")
            .then(|| "p5.48xlarge".to_owned()),
        _ => None,
    });
    assert_eq!(instance(Cloud::Amazon, amazon), ["instance:p5.48xlarge"]);
    let google = service(|line, headers| {
        (line == "GET /computeMetadata/v1/instance/machine-type HTTP/1.1"
            && headers.contains("metadata-flavor: google"))
        .then(|| "projects/123/machineTypes/c3-standard-88".to_owned())
    });
    assert_eq!(instance(Cloud::Google, google), ["instance:c3-standard-88"]);
    let azure = service(|line, headers| {
        (line.starts_with("GET /metadata/instance/compute/vmSize?api-version=")
            && headers.contains("metadata: true"))
        .then(|| "Standard_HB176rs_v4".to_owned())
    });
    assert_eq!(
        instance(Cloud::Azure, azure),
        ["instance:Standard_HB176rs_v4"]
    );
}

#[test]
fn what_is_no_cloud_tells_nothing() {
    let page = service(|_, _| Some("<html>Log in to the hotel's network</html>".to_owned()));
    assert_eq!(instance(Cloud::Google, page), [""; 0]);
    let refused = service(|_, _| None);
    assert_eq!(instance(Cloud::Amazon, refused), [""; 0]);
    // Nobody listens there.
    assert_eq!(
        instance(Cloud::Azure, "http://127.0.0.1:1".to_owned()),
        [""; 0]
    );
}
