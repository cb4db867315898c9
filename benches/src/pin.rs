//! Which core the servers run on, and which the load comes from. Two cores are used even where
//! there are more, so that figures from different machines mean the same.
//!
//! Never takes a core that this process may not use.

use miette::{IntoDiagnostic as _, Result, WrapErr as _};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The two cores of a comparison.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cores {
    /// Where every server runs.
    pub(crate) server: usize,
    /// Where the load is made.
    pub(crate) client: usize,
}

impl Cores {
    /// The first two cores that this process may use; `None` where it has but one.
    pub(crate) fn choose() -> Result<Option<Self>> {
        let allowed = sched_getaffinity(None)
            .into_diagnostic()
            .wrap_err("which cores this process may use")?;
        let mut cores = (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core));
        Ok(cores
            .next()
            .zip(cores.next())
            .map(|(server, client)| Self { server, client }))
    }

    /// Keeps this thread, and every thread that it starts, on the client's core.
    pub(crate) fn stay_on_client(self) -> Result<()> {
        let mut only = CpuSet::new();
        only.set(self.client);
        sched_setaffinity(None, &only)
            .into_diagnostic()
            .wrap_err_with(|| format!("staying on core {}", self.client))
    }
}
