//! What one has to know of the machine to compare results.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// The machine that a result was measured on.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Machine {
    cpu: String,
    cpus: usize,
    memory_mib: u64,
    kernel: String,
    congestion_control: String,
    /// `net.ipv4.tcp_notsent_lowat` where it was measured; the kernel's default is 4294967295, no bound.
    notsent_lowat: String,
    /// Share of the CPUs that was busy just before the measurement began, in percent: well above 0 spoils it.
    busy_before: Option<f64>,
}

impl Machine {
    /// Reads what the kernel tells, and looks for [`LOOK`] how busy it is; of the network, what holds in the namespace of the
    /// calling thread.
    pub(crate) fn of_this() -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default().trim().to_owned();
        Self {
            cpu: field(&read("/proc/cpuinfo"), "model name").unwrap_or_else(|| "unknown".into()),
            cpus: std::thread::available_parallelism().map_or(0, usize::from),
            memory_mib: field(&read("/proc/meminfo"), "MemTotal")
                .and_then(|total| total.strip_suffix(" kB")?.parse::<u64>().ok())
                .unwrap_or(0)
                / 1024,
            kernel: read("/proc/sys/kernel/osrelease"),
            congestion_control: read("/proc/sys/net/ipv4/tcp_congestion_control"),
            notsent_lowat: read("/proc/sys/net/ipv4/tcp_notsent_lowat"),
            busy_before: busy(),
        }
    }

    /// Warns if something else was running.
    pub(crate) fn warn_if_busy(&self) {
        if let Some(busy @ 5.0..) = self.busy_before {
            eprintln!("{busy:.0} % of the CPUs are busy with other things: only ratios mean something, and they less");
        }
    }
}

impl fmt::Display for Machine {
    /// One line for a caption.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}, {} CPUs, {} MiB, Linux {}, {}, tcp_notsent_lowat {}",
            self.cpu, self.cpus, self.memory_mib, self.kernel, self.congestion_control, self.notsent_lowat
        )?;
        match self.busy_before {
            Some(busy) => write!(f, "; {busy:.0} % busy before the start"),
            None => Ok(()),
        }
    }
}

/// How long a look at the CPUs takes.
const LOOK: Duration = Duration::from_secs(2);

/// Percent of the CPUs' time that is used.
fn busy() -> Option<f64> {
    let times = || cpu_times(&std::fs::read_to_string("/proc/stat").ok()?);
    let (all_before, idle_before) = times()?;
    std::thread::sleep(LOOK);
    let (all, idle) = times()?;
    let passed = all.checked_sub(all_before).filter(|passed| *passed > 0)?;
    Some(100.0 * (1.0 - idle.saturating_sub(idle_before) as f64 / passed as f64))
}

/// Ticks of all CPUs so far, and those of them that were idle (or waited for a disk), from `/proc/stat`.
fn cpu_times(stat: &str) -> Option<(u64, u64)> {
    let all = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let ticks = all.split_whitespace().map(|field| field.parse().ok());
    // What follows (the time of guests) is part of the first two.
    let ticks: Vec<u64> = ticks.take(8).collect::<Option<_>>()?;
    Some((ticks.iter().sum(), ticks.get(3)? + ticks.get(4)?))
}

/// The value of the first `name : value` line.
fn field(text: &str, name: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim().to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_time_is_told_from_all() {
        let stat = "cpu  10 1 20 100 5 0 4 2 7 3\ncpu0 1 1 1 1 1 1 1 1 1 1\n";
        assert_eq!(cpu_times(stat), Some((142, 105)));
        assert_eq!(cpu_times("cpu  1 2 x 4"), None);
    }

    #[test]
    fn fields_are_found_by_their_whole_name() {
        let text = "model\t\t: 207\nmodel name\t: Some CPU\nMemTotal:        1024 kB\n";
        assert_eq!(field(text, "model name").as_deref(), Some("Some CPU"));
        assert_eq!(field(text, "MemTotal").as_deref(), Some("1024 kB"));
        assert_eq!(field(text, "name"), None);
    }
}
