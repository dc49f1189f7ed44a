//! A test's own corner of the machine: addresses, a directory, the variant, and the logs of what it started.

use super::pattern::{Dice, mix};
use super::tunnel::is_listening;
use anyhow::{Context, Result, ensure};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// How a visitor crosses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// `transport = "tcp"`.
    Direct,
    /// `transport = "tcpmux"`.
    Mux,
}

impl Lane {
    /// The `transport` key.
    pub fn transport(self) -> &'static str {
        match self {
            Self::Direct => "tcp",
            Self::Mux => "tcpmux",
        }
    }
}

/// What a test runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variant {
    /// How visitors cross.
    pub lane: Lane,
    /// `[runtime] io`.
    pub io: &'static str,
}

/// A test's corner of the machine. Clones share it.
#[derive(Debug, Clone)]
pub struct Scene(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    variant: Variant,
    seed: u64,
    directory: PathBuf,
    network: [u8; 2],
    next_port: AtomicU16,
    next_file: AtomicU32,
    next_seed: AtomicU64,
    logs: Mutex<Vec<PathBuf>>,
}

/// Ports are taken below the range from which the kernel gives out its own.
const FIRST_PORT: u16 = 12_000;
const LAST_PORT: u16 = 31_000;
const FIRST_EPHEMERAL_PORT: u16 = 32_768;

impl Scene {
    /// A corner for the test `name`: its directory is empty, its addresses are in no other test's hands.
    pub fn new(name: &str, variant: Variant) -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let id = std::process::id()
            .wrapping_mul(131)
            .wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let seed = match std::env::var("KARIZ_E2E_SEED") {
            Ok(text) => text.parse().context("KARIZ_E2E_SEED is a number")?,
            Err(_) => mix(u64::from(id) ^ now_nanos()),
        };
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("e2e-{}", std::process::id()));
        let directory = directory.join(name.replace("::", "-"));
        std::fs::create_dir_all(&directory)?;
        let spread = u64::from(LAST_PORT - FIRST_PORT - 1_000);
        let first = FIRST_PORT + u16::try_from(mix(u64::from(id)) % spread)?;
        Ok(Self(Arc::new(Inner {
            variant,
            seed,
            directory,
            network: [1 + (id / 250 % 250) as u8, 1 + (id % 250) as u8],
            next_port: AtomicU16::new(first),
            next_file: AtomicU32::new(0),
            next_seed: AtomicU64::new(seed),
            logs: Mutex::default(),
        })))
    }

    /// Lane and driver.
    pub fn variant(&self) -> Variant {
        self.0.variant
    }

    /// The lane.
    pub fn lane(&self) -> Lane {
        self.0.variant.lane
    }

    /// Source of this test's choices: the same in every run with the same `KARIZ_E2E_SEED`.
    pub fn dice(&self) -> Dice {
        Dice::new(self.0.seed)
    }

    /// A seed for a pattern that no other stream of this test has.
    pub fn stream_seed(&self) -> u64 {
        self.0.next_seed.fetch_add(1, Ordering::Relaxed)
    }

    /// Loopback address number `host` (1 to 250) of this test.
    pub fn ip(&self, host: u8) -> IpAddr {
        let [a, b] = self.0.network;
        IpAddr::V4(Ipv4Addr::new(127, a, b, host))
    }

    /// A free address on loopback that no other test takes.
    pub fn address(&self) -> SocketAddr {
        self.ports(1)
    }

    /// The first of `count` consecutive free ports on this test's first loopback address.
    ///
    /// The kernel's table is asked: a trial bind would live on for a moment in every child that another test starts.
    pub fn ports(&self, count: u16) -> SocketAddr {
        loop {
            let first = self.0.next_port.fetch_add(count, Ordering::Relaxed);
            let free = |port: u16| is_listening(SocketAddr::new(self.ip(1), port), None).is_ok_and(|taken| !taken);
            if (first..first + count).all(free) {
                return SocketAddr::new(self.ip(1), first);
            }
        }
    }

    /// A port that is free on all addresses, from a range that [`Scene::ports`] does not touch.
    pub fn wildcard_port(&self) -> u16 {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        loop {
            let port = LAST_PORT + NEXT.fetch_add(1, Ordering::Relaxed) % (FIRST_EPHEMERAL_PORT - LAST_PORT);
            if is_listening((Ipv4Addr::UNSPECIFIED, port).into(), None).is_ok_and(|taken| !taken) {
                return port;
            }
        }
    }

    /// A path in this test's directory that was not given out before.
    pub fn file(&self, name: &str) -> PathBuf {
        let number = self.0.next_file.fetch_add(1, Ordering::Relaxed);
        self.0.directory.join(format!("{number:02}-{name}"))
    }

    /// Writes a script that can be executed at `path`.
    pub fn script(&self, path: &Path, text: &str) -> Result<()> {
        // By a process that has nothing else open: a child that another test forks at this moment would hold the file
        // open for writing, and then nobody could execute it.
        let written = std::process::Command::new("sh")
            .args(["-c", "printf '%s' \"$1\" > \"$2\" && chmod 755 \"$2\"", "sh", text])
            .arg(path)
            .status()?;
        ensure!(written.success(), "writing {}: {written}", path.display());
        Ok(())
    }

    /// Makes `path` part of what is shown when the test fails.
    pub fn keep_log(&self, path: &Path) {
        if let Ok(mut logs) = self.0.logs.lock() {
            logs.push(path.to_owned());
        }
    }

    /// What a developer needs to see when the test failed: seed, directory and the ends of all logs.
    pub fn story(&self) -> String {
        const LAST_LINES: usize = 40;
        let mut story = format!(
            "seed: KARIZ_E2E_SEED={}\nfiles: {}\n",
            self.0.seed,
            self.0.directory.display()
        );
        let logs = self.0.logs.lock().map(|logs| logs.clone()).unwrap_or_default();
        for path in logs {
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            let from = lines.len().saturating_sub(LAST_LINES);
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            story.push_str(&format!("--- {name}, lines {} to {}\n", from + 1, lines.len()));
            lines[from..]
                .iter()
                .for_each(|line| story.push_str(&format!("{line}\n")));
        }
        story
    }

    /// Removes the files of a test that passed.
    pub fn tidy(&self) {
        // A directory that cannot be removed does no harm: it is below the target directory.
        let _ = std::fs::remove_dir_all(&self.0.directory);
    }
}

/// Something that differs between runs.
fn now_nanos() -> u64 {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    u64::from(now.subsec_nanos()) ^ now.as_secs()
}
