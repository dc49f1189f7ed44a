//! What one has to know of the machine to compare results.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The machine that a result was measured on.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Machine {
    cpu: String,
    cpus: usize,
    memory_mib: u64,
    kernel: String,
    congestion_control: String,
    /// `net.ipv4.tcp_notsent_lowat` where it was measured; the kernel's default is 4294967295, no bound.
    #[serde(default)]
    notsent_lowat: String,
    /// Load average of the last minute before the measurement began: well above 0 spoils it.
    load_before: f64,
}

impl Machine {
    /// Reads what the kernel tells; of the network, what holds in the namespace of the calling thread.
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
            load_before: read("/proc/loadavg")
                .split(' ')
                .next()
                .and_then(|load| load.parse().ok())
                .unwrap_or(0.0),
        }
    }

    /// Warns if something else was running.
    pub(crate) fn warn_if_busy(&self) {
        if self.load_before > 0.5 {
            eprintln!(
                "the load average is {}: only ratios mean something, and they less",
                self.load_before
            );
        }
    }
}

impl fmt::Display for Machine {
    /// One line for a caption.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}, {} CPUs, {} MiB, Linux {}, {}, tcp_notsent_lowat {}; load average {} before the start",
            self.cpu,
            self.cpus,
            self.memory_mib,
            self.kernel,
            self.congestion_control,
            self.notsent_lowat,
            self.load_before
        )
    }
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
    fn fields_are_found_by_their_whole_name() {
        let text = "model\t\t: 207\nmodel name\t: Some CPU\nMemTotal:        1024 kB\n";
        assert_eq!(field(text, "model name").as_deref(), Some("Some CPU"));
        assert_eq!(field(text, "MemTotal").as_deref(), Some("1024 kB"));
        assert_eq!(field(text, "name"), None);
    }
}
