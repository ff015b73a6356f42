//! What does the kernel say: about this machine, and about a process?

use crate::Outcome;
use crate::clock::now;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage, setrlimit};
use nix::sys::time::TimeValLike;
use nix::time::{ClockId, clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;
use std::fs::read_to_string;
use std::time::{Duration, Instant};

/// Which core the servers have, and which one the load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cores {
    /// The servers' own.
    pub server: usize,
    /// The load's own: the same one where there is no other.
    pub load: usize,
}

impl Cores {
    /// The first two that this process may use.
    pub fn choose() -> Outcome<Self> {
        let allowed = sched_getaffinity(Pid::from_raw(0))?;
        let mut cores =
            (0..CpuSet::count()).filter(|core| allowed.is_set(*core).unwrap_or_default());
        let server = cores.next().ok_or("this process may not run on any core")?;
        Ok(Self { server, load: cores.next().unwrap_or(server) })
    }

    /// Whether the load takes time from the servers.
    #[must_use]
    pub const fn are_one(self) -> bool {
        self.server == self.load
    }
}

/// Moves this thread, and what it starts from now on, to one core.
pub fn pin(core: usize) -> Outcome<()> {
    let mut set = CpuSet::new();
    set.set(core)?;
    Ok(sched_setaffinity(Pid::from_raw(0), &set)?)
}

/// Each client is a file descriptor: takes as many as the system allows, and says how many.
pub fn raise_file_limit() -> Outcome<u64> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most)?;
    Ok(most)
}

/// Time a process has spent on a core, user and system, all its threads, the ended ones too.
pub fn cpu_of(pid: i32) -> Outcome<Duration> {
    Ok(clock_gettime(clock_getcpuclockid(Pid::from_raw(pid))?)?.into())
}

/// The same for this process.
pub fn cpu_of_this() -> Outcome<Duration> {
    Ok(clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID)?.into())
}

/// Memory of a process, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// What it has in memory now.
    pub resident: u64,
    /// The most it ever had.
    pub peak: u64,
}

/// What a process holds.
pub fn memory_of(pid: i32) -> Outcome<Memory> {
    let status = read_to_string(format!("/proc/{pid}/status"))?;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kilobytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
        kilobytes.map(|kilobytes: u64| kilobytes * 1024).ok_or("the kernel does not say")
    };
    Ok(Memory { resident: field("VmRSS:")?, peak: field("VmHWM:")? })
}

/// What all other programs on this machine do meanwhile: a result is worth as much as the quiet around it.
#[derive(Clone, Copy, Debug)]
pub struct Neighbours {
    since: Instant,
    busy: Duration,
    own: Duration,
}

impl Neighbours {
    /// Looks from now on.
    pub fn watch() -> Outcome<Self> {
        Ok(Self { since: now(), busy: busy()?, own: own()? })
    }

    /// How many cores they have used since, on average.
    pub fn cores(&self) -> Outcome<f64> {
        let all = busy()?.saturating_sub(self.busy);
        let own = own()?.saturating_sub(self.own);
        Ok(all.saturating_sub(own).as_secs_f64() / self.since.elapsed().as_secs_f64().max(1e-9))
    }
}

/// Time in which some core did something for some program.
fn busy() -> Outcome<Duration> {
    let stat = read_to_string("/proc/stat")?;
    // Of the first line: user, nice and system time, in hundredths of a second (USER_HZ) of all cores.
    let ticks = stat.split_whitespace().skip(1).take(3);
    let ticks: u64 = ticks.map(str::parse::<u64>).sum::<Result<_, _>>()?;
    Ok(Duration::from_millis(ticks * 10))
}

/// What this process and all that it has started and ended have used.
fn own() -> Outcome<Duration> {
    let mut micros = 0;
    for who in [UsageWho::RUSAGE_SELF, UsageWho::RUSAGE_CHILDREN] {
        let usage = getrusage(who)?;
        micros += usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    }
    Ok(Duration::from_micros(u64::try_from(micros)?))
}

/// The machine in one line.
#[must_use]
pub fn describe() -> String {
    let cpu = read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split(": ").nth(1));
    let cores = cpu.lines().filter(|line| line.starts_with("processor")).count();
    let kernel = read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let memory = read_to_string("/proc/meminfo").unwrap_or_default();
    let kilobytes = memory.lines().find_map(|line| {
        line.strip_prefix("MemTotal:")?.trim().trim_end_matches(" kB").parse::<u64>().ok()
    });
    format!(
        "{}, {cores} cores, {} GiB, Linux {}",
        model.unwrap_or("unknown CPU"),
        kilobytes.unwrap_or_default().div_ceil(1024 * 1024),
        kernel.trim()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_busy_includes_this() {
        let before = own().expect("the kernel says");
        let sum = (0..3_000_000u64).fold(0, |sum, n| std::hint::black_box(sum ^ n));
        let after = own().expect("the kernel says");
        assert!(after > before, "{sum}");
        assert!(busy().expect("the kernel says") > after);
        let others = Neighbours::watch().and_then(|neighbours| neighbours.cores());
        assert!(others.expect("the kernel says") >= 0.0);
    }

    #[test]
    fn a_process_has_spent_time_and_holds_memory() {
        let pid = i32::try_from(std::process::id()).expect("a process number");
        let before = cpu_of(pid).expect("the kernel says");
        let sum = (0..3_000_000u64).fold(0, |sum, n| std::hint::black_box(sum ^ n));
        assert!(cpu_of(pid).expect("the kernel says") > before, "{sum}");
        let memory = memory_of(pid).expect("the kernel says");
        assert!(memory.resident > 0 && memory.peak >= memory.resident / 2);
    }
}
