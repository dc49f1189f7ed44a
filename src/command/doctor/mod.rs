//! `kariz doctor`: says what this machine is missing, and how to mend it.

mod finding;
mod kernel;
mod limits;
mod machine;
mod sysctl;

use crate::exit::Exit;
use finding::{Finding, Verdict};
use machine::Machine;

/// Prints a table of what was looked at. [`Exit::Failed`] if something keeps Kariz from working.
pub(crate) fn doctor() -> Exit {
    let machine = Machine::this();
    let findings = examine(&machine);
    match super::print(&finding::table(&findings)) {
        Exit::Done if findings.iter().any(|finding| finding.verdict == Verdict::Fail) => Exit::Failed,
        exit => exit,
    }
}

fn examine(machine: &Machine) -> Vec<Finding> {
    let mut findings = vec![
        kernel::version(machine),
        kernel::io_uring(),
        kernel::io_uring_disabled(machine),
    ];
    findings.extend(limits::nofile(machine));
    findings.extend(sysctl::all(machine));
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(machine: &Machine, name: &str) -> Verdict {
        let findings = examine(machine);
        findings
            .iter()
            .find(|finding| finding.name == name)
            .unwrap_or_else(|| panic!("no {name}"))
            .verdict
    }

    #[test]
    fn a_tuned_machine_is_all_right() {
        let root = tempfile::tempdir().unwrap();
        let machine = machine::pretend(root.path(), machine::TUNED);
        for finding in examine(&machine).iter().filter(|finding| finding.name != "io_uring") {
            assert_eq!(finding.verdict, Verdict::Ok, "{}: {}", finding.name, finding.found);
        }
    }

    #[test]
    fn each_thing_that_is_wrong_is_seen() {
        for (path, content, name, expected) in [
            ("sys/kernel/osrelease", "4.4.0-generic", "kernel", Verdict::Fail),
            ("sys/kernel/osrelease", "5.4.0-generic", "kernel", Verdict::Warn),
            (
                "sys/kernel/io_uring_disabled",
                "2",
                "kernel.io_uring_disabled",
                Verdict::Warn,
            ),
            (
                "self/limits",
                "Max open files  1024  4096  files",
                "nofile soft",
                Verdict::Warn,
            ),
            (
                "self/limits",
                "Max open files  64  64  files",
                "nofile hard",
                Verdict::Fail,
            ),
            ("sys/fs/pipe-max-size", "65536", "fs.pipe-max-size", Verdict::Warn),
            (
                "sys/fs/pipe-user-pages-soft",
                "16384",
                "fs.pipe-user-pages-soft",
                Verdict::Warn,
            ),
            ("sys/net/core/somaxconn", "128", "net.core.somaxconn", Verdict::Warn),
            (
                "sys/net/ipv4/tcp_max_syn_backlog",
                "128",
                "net.ipv4.tcp_max_syn_backlog",
                Verdict::Warn,
            ),
            (
                "sys/net/ipv4/tcp_congestion_control",
                "cubic",
                "net.ipv4.tcp_congestion_control",
                Verdict::Warn,
            ),
            ("sys/net/core/rmem_max", "212992", "net.core.rmem_max", Verdict::Warn),
            ("sys/net/core/wmem_max", "212992", "net.core.wmem_max", Verdict::Warn),
            (
                "sys/net/ipv4/tcp_rmem",
                "4096 131072 6291456",
                "net.ipv4.tcp_rmem",
                Verdict::Warn,
            ),
            (
                "sys/net/ipv4/tcp_wmem",
                "4096 16384 garbage",
                "net.ipv4.tcp_wmem",
                Verdict::Warn,
            ),
            (
                "sys/net/ipv4/ip_local_port_range",
                "60000 60999",
                "net.ipv4.ip_local_port_range",
                Verdict::Warn,
            ),
            (
                "sys/net/ipv4/ip_local_port_range",
                "60000 60009",
                "net.ipv4.ip_local_port_range",
                Verdict::Fail,
            ),
        ] {
            let root = tempfile::tempdir().unwrap();
            let machine = machine::pretend(root.path(), machine::TUNED);
            std::fs::write(root.path().join(path), content).unwrap();
            assert_eq!(verdict(&machine, name), expected, "{path} = {content}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_a_warning() {
        let root = tempfile::tempdir().unwrap();
        let machine = machine::pretend(root.path(), &[]);
        for finding in examine(&machine).iter().filter(|finding| finding.name != "io_uring") {
            assert_ne!(finding.verdict, Verdict::Fail, "{}", finding.name);
        }
    }
}
