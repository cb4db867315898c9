//! GPUs by product name, where a name means one kind of processor. Names under which several kinds
//! were sold are left out.

/// Compute capability, and the words by which NVIDIA's driver names such models. Only
/// data-centre GPUs, whose names are unambiguous; others need `nvidia-smi`.
const NVIDIA: &[(&str, &[&str])] = &[
    ("10.3", &["B300", "GB300"]),
    ("10.0", &["B100", "B200", "GB200"]),
    ("9.0", &["H20", "H100", "H200", "H800", "GH200"]),
    ("8.9", &["L4", "L20", "L40", "L40S", "L40G"]),
    ("8.6", &["A2", "A10", "A10G", "A10M", "A16", "A40"]),
    ("8.0", &["A30", "A100", "A100X", "A800"]),
    ("7.5", &["T4", "T4G"]),
    ("7.0", &["V100", "V100S"]),
    ("6.1", &["P4", "P40"]),
    ("6.0", &["P100"]),
];

/// Processor, and AMD's accelerators that have it.
const AMD: &[(&str, &[&str])] = &[
    ("gfx950", &["MI350X", "MI355X"]),
    ("gfx942", &["MI300A", "MI300X", "MI325X"]),
    ("gfx90a", &["MI210", "MI250", "MI250X"]),
    ("gfx908", &["MI100"]),
    ("gfx906", &["MI50", "MI60"]),
];

/// The makers' names before those of their products, and what they call their series, folded.
const MAKERS: &[&str] = &["nvidia", "tesla", "amd", "instinct"];

fn kind_of(table: &[(&'static str, &[&str])], word: &str) -> Option<&'static str> {
    let word: String = word.chars().filter(|c| !"-_ ".contains(*c)).collect();
    let word = word.to_ascii_lowercase();
    let bare = MAKERS.iter().fold(word.as_str(), |word, maker| {
        word.strip_prefix(maker).unwrap_or(word)
    });
    let sold_as = |name: &&str| name.eq_ignore_ascii_case(bare);
    table
        .iter()
        .find(|(_, names)| names.iter().any(sold_as))
        .map(|(kind, _)| *kind)
}

/// The compute capability of an NVIDIA GPU by its name: `9.0` for `H100`.
pub(crate) fn capability_of_product(word: &str) -> Option<&'static str> {
    kind_of(NVIDIA, word)
}

/// The processors of AMD's accelerators.
pub(crate) fn accelerators() -> impl Iterator<Item = &'static str> {
    AMD.iter().map(|(processor, _)| *processor)
}

/// The processor of an AMD GPU by its name: `gfx90a` for `MI250X`.
pub(crate) fn gfx_of_product(word: &str) -> Option<&'static str> {
    kind_of(AMD, word)
}
