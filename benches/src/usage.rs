//! What a server costs, as the kernel counts it in `/proc`: processor time, memory, reading of
//! disks. Never estimates: what cannot be read is an error.

use std::fs;

use miette::{IntoDiagnostic as _, Result, WrapErr as _, miette};
use rustix::param::clock_ticks_per_second;

/// Memory of a process, in MiB.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Memory {
    /// `VmRSS`: everything resident, mapped files included.
    pub(crate) resident: f64,
    /// `RssAnon`: what is the process's own, and no file.
    pub(crate) own: f64,
    /// `VmHWM`: the most that `VmRSS` has been since [`forget_peak`].
    pub(crate) peak: f64,
}

/// Processor seconds (user and system) of a process, its threads and its children.
pub(crate) fn cpu_seconds(process: u32) -> Result<f64> {
    let mut ticks = 0;
    for process in family(process)? {
        ticks += ticks_of(&process.to_string())?;
    }
    Ok(seconds(ticks))
}

/// Processor seconds of the threads of a process that have this name.
pub(crate) fn thread_cpu_seconds(process: u32, name: &str) -> Result<f64> {
    let tasks = format!("/proc/{process}/task");
    let mut ticks = 0;
    for task in fs::read_dir(&tasks).into_diagnostic().wrap_err(tasks)? {
        let task = task.into_diagnostic()?.path();
        // One may end meanwhile.
        let comm = fs::read_to_string(task.join("comm")).unwrap_or_default();
        if comm.trim_end() == name {
            ticks += ticks_of(&format!(
                "{process}/task/{}",
                task.file_name().unwrap_or_default().display()
            ))?;
        }
    }
    Ok(seconds(ticks))
}

/// Processor seconds of this very process.
pub(crate) fn own_cpu_seconds() -> Result<f64> {
    Ok(seconds(ticks_of("self")?))
}

/// Processor seconds that the whole machine has worked, on all its cores.
pub(crate) fn machine_cpu_seconds() -> Result<f64> {
    let stat = read("/proc/stat")?;
    let line = stat.lines().next().unwrap_or_default();
    let fields: Vec<u64> = line
        .split_ascii_whitespace()
        .skip(1)
        .map_while(|field| field.parse().ok())
        .collect();
    // user, nice, system, idle, iowait, irq, softirq: all but the two that are not work.
    let work = [0, 1, 2, 5, 6].iter().filter_map(|at| fields.get(*at));
    Ok(seconds(work.sum()))
}

/// Memory of a process and its children, added up.
pub(crate) fn memory(process: u32) -> Result<Memory> {
    let mut sum = Memory::default();
    for process in family(process)? {
        let status = read(&format!("/proc/{process}/status"))?;
        let mebibytes = |key: &str| {
            let line = status.lines().find(|line| line.starts_with(key));
            let number = line.and_then(|line| line.split_ascii_whitespace().nth(1));
            let number = number.and_then(|number| number.parse::<u32>().ok());
            number.map(|kibibytes| f64::from(kibibytes) / 1024.0)
        };
        let missing = || miette!("/proc/{process}/status names no resident memory");
        sum.resident += mebibytes("VmRSS:").ok_or_else(missing)?;
        sum.own += mebibytes("RssAnon:").ok_or_else(missing)?;
        sum.peak += mebibytes("VmHWM:").ok_or_else(missing)?;
    }
    Ok(sum)
}

/// Begins a new `VmHWM`.
pub(crate) fn forget_peak(process: u32) -> Result<()> {
    for process in family(process)? {
        let file = format!("/proc/{process}/clear_refs");
        fs::write(&file, "5").into_diagnostic().wrap_err(file)?;
    }
    Ok(())
}

/// Bytes that a process and its children have had read from disks.
pub(crate) fn read_from_disk(process: u32) -> Result<u64> {
    let mut sum = 0;
    for process in family(process)? {
        let io = read(&format!("/proc/{process}/io"))?;
        let bytes = io
            .lines()
            .find_map(|line| line.strip_prefix("read_bytes: "));
        sum += bytes
            .and_then(|bytes| bytes.parse::<u64>().ok())
            .unwrap_or(0);
    }
    Ok(sum)
}

/// A process and its children.
pub(crate) fn family(process: u32) -> Result<Vec<u32>> {
    let children = read(&format!("/proc/{process}/task/{process}/children"))?;
    let children = children.split_ascii_whitespace();
    let children = children.filter_map(|child| child.parse().ok());
    Ok(std::iter::once(process).chain(children).collect())
}

fn ticks_of(process: &str) -> Result<u64> {
    let stat = read(&format!("/proc/{process}/stat"))?;
    // The second field is the program's name in parentheses and may hold anything.
    let (_, fields) = stat.rsplit_once(')').unwrap_or_default();
    let times = fields.split_ascii_whitespace().skip(11).take(2);
    Ok(times.filter_map(|time| time.parse::<u64>().ok()).sum())
}

#[expect(
    clippy::cast_precision_loss,
    reason = "ticks of a process that has run for less than a million years"
)]
fn seconds(ticks: u64) -> f64 {
    ticks as f64 / clock_ticks_per_second() as f64
}

fn read(file: &str) -> Result<String> {
    fs::read_to_string(file)
        .into_diagnostic()
        .wrap_err_with(|| format!("{file} (did the server end?)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_of_this_process_is_counted_for_it_and_for_the_machine() {
        let (own, machine) = (own_cpu_seconds().unwrap(), machine_cpu_seconds().unwrap());
        let mut sum = 0u64;
        while own_cpu_seconds().unwrap() < own + 0.05 {
            sum = (0..1_000_000).fold(sum, |sum, next| sum.wrapping_mul(31) + next);
        }
        assert!(machine_cpu_seconds().unwrap() >= machine + 0.03, "{sum}");
        assert!(cpu_seconds(std::process::id()).unwrap() >= own + 0.05);
    }

    #[test]
    fn memory_that_is_touched_is_resident_and_stays_in_the_peak() {
        let before = memory(std::process::id()).unwrap();
        let touched = vec![1u8; 64 << 20];
        let with = memory(std::process::id()).unwrap();
        assert!(with.own > before.own + 60.0, "{with:?} after {before:?}");
        drop(touched);
        assert!(memory(std::process::id()).unwrap().peak >= with.resident - 1.0);
    }
}
