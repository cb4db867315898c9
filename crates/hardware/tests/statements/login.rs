//! What a login states, and the naive judgement of a need by it.

use metahub_hardware::Feature;

use crate::needs::{Need, Term, text};
use crate::random::Random;
use crate::tables::*;

/// What is known of a requirement, worst last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verdict {
    Fits,
    Unstated,
    Unknown,
    Proven,
}

#[derive(Debug, Default)]
pub(crate) struct Login {
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

impl Login {
    pub(crate) fn random(random: &mut Random) -> Self {
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

    pub(crate) fn features(&self) -> Vec<Feature> {
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

    pub(crate) fn has_nvidia(&self) -> bool {
        !self.drivers.is_empty()
            || !self.gpus.is_empty()
            || !self.brands.is_empty()
            || self.vendors.contains(&"nvidia")
    }

    pub(crate) fn has_amd(&self) -> bool {
        !self.gfx.is_empty() || self.vendors.contains(&"amd")
    }

    pub(crate) fn has_gpu(&self) -> bool {
        self.has_nvidia() || self.has_amd() || self.vendors.contains(&"intel")
    }

    /// Nothing of the matter itself is stated: other GPUs prove that there is none of these.
    pub(crate) fn silent(&self, has_vendor: bool) -> Verdict {
        if self.has_gpu() && !has_vendor {
            Verdict::Proven
        } else {
            Verdict::Unstated
        }
    }

    /// The CUDA versions that drivers came with, or that are stated.
    pub(crate) fn own_cudas(&self) -> Vec<V> {
        let mut all = self.cudas.clone();
        all.extend(self.drivers.iter().map(|at| DRIVERS[*at].3));
        all
    }

    pub(crate) fn judge(&self, need: &Need, toolkit: Option<V>) -> Verdict {
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

    pub(crate) fn judge_code(&self, code: &[(u32, u32, bool)], toolkit: Option<V>) -> Verdict {
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

    pub(crate) fn judge_nvidia(&self, alternatives: &[Vec<(&str, &str, String)>]) -> Verdict {
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

    pub(crate) fn judge_term(&self, term: &Term) -> Verdict {
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

pub(crate) fn compare(own: V, operator: &str, value: &str) -> bool {
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
