//! What the machine offers: io_uring, cores, descriptors.

use std::io;
use std::thread::available_parallelism;

/// Descriptors kept back from visitors: listeners, pipes, rings, logs, the control plane.
const RESERVED_DESCRIPTORS: u64 = 64;

/// Whether a ring can be set up here; a container's seccomp profile or a sysctl may forbid it.
pub(crate) fn uring_works() -> io::Result<()> {
    if monoio::utils::detect_uring() {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::Unsupported,
        "io_uring is not available here (see `kariz doctor`)",
    ))
}

/// The cores that this process may run on.
pub(crate) fn cores() -> Vec<usize> {
    match rustix::thread::sched_getaffinity(None) {
        Ok(set) => (0..rustix::thread::CpuSet::MAX_CPU)
            .filter(|core| set.is_set(*core))
            .collect(),
        Err(_) => Vec::new(),
    }
}

/// One worker per core, unless the operator says otherwise.
pub(crate) fn default_workers() -> usize {
    available_parallelism().map_or(1, usize::from)
}

/// Visitors that the descriptor limit allows: two descriptors each.
pub(crate) fn default_max_visitors() -> u64 {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    limit.current.unwrap_or(u64::MAX).saturating_sub(RESERVED_DESCRIPTORS) / 2
}
