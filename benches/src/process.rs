//! What a process costs: CPU time, memory, descriptors, threads and children, read from outside.
#![allow(unsafe_code)] // Two calls: no safe crate in the tree reads the CPU clock of another process.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io;
use std::mem::MaybeUninit;
use std::time::Duration;

/// CPU time that all threads of the process have used since it started, those that ended included, and the kernel's
/// share with it. Nanosecond resolution, unlike the ticks of `/proc/PID/stat`.
///
/// # Errors
/// There is no such process.
pub fn cpu_time(pid: u32) -> io::Result<Duration> {
    let pid = libc::pid_t::try_from(pid).map_err(|_| io::ErrorKind::InvalidInput)?;
    let mut clock = MaybeUninit::uninit();
    // SAFETY: the pointer is valid for the write of one clockid_t.
    let code = unsafe { libc::clock_getcpuclockid(pid, clock.as_mut_ptr()) };
    if code != 0 {
        return Err(io::Error::from_raw_os_error(code));
    }
    let mut time = MaybeUninit::<libc::timespec>::uninit();
    // SAFETY: the call above succeeded and so wrote the clock; `time` is valid for the write of one timespec.
    if unsafe { libc::clock_gettime(clock.assume_init(), time.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: clock_gettime succeeded and so filled it.
    let time = unsafe { time.assume_init() };
    let nanos = u32::try_from(time.tv_nsec).unwrap_or_default();
    Ok(Duration::new(u64::try_from(time.tv_sec).unwrap_or_default(), nanos))
}

/// User memory of a process, in bytes, from `/proc/PID/smaps_rollup`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Memory {
    /// Resident pages, those shared with other processes included.
    pub rss: u64,
    /// Resident pages, shared ones divided by the number of their users.
    pub pss: u64,
    /// Resident pages that belong to no file: heap and stacks.
    pub anonymous: u64,
}

/// Reads the user memory of a process.
///
/// # Errors
/// There is no such process, or it belongs to someone else.
pub fn memory(pid: u32) -> io::Result<Memory> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    parse_rollup(&text).ok_or_else(|| io::Error::other(format!("/proc/{pid}/smaps_rollup: unknown format")))
}

/// The most memory that was ever resident of a process, in bytes.
///
/// # Errors
/// There is no such process.
pub fn peak_rss(pid: u32) -> io::Result<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    kib_field(&text, "VmHWM").ok_or_else(|| io::Error::other(format!("/proc/{pid}/status: unknown format")))
}

/// Counts the open descriptors of a process.
///
/// # Errors
/// There is no such process, or it belongs to someone else.
pub fn descriptors(pid: u32) -> io::Result<usize> {
    Ok(std::fs::read_dir(format!("/proc/{pid}/fd"))?.count())
}

/// Counts the threads of a process.
///
/// # Errors
/// There is no such process.
pub fn threads(pid: u32) -> io::Result<usize> {
    Ok(std::fs::read_dir(format!("/proc/{pid}/task"))?.count())
}

/// The children of a process, those that ended and were not waited for (zombies) included.
///
/// # Errors
/// There is no such process.
pub fn children(pid: u32) -> io::Result<Vec<u32>> {
    let mut children = Vec::new();
    for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        // A thread may end between listing and looking.
        let list = std::fs::read_to_string(task?.path().join("children")).unwrap_or_default();
        children.extend(list.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
    }
    Ok(children)
}

/// Whether a process is there and not a zombie.
pub fn runs(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(") ").and_then(|(_, fields)| fields.chars().next());
    state.is_some_and(|state| !matches!(state, 'Z' | 'X'))
}

/// Raises the soft limit of open descriptors of this process to the hard one, and returns it.
pub fn raise_descriptor_limit() -> u64 {
    lift_descriptor_limit(0)
}

/// Raises the hard limit to `at_least`, which needs privileges, then the soft one to the hard one, and returns it. Processes
/// that are started from now on inherit both.
pub fn lift_descriptor_limit(at_least: u64) -> u64 {
    let hard = getrlimit(Resource::Nofile).maximum;
    let lifted = hard.map(|hard| hard.max(at_least));
    for limit in [lifted, hard] {
        let both = Rlimit {
            current: limit,
            maximum: limit,
        };
        // Without permission the old limit stays: the return value tells the caller what there is.
        if setrlimit(Resource::Nofile, both).is_ok() {
            break;
        }
    }
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

fn parse_rollup(text: &str) -> Option<Memory> {
    Some(Memory {
        rss: kib_field(text, "Rss")?,
        pss: kib_field(text, "Pss")?,
        anonymous: kib_field(text, "Anonymous")?,
    })
}

/// The bytes of a line `name: 12 kB`.
fn kib_field(text: &str, name: &str) -> Option<u64> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    let kib = line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_grows_with_work() {
        let before = cpu_time(std::process::id()).unwrap();
        let mut state = 1;
        while cpu_time(std::process::id()).unwrap() < before + Duration::from_millis(5) {
            crate::pattern::mix(&mut state);
        }
        assert!(cpu_time(u32::MAX).is_err());
    }

    #[test]
    fn the_rollup_is_read_by_name() {
        let text = "55d0-7fff ---p 00000000 00:00 0   [rollup]\nRss:    2176 kB\nPss:     300 kB\nPss_Dirty: 9 kB\nAnonymous:   128 kB\n";
        let expected = Memory {
            rss: 2176 * 1024,
            pss: 300 * 1024,
            anonymous: 128 * 1024,
        };
        assert_eq!(parse_rollup(text), Some(expected));
        assert_eq!(parse_rollup("Rss: many\n"), None);
    }

    #[test]
    fn a_zombie_is_a_child_that_does_not_run() {
        let mut child = std::process::Command::new("cat")
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let (own, pid) = (std::process::id(), child.id());
        assert!(runs(pid) && children(own).unwrap().contains(&pid));
        drop(child.stdin.take());
        while runs(pid) {
            std::thread::yield_now();
        }
        assert!(children(own).unwrap().contains(&pid), "nobody waited for it");
        child.wait().unwrap();
        assert!(!children(own).unwrap().contains(&pid));
        assert!(threads(own).unwrap() > 0);
    }

    #[test]
    fn own_memory_and_descriptors_are_readable() {
        let own = std::process::id();
        let now = memory(own).unwrap().rss;
        assert!(now > 100_000 && peak_rss(own).unwrap() > 100_000);
        assert!(descriptors(own).unwrap() > 2);
        assert!(raise_descriptor_limit() > 0);
    }
}
