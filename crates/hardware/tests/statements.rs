//! Random images that state what they require in every place, against random logins, judged
//! a second time by a naive model that is written here: tables by hand, loops, and nothing of
//! the code under test. Any difference is a failure.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests may assert by panicking"
)]

use std::collections::BTreeMap;

use metahub_hardware::{Feature, Mismatch, Provided, Statements, fit};
use serde_json::json;

const CASES: usize = 40_000;

/// Numbers of a version.
type V = (u32, u32, u32);

/// CPU target, the targets whose programs it runs, and its flags by Node Feature Discovery's
/// names, of those that are asked for.
const CPUS: &[(&str, &[&str], &[&str])] = &[
    ("x86_64", &["x86_64"], &[]),
    (
        "x86_64_v3",
        &["x86_64_v3", "x86_64_v2", "x86_64"],
        &["AVX2"],
    ),
    (
        "haswell",
        &["haswell", "nehalem", "x86_64_v3", "x86_64_v2", "x86_64"],
        &["AVX2"],
    ),
    (
        "zen3",
        &["zen3", "zen2", "zen", "x86_64_v3", "x86_64_v2", "x86_64"],
        &["AVX2"],
    ),
    (
        "zen4",
        &[
            "zen4",
            "zen3",
            "zen2",
            "zen",
            "x86_64_v4",
            "x86_64_v3",
            "x86_64_v2",
            "x86_64",
        ],
        &["AVX2", "AVX512F"],
    ),
    (
        "icelake",
        &[
            "icelake",
            "cascadelake",
            "skylake_avx512",
            "haswell",
            "nehalem",
            "x86_64_v4",
            "x86_64_v3",
            "x86_64_v2",
            "x86_64",
        ],
        &["AVX2", "AVX512F"],
    ),
    ("neoverse_n1", &["neoverse_n1", "armv8.2a", "aarch64"], &[]),
    (
        "neoverse_v1",
        &[
            "neoverse_v1",
            "neoverse_n1",
            "armv8.4a",
            "armv8.2a",
            "aarch64",
        ],
        &["SVE"],
    ),
    (
        "neoverse_v2",
        &[
            "neoverse_v2",
            "neoverse_n1",
            "armv8.4a",
            "armv8.2a",
            "aarch64",
        ],
        &["SVE"],
    ),
];

/// Driver: as written, its numbers, the CUDA that it runs at most, and the one it came with.
const DRIVERS: &[(&str, V, V, V)] = &[
    ("418.87", (418, 87, 0), (10, 1, 0), (10, 1, 0)),
    ("450.51.06", (450, 51, 6), (11, 0, 0), (11, 0, 0)),
    ("450.80.02", (450, 80, 2), (11, 999, 0), (11, 0, 0)),
    ("470.57.02", (470, 57, 2), (11, 999, 0), (11, 4, 0)),
    ("525.60.13", (525, 60, 13), (12, 999, 0), (12, 0, 0)),
    ("535.161.08", (535, 161, 8), (12, 999, 0), (12, 2, 0)),
    ("550.54", (550, 54, 0), (12, 999, 0), (12, 4, 0)),
    ("580.65.06", (580, 65, 6), (13, 999, 0), (13, 0, 0)),
];

const CUDAS: &[V] = &[
    (10, 1, 0),
    (11, 0, 0),
    (11, 8, 0),
    (12, 1, 0),
    (12, 4, 0),
    (13, 0, 0),
];
const GPUS: &[(u32, u32)] = &[(7, 0), (8, 0), (8, 6), (9, 0), (10, 0)];
const GFX: &[&str] = &["gfx90a", "gfx942", "gfx1030"];
/// MPI, and its interface.
const MPIS: &[(&str, u8)] = &[
    ("mpich", 1),
    ("cray-mpich", 1),
    ("intelmpi", 1),
    ("openmpi", 2),
];
const BRANDS: &[&str] = &["tesla", "geforce"];
const KERNELS: &[(u32, u32)] = &[(4, 18), (5, 14), (6, 8)];
const OPERATORS: &[&str] = &["=", "!=", "<", "<=", ">", ">="];

#[derive(Debug, Default)]
struct Login {
    cpu: Option<usize>,
    drivers: Vec<usize>,
    cudas: Vec<V>,
    gpus: Vec<(u32, u32)>,
    gfx: Vec<&'static str>,
    vendors: Vec<&'static str>,
    brands: Vec<&'static str>,
    mpis: Vec<usize>,
    kernel: Option<(u32, u32)>,
    modules: Vec<&'static str>,
    sites: Vec<&'static str>,
}

/// What is known of a requirement, worst last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    Fits,
    Unstated,
    Unknown,
    Proven,
}

#[derive(Debug, Clone)]
enum Need {
    Cpu(&'static str),
    Cuda(V),
    Driver(V),
    /// Major, minor, and whether there is PTX.
    Code(Vec<(u32, u32, bool)>),
    Gfx(&'static str),
    Vendor(&'static str),
    Mpi(usize),
    /// Alternatives of factors: property, operator, value.
    Nvidia(Vec<Vec<(&'static str, &'static str, String)>>),
    /// Sets of rules of terms.
    Nfd(Vec<Vec<Term>>),
    Kernel((u32, u32)),
    Site(&'static str),
    /// A text that nobody understands, under a feature's key.
    Nonsense(&'static str, &'static str),
}

#[derive(Debug, Clone)]
enum Term {
    Flag(&'static str, bool),
    KernelMajor(bool, u32),
    Module(&'static str),
}

struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).unwrap() % bound
    }

    fn of<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())]
    }

    fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    fn some<T: Copy>(&mut self, items: &[T], most: usize) -> Vec<T> {
        (0..self.below(most + 1)).map(|_| self.of(items)).collect()
    }
}

fn text((a, b, c): V) -> String {
    if c == 0 {
        format!("{a}.{b}")
    } else {
        format!("{a}.{b}.{c}")
    }
}

impl Login {
    fn random(random: &mut Random) -> Self {
        let mut login = Self::default();
        if !random.once_in(6) {
            login.cpu = Some(random.below(CPUS.len()));
        }
        let numbers: Vec<usize> = (0..DRIVERS.len()).collect();
        let mpis: Vec<usize> = (0..MPIS.len()).collect();
        if random.once_in(2) {
            login.drivers = random.some(&numbers, 1);
            login.cudas = if random.once_in(2) {
                random.some(CUDAS, 1)
            } else {
                Vec::new()
            };
            login.gpus = random.some(GPUS, 2);
            login.brands = if random.once_in(3) {
                random.some(BRANDS, 1)
            } else {
                Vec::new()
            };
        }
        if random.once_in(4) {
            login.gfx = random.some(GFX, 2);
        }
        if random.once_in(4) {
            login.vendors = random.some(&["nvidia", "amd", "intel"], 2);
        }
        login.mpis = random.some(&mpis, 1);
        login.kernel = random.once_in(2).then(|| random.of(KERNELS));
        login.modules = random.some(&["kvm", "vfio"], 1);
        login.sites = random.some(&["blue", "green"], 1);
        login
    }

    fn features(&self) -> Vec<Feature> {
        let mut all: Vec<String> = Vec::new();
        all.extend(self.cpu.map(|at| format!("arch:{}", CPUS[at].0)));
        all.extend(
            self.drivers
                .iter()
                .map(|at| format!("driver:{}", DRIVERS[*at].0)),
        );
        all.extend(
            self.cudas
                .iter()
                .map(|cuda| format!("cuda:{}", text(*cuda))),
        );
        all.extend(
            self.gpus
                .iter()
                .map(|(major, minor)| format!("cc:{major}.{minor}")),
        );
        all.extend(self.gfx.iter().map(|gfx| format!("gfx:{gfx}")));
        all.extend(self.vendors.iter().map(|vendor| format!("gpu:{vendor}")));
        all.extend(self.brands.iter().map(|brand| format!("brand:{brand}")));
        all.extend(self.mpis.iter().map(|at| format!("mpi:{}", MPIS[*at].0)));
        all.extend(
            self.kernel
                .map(|(major, minor)| format!("kernel:{major}.{minor}.0")),
        );
        all.extend(
            self.modules
                .iter()
                .map(|module| format!("kernel.loadedmodule:{module}")),
        );
        all.extend(self.sites.iter().map(|site| format!("site:{site}")));
        all.iter().map(|feature| feature.parse().unwrap()).collect()
    }

    fn has_nvidia(&self) -> bool {
        !self.drivers.is_empty()
            || !self.gpus.is_empty()
            || !self.brands.is_empty()
            || self.vendors.contains(&"nvidia")
    }

    fn has_amd(&self) -> bool {
        !self.gfx.is_empty() || self.vendors.contains(&"amd")
    }

    fn has_gpu(&self) -> bool {
        self.has_nvidia() || self.has_amd() || self.vendors.contains(&"intel")
    }

    /// Nothing of the matter itself is stated: other GPUs prove that there is none of these.
    fn silent(&self, has_vendor: bool) -> Verdict {
        if self.has_gpu() && !has_vendor {
            Verdict::Proven
        } else {
            Verdict::Unstated
        }
    }

    /// The CUDA versions that drivers came with, or that are stated.
    fn own_cudas(&self) -> Vec<V> {
        let mut all = self.cudas.clone();
        all.extend(self.drivers.iter().map(|at| DRIVERS[*at].3));
        all
    }

    fn judge(&self, need: &Need, toolkit: Option<V>) -> Verdict {
        let when = |met: bool, stated: bool, silent: Verdict| match (met, stated) {
            (true, _) => Verdict::Fits,
            (false, true) => Verdict::Proven,
            (false, false) => silent,
        };
        match need {
            Need::Cpu(target) => match self.cpu {
                Some(at) => when(CPUS[at].1.contains(target), true, Verdict::Proven),
                None => Verdict::Unstated,
            },
            Need::Cuda(cuda) => {
                let said = self.cudas.iter().any(|own| own >= cuda);
                let run = self.drivers.iter().any(|at| DRIVERS[*at].2 >= *cuda);
                let stated = !self.cudas.is_empty() || !self.drivers.is_empty();
                when(said || run, stated, self.silent(self.has_nvidia()))
            }
            Need::Driver(driver) => {
                let met = self.drivers.iter().any(|at| DRIVERS[*at].1 >= *driver);
                when(
                    met,
                    !self.drivers.is_empty(),
                    self.silent(self.has_nvidia()),
                )
            }
            Need::Code(code) => self.judge_code(code, toolkit),
            Need::Gfx(gfx) => when(
                self.gfx.contains(gfx),
                !self.gfx.is_empty(),
                self.silent(self.has_amd()),
            ),
            Need::Vendor(vendor) => {
                let met = match *vendor {
                    "nvidia" => self.has_nvidia(),
                    "amd" => self.has_amd(),
                    _ => self.has_gpu(),
                };
                when(met, self.has_gpu(), Verdict::Unstated)
            }
            Need::Mpi(at) => {
                let met = self.mpis.iter().any(|own| MPIS[*own].1 == MPIS[*at].1);
                when(met, !self.mpis.is_empty(), Verdict::Unstated)
            }
            Need::Nvidia(alternatives) => self.judge_nvidia(alternatives),
            Need::Nfd(sets) => {
                let sets = sets.iter().map(|rules| {
                    let rules = rules.iter().map(|term| self.judge_term(term));
                    rules.max().unwrap_or(Verdict::Fits)
                });
                sets.min().unwrap_or(Verdict::Fits)
            }
            Need::Kernel(kernel) => {
                let met = self.kernel.is_some_and(|own| own >= *kernel);
                when(met, self.kernel.is_some(), Verdict::Unstated)
            }
            Need::Site(site) => when(
                self.sites.contains(site),
                !self.sites.is_empty(),
                Verdict::Unstated,
            ),
            Need::Nonsense(..) => Verdict::Unknown,
        }
    }

    fn judge_code(&self, code: &[(u32, u32, bool)], toolkit: Option<V>) -> Verdict {
        let mut by_ptx = false;
        for gpu in &self.gpus {
            for (major, minor, ptx) in code {
                if *major == gpu.0 && *minor <= gpu.1 {
                    return Verdict::Fits;
                }
                by_ptx |= *ptx && (*major, *minor) <= *gpu;
            }
        }
        if by_ptx {
            return match (toolkit, self.own_cudas().into_iter().max()) {
                (None, _) => Verdict::Fits,
                (Some(toolkit), Some(own)) if own >= toolkit => Verdict::Fits,
                (Some(_), Some(_)) => Verdict::Proven,
                (Some(_), None) => Verdict::Unstated,
            };
        }
        if self.gpus.is_empty() {
            self.silent(self.has_nvidia())
        } else {
            Verdict::Proven
        }
    }

    fn judge_nvidia(&self, alternatives: &[Vec<(&str, &str, String)>]) -> Verdict {
        let known_software =
            !self.drivers.is_empty() || !self.cudas.is_empty() || !self.gpus.is_empty();
        let mut all_refuted = true;
        for factors in alternatives {
            let mut meets = true;
            let mut refuted = false;
            for property in ["cuda", "driver", "arch", "brand"] {
                let asked: Vec<_> = factors
                    .iter()
                    .filter(|factor| factor.0 == property)
                    .collect();
                if asked.is_empty() {
                    continue;
                }
                let (met, stated) = if property == "brand" {
                    let own: Vec<&str> = match self.brands.as_slice() {
                        [] if known_software => vec!["unknown"],
                        brands => brands.to_vec(),
                    };
                    let met = own.iter().any(|own| {
                        asked
                            .iter()
                            .all(|(_, operator, value)| (own == value) == (*operator == "="))
                    });
                    (met, !self.brands.is_empty())
                } else {
                    let own: Vec<V> = match property {
                        "cuda" => self.own_cudas(),
                        "driver" => self.drivers.iter().map(|at| DRIVERS[*at].1).collect(),
                        _ => self.gpus.iter().map(|(a, b)| (*a, *b, 0)).collect(),
                    };
                    let met = own.iter().any(|own| {
                        asked
                            .iter()
                            .all(|(_, operator, value)| compare(*own, operator, value))
                    });
                    (met, !own.is_empty())
                };
                meets &= met;
                refuted |= stated && !met;
            }
            if meets {
                return Verdict::Fits;
            }
            all_refuted &= refuted;
        }
        let nothing_of_nvidia = !known_software && self.brands.is_empty();
        let others = nothing_of_nvidia && self.has_gpu() && !self.has_nvidia();
        if all_refuted || others {
            Verdict::Proven
        } else {
            Verdict::Unstated
        }
    }

    fn judge_term(&self, term: &Term) -> Verdict {
        let when = |known: bool, met: bool| match (known, met) {
            (false, _) => Verdict::Unstated,
            (true, true) => Verdict::Fits,
            (true, false) => Verdict::Proven,
        };
        match term {
            Term::Flag(flag, wanted) => {
                let flags = self.cpu.map(|at| CPUS[at].2);
                when(
                    flags.is_some(),
                    flags.is_some_and(|own| own.contains(flag) == *wanted),
                )
            }
            Term::KernelMajor(at_least, major) => {
                let own = self.kernel.map(|kernel| kernel.0);
                let met = own.is_some_and(|own| {
                    if *at_least {
                        own >= *major
                    } else {
                        own < *major
                    }
                });
                when(own.is_some(), met)
            }
            Term::Module(module) => when(!self.modules.is_empty(), self.modules.contains(module)),
        }
    }
}

fn compare(own: V, operator: &str, value: &str) -> bool {
    let mut numbers = value.split('.').map(|word| word.parse::<u32>().unwrap());
    let mut next = || numbers.next().unwrap_or(0);
    let value = (next(), next(), next());
    match operator {
        "=" => own == value,
        "!=" => own != value,
        "<" => own < value,
        "<=" => own <= value,
        ">" => own > value,
        _ => own >= value,
    }
}

/// Texts that nobody understands, by the key of a feature.
const NONSENSE: &[(&str, &str)] = &[
    ("arch", "zenn3"),
    ("arch", ">=zen3"),
    ("arch", "zen3,zen4"),
    ("cuda", ">=12.4"),
    ("cuda", "12.x"),
    ("cuda", "latest"),
    ("driver", "<550"),
    ("driver", "550,580"),
    ("cc", "ampere"),
    ("cc", "8.0,new"),
    ("gfx", "navi"),
    ("gpu", "opencl"),
    ("mpi", "spectrum-mpi"),
    ("mpi", "mpich>=3"),
    ("kernel", "~5.14"),
    ("nvidia-require", "cuda>=12.4,memory>=8"),
    ("nvidia-require", "cuda"),
    ("nfd", "{\"version\":\"v2\"}"),
    (
        "nfd",
        "{\"compatibilities\":[{\"rules\":[{\"matchFeatures\":[{\"feature\":\"cpu.cpuid\",\
             \"matchExpressions\":{\"AVX\":{\"op\":\"Like\"}}}]}]}]}",
    ),
];

fn any_need(random: &mut Random) -> Need {
    match random.below(13) {
        0 | 1 => {
            let row = CPUS[random.below(CPUS.len())];
            Need::Cpu(random.of(row.1))
        }
        2 => Need::Cuda(random.of(CUDAS)),
        3 => Need::Driver(DRIVERS[random.below(DRIVERS.len())].1),
        4 => {
            let one = |random: &mut Random| {
                let (major, minor) = random.of(GPUS);
                (major, minor, random.once_in(2))
            };
            Need::Code((0..=random.below(2)).map(|_| one(random)).collect())
        }
        5 => Need::Gfx(random.of(GFX)),
        6 => Need::Vendor(random.of(&["nvidia", "amd", "any"])),
        7 => Need::Mpi(random.below(MPIS.len())),
        8 => {
            let factor = |random: &mut Random| match random.below(4) {
                0 => ("cuda", random.of(OPERATORS), text(random.of(CUDAS))),
                1 => {
                    let driver = DRIVERS[random.below(DRIVERS.len())].1;
                    ("driver", random.of(OPERATORS), text(driver))
                }
                2 => {
                    let (major, minor) = random.of(GPUS);
                    ("arch", random.of(OPERATORS), format!("{major}.{minor}"))
                }
                _ => {
                    let brand = random.of(&["tesla", "geforce", "unknown"]);
                    ("brand", random.of(&["=", "!="]), brand.to_owned())
                }
            };
            let alternative = |random: &mut Random| -> Vec<_> {
                (0..=random.below(3)).map(|_| factor(random)).collect()
            };
            Need::Nvidia((0..=random.below(3)).map(|_| alternative(random)).collect())
        }
        9 => {
            let term = |random: &mut Random| match random.below(4) {
                0 | 1 => Term::Flag(random.of(&["AVX2", "AVX512F", "SVE"]), !random.once_in(3)),
                2 => Term::KernelMajor(
                    random.once_in(2),
                    u32::try_from(random.below(4)).unwrap() + 4,
                ),
                _ => Term::Module(random.of(&["kvm", "vfio"])),
            };
            let set = |random: &mut Random| -> Vec<_> {
                (0..=random.below(2)).map(|_| term(random)).collect()
            };
            Need::Nfd((0..=random.below(2)).map(|_| set(random)).collect())
        }
        10 => Need::Kernel(random.of(KERNELS)),
        11 => Need::Site(random.of(&["blue", "green"])),
        _ => {
            let (key, value) = random.of(NONSENSE);
            Need::Nonsense(key, value)
        }
    }
}

fn expression(alternatives: &[Vec<(&str, &str, String)>]) -> String {
    let alternative = |factors: &Vec<(&str, &str, String)>| -> String {
        let factors = factors.iter().map(|(a, b, c)| format!("{a}{b}{c}"));
        factors.collect::<Vec<_>>().join(",")
    };
    alternatives
        .iter()
        .map(alternative)
        .collect::<Vec<_>>()
        .join(" ")
}

fn document(sets: &[Vec<Term>]) -> String {
    let rule = |term: &Term| {
        let (feature, name, expression) = match term {
            Term::Flag(flag, true) => ("cpu.cpuid", *flag, json!({"op": "Exists"})),
            Term::Flag(flag, false) => ("cpu.cpuid", *flag, json!({"op": "DoesNotExist"})),
            Term::KernelMajor(true, major) => (
                "kernel.version",
                "major",
                json!({"op": "Ge", "value": [major.to_string()]}),
            ),
            Term::KernelMajor(false, major) => (
                "kernel.version",
                "major",
                json!({"op": "Lt", "value": [major.to_string()]}),
            ),
            Term::Module(module) => ("kernel.loadedmodule", *module, json!({"op": "Exists"})),
        };
        json!({"matchFeatures": [{"feature": feature, "matchExpressions": {name: expression}}]})
    };
    let sets: Vec<_> = sets
        .iter()
        .map(|terms| json!({"rules": terms.iter().map(rule).collect::<Vec<_>>()}))
        .collect();
    json!({"version": "v1alpha1", "compatibilities": sets}).to_string()
}

/// Key and value of the feature by which a need is stated.
fn feature_of(need: &Need) -> (&'static str, String) {
    match need {
        Need::Cpu(target) => ("arch", (*target).to_owned()),
        Need::Cuda(cuda) => ("cuda", text(*cuda)),
        Need::Driver(driver) => ("driver", text(*driver)),
        Need::Code(code) => {
            let one = |(major, minor, ptx): &(u32, u32, bool)| {
                format!("{major}.{minor}{}", if *ptx { "+ptx" } else { "" })
            };
            ("cc", code.iter().map(one).collect::<Vec<_>>().join(","))
        }
        Need::Gfx(gfx) => ("gfx", (*gfx).to_owned()),
        Need::Vendor(vendor) => ("gpu", (*vendor).to_owned()),
        Need::Mpi(at) => ("mpi", MPIS[*at].0.to_owned()),
        Need::Nvidia(alternatives) => ("nvidia-require", expression(alternatives)),
        Need::Nfd(sets) => ("nfd", document(sets)),
        Need::Kernel((major, minor)) => ("kernel", format!("{major}.{minor}")),
        Need::Site(site) => ("site", (*site).to_owned()),
        Need::Nonsense(key, value) => (key, (*value).to_owned()),
    }
}

/// What an image states, and where.
#[derive(Debug, Default)]
struct Image {
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    env: BTreeMap<String, String>,
    artifacts: Vec<String>,
    features: Vec<(&'static str, String)>,
    needs: Vec<Need>,
}

impl Image {
    fn random(random: &mut Random) -> Self {
        let mut image = Self::default();
        for number in 0..random.below(5) {
            let need = any_need(random);
            image.state(random, number, need);
        }
        image
    }

    /// States a need somewhere; not at all where another one stands.
    fn state(&mut self, random: &mut Random, number: usize, need: Need) {
        let (key, value) = feature_of(&need);
        let label = match key {
            "arch" => Some(random.of(&[
                "io.archspec.cpu.target",
                "org.supercontainers.hardware.cpu.target.microarch",
                "org.supercontainers.hardware.cpu.optimized.version",
            ])),
            "cuda" => Some("org.supercontainers.hardware.gpu.cuda.version"),
            "driver" => Some("org.supercontainers.hardware.gpu.driver.version"),
            "cc" | "gfx" => Some("org.supercontainers.hardware.gpu.architecture"),
            "gpu" if value == "any" => Some("org.supercontainers.hardware.gpu.available"),
            "gpu" => Some("org.supercontainers.gpu"),
            "mpi" => Some("org.supercontainers.mpi"),
            _ => None,
        };
        if random.once_in(3) {
            self.features.push((key, value));
        } else if let Some(label) = label {
            let place = if random.once_in(2) {
                &mut self.labels
            } else {
                &mut self.annotations
            };
            if place.contains_key(label) {
                return;
            }
            let value = if value == "any" {
                "yes".to_owned()
            } else {
                value
            };
            place.insert(label.to_owned(), value);
        } else if key == "nvidia-require" {
            self.env
                .insert(format!("NVIDIA_REQUIRE_{number}"), value.clone());
            if let Need::Nonsense(..) = need {
                // The toolkit's rule: the factors that are known still count.
                if value.contains("cuda>=12.4") {
                    let known = vec![vec![("cuda", ">=", "12.4".to_owned())]];
                    self.needs.push(Need::Nvidia(known));
                }
            }
        } else if key == "nfd" {
            self.artifacts.push(value);
        } else {
            self.features.push((key, value));
        }
        self.needs.push(need);
    }

    /// An image from before `NVIDIA_REQUIRE_CUDA`.
    fn add_legacy(&mut self, cuda: V, also_requires: bool) {
        self.env
            .insert("CUDA_VERSION".to_owned(), format!("{}.1", text(cuda)));
        let stated = vec![vec![("cuda", ">=", text(cuda))]];
        if also_requires {
            let other = vec![vec![("driver", ">=", "450".to_owned())]];
            self.env
                .insert("NVIDIA_REQUIRE_CUDA".to_owned(), expression(&other));
            self.needs.push(Need::Nvidia(other));
        } else {
            self.needs.push(Need::Nvidia(stated));
        }
    }

    fn expected(&self, login: &Login) -> Verdict {
        let cudas = self.needs.iter().filter_map(|need| match need {
            Need::Cuda(cuda) => Some(*cuda),
            _ => None,
        });
        let toolkit = cudas.max();
        let verdicts = self.needs.iter().map(|need| login.judge(need, toolkit));
        verdicts.max().unwrap_or(Verdict::Fits)
    }

    fn found(&self, login: &Login) -> Verdict {
        let mut statements = Statements::default();
        let pairs = |map: &BTreeMap<String, String>| -> Vec<(String, String)> {
            map.iter().map(|(k, v)| (k.clone(), v.clone())).collect()
        };
        let (labels, annotations) = (pairs(&self.labels), pairs(&self.annotations));
        statements.add_annotations(annotations.iter().map(|(k, v)| (k.as_str(), v.as_str())));
        statements.add_labels(labels.iter().map(|(k, v)| (k.as_str(), v.as_str())));
        let env: Vec<String> = self.env.iter().map(|(k, v)| format!("{k}={v}")).collect();
        statements.add_env(env.iter().map(String::as_str));
        for artifact in &self.artifacts {
            let _ = statements.add_compatibility(artifact);
        }
        let mut all: Vec<Feature> = self
            .features
            .iter()
            .map(|(key, value)| Feature::new(key, value).unwrap())
            .collect();
        all.extend(
            statements
                .requirements
                .iter()
                .map(|stated| stated.feature.clone()),
        );
        let provided = Provided::new(login.features());
        let found = fit(&all, &provided);
        let unread = if statements.unread.is_empty() {
            Verdict::Fits
        } else {
            Verdict::Unknown
        };
        let fits = match found.mismatch() {
            None => Verdict::Fits,
            Some(Mismatch::Unstated) => Verdict::Unstated,
            Some(Mismatch::Unknown) => Verdict::Unknown,
            Some(Mismatch::Proven) => Verdict::Proven,
        };
        assert_eq!(found.fits(), fits == Verdict::Fits);
        fits.max(unread)
    }
}

#[test]
fn random_statements_are_judged_as_the_naive_model_judges_them() {
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for case in 0..CASES {
        let mut image = Image::random(&mut random);
        if random.once_in(8) {
            let cuda = random.of(CUDAS);
            image.add_legacy(cuda, random.once_in(3));
        }
        let login = Login::random(&mut random);
        let (expected, found) = (image.expected(&login), image.found(&login));
        assert_eq!(found, expected, "case {case}\n{image:#?}\n{login:#?}");
        *counts.entry(format!("{expected:?}")).or_default() += 1;
    }
    eprintln!("{CASES} images and logins compared: {counts:?}");
    assert!(
        counts.len() == 4 && counts.values().all(|count| *count > CASES / 50),
        "{counts:?}"
    );
}
