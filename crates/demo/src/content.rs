//! The demo images: those of the project's slides.

use bytes::Bytes;
use metahub_oci::{Digest, Document};

use crate::image::{Built, DemoImage, Recipe, index};
use crate::{DemoError, Entry, Layer, Machine, executable};

/// One build per target behind one tag; each prints what it was optimized for.
pub const FEATURETEST: &str = "qnib/featuretest:latest";
/// The collection of the demo catalog that picks among separate repositories.
pub const GROMACS: &str = "gromacs:2021.5";
/// Layers that bring an `aws` command.
pub const AWSCLI: &str = "qnib/layer-awscli:latest";

/// `(machine, requirement)` of the featuretest index, in order. Generic entries come first,
/// because clients that know nothing of features take the first entry of their architecture.
/// The slides spell cascadeLake so.
const FEATURETEST_BUILDS: [(Machine, Option<&str>); 7] = [
    (Machine::X86_64, None),
    (Machine::Aarch64, None),
    (Machine::X86_64, Some("arch:x86_64_v2")),
    (Machine::X86_64, Some("arch:x86_64_v4")),
    (Machine::X86_64, Some("arch:cascadeLake")),
    (Machine::X86_64, Some("arch:zen3")),
    (Machine::Aarch64, Some("arch:neoverse_v1")),
];

/// `(compiler, target, machine)` of the GROMACS images; the target is the tag.
const GROMACS_BUILDS: [(&str, &str, Machine); 4] = [
    ("7.3.1", "x86_64_v2", Machine::X86_64),
    ("7.3.1", "x86_64_v4", Machine::X86_64),
    ("11.3.0", "zen3", Machine::X86_64),
    ("11.3.0", "neoverse_v1", Machine::Aarch64),
];

const AWS_VERSION: &str = "2.0.0";

/// All demo images, in the order in which they can be put into a registry.
///
/// # Errors
/// [`DemoError`] if the tables of this crate are wrong; its tests see to it that they are not.
pub fn images() -> Result<Vec<DemoImage>, DemoError> {
    let base = base()?;
    let mut images = vec![featuretest(&base)?];
    for (compiler, target, machine) in GROMACS_BUILDS {
        images.push(gromacs(&base, compiler, target, machine)?);
    }
    images.push(awscli()?);
    Ok(images)
}

/// The layer that every runnable demo image starts with, whatever its machine: no programs.
fn base() -> Result<Layer, DemoError> {
    Layer::pack(
        "metahub demo: base",
        &[
            Entry::folder("etc"),
            Entry::text("etc/group", "root:x:0:\nnogroup:x:65534:\n"),
            Entry::text(
                "etc/os-release",
                "ID=metahub-demo\nNAME=\"MetaHub demo\"\nPRETTY_NAME=\"MetaHub demo image\"\n",
            ),
            Entry::text(
                "etc/passwd",
                "root:x:0:0:root:/root:/sbin/nologin\n\
                 nobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin\n",
            ),
            Entry::Folder {
                path: "root",
                mode: 0o700,
            },
            Entry::Folder {
                path: "tmp",
                mode: 0o1777,
            },
        ],
    )
}

/// A layer with one program under `/usr/local/bin`.
fn program(
    created_by: &str,
    path: &'static str,
    machine: Machine,
    text: &str,
) -> Result<Layer, DemoError> {
    Layer::pack(
        created_by,
        &[
            Entry::folder("usr"),
            Entry::folder("usr/local"),
            Entry::folder("usr/local/bin"),
            Entry::program(path, executable(machine, text)?),
        ],
    )
}

fn featuretest(base: &Layer) -> Result<DemoImage, DemoError> {
    let mut builds = Vec::new();
    for (machine, requirement) in FEATURETEST_BUILDS {
        let target = match requirement {
            Some(feature) => feature.to_owned(),
            None => format!("generic (any {})", machine.architecture()),
        };
        let layer = program(
            &format!("metahub demo: featuretest for {target}"),
            "usr/local/bin/featuretest",
            machine,
            &format!(">> This container is optimized for: {target}\n"),
        )?;
        let built = Recipe {
            machine,
            title: "featuretest",
            description: "Says which target it was optimized for (MetaHub demo)",
            version: "1.0.0",
            target: requirement,
            command: &["featuretest"],
            layers: &[base.clone(), layer],
        }
        .build()?;
        builds.push((machine, requirement, built));
    }
    multi(FEATURETEST, "featuretest", builds)
}

fn gromacs(
    base: &Layer,
    compiler: &str,
    target: &str,
    machine: Machine,
) -> Result<DemoImage, DemoError> {
    let feature = format!("arch:{target}");
    let layer = program(
        &format!("metahub demo: gmx for {feature}, gcc {compiler}"),
        "usr/local/bin/gmx",
        machine,
        &format!("gmx (demo) 2021.5, built for {feature} with gcc {compiler}\n"),
    )?;
    let built = Recipe {
        machine,
        title: "gromacs",
        description: "Stands for GROMACS: says what it was built for (MetaHub demo)",
        version: "2021.5",
        target: Some(&feature),
        command: &["gmx"],
        layers: &[base.clone(), layer],
    }
    .build()?;
    Ok(DemoImage {
        repository: format!("qnib/gromacs-2021.5_gcc-{compiler}").parse()?,
        tag: target.parse()?,
        documents: vec![built.manifest],
        blobs: built.blobs,
    })
}

/// Three layers, as on the slide: the program for each machine, and two that all share.
fn awscli() -> Result<DemoImage, DemoError> {
    let share = Layer::pack(
        "metahub demo: aws data",
        &[
            Entry::folder("usr"),
            Entry::folder("usr/share"),
            Entry::folder("usr/share/aws"),
            Entry::text("usr/share/aws/config", "[default]\noutput = json\n"),
        ],
    )?;
    let completion = Layer::pack(
        "metahub demo: aws completion",
        &[
            Entry::folder("usr"),
            Entry::folder("usr/share"),
            Entry::folder("usr/share/bash-completion"),
            Entry::folder("usr/share/bash-completion/completions"),
            Entry::text(
                "usr/share/bash-completion/completions/aws",
                "complete -W '--version' aws\n",
            ),
        ],
    )?;
    let mut builds = Vec::new();
    for machine in [Machine::X86_64, Machine::Aarch64] {
        let layer = program(
            "metahub demo: aws",
            "usr/local/bin/aws",
            machine,
            &format!(
                "aws-cli/{AWS_VERSION} MetaHub-demo Linux/{}\n",
                machine.uname()
            ),
        )?;
        let built = Recipe {
            machine,
            title: "layer-awscli",
            description: "Layers that bring an aws command (MetaHub demo)",
            version: AWS_VERSION,
            target: None,
            command: &["aws", "--version"],
            layers: &[layer, share.clone(), completion.clone()],
        }
        .build()?;
        builds.push((machine, None, built));
    }
    multi(AWSCLI, "layer-awscli", builds)
}

/// An image of several builds behind one index. `reference` is `REPOSITORY:TAG`.
fn multi(
    reference: &str,
    title: &str,
    builds: Vec<(Machine, Option<&str>, Built)>,
) -> Result<DemoImage, DemoError> {
    let entries: Vec<_> = builds
        .iter()
        .map(|(machine, feature, built)| (*machine, *feature, &built.manifest))
        .collect();
    let index = index(title, &entries)?;
    let mut documents: Vec<Document> = Vec::new();
    let mut blobs: Vec<(Digest, Bytes)> = Vec::new();
    for (_, _, built) in builds {
        documents.push(built.manifest);
        for blob in built.blobs {
            if !blobs.iter().any(|(digest, _)| *digest == blob.0) {
                blobs.push(blob);
            }
        }
    }
    documents.push(index);
    let (repository, tag) = reference.rsplit_once(':').unwrap_or((reference, "latest"));
    Ok(DemoImage {
        repository: repository.parse()?,
        tag: tag.parse()?,
        documents,
        blobs,
    })
}
