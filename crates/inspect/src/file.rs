//! One file: what it is, and what it asks for.

use std::fs::File;
use std::path::Path;

use crate::answer::{Cpu, Evidence, FileFacts, Gpu, Level, Status};
use crate::code::Part;
use crate::content::Content;
use crate::elf::{Elf, HEADER, Header, Kind};
use crate::go::Go;
use crate::isa::Uses;
use crate::limits::Limits;
use crate::{arm, code, narrow};

/// Libraries that make code when they run.
const GENERATORS: &[&str] = &[
    "libjvm.so",
    "libjulia",
    "libLLVM",
    "libluajit",
    "libmono",
    "libcoreclr",
    "libclrjit",
    "libv8",
    "libnode",
    "libmozjs",
    "libjavascriptcoregtk",
    "libgccjit",
    "libpypy",
    "liborc-0",
    "libwasmtime",
    "libdnnl",
    "libxsmm",
    "libmkl_rt",
    "libnvrtc",
];
/// Libraries whose generated code is known to need nothing that they have not looked for; and the C
/// library, which makes memory executable for others. They are in nearly every image.
const CAREFUL: &[&str] = &[
    "libffi",
    "libpcre2-",
    "libpcre.so",
    "ld-linux",
    "libc.so",
    "ld-musl",
];
/// Libraries that are known to look at the processor in ways that cannot be followed here: through
/// flags in their own structures, or tables per level. What is unknown of them counts as chosen,
/// unless most of their vectors are of that kind.
const DISPATCHING: &[&str] = &[
    "libm.so.6",
    "libmvec.so.1",
    "libcrypto.so",
    "libgcrypt.so",
    "libitm.so",
    "libsodium.so",
    "libfreeblpriv3.so",
    "libnettle.so",
    "libfreebl3.so",
    "libopenblas",
    "libblis",
    "libjxl",
    "libx264.so",
    "libx265.so",
    "libaom.so",
    "libdav1d.so",
    "librav1e.so",
    "libSvtAv1Enc.so",
    "libyuv.so",
    "libavcodec.so",
    "libswscale.so",
    "libvpx.so",
    "libjpeg.so",
    "libturbojpeg.so",
    "libfftw3",
    "libopenh264.so",
    "libopus.so",
    "libjsvml.so",
];
/// Bytes of code that are looked at for being packed.
const SAMPLE: usize = 64 * 1024;
/// Bits of information per byte above which code is packed; compiled code has about 6.
const DENSE: f64 = 7.4;

/// What a file on this machine asks for; `None` if it is no program, library or GPU code.
///
/// # Errors
/// When the file cannot be read.
pub fn inspect_file(path: &Path, limits: &Limits) -> std::io::Result<Option<FileFacts>> {
    let content = Content::open(File::open(path)?, limits.memory_bytes)?;
    let head = content.up_to(0, HEADER).into_owned();
    Ok(is_inspected(&head).then(|| facts(&content, &head, limits, limits.instructions).0))
}

/// Whether a file that begins so is looked at.
pub(crate) fn is_inspected(head: &[u8]) -> bool {
    Header::parse(head).is_some() || Gpu::begins(head)
}

/// What a file asks for, and how many instructions were decoded.
pub(crate) fn facts(
    content: &Content,
    head: &[u8],
    limits: &Limits,
    budget: u64,
) -> (FileFacts, u64) {
    let Some(header) = Header::parse(head) else {
        let gpu = Gpu::of_file(content, None).unwrap_or_default();
        let facts = FileFacts {
            gpu,
            ..FileFacts::default()
        };
        return (facts, 0);
    };
    let mut facts = FileFacts {
        architecture: header.architecture(),
        ..FileFacts::default()
    };
    if let Some(gpu) = Gpu::of_file(content, Some(header.machine)) {
        facts.architecture = "";
        facts.gpu = gpu;
        return (facts, 0);
    }
    if header.kind == Kind::Other {
        return (facts, 0);
    }
    facts.loaded = true;
    if !header.wide || !header.little_endian {
        let (cpu, instructions) = narrow::judge(content, header, limits, budget);
        facts.cpu = cpu;
        return (facts, instructions);
    }
    let elf = Elf::parse(content, header, limits);
    facts.soname.clone_from(&elf.dynamic.soname);
    facts.needed.clone_from(&elf.dynamic.needed);
    facts.interpreter = elf.interpreter();
    facts.glibc = glibc(&elf);
    facts.gpu = Gpu::of_program(&elf);
    let go = Go::read(&elf);
    facts.go = go.as_ref().map(|go| go.version.clone());
    let (cpu, instructions) = of_code(&elf, go.as_ref(), limits, budget);
    facts.cpu = cpu;
    noted(&elf, &mut facts.cpu);
    doubts(&elf, &mut facts.cpu);
    if !elf.damage.is_empty() {
        facts
            .cpu
            .show(Evidence::new(Status::Unknown, None, "it is damaged"));
    }
    facts.damage.clone_from(&elf.damage);
    (facts, instructions)
}

fn of_code(elf: &Elf<'_>, go: Option<&Go>, limits: &Limits, budget: u64) -> (Cpu, u64) {
    match (elf.header.machine, go) {
        (machine @ (Header::AMD64 | Header::ARM64), Some(go)) => {
            let mut cpu = of_go(go, machine);
            // Only C code has frames there.
            if elf.section(".eh_frame").is_none() {
                return (cpu, 0);
            }
            let (c, instructions) = read(elf, Part::Framed, limits, budget);
            for evidence in c.evidence {
                cpu.show(evidence);
            }
            cpu.features.extend(c.features);
            (cpu, instructions)
        }
        (Header::AMD64 | Header::ARM64, None) => read(elf, Part::Whole, limits, budget),
        _ => (Cpu::unknown("code of this architecture is not read"), 0),
    }
}

fn read(elf: &Elf<'_>, part: Part, limits: &Limits, budget: u64) -> (Cpu, u64) {
    if elf.header.machine == Header::AMD64 {
        code::judge(elf, part, limits, budget)
    } else {
        arm::judge(elf, limits)
    }
}

/// Go programs note what they were built for, and end at once on less.
fn of_go(go: &Go, machine: u16) -> Cpu {
    let mut cpu = Cpu::default();
    if !go.noted {
        let why = "it is a Go program whose note of the build was removed";
        cpu.show(Evidence::new(Status::Unknown, None, why));
        return cpu;
    }
    let name = if machine == Header::AMD64 {
        "GOAMD64"
    } else {
        "GOARM64"
    };
    let setting = go.setting(name).unwrap_or_default();
    let level = match setting.split(',').next().unwrap_or_default() {
        "v2" => Some(Level::V2),
        "v3" => Some(Level::V3),
        "v4" => Some(Level::V4),
        "" | "v1" | "v8.0" => None,
        "v8.1" => Some(Level::Arm81),
        _ if machine == Header::ARM64 && setting.starts_with('v') => Some(Level::Arm82),
        _ => {
            let why = format!("it was built with {name}={setting}, which is not known");
            cpu.show(Evidence::new(Status::Unknown, None, why));
            None
        }
    };
    if let Some(level) = level {
        cpu.features.extend(Uses::of_level(level).features());
        let why = format!("it was built with {name}={setting}, and ends at once on less");
        cpu.show(Evidence::new(Status::Required, Some(level), why));
    }
    cpu
}

/// What the file's own note asks of the processor; the dynamic linker obeys it.
fn noted(elf: &Elf<'_>, cpu: &mut Cpu) {
    if elf.header.machine != Header::AMD64 {
        return;
    }
    let bits = elf.isa_needed();
    let level = match () {
        () if bits & 8 != 0 => Level::V4,
        () if bits & 4 != 0 => Level::V3,
        () if bits & 2 != 0 => Level::V2,
        () => return,
    };
    cpu.features.extend(Uses::of_level(level).features());
    let why = "its note GNU_PROPERTY_X86_ISA_1_NEEDED asks for it";
    cpu.show(Evidence::new(Status::Required, Some(level), why));
}

/// Programs that are packed, or make code when they run.
fn doubts(elf: &Elf<'_>, cpu: &mut Cpu) {
    let soname = elf.dynamic.soname.as_deref().unwrap_or_default();
    if CAREFUL.iter().any(|name| soname.starts_with(name)) {
        let generated =
            |evidence: &Evidence| evidence.status == Status::Unknown && evidence.level.is_none();
        cpu.evidence.retain(|evidence| !generated(evidence));
        cpu.unknown = cpu.evidence.iter().any(|e| e.status == Status::Unknown);
    }
    if DISPATCHING.iter().any(|name| soname.starts_with(name)) && cpu.required < Some(Level::V3) {
        for evidence in &mut cpu.evidence {
            // What notes ask for holds; what was concluded from instructions is what it chooses.
            let concluded = evidence.status == Status::Required && evidence.instruction.is_some();
            if (concluded || evidence.status == Status::Unknown) && evidence.level.is_some() {
                evidence.status = Status::Dispatched;
                evidence.why = "the library is known to look at the processor".to_owned();
                cpu.dispatched = cpu.dispatched.max(evidence.level);
            }
        }
        let required = cpu.evidence.iter().filter(|e| e.status == Status::Required);
        cpu.required = required.filter_map(|evidence| evidence.level).max();
        cpu.unknown = cpu.evidence.iter().any(|e| e.status == Status::Unknown);
    }
    let mut doubt = |why: &str| cpu.show(Evidence::new(Status::Unknown, None, why));
    if GENERATORS.iter().any(|name| soname.starts_with(name)) {
        doubt("it makes code when it runs");
    }
    let start = elf.content.up_to(0, 4096);
    let code = elf.code();
    let both = elf
        .segments
        .iter()
        .any(|segment| segment.executable() && segment.writable());
    if start.windows(4).any(|window| window == b"UPX!") {
        doubt("it is packed by UPX");
    } else if both {
        doubt("its code can be written to, as that of packed programs");
    } else if let Some(range) = code.iter().max_by_key(|range| range.size) {
        let middle = range.offset.saturating_add(range.size / 2);
        let length = (range.size / 2).min(SAMPLE as u64) as usize;
        let bytes = elf.content.up_to(middle, length);
        if bytes.len() >= 4096 && entropy(&bytes) > DENSE {
            doubt("its code looks packed or encrypted");
        }
    }
}

/// Information per byte, in bits.
fn entropy(bytes: &[u8]) -> f64 {
    let mut counts = [0_u32; 256];
    for byte in bytes {
        if let Some(count) = counts.get_mut(usize::from(*byte)) {
            *count += 1;
        }
    }
    let all = bytes.len() as f64;
    let shares = counts
        .iter()
        .filter(|count| **count > 0)
        .map(|count| f64::from(*count) / all);
    -shares.map(|share| share * share.log2()).sum::<f64>()
}

/// The highest version of glibc's symbols.
fn glibc(elf: &Elf<'_>) -> Option<String> {
    let versions = elf
        .dynamic
        .versions
        .iter()
        .filter_map(|name| name.strip_prefix("GLIBC_"));
    let numbers = |text: &&str| -> Option<Vec<u32>> {
        text.split('.').map(|part| part.parse().ok()).collect()
    };
    let known = versions.filter_map(|text| Some((numbers(&text)?, text)));
    known.max().map(|(_, text)| text.to_owned())
}
