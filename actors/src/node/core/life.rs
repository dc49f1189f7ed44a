//! One life of a core: forked, fed, drained, stopped, waited for.
//!
//! The task owns the child. Only it sends signals, and only before it has waited for the child: no signal can ever hit
//! another process that got the same id.

use super::{lines, sockets};
use crate::node::state::State;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, kill_process_group, waitid};
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, ChildStdin};
use tokio::signal::unix::{Signal as Signals, SignalKind, signal};
use tokio::sync::{Notify, oneshot};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;

/// How long the core's last lines are waited for once it has exited: a process that it left behind may keep its pipes open.
const LAST_LINES_TIMEOUT: Duration = Duration::from_millis(200);

/// A core that lives. Dropping it stops the core.
pub(super) struct Life {
    /// Resolves when the core is gone.
    pub(super) task: JoinHandle<End>,
    /// Told when the core says that it is ready.
    pub(super) ready: Arc<Notify>,
    stop: Option<oneshot::Sender<Duration>>,
    /// Told when its time to end is over.
    kill: Arc<Notify>,
}

/// How a core ended.
#[derive(Debug)]
pub(super) enum End {
    /// It was never there.
    NotForked { core: PathBuf, error: io::Error },
    /// It exited.
    Exited {
        status: io::Result<ExitStatus>,
        /// The last line on its standard output that was not empty, or else on its standard error.
        last_line: String,
        /// Why it did not get its configuration.
        unfed: Option<io::Error>,
    },
    /// The task that owned it panicked; its child was killed.
    Lost,
}

impl Life {
    /// Forks a core and feeds it `config`; `sockets` are those that it listens on.
    pub(super) fn begin(state: Arc<State>, config: Vec<u8>, sockets: Vec<PathBuf>) -> Self {
        let (stop, stopped) = oneshot::channel();
        let (ready, kill) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let asked = Asked {
            stop: stopped,
            kill: kill.clone(),
        };
        Self {
            task: tokio::spawn(live(state, config, sockets, ready.clone(), asked)),
            ready,
            stop: Some(stop),
            kill,
        }
    }

    /// Tells the core to end, once: SIGTERM, and SIGKILL after `grace`.
    pub(super) fn stop(&mut self, grace: Duration) {
        if let Some(stop) = self.stop.take() {
            // An error says that it has ended already.
            let _ = stop.send(grace);
        }
    }

    /// Has a core that was told to end no more time for it.
    pub(super) fn kill(&self) {
        self.kill.notify_one();
    }
}

/// What a core may be asked.
struct Asked {
    /// To end, and how much time it has.
    stop: oneshot::Receiver<Duration>,
    /// To end now.
    kill: Arc<Notify>,
}

async fn live(state: Arc<State>, config: Vec<u8>, sockets: Vec<PathBuf>, ready: Arc<Notify>, asked: Asked) -> End {
    // Whatever became of the one who held the core before: its ports are taken as long as it is there.
    let _alone = state.core_place.lock().await;
    sockets::remove_stale(&sockets).await;
    let mut child = match state.spawner.run_core(&state.settings).await {
        Ok(child) => child,
        Err(error) => {
            let core = state.settings.core.clone();
            return End::NotForked { core, error };
        }
    };
    let mut fed = tokio::spawn(feed(child.stdin.take(), config));
    let mut readers = JoinSet::new();
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let said = lines::LastLines::default();
    readers.spawn(lines::drain(stdout, state.clone(), said.clone(), Some(ready)));
    readers.spawn(lines::drain(stderr, state.clone(), said.clone(), None));
    let status = wait(&mut child, asked).await;
    // A child that it forked may still hold the other ends.
    let all_read = async { while readers.join_next().await.is_some() {} };
    let _ = timeout(LAST_LINES_TIMEOUT, all_read).await;
    let unfed = match timeout(Duration::ZERO, &mut fed).await {
        Ok(Ok(Err(error))) => Some(error),
        _ => None,
    };
    fed.abort();
    End::Exited {
        status,
        last_line: said.get(),
        unfed,
    }
}

/// Writes the configuration and closes the pipe.
async fn feed(stdin: Option<ChildStdin>, config: Vec<u8>) -> io::Result<()> {
    let Some(mut stdin) = stdin else { return Ok(()) };
    stdin.write_all(&config).await?;
    stdin.shutdown().await
}

/// Waits for the core's end, which may be asked for, and ends with it whatever it has forked.
///
/// Signals go to its group, which has its id: as long as it has not been waited for, nobody else can have that.
async fn wait(child: &mut Child, Asked { stop, kill }: Asked) -> io::Result<ExitStatus> {
    let Some(pid) = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw) else {
        return child.wait().await;
    };
    let Ok(mut exit) = Exit::of(pid) else {
        // Without signals of its children the whole program is of no use; at least the core is waited for.
        return child.wait().await;
    };
    let grace = tokio::select! {
        () = exit.wait() => None,
        // The supervisor is gone without a word: the core must not stay.
        grace = stop => Some(grace.unwrap_or(super::supervisor::STOP_GRACE)),
    };
    if let Some(grace) = grace {
        // A group that is not there any more needs no signal, here and below.
        let _ = kill_process_group(pid, Signal::TERM);
        let had = tokio::select! {
            ended = timeout(grace, exit.wait()) => ended.is_err().then_some(grace),
            () = kill.notified() => Some(Duration::ZERO),
        };
        if let Some(had) = had {
            tracing::warn!("Xray core did not stop within {had:?}: killed");
            // It may have left its group by its own doing.
            let _ = kill_process(pid, Signal::KILL);
        }
    }
    let _ = kill_process_group(pid, Signal::KILL);
    child.wait().await
}

/// Sees a child exit without waiting for it, so that its id stays taken.
struct Exit {
    pid: Pid,
    children: Signals,
}

impl Exit {
    fn of(pid: Pid) -> io::Result<Self> {
        let children = signal(SignalKind::child())?;
        Ok(Self { pid, children })
    }

    async fn wait(&mut self) {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        // An error says that it is no child any more.
        while matches!(waitid(WaitId::Pid(self.pid), options), Ok(None)) {
            self.children.recv().await;
        }
    }
}

impl End {
    /// What the panel is told (`spec/node-marzban.md`, 1.4).
    pub(super) fn detail(&self) -> String {
        match self {
            Self::NotForked { core, error } => format!("{}: '{}'", os_error(error), core.display()),
            Self::Exited { last_line, unfed, .. } => match unfed {
                Some(error) if last_line.is_empty() => os_error(error),
                _ => last_line.clone(),
            },
            Self::Lost => "The core was lost".to_owned(),
        }
    }
}

/// An error of the kernel as Python writes it: `[Errno 32] Broken pipe`.
fn os_error(error: &io::Error) -> String {
    let text = error.to_string();
    match error.raw_os_error() {
        Some(number) => {
            let plain = text.strip_suffix(&format!(" (os error {number})")).unwrap_or(&text);
            format!("[Errno {number}] {plain}")
        }
        None => text,
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotForked { core, error } => write!(f, "{}: {error}", core.display()),
            Self::Exited { status: Ok(status), .. } => write!(f, "{status}"),
            Self::Exited { status: Err(error), .. } => write!(f, "{error}"),
            Self::Lost => f.write_str("lost"),
        }
    }
}
