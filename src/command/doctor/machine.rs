//! The machine as `/proc` shows it.

use std::path::{Path, PathBuf};

/// Capability that lifts the limit on pipe pages (`capabilities(7)`).
const CAP_SYS_RESOURCE: u32 = 24;
/// Another one that does.
const CAP_SYS_ADMIN: u32 = 21;

/// Where the machine's state is read.
pub(super) struct Machine {
    proc: PathBuf,
}

impl Machine {
    /// The machine that this runs on.
    pub(super) fn this() -> Self {
        Self {
            proc: PathBuf::from("/proc"),
        }
    }

    /// The content of a file under `/proc`, without the line end; `None` if it cannot be read.
    pub(super) fn read(&self, path: impl AsRef<Path>) -> Option<String> {
        let content = std::fs::read_to_string(self.proc.join(path)).ok()?;
        Some(content.trim_end().to_owned())
    }

    /// A sysctl by its dotted name.
    pub(super) fn sysctl(&self, name: &str) -> Option<String> {
        self.read(Path::new("sys").join(name.replace('.', "/")))
    }

    /// Whether this process is exempt from the limit on pipe pages of a user.
    pub(super) fn is_exempt_from_pipe_limits(&self) -> bool {
        let status = self.read("self/status").unwrap_or_default();
        let capabilities = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
        let capabilities = capabilities
            .and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok())
            .unwrap_or(0);
        capabilities & (1 << CAP_SYS_RESOURCE | 1 << CAP_SYS_ADMIN) != 0
    }
}

/// A machine on which all is well.
#[cfg(test)]
pub(super) const TUNED: &[(&str, &str)] = &[
    ("sys/kernel/osrelease", "6.8.0-generic\n"),
    ("sys/kernel/io_uring_disabled", "0\n"),
    (
        "self/limits",
        "Limit Soft Hard Units\nMax open files            1048576              1048576              files     \n",
    ),
    ("self/status", "Name:\tkariz\nCapEff:\t0000000000000000\n"),
    ("sys/fs/pipe-max-size", "1048576\n"),
    ("sys/fs/pipe-user-pages-soft", "0\n"),
    ("sys/net/core/somaxconn", "4096\n"),
    ("sys/net/ipv4/tcp_max_syn_backlog", "8192\n"),
    ("sys/net/ipv4/tcp_congestion_control", "bbr\n"),
    ("sys/net/core/rmem_max", "16777216\n"),
    ("sys/net/core/wmem_max", "16777216\n"),
    ("sys/net/ipv4/tcp_rmem", "4096\t131072\t33554432\n"),
    ("sys/net/ipv4/tcp_wmem", "4096\t65536\t33554432\n"),
    ("sys/net/ipv4/ip_local_port_range", "10000\t65535\n"),
];

/// A machine whose `/proc` has `files` and nothing else.
#[cfg(test)]
pub(super) fn pretend(root: &Path, files: &[(&str, &str)]) -> Machine {
    for (path, content) in files {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    Machine { proc: root.to_owned() }
}
