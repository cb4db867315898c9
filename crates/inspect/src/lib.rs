//! What an image's code needs, by reading it: the features of processors without which its programs
//! die, GPU code, and the libraries that tie it to a machine. Layers are read as streams; memory is
//! bounded whatever comes, and nothing is unpacked or run.
//!
//! Three answers, no guesses: *required*, *dispatched* (the program looks at the processor and
//! chooses) and *unknown*. That nothing was found is "no evidence of a need", never more.

mod answer;
mod arm;
mod bytes;
mod changes;
mod code;
mod content;
mod elf;
mod file;
mod go;
mod gpu;
mod image;
mod isa;
mod layer;
mod libraries;
mod limits;
mod narrow;
mod needs;
mod siblings;
mod tree;

pub use answer::{Cpu, Evidence, FileFacts, Gpu, Level, Status};
pub use file::inspect_file;
pub use image::{FileAnswer, FileEvidence, Image, ImageCpu, ImageFacts};
pub use libraries::Libraries;
pub use limits::Limits;
pub use needs::{FileNeeds, ImageNeeds, LayerNeeds, LayerReader, Need, RULE_VERSION};
