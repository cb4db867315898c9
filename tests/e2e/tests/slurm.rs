//! Slurm with nodes of unlike hardware: `metahub-node setup slurm` on a cluster that works, and jobs
//! over unlike nodes that run each node's own image.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use metahub_e2e::metahub::MetaHub;
use metahub_e2e::process::Cmd;
use metahub_e2e::registry::Registry;
use metahub_e2e::site::Site;
use metahub_e2e::slurm::{self, Cluster};
use metahub_e2e::world::{CATALOG, config};
use metahub_e2e::{charliecloud, fixture, require};

const NODES: &[(&str, &[&str])] = &[
    ("zen", &["arch:zen3"]),
    ("clx", &["arch:cascadelake"]),
    ("hsw", &["arch:haswell"]),
];
/// For every node.
const IMAGE: &str = "qnib/featuretest:latest";
/// For zen and clx alone.
const PICKY: &str = "gromacs:2021.5";
/// Far less than what a registry that hangs takes: it never answers.
const LIMIT: Duration = Duration::from_secs(60);

/// A MetaHub over TLS and a cluster that uses it.
struct Lab {
    metahub: MetaHub,
    cluster: Cluster,
    site: Site,
    _upstream: Registry,
}

impl Lab {
    fn start() -> Option<Self> {
        let needs = [fixture::NEEDS, charliecloud::NEEDS, slurm::NEEDS].concat();
        if !require::root_and(&needs) {
            return None;
        }
        let upstream = Registry::read_only(&fixture::content());
        let site = Site::new();
        let config = format!("{}\n{}", config(upstream.host(), "read"), site.tls_key());
        let metahub = MetaHub::start(&config, CATALOG);
        let policy = format!(
            "registries: [\"{}\"]\nca_file: {}\ntimeout: 600s\n",
            metahub.host(),
            site.path("trusted/ca.crt").display()
        );
        let cluster = Cluster::start(NODES, &policy);
        Some(Self {
            metahub,
            cluster,
            site,
            _upstream: upstream,
        })
    }

    /// As `docs/schedulers.md` says.
    fn set_up(&self) {
        let said = self.setup(&[]).ok();
        said.says("add to slurm.conf: Include /etc/slurm/metahub.conf");
        let mut conf = self.cluster.read("slurm/slurm.conf");
        for (name, _) in NODES {
            let features = self.cluster.features_of(name);
            let line = format!("NodeName={name} ");
            conf = conf.replace(&line, &format!("{line}{features} "));
        }
        conf.push_str("Include /etc/slurm/metahub.conf\n");
        self.cluster.write("slurm/slurm.conf", &conf);
        self.cluster.command(&["scontrol", "reconfigure"]).ok();
        let said = self.setup(&[]).ok();
        said.does_not_say("add to slurm.conf").does_not_say("wrote");
    }

    fn setup(&self, more: &[&str]) -> Cmd {
        let host = self.metahub.host();
        let setup = ["metahub-node", "setup", "slurm", "--registry", host];
        self.cluster.command(&[&setup, more].concat())
    }

    /// What there is in `/etc/slurm`.
    fn files(&self) -> Vec<std::ffi::OsString> {
        let files = std::fs::read_dir(self.cluster.path("slurm")).unwrap();
        let mut files: Vec<_> = files.map(|file| file.unwrap().file_name()).collect();
        files.sort();
        files
    }

    fn job(&self, words: &[&str]) -> Cmd {
        self.cluster.command(words).limit(LIMIT)
    }

    /// The references by digest that nodes resolve `image` to, in the order of `nodes`.
    fn resolved(&self, image: &str, nodes: &[&str]) -> Vec<String> {
        let of = |node: &&str| {
            let policy = self.cluster.path(&format!("nodes/{node}/node.yaml"));
            let resolve = self.cluster.command(&["metahub-node", "resolve", image]);
            let resolved = resolve.env("METAHUB_NODE_CONFIG", policy).ok();
            resolved.stdout.trim().to_owned()
        };
        nodes.iter().map(of).collect()
    }
}

#[test]
fn jobs_over_unlike_nodes_get_what_runs_there() {
    let Some(lab) = Lab::start() else {
        return;
    };
    lab.set_up();
    one_job_over_unlike_nodes_runs_each_nodes_own_image(&lab);
    jobs_go_where_their_image_runs(&lab);
}

#[test]
fn setup_keeps_no_job_and_is_taken_back() {
    let Some(lab) = Lab::start() else {
        return;
    };
    let before = lab.files();
    let shown = lab.setup(&["--print"]).ok();
    shown
        .says("# /etc/slurm/cli_filter.lua")
        .says("TaskProlog=/etc/slurm/metahub-task-prolog");
    assert_eq!(lab.files(), before);
    lab.set_up();
    assert_eq!(lab.files().len(), before.len() + 5);
    nothing_that_goes_wrong_keeps_a_job(&lab);
    setup_is_taken_back(&lab, &before);
}

fn one_job_over_unlike_nodes_runs_each_nodes_own_image(lab: &Lab) {
    let image = lab.metahub.image(IMAGE);
    let expected = lab.resolved(&image, &["zen", "clx"]);
    assert_ne!(expected[0], expected[1]);

    // Charliecloud, which knows no helper, by metahub-node exec.
    let storage = lab.cluster.path("storage").display().to_string();
    std::fs::create_dir(&storage).unwrap();
    let pull = format!(
        "exec metahub-node exec -- ch-image --no-cache --storage {storage}/$SLURMD_NODENAME pull {image}"
    );
    let two = ["srun", "--nodes=2", "--nodelist=zen,clx", "sh", "-c"];
    let job = lab.job(&[&two[..], &[&pull]].concat());
    job.env("REQUESTS_CA_BUNDLE", lab.site.path("trusted/ca.crt"))
        .ok();
    for (node, reference) in ["zen", "clx"].iter().zip(&expected) {
        let digest = reference.rsplit(':').next().unwrap();
        let list = [
            "ch-image",
            "--no-cache",
            "--storage",
            &format!("{storage}/{node}"),
            "list",
        ];
        lab.cluster.command(&list).ok().says(digest);
    }

    // pyxis's importer, which it runs as the job's user on each node.
    let runtime = lab.cluster.path("pyxis").display().to_string();
    let uri = format!("docker://{}", image.replacen('/', "#", 1));
    let importer = |what: &str| {
        let step = format!(
            "export PYXIS_RUNTIME_PATH={runtime}/$SLURMD_NODENAME; \
             /etc/slurm/metahub-importer {what}"
        );
        let job = lab.job(&[&two[..], &[&step]].concat());
        let job = job.env("SLURM_JOB_NAME", "pyxis");
        job.env("REQUESTS_CA_BUNDLE", lab.site.path("trusted/ca.crt"))
            .ok()
    };
    let got = importer(&format!("get {uri} >{runtime}-$SLURMD_NODENAME"));
    got.does_not_say("gave no answer");
    let squashfs = |node: &str| {
        let printed = lab.cluster.read(&format!("pyxis-{node}"));
        printed.lines().next().unwrap().to_owned()
    };
    for (node, target) in [("zen", "zen3"), ("clx", "cascadelake")] {
        let cat = format!(
            "unsquashfs -cat {} usr/bin/featuretest | grep --text --only-matching \
             'optimized for: arch:[A-Za-z0-9]*'",
            squashfs(node)
        );
        let built = lab.cluster.command(&["sh", "-c", &cat]).ok();
        assert_eq!(
            built.stdout.trim().to_ascii_lowercase(),
            format!("optimized for: arch:{target}")
        );
    }

    // For every other client, the reference by digest in each task's environment.
    let tell = "echo \"$SLURMD_NODENAME $METAHUB_REFERENCE\"";
    let job = lab.job(&[&two[..], &[tell]].concat());
    let told = job.env("METAHUB_IMAGE", &image).ok();
    told.says(&format!("zen {}\n", expected[0]));
    told.says(&format!("clx {}\n", expected[1]));
    // A job that names no image is left alone.
    let told = lab.job(&[&two[..], &[tell]].concat()).ok();
    told.says("zen \n").says("clx \n").does_not_say("metahub:");
}

fn jobs_go_where_their_image_runs(lab: &Lab) {
    let picky = lab.metahub.image(PICKY);
    let expected = lab.resolved(&picky, &["zen", "clx"]);
    let resolve = ["metahub-node", "resolve", picky.as_str()];

    let one = lab
        .job(&[&["srun", "--nodes=2"][..], &resolve].concat())
        .ok();
    one.says("metahub: constraint ")
        .says(&expected[0])
        .says(&expected[1]);
    // Only what not all nodes can run is bound to some.
    let image = lab.metahub.image(IMAGE);
    let all = lab
        .job(&["srun", "--nodes=3", "metahub-node", "resolve", &image])
        .ok();
    all.does_not_say("constraint");
    // Nodes and constraints that the user names stay as they are.
    let own = lab.job(&[&["srun", "--nodelist=hsw"][..], &resolve].concat());
    let own = own.fails();
    own.says("nothing fits").does_not_say("metahub: constraint");
    let own = lab
        .job(&[&["srun", "--constraint=zen3"][..], &resolve].concat())
        .ok();
    own.says(&expected[0]).does_not_say("metahub: constraint");
    let own = ["srun", "--constraint=haswell&cascadelake"];
    let own = lab.job(&[&own[..], &resolve].concat()).ok();
    own.says(&expected[1]);

    // Arrays, whose script names the image by a variable.
    let output = lab.cluster.path("out").display().to_string();
    let array = [
        "sbatch",
        "--wait",
        "--array=1-3",
        "--output",
        &format!("{output}.%a"),
        "--wrap",
        "metahub-node resolve $METAHUB_IMAGE; scontrol show job $SLURM_JOB_ID",
    ];
    let job = lab.job(&array).env("METAHUB_IMAGE", &picky).ok();
    job.says("metahub: constraint ");
    for number in 1..=3 {
        let told = lab.cluster.read(&format!("out.{number}"));
        assert!(expected.iter().any(|one| told.contains(one)), "{told}");
        assert!(
            told.contains("Features=zen3|cascadelake")
                || told.contains("Features=cascadelake|zen3"),
            "{told}"
        );
    }
    // A job without the environment of who submits it gets nothing of this either.
    let none = [
        "sbatch",
        "--wait",
        "--export=NONE",
        "--output",
        &format!("{output}.none"),
        "--wrap",
        "env",
    ];
    lab.job(&none).env("METAHUB_IMAGE", &picky).ok();
    assert!(!lab.cluster.read("out.none").contains("METAHUB_IMAGE"));
    // Allocations.
    let salloc = [
        "salloc",
        "--nodes=1",
        "srun",
        "sh",
        "-c",
        "echo $METAHUB_REFERENCE",
    ];
    let told = lab.job(&salloc).env("METAHUB_IMAGE", &picky).ok();
    assert!(
        expected.iter().any(|one| told.stdout.contains(one)),
        "{told}"
    );
}

fn nothing_that_goes_wrong_keeps_a_job(lab: &Lab) {
    let list = lab.job(&["srun", "--mpi=list"]).ok().all();

    // A registry that takes connections and never answers. The policy would wait ten minutes.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let host = silent.local_addr().unwrap().to_string();
    lab.cluster
        .command(&["metahub-node", "setup", "slurm", "--registry", &host])
        .ok();
    for (name, _) in NODES {
        let file = format!("nodes/{name}/node.yaml");
        let policy = lab
            .cluster
            .read(&file)
            .replace("registries: [", &format!("registries: [\"{host}\", "));
        lab.cluster.write(&file, &policy);
    }
    let image = format!("{host}/lab/app:1");
    let job = lab
        .job(&["srun", "echo", "ran"])
        .env("METAHUB_IMAGE", &image)
        .ok();
    job.says("gave no answer within 2 s: the job goes on unchanged")
        .says("ran\n");
    job.says("metahub: no image for");
    drop(silent);
    // One that is not there.
    let job = lab
        .job(&["srun", "echo", "ran"])
        .env("METAHUB_IMAGE", &image)
        .ok();
    job.says("no constraint was set").says("ran\n");

    // `srun --mpi=list` comes by the filter, too, and asks nobody.
    let asked = lab
        .job(&["srun", "--mpi=list"])
        .env("METAHUB_IMAGE", &image)
        .ok();
    assert_eq!(asked.all(), list);
    // A resolver that itself runs a command of Slurm is not run again by that.
    let count = lab.cluster.path("count").display().to_string();
    let fake = lab.cluster.path("resolver");
    let text = format!("#!/bin/sh\necho run >> {count}\nsrun --mpi=list >/dev/null\nsrun true\n");
    std::fs::write(&fake, text).unwrap();
    std::fs::set_permissions(&fake, std::fs::Permissions::from_mode(0o755)).unwrap();
    let lua = lab.cluster.read("slurm/metahub.lua");
    let (before, rest) = lua.split_once("local program = '").unwrap();
    let (_, after) = rest.split_once('\'').unwrap();
    let faked = format!("{before}local program = '{}'{after}", fake.display());
    lab.cluster.write("slurm/metahub.lua", &faked);
    let job = lab
        .job(&["srun", "echo", "ran"])
        .env("METAHUB_IMAGE", &image)
        .ok();
    job.says("ran\n");
    assert_eq!(lab.cluster.read("count"), "run\n");
    // A filter with a fault.
    lab.cluster.write(
        "slurm/metahub.lua",
        &lua.replace(
            "local function filter(options)",
            "local function filter(options)\n  local broken = options.nothing.at.all",
        ),
    );
    let job = lab
        .job(&["srun", "echo", "ran"])
        .env("METAHUB_IMAGE", &image)
        .ok();
    job.says("the job goes on unchanged").says("ran\n");
    lab.cluster
        .command(&[
            "metahub-node",
            "setup",
            "slurm",
            "--registry",
            &host,
            "--undo",
        ])
        .ok();
    assert!(!lab.cluster.read("slurm/metahub.lua").contains(&host));
}

fn setup_is_taken_back(lab: &Lab, before: &[std::ffi::OsString]) {
    // Slurm would not start any more.
    lab.setup(&["--undo"]).fails().says("take that line out");
    let conf = lab.cluster.read("slurm/slurm.conf");
    let without = conf.replace("Include /etc/slurm/metahub.conf\n", "");
    lab.cluster.write("slurm/slurm.conf", &without);
    lab.cluster.command(&["scontrol", "reconfigure"]).ok();
    lab.setup(&["--undo"]).ok();
    assert_eq!(lab.files(), before);
    lab.job(&["srun", "echo", "ran"]).ok().says("ran\n");

    // Where the site has a filter of its own, it is left alone, and said how to call this one.
    lab.cluster.write("slurm/cli_filter.lua", "-- ours\n");
    lab.setup(&[])
        .ok()
        .says("is the site's own")
        .says("dofile('/etc/slurm/metahub.lua')");
    assert_eq!(lab.cluster.read("slurm/cli_filter.lua"), "-- ours\n");
    lab.setup(&["--undo"]).ok();
    assert_eq!(lab.cluster.read("slurm/cli_filter.lua"), "-- ours\n");
}
