//! The data plane as its owner sees it.

use crate::host::{self, Order};
use crate::net;
use crate::worker::{COUNTERS, Shared, visitor_bound};
use kariz_proto::control::{BudgetId, Command, CommandError, Counter, Event, WorkerIndex, WorkerSnapshot};
use kariz_proto::model::{IoDriver, RuntimeSpec, SocketOptions};
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// Orders that wait for the host; whoever gives one more waits.
const ORDERS: usize = 256;

/// Where the data plane's news go. Called on workers: must not block.
pub trait Sink: Send + Sync + 'static {
    /// Something happened.
    ///
    /// # Errors
    /// Gives the event back if there is no room; the worker counts it as lost.
    fn event(&self, event: Event) -> Result<(), Event>;

    /// A connection wants to become a control carrier.
    ///
    /// # Errors
    /// Gives it back if there are too many; the worker closes it.
    fn control(&self, arrival: ControlArrival) -> Result<(), ControlArrival>;
}

/// A connection that wants to become a control carrier. Not authenticated.
#[derive(Debug)]
pub struct ControlArrival {
    /// The connection: non-blocking, close-on-exec.
    pub fd: OwnedFd,
    /// What was read of it: at least its first message.
    pub first: Vec<u8>,
    /// The other end.
    pub peer: SocketAddr,
}

/// One worker's use of a budget since it was last asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseDemand {
    /// Which worker.
    pub worker: WorkerIndex,
    /// Tokens used.
    pub used: u64,
    /// Whether streams are held back.
    pub waiting: bool,
}

/// The workers and their host. Dropping it stops them; [`DataPlane::stop`] does so and waits.
pub struct DataPlane {
    shared: Arc<Shared>,
    orders: SyncSender<Order>,
    leases: host::Leases,
    host: Mutex<Option<JoinHandle<()>>>,
    uring: bool,
}

impl DataPlane {
    /// Starts the workers and waits until they run.
    ///
    /// # Errors
    /// `Unsupported` if io_uring was demanded and the kernel does not allow it; else what the kernel answers.
    pub fn start(runtime: &RuntimeSpec, sink: Arc<dyn Sink>) -> io::Result<Self> {
        let uring = match runtime.io {
            IoDriver::Epoll => false,
            IoDriver::Auto => host::uring_works().is_ok(),
            IoDriver::Uring => host::uring_works().map(|()| true)?,
        };
        let (orders, inbox): (_, Receiver<Order>) = sync_channel(ORDERS);
        let shared = Arc::new(Shared::new(runtime, sink)?);
        let leases = host::Leases::default();
        let host = host::start(shared.clone(), runtime, uring, (orders.clone(), inbox), leases.clone())?;
        tracing::info!(
            workers = shared.seats.len(),
            io = if uring { "io_uring" } else { "epoll" },
            pinned = runtime.pin,
            "workers run"
        );
        Ok(Self {
            shared,
            orders,
            leases,
            host: Mutex::new(Some(host)),
            uring,
        })
    }

    /// Carries out a command; `done` is called on the host's thread when every worker that it concerns has it.
    pub fn submit(&self, command: Command, done: impl FnOnce(Result<(), CommandError>) + Send + 'static) {
        if let Err(refused) = self.orders.send(Order::Command(command, Box::new(done)))
            && let Order::Command(_, done) = refused.0
        {
            done(Err(CommandError::Stopped));
        }
    }

    /// A socket for a control carrier to `remote`: not connected yet, non-blocking, with its options set.
    ///
    /// # Errors
    /// What the kernel answers, for instance EADDRNOTAVAIL for `local`.
    pub fn control_socket(
        remote: SocketAddr,
        local: Option<SocketAddr>,
        socket: &SocketOptions,
        user_timeout: Duration,
    ) -> io::Result<OwnedFd> {
        let fd = net::options::tcp_socket(remote, socket)?;
        net::disarm(&fd)?;
        net::options::set_user_timeout(&fd, user_timeout)?;
        if let Some(local) = local {
            rustix::net::bind(&fd, &local)?;
        }
        Ok(fd)
    }

    /// Whether the workers wait with io_uring (else with epoll).
    pub fn is_uring(&self) -> bool {
        self.uring
    }

    /// Number of workers.
    pub fn workers(&self) -> u16 {
        u16::try_from(self.shared.seats.len()).unwrap_or(u16::MAX)
    }

    /// The counters of every worker. Gauges of pools and tables are at most a second old.
    pub fn snapshots(&self) -> Vec<WorkerSnapshot> {
        let seats = (0..).zip(&self.shared.seats);
        seats
            .map(|(index, seat)| {
                let values: [u64; COUNTERS] = seat.counters.read();
                WorkerSnapshot {
                    worker: WorkerIndex(index),
                    values: values.to_vec(),
                }
            })
            .collect()
    }

    /// The sum of one counter over all workers.
    pub fn total(&self, counter: Counter) -> u64 {
        self.shared
            .seats
            .iter()
            .map(|seat| seat.counters.get(counter as usize))
            .sum()
    }

    /// Changes the bound on visitors of the whole process; `None` is what the descriptor limit allows. Who is there
    /// stays.
    pub fn set_max_visitors(&self, most: Option<u32>) {
        self.shared.max_visitors.store(visitor_bound(most), Ordering::Relaxed);
    }

    /// Gives a worker tokens of an open budget; tokens for an unknown one are forgotten.
    pub fn grant(&self, budget: BudgetId, worker: WorkerIndex, tokens: u64) {
        if let Some(lease) = self.leases.get(budget, worker) {
            lease.grant(tokens);
        }
    }

    /// What each worker used of a budget since the last call.
    pub fn demand(&self, budget: BudgetId) -> Vec<LeaseDemand> {
        (0..self.workers())
            .map(WorkerIndex)
            .filter_map(|worker| {
                let (used, waiting) = self.leases.get(budget, worker)?.demand();
                Some(LeaseDemand { worker, used, waiting })
            })
            .collect()
    }

    /// Makes a worker's main task panic.
    #[cfg(feature = "fault-injection")]
    pub fn kill_worker(&self, worker: WorkerIndex) {
        let _ = self.shared.seats[usize::from(worker.0)]
            .mailbox
            .post(crate::worker::Mail::Die);
    }

    /// Makes the next task of each worker that comes to a point panic.
    #[cfg(feature = "fault-injection")]
    pub fn panic_at(&self, point: crate::PanicPoint) {
        for seat in &self.shared.seats {
            let _ = seat.mailbox.post(crate::worker::Mail::Panic(point));
        }
    }

    /// Resets every connection, ends every worker and waits for them.
    pub fn stop(&self) {
        let host = self.host.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take();
        if let Some(host) = host {
            let _ = self.orders.send(Order::Stop);
            let _ = host.join();
        }
    }
}

impl Drop for DataPlane {
    fn drop(&mut self) {
        self.stop();
    }
}
