//! CPU time of the workers alone: load and target live in the same process.

use std::fs;
use std::io;
use std::time::Duration;

/// CPU time that the threads called `kariz-worker-*` of this process have used.
pub(super) fn workers() -> io::Result<Duration> {
    let mut total = Duration::ZERO;
    for task in fs::read_dir("/proc/self/task")? {
        let task = task?.path();
        // A thread may end while it is looked at.
        let (Ok(name), Ok(stat)) = (
            fs::read_to_string(task.join("comm")),
            fs::read_to_string(task.join("schedstat")),
        ) else {
            continue;
        };
        if name.starts_with("kariz-worker") {
            let nanos = stat.split_whitespace().next().and_then(|field| field.parse().ok());
            total += Duration::from_nanos(nanos.ok_or_else(|| io::Error::other("schedstat: unknown format"))?);
        }
    }
    Ok(total)
}
