//! What `metahub inspect --run-on` tells of a run: how it ended, what an operator may lift by it,
//! and what it does not show.

use metahub_emulation::End;
use metahub_operations::{RunOutcome, RunReport};

use crate::output;

/// Prints what a run showed, after the rest of the report.
pub(crate) fn print_run(run: &RunReport) -> miette::Result<()> {
    let end = match run.ended {
        End::Exited(code) => format!("ended with exit code {code}"),
        End::Signal(signal) => format!("was ended by signal {signal}"),
        End::Time => "was ended because it lasted too long: --run-time says how long".to_owned(),
        End::Memory => "was ended because it took too much memory".to_owned(),
        End::Disk => "was ended because it wrote too much to the disk".to_owned(),
    };
    let outcome = match run.outcome {
        RunOutcome::Ran => format!("it ran as {}", run.target),
        RunOutcome::NeedsMore => format!(
            "it needs more than {} has: it came to an instruction that this processor lacks (SIGILL)",
            run.target
        ),
        RunOutcome::Failed => {
            "it did not run to its end, which says nothing of the processor".to_owned()
        }
    };
    let mut facts = vec![
        ("ran", run.command.join(" ")),
        ("by", format!("{} -cpu {}", run.emulator, run.processor)),
        ("end", end),
        ("outcome", outcome),
    ];
    facts.extend(
        run.requires
            .iter()
            .map(|why| ("proven", format!("{why}: no run lifts that"))),
    );
    facts.extend(run.lifts.iter().map(|file| ("lifts", file.file.clone())));
    facts.extend(run.stays.iter().map(|file| {
        let why = file.why.unwrap_or_default();
        ("unknown", format!("{} stays so: {why}", file.file))
    }));
    output::line("")?;
    for (name, fact) in facts {
        output::line(format!(
            "{}  {fact}",
            output::heading(&format!("{name:<8}"))
        ))?;
    }
    if run.outcome != RunOutcome::Ran {
        return Ok(());
    }
    output::line("")?;
    if run.lifts.is_empty() {
        return output::line(format!(
            "Nothing that it opened is unknown for {}.",
            run.target
        ));
    }
    output::line(format!(
        "This shows that the code which this run came to runs on {}, not what other input, other\n\
         options or other programs of the image come to. If that is enough, lift it with",
        run.target
    ))?;
    let hashes = run.lifts.iter().filter_map(|file| file.sha256.as_deref());
    let lifted: Vec<String> = hashes
        .map(|hash| format!("\"sha256:{hash}@{}\"", run.target))
        .collect();
    output::line(format!("\ninspection_lifted: [{}]", lifted.join(", ")))
}
