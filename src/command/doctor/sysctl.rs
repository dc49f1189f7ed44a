//! Kernel settings that decide how fast and how much.

use super::finding::{Finding, Verdict};
use super::machine::Machine;

const MIB: u64 = 1 << 20;
/// Largest pipe that the workers ask for.
const PIPE_BYTES: u64 = MIB;
/// Visitors that may wait to be accepted.
const BACKLOG: u64 = 4096;
/// What `so_rcvbuf` and `so_sndbuf` usually ask for.
const SOCKET_BUFFER: u64 = 4 * MIB;
/// A gigabit over 100 ms.
const TCP_BUFFER: u64 = 16 * MIB;
/// Source ports for connections to one address: few, and hardly any.
const PORTS: u64 = 28_000;
const LEAST_PORTS: u64 = 64;

/// Every setting that is looked at.
pub(super) fn all(machine: &Machine) -> Vec<Finding> {
    vec![
        at_least(machine, "fs.pipe-max-size", PIPE_BYTES),
        pipe_pages(machine),
        at_least(machine, "net.core.somaxconn", BACKLOG),
        at_least(machine, "net.ipv4.tcp_max_syn_backlog", BACKLOG),
        congestion_control(machine),
        at_least(machine, "net.core.rmem_max", SOCKET_BUFFER),
        at_least(machine, "net.core.wmem_max", SOCKET_BUFFER),
        tcp_memory(machine, "net.ipv4.tcp_rmem", "4096 131072 33554432"),
        tcp_memory(machine, "net.ipv4.tcp_wmem", "4096 65536 33554432"),
        local_ports(machine),
    ]
}

fn at_least(machine: &Machine, name: &'static str, least: u64) -> Finding {
    match machine.sysctl(name) {
        None => Finding::unknown(name),
        Some(value) if value.parse().is_ok_and(|number: u64| number >= least) => Finding::ok(name, value),
        Some(value) => Finding::bad(name, value, Verdict::Warn, format!("sysctl -w {name}={least}")),
    }
}

/// Beyond this many pages of all pipes of a user, new pipes have one or two pages only.
fn pipe_pages(machine: &Machine) -> Finding {
    let name = "fs.pipe-user-pages-soft";
    match machine.sysctl(name) {
        None => Finding::unknown(name),
        Some(value) if value == "0" || machine.is_exempt_from_pipe_limits() => Finding::ok(name, value),
        Some(value) => Finding::bad(
            name,
            value,
            Verdict::Warn,
            format!("sysctl -w {name}=0, or run with CAP_SYS_RESOURCE"),
        ),
    }
}

fn congestion_control(machine: &Machine) -> Finding {
    let name = "net.ipv4.tcp_congestion_control";
    match machine.sysctl(name) {
        None => Finding::unknown(name),
        Some(value) if value.starts_with("bbr") => Finding::ok(name, value),
        Some(value) => {
            let mend = format!("for paths with loss: modprobe tcp_bbr; sysctl -w {name}=bbr");
            Finding::bad(name, value, Verdict::Warn, mend)
        }
    }
}

/// The third number is how far the kernel lets a window grow.
fn tcp_memory(machine: &Machine, name: &'static str, better: &str) -> Finding {
    let Some(value) = machine.sysctl(name) else {
        return Finding::unknown(name);
    };
    let shown = value.split_whitespace().collect::<Vec<_>>().join(" ");
    let largest = value
        .split_whitespace()
        .nth(2)
        .and_then(|number| number.parse::<u64>().ok());
    if largest.is_some_and(|largest| largest >= TCP_BUFFER) {
        Finding::ok(name, shown)
    } else {
        Finding::bad(
            name,
            shown,
            Verdict::Warn,
            format!("for long paths: sysctl -w {name}=\"{better}\""),
        )
    }
}

fn local_ports(machine: &Machine) -> Finding {
    let name = "net.ipv4.ip_local_port_range";
    let Some(value) = machine.sysctl(name) else {
        return Finding::unknown(name);
    };
    let shown = value.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut numbers = value.split_whitespace().map(str::parse::<u64>);
    let (Some(Ok(first)), Some(Ok(last))) = (numbers.next(), numbers.next()) else {
        return Finding::unknown(name);
    };
    let mend = format!("sysctl -w {name}=\"10000 65535\"");
    match (last + 1).saturating_sub(first) {
        PORTS.. => Finding::ok(name, shown),
        LEAST_PORTS.. => Finding::bad(name, shown, Verdict::Warn, mend),
        _ => Finding::bad(name, shown, Verdict::Fail, mend),
    }
}
