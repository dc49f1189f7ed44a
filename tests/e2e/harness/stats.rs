//! What a process costs, seen from outside, and the counters that it logs on SIGUSR1.

use super::config::WORKERS;
use super::process::{Kariz, Signal};
use super::wait::eventually;
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

/// A counter that only the SIGUSR1 line has, by which the line is known.
const MARK: &str = "accept_paused";

impl Kariz {
    /// Open descriptors.
    pub fn descriptors(&self) -> Result<usize> {
        Ok(std::fs::read_dir(format!("/proc/{}/fd", self.pid()))?.count())
    }

    /// Resident memory in KiB.
    pub fn resident_kib(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()))?;
        let line = status
            .lines()
            .find(|line| line.starts_with("VmRSS:"))
            .context("a running process has VmRSS")?;
        let number = line.split_whitespace().nth(1).context("VmRSS has a number")?;
        Ok(number.parse()?)
    }

    /// CPU time, user and kernel together.
    pub fn cpu_time(&self) -> Result<Duration> {
        const TICKS_PER_SECOND: u64 = 100;
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid()))?;
        // The second field is the name in parentheses, which may hold spaces: count from its end.
        let fields = stat.rsplit_once(") ").context("stat has a name")?.1;
        let fields: Vec<&str> = fields.split(' ').collect();
        let ticks = fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
        Ok(Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND))
    }

    /// What each descriptor is, as `/proc` names it (`socket:[..]`, `anon_inode:[io_uring]`).
    pub fn descriptor_names(&self) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(format!("/proc/{}/fd", self.pid()))? {
            // A descriptor may be closed between listing and looking.
            if let Ok(target) = std::fs::read_link(entry?.path()) {
                names.push(target.to_string_lossy().into_owned());
            }
        }
        Ok(names)
    }

    /// Asks for the counters and adds up those of all workers. Needs `log_format = "json"`.
    pub async fn counters(&self) -> Result<BTreeMap<String, u64>> {
        let lines = self.counter_lines(WORKERS as usize).await?;
        let mut sums = BTreeMap::new();
        for (name, value) in lines.iter().flatten() {
            *sums.entry(name.clone()).or_default() += value;
        }
        Ok(sums)
    }

    /// Asks for the counters: one map for each worker.
    pub async fn counter_lines(&self, workers: usize) -> Result<Vec<BTreeMap<String, u64>>> {
        let before = self.log().len();
        self.signal(Signal::USR1)?;
        let look = || async {
            let log = self.log();
            let fresh = log.get(before..).context("a log only grows")?;
            let lines: Vec<_> = fresh.lines().filter_map(counters_of).collect();
            ensure!(lines.len() >= workers, "{} of {workers} counter lines", lines.len());
            Ok(lines)
        };
        let (lines, _) = eventually(Duration::from_secs(10), "counters after SIGUSR1", look).await?;
        Ok(lines)
    }
}

/// The numbers in a JSON log line, if it is a counter line: fields, nested ones, and `name=number` in strings.
fn counters_of(line: &str) -> Option<BTreeMap<String, u64>> {
    let value: Value = serde_json::from_str(line).ok()?;
    let mut numbers = BTreeMap::new();
    collect(&value, &mut numbers);
    numbers.contains_key(MARK).then_some(numbers)
}

fn collect(value: &Value, numbers: &mut BTreeMap<String, u64>) {
    for (name, value) in value.as_object().into_iter().flatten() {
        let pairs = value
            .as_str()
            .into_iter()
            .flat_map(|text| text.split(' '))
            .filter_map(|pair| pair.split_once('='));
        numbers.extend(pairs.filter_map(|(name, number)| Some((name.to_owned(), number.parse().ok()?))));
        match value.as_u64() {
            Some(number) => drop(numbers.insert(name.clone(), number)),
            None => collect(value, numbers),
        }
    }
}

/// Fails while a visitor, a buffer, a pipe or a byte is still in somebody's hands.
pub fn pools_full(counters: &BTreeMap<String, u64>) -> Result<()> {
    for gauge in [
        "visitors",
        "targets",
        "waiting",
        "handshakes",
        "pipes_busy",
        "buffers_busy",
        "mux_buffered",
        "said_kept",
    ] {
        let value = counters
            .get(gauge)
            .with_context(|| format!("there is no gauge {gauge}"))?;
        ensure!(*value == 0, "{gauge} is {value}");
    }
    Ok(())
}
