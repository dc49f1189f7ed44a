//! A network namespace, held by a thread that does work in it.
#![allow(unsafe_code)] // One call: unsharing is unsafe only where descriptors are unshared, too.

use rustix::thread::{UnshareFlags, unshare_unsafe};
use std::io;
use std::process::Command;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

type Job = Box<dyn FnOnce() + Send>;

/// A new network namespace with a loopback interface that is up. It lives as long as this, its sockets, or a process
/// in it.
#[derive(Debug)]
pub struct Namespace {
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Namespace {
    /// Makes one.
    ///
    /// # Errors
    /// Not root, or the command `ip` is missing.
    pub fn new() -> io::Result<Self> {
        let (jobs, inbox) = channel::<Job>();
        let thread = std::thread::Builder::new().name("bench-netns".into()).spawn(move || {
            inbox.into_iter().for_each(|job| job());
        })?;
        let namespace = Self {
            jobs: Some(jobs),
            thread: Some(thread),
        };
        namespace.run(enter)?;
        Ok(namespace)
    }

    /// Does `job` inside: sockets that it opens, threads and processes that it starts belong to the namespace for good.
    ///
    /// # Panics
    /// If `job` does.
    pub fn run<R: Send + 'static>(&self, job: impl FnOnce() -> R + Send + 'static) -> R {
        let (reply, result) = channel();
        let job = Box::new(move || {
            // The caller waits below; it cannot have gone.
            let _ = reply.send(std::panic::catch_unwind(std::panic::AssertUnwindSafe(job)));
        });
        let jobs = self.jobs.as_ref().expect("taken only on drop");
        jobs.send(job)
            .expect("the thread ends only on drop: it catches the panics of jobs");
        match result.recv().expect("the job always replies") {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // It ends with its queue, and panics are not its own.
            let _ = thread.join();
        }
    }
}

/// Moves the calling thread, and what it starts from now on, into a new network namespace for good. Its loopback interface
/// is up, and there is no other. Most of what a namespace has of its own begins with the kernel's defaults, whatever the
/// host has been tuned to (not the congestion control and the bounds of socket buffers: they are taken over).
///
/// # Errors
/// Not root, or the command `ip` is missing: then the thread stays where it is.
pub fn enter() -> io::Result<()> {
    ip(&["-V"])?;
    // SAFETY: only CLONE_FILES is dangerous here (other threads would keep using other descriptors than they think), and
    // it is not asked for.
    unsafe { unshare_unsafe(UnshareFlags::NEWNET) }?;
    ip(&["link", "set", "lo", "up"])
}

/// Runs `ip` in the namespace of the calling thread.
pub(super) fn ip(arguments: &[&str]) -> io::Result<()> {
    run_tool("ip", arguments)
}

/// Runs a command in the namespace of the calling thread; what it prints is the error if it fails.
pub(super) fn run_tool(program: &str, arguments: &[&str]) -> io::Result<()> {
    let output = Command::new(program).args(arguments).output()?;
    if output.status.success() {
        return Ok(());
    }
    let why = String::from_utf8_lossy(&output.stderr);
    let command = arguments.join(" ");
    Err(io::Error::other(format!("{program} {command}: {}", why.trim())))
}
