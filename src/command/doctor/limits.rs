//! How many descriptors the process may have.

use super::finding::{Finding, Verdict};
use super::machine::Machine;

/// Below this there is no room for workers, pipes and a few visitors.
const LEAST: u64 = 256;
/// Two descriptors for each of some ten thousand visitors, and pipes.
const ENOUGH: u64 = 65_536;

/// Soft and hard limit.
pub(super) fn nofile(machine: &Machine) -> [Finding; 2] {
    let limits = machine.read("self/limits").unwrap_or_default();
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))
        .unwrap_or_default();
    let mut columns = line.split_whitespace();
    [
        finding("nofile soft", columns.next()),
        finding("nofile hard", columns.next()),
    ]
}

fn finding(name: &'static str, limit: Option<&str>) -> Finding {
    let number = match limit {
        Some("unlimited") => Some(u64::MAX),
        Some(limit) => limit.parse().ok(),
        None => None,
    };
    let (Some(limit), Some(number)) = (limit, number) else {
        return Finding::unknown(name);
    };
    let mend = "LimitNOFILE=1048576 in the systemd unit, --ulimit nofile=1048576 in docker, or ulimit -n 1048576";
    match number {
        ENOUGH.. => Finding::ok(name, limit),
        LEAST.. => Finding::bad(name, limit, Verdict::Warn, mend),
        _ => Finding::bad(name, limit, Verdict::Fail, mend),
    }
}
