//! The kernel and its io_uring.

use super::finding::{Finding, Verdict};
use super::machine::Machine;
use io_uring::IoUring;

/// Oldest kernel with everything that the workers use with epoll.
const OLDEST: (u32, u32) = (4, 9);
/// Oldest kernel whose io_uring is good enough.
const OLDEST_FOR_URING: (u32, u32) = (5, 10);
/// Size of the ring that is set up as a trial.
const TRIAL_ENTRIES: u32 = 64;

pub(super) fn version(machine: &Machine) -> Finding {
    let name = "kernel";
    let Some(release) = machine.sysctl("kernel.osrelease") else {
        return Finding::unknown(name);
    };
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse::<u32>);
    let (Some(Ok(major)), Some(Ok(minor))) = (numbers.next(), numbers.next()) else {
        return Finding::unknown(name);
    };
    let mend = "install a newer kernel: io_uring is good from 5.10 on, without it epoll is used";
    match (major, minor) {
        version if version >= OLDEST_FOR_URING => Finding::ok(name, release),
        version if version >= OLDEST => Finding::bad(name, release, Verdict::Warn, mend),
        _ => Finding::bad(name, release, Verdict::Fail, mend),
    }
}

/// Sets a ring up, which is what counts: a seccomp profile may forbid what the sysctl allows.
pub(super) fn io_uring() -> Finding {
    let name = "io_uring";
    match IoUring::new(TRIAL_ENTRIES) {
        Ok(_) => Finding::ok(name, "usable"),
        Err(error) => Finding::bad(
            name,
            error.to_string(),
            Verdict::Warn,
            "epoll is used; sysctl -w kernel.io_uring_disabled=0, in a container a seccomp profile that allows io_uring_*",
        ),
    }
}

pub(super) fn io_uring_disabled(machine: &Machine) -> Finding {
    let name = "kernel.io_uring_disabled";
    // Kernels before 6.6 have no such switch.
    match machine.sysctl(name).as_deref() {
        None => Finding::ok(name, "no such switch"),
        Some("0") => Finding::ok(name, "0"),
        Some(value) => Finding::bad(name, value, Verdict::Warn, format!("epoll is used; sysctl -w {name}=0")),
    }
}
