//! What is to be measured and with what effort: decided once from the command line.

use std::path::PathBuf;
use std::time::Duration;

use crate::certificate::Certificate;
use crate::peer::Kind;
use crate::pin::Cores;

/// The effort of a comparison.
#[derive(Debug)]
pub(crate) struct Plan {
    /// How often every server has its turn.
    pub(crate) rounds: usize,
    /// How long a turn of a load lasts.
    pub(crate) turn: Duration,
    /// A tenth of the data.
    pub(crate) quick: bool,
    /// `None` on a machine of one core.
    pub(crate) cores: Option<Cores>,
    /// Where servers keep their content while they are measured; removed at the end.
    pub(crate) folder: PathBuf,
    /// The folder for what is too costly to be made every time.
    pub(crate) lasting: PathBuf,
    /// The servers that are installed, and their programs.
    pub(crate) programs: Vec<(Kind, PathBuf)>,
    /// Without it, there are no rows with TLS.
    pub(crate) certificate: Option<Certificate>,
}

impl Plan {
    /// The program of a kind of server, if it is installed.
    pub(crate) fn program(&self, kind: Kind) -> Option<&PathBuf> {
        self.programs
            .iter()
            .find_map(|(known, program)| (*known == kind).then_some(program))
    }

    /// The one number for a full comparison, the other for a quick one.
    pub(crate) fn size<T>(&self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }

    /// Every server in every round, in an order that differs from round to round.
    pub(crate) fn turns<'a, T>(
        &self,
        servers: &'a [T],
    ) -> impl Iterator<Item = &'a T> + use<'a, T> {
        (0..self.rounds).flat_map(move |round| {
            let start = round % servers.len().max(1);
            servers.iter().cycle().skip(start).take(servers.len())
        })
    }
}
