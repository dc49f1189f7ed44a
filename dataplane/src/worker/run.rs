//! The life of a worker's thread.

use super::{EventBell, Mail, SCRATCH_BYTES, Shared, Turns, Worker, dispatch, spawn::spawn_essential};
use crate::client::ClientRole;
use crate::limit::Budgets;
use crate::net::SocketTable;
use crate::pool::{BufferPool, PipePool};
use crate::server::ServerRole;
use crate::service::Services;
use kariz_proto::control::{Counter, WorkerIndex};
use monoio::time::{TimeDriver, sleep};
use monoio::{IoUringDriver, LegacyDriver, Runtime, RuntimeBuilder};
use rustix::thread::{CpuSet, sched_setaffinity};
use std::cell::{Cell, RefCell};
use std::io;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Entries of a worker's submission queue.
const RING_ENTRIES: u32 = 4096;

/// Housekeeping: sweep, expiry, gauges.
const TICK: Duration = Duration::from_secs(1);

/// How long a stopping worker waits for its tasks to let go of their sockets.
const STOP_TIMEOUT: Duration = Duration::from_secs(1);

/// What a worker needs to begin.
pub(crate) struct Start {
    pub(crate) index: WorkerIndex,
    pub(crate) shared: Arc<Shared>,
    /// io_uring, or epoll.
    pub(crate) uring: bool,
    /// The core to run on.
    pub(crate) core: Option<usize>,
    /// Called once the worker listens to its mailbox.
    pub(crate) ready: Box<dyn FnOnce() + Send>,
}

/// Runs a worker on this thread until it is told to stop (`Ok`) or dies (`Err` with the cause).
pub(crate) fn run(start: Start) -> Result<(), String> {
    if let Some(core) = start.core {
        pin(core);
    }
    // The table outlives whatever happens to the tasks, so that a dead worker's connections can be reset.
    let sockets = Rc::new(SocketTable::default());
    let result = if start.uring {
        let built = build(cooperative_ring()).or_else(|_| build(io_uring::IoUring::builder()));
        built.map_err(describe).and_then(|runtime| {
            // Tasks hold the driver and the driver holds their wakers: such a runtime cannot be dropped in order,
            // and half of it (its sockets) is dealt with below.
            let mut runtime = ManuallyDrop::new(runtime);
            guarded(|| runtime.block_on(live(start, sockets.clone())))
        })
    } else {
        let built = RuntimeBuilder::<LegacyDriver>::new().enable_timer().build();
        built.map_err(describe).and_then(|runtime| {
            let mut runtime = ManuallyDrop::new(runtime);
            guarded(|| runtime.block_on(live(start, sockets.clone())))
        })
    };
    sockets.abort_and_close_all();
    result
}

/// A ring whose completions are taken up when the worker calls the kernel next, instead of interrupting its core for each
/// of them. Kernels before 5.19 refuse it.
///
/// (Not `IORING_SETUP_DEFER_TASKRUN`, which costs less still: the ring of a worker that died then goes on holding what it
/// waited for, and a listener of it takes connections that nobody accepts.)
fn cooperative_ring() -> io_uring::Builder {
    let mut ring = io_uring::IoUring::builder();
    ring.setup_coop_taskrun();
    ring
}

fn build(ring: io_uring::Builder) -> io::Result<Runtime<TimeDriver<IoUringDriver>>> {
    RuntimeBuilder::<IoUringDriver>::new()
        .uring_builder(ring)
        .with_entries(RING_ENTRIES)
        .enable_timer()
        .build()
}

fn guarded(body: impl FnOnce() -> io::Result<()>) -> Result<(), String> {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(result) => result.map_err(describe),
        Err(panic) => Err(super::spawn::panic_text(&*panic).to_owned()),
    }
}

fn describe(error: io::Error) -> String {
    error.to_string()
}

/// A worker that cannot be pinned runs where the kernel puts it.
fn pin(core: usize) {
    let mut set = CpuSet::new();
    set.set(core);
    if let Err(error) = sched_setaffinity(None, &set) {
        tracing::warn!(core, %error, "worker not pinned");
    }
}

async fn live(start: Start, sockets: Rc<SocketTable>) -> io::Result<()> {
    let seat = &start.shared.seats[usize::from(start.index.0)];
    let counters = seat.counters.clone();
    // A predecessor that died left its gauges behind.
    (0..=Counter::LAST_GAUGE as usize).for_each(|gauge| counters.set(gauge, 0));
    let worker = Rc::new(Worker {
        index: start.index,
        shared: start.shared.clone(),
        counters,
        sockets,
        buffers: Rc::new(BufferPool::default()),
        pipes: Rc::new(PipePool::default()),
        scratch: RefCell::new(vec![0; SCRATCH_BYTES].into_boxed_slice()),
        turns: Turns::new()?,
        budgets: Budgets::default(),
        services: Services::default(),
        server: ServerRole::new(start.index),
        client: ClientRole::default(),
        draining: Cell::new(false),
        #[cfg(feature = "fault-injection")]
        panics: Cell::new(None),
    });
    let (ticking, turning) = (worker.clone(), worker.clone());
    spawn_essential(async move { tick(&ticking).await });
    spawn_essential(async move {
        if let Err(error) = turning.turns.serve().await {
            tracing::error!(%error, "turns end");
        }
    });
    let ear = worker.seat().mailbox.bell().ear()?;
    // What was posted before this worker began has rung a bell that it may not have heard.
    crate::sync::mailbox::Bell::ring(worker.seat().mailbox.bell() as &EventBell);
    (start.ready)();
    loop {
        ear.heard().await?;
        for mail in worker.seat().mailbox.collect() {
            if matches!(mail, Mail::Stop) {
                return stop(&worker).await;
            }
            dispatch::dispatch(&worker, mail);
        }
    }
}

async fn tick(worker: &Rc<Worker>) {
    loop {
        sleep(TICK).await;
        let swept = worker.sockets.sweep();
        worker.counters.add(Counter::Swept as usize, swept as u64);
        worker.server.tick(worker);
        worker.buffers.trim();
        worker.pipes.trim();
        let (waiting, idle, vouchers) = worker.server.gauges();
        let gauges = [
            (Counter::Waiting, waiting),
            (Counter::Vouchers, vouchers),
            (Counter::PipesBusy, worker.pipes.busy()),
            (Counter::PipesIdle, worker.pipes.idle()),
            (Counter::BuffersBusy, worker.buffers.busy()),
            (Counter::BuffersIdle, worker.buffers.idle()),
            (Counter::ServerIdle, idle),
            (Counter::Sockets, worker.sockets.len()),
        ];
        for (gauge, value) in gauges {
            worker.counters.set(gauge as usize, value as u64);
        }
    }
}

async fn stop(worker: &Rc<Worker>) -> io::Result<()> {
    worker.server.drain(worker);
    worker.services.close_all();
    worker.server.handshakes.close();
    worker.client.drain();
    let deadline = Instant::now() + STOP_TIMEOUT;
    while !worker.sockets.is_empty() && Instant::now() < deadline {
        worker.sockets.abort_all();
        sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}
