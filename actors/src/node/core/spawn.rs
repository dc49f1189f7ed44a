//! The one thread that forks cores.
//!
//! A core asks the kernel to be killed when its parent dies, and the kernel takes the *thread* that forked it for the
//! parent (prctl(2), PR_SET_PDEATHSIG; `spec/xray.md`, Process). A thread of a pool ends when it has been idle; this one
//! ends with the [`Spawner`].
//!
//! Unsafe: what the child does between fork and exec.
#![allow(unsafe_code)]

use crate::node::settings::Settings;
use std::io;
use std::process::Stdio;
use std::sync::mpsc;
use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// Forks that may wait for the thread. There is one core at a time, and one question for its version.
const MAX_JOBS: usize = 8;

/// The thread only calls fork and exec.
const STACK_BYTES: usize = 256 << 10;

/// Forks cores. All that it forked die with it.
pub(crate) struct Spawner {
    jobs: mpsc::SyncSender<Job>,
}

struct Job {
    command: Command,
    child: oneshot::Sender<io::Result<Child>>,
}

impl Spawner {
    /// Starts the thread. Has to be called on the runtime that the cores are waited for on.
    ///
    /// # Errors
    /// The kernel has no thread to give.
    pub(crate) fn start() -> io::Result<Self> {
        let (jobs, taken) = mpsc::sync_channel::<Job>(MAX_JOBS);
        let runtime = Handle::current();
        std::thread::Builder::new()
            .name("core spawner".into())
            .stack_size(STACK_BYTES)
            .spawn(move || {
                let _entered = runtime.enter();
                for Job { mut command, child } in taken {
                    // Whoever asked may have gone: then the child is dropped, which kills it.
                    let _ = child.send(command.spawn());
                }
            })?;
        Ok(Self { jobs })
    }

    /// Forks `xray run -config stdin:`. All three of its standard streams are pipes.
    ///
    /// # Errors
    /// As fork(2) and execve(2).
    pub(crate) async fn run_core(&self, settings: &Settings) -> io::Result<Child> {
        let mut command = Command::new(&settings.core);
        command.args(["run", "-config", "stdin:"]).stdin(Stdio::piped());
        self.run(command, settings).await
    }

    /// Forks `xray version`.
    ///
    /// # Errors
    /// As fork(2) and execve(2).
    pub(crate) async fn ask_version(&self, settings: &Settings) -> io::Result<Child> {
        let mut command = Command::new(&settings.core);
        command.arg("version").stdin(Stdio::null());
        self.run(command, settings).await
    }

    async fn run(&self, mut command: Command, settings: &Settings) -> io::Result<Child> {
        command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .env_clear()
            .env("XRAY_LOCATION_ASSET", &settings.assets)
            .process_group(0)
            .kill_on_drop(true);
        die_with_parent(&mut command);
        let (child, forked) = oneshot::channel();
        self.jobs
            .try_send(Job { command, child })
            .map_err(|_| io::Error::other("the thread that forks cores is busy or gone"))?;
        forked
            .await
            .unwrap_or_else(|_| Err(io::Error::other("the thread that forks cores has ended")))
    }
}

/// Has the kernel kill the child when the thread that forks it ends, and gives the child the memory pages that a program
/// has by default.
fn die_with_parent(command: &mut Command) {
    use rustix::process::{Signal, getpid, getppid, set_parent_process_death_signal};
    let node = getpid();
    let before_exec = move || {
        set_parent_process_death_signal(Some(Signal::KILL))?;
        // The node may have died in the meantime: then nobody will send the signal.
        if getppid() != Some(node) {
            return Err(io::Error::from_raw_os_error(rustix::io::Errno::SRCH.raw_os_error()));
        }
        // The node keeps to small pages, which its children inherit. An old kernel refuses; then it never kept to them.
        let _ = rustix::thread::disable_transparent_huge_pages(false);
        Ok(())
    };
    // SAFETY: between fork and exec only async-signal-safe calls are allowed. These are three system calls through
    // rustix, which neither allocates nor locks; the errors are plain numbers.
    unsafe { command.pre_exec(before_exec) };
}
