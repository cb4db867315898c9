//! Code of x86-64 programs: functions, what each asks of the processor, and which of them run
//! without the program having looked at the processor first.

mod decode;
mod divide;
mod functions;
mod generated;
mod graph;
mod guards;
mod judge;
mod names;
mod outline;
mod paths;
mod places;
mod proof;
mod starts;
mod sweep;

pub(crate) use functions::Part;
pub(crate) use judge::judge;
pub(crate) use outline::Outline;
