//! The host: a thread beside the workers that opens listeners, hands commands on, and replaces a worker that died.
//!
//! It keeps what still holds ([`world`]), so that a successor can be told everything, and a duplicate of every
//! listener, so that connections in a dead worker's queue are served by its successor.

mod leases;
mod probe;
mod world;

pub(crate) use leases::Leases;
pub(crate) use probe::{default_max_visitors, default_workers, uring_works};

use crate::worker::{Mail, Shared, Start, run};
use kariz_proto::control::{Command, CommandError, Counter, Event, WorkerIndex};
use kariz_proto::model::RuntimeSpec;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use world::World;

/// How often a full mailbox is tried again, and a draining process is looked at.
const RETRY: Duration = Duration::from_millis(5);

/// How long a worker may leave its mailbox full before the host gives a message up. A worker empties its mailbox
/// whenever it comes to its ring, so this one is stuck; it will be told everything when it is replaced.
const STUCK_TIMEOUT: Duration = Duration::from_secs(2);

/// Rest before a dead worker is replaced, so that one that dies at once does not spin.
const REPLACE_DELAY: Duration = Duration::from_millis(100);

/// Called with a command's outcome.
pub(crate) type Done = Box<dyn FnOnce(Result<(), CommandError>) + Send>;

/// What the host is told.
pub(crate) enum Order {
    Command(Command, Done),
    WorkerEnded(WorkerIndex, Result<(), String>),
    Stop,
}

struct Host {
    shared: Arc<Shared>,
    world: World,
    orders: SyncSender<Order>,
    uring: bool,
    cores: Option<Vec<usize>>,
    threads: Vec<Option<JoinHandle<()>>>,
    draining: bool,
}

/// Starts workers and host; returns when every worker runs.
pub(crate) fn start(
    shared: Arc<Shared>,
    runtime: &RuntimeSpec,
    uring: bool,
    (orders, inbox): (SyncSender<Order>, Receiver<Order>),
    leases: Leases,
) -> io::Result<JoinHandle<()>> {
    let cores = runtime.pin.then(probe::cores);
    let world = World::new(shared.seats.len(), leases);
    let threads = shared.seats.iter().map(|_| None).collect();
    let mut host = Host {
        shared,
        world,
        orders,
        uring,
        cores,
        threads,
        draining: false,
    };
    for index in 0..host.threads.len() {
        host.spawn_worker(index)?;
    }
    thread::Builder::new()
        .name("kariz-host".into())
        .spawn(move || host.serve(inbox))
}

impl Host {
    fn serve(mut self, inbox: Receiver<Order>) {
        loop {
            let order = if self.draining {
                inbox.recv_timeout(RETRY)
            } else {
                inbox.recv().map_err(Into::into)
            };
            match order {
                Ok(Order::Command(command, done)) => done(self.carry_out(command)),
                Ok(Order::WorkerEnded(worker, result)) => self.replace(worker, result),
                Ok(Order::Stop) | Err(RecvTimeoutError::Disconnected) => {
                    // Nobody may be left waiting for room in the inbox, least of all a worker that ends.
                    drop(inbox);
                    return self.stop();
                }
                Err(RecvTimeoutError::Timeout) => self.look_for_drained(),
            }
        }
    }

    fn carry_out(&mut self, command: Command) -> Result<(), CommandError> {
        self.draining |= matches!(command, Command::Drain { .. });
        for (worker, mail) in self.world.apply(command)? {
            self.deliver(worker, mail);
        }
        Ok(())
    }

    /// Posts to a worker, waiting for room in its mailbox.
    fn deliver(&self, worker: usize, mut mail: Mail) {
        let deadline = Instant::now() + STUCK_TIMEOUT;
        while let Err(back) = self.shared.seats[worker].mailbox.post(mail) {
            if Instant::now() >= deadline {
                tracing::error!(worker, "worker is stuck: a command is dropped");
                return;
            }
            mail = back;
            thread::sleep(RETRY);
        }
    }

    fn spawn_worker(&mut self, index: usize) -> io::Result<()> {
        let worker = WorkerIndex(u16::try_from(index).unwrap_or(u16::MAX));
        let (ready, is_ready) = sync_channel(1);
        let start = Start {
            index: worker,
            shared: self.shared.clone(),
            uring: self.uring,
            core: self
                .cores
                .as_ref()
                .and_then(|cores| cores.get(index % cores.len().max(1)))
                .copied(),
            ready: Box::new(move || {
                // Whoever started the worker has stopped waiting only if the process ends.
                let _ = ready.send(());
            }),
        };
        let orders = self.orders.clone();
        let thread = thread::Builder::new()
            .name(format!("kariz-worker-{index}"))
            .spawn(move || {
                let result = run(start);
                // A host that is gone has nobody to replace.
                let _ = orders.send(Order::WorkerEnded(worker, result));
            })?;
        self.threads[index] = Some(thread);
        is_ready
            .recv()
            .map_err(|_| io::Error::other("a worker died at its start"))
    }

    /// Gives a dead worker a successor and tells it everything that still holds.
    fn replace(&mut self, worker: WorkerIndex, result: Result<(), String>) {
        let cause = result.err().unwrap_or_else(|| "ended".to_owned());
        tracing::error!(worker = worker.0, cause, "worker died, a successor takes its place");
        let index = usize::from(worker.0);
        self.threads[index].take().map(JoinHandle::join);
        thread::sleep(REPLACE_DELAY);
        // Mail for the dead: carriers and visitors in it are reset, commands are said again below.
        drop(self.shared.seats[index].mailbox.collect());
        self.shared.visitors.forget(index);
        self.world.forget(index);
        if let Err(error) = self.spawn_worker(index) {
            tracing::error!(worker = worker.0, %error, "no successor for a worker");
            if self.threads[index].is_none() {
                // No thread could be started; one that ended at once has said so itself.
                let _ = self.orders.try_send(Order::WorkerEnded(worker, Err(error.to_string())));
            }
            return;
        }
        for mail in self.world.recall(index) {
            self.deliver(index, mail);
        }
        let _ = self.shared.sink.event(Event::WorkerReplaced { worker, cause });
    }

    fn look_for_drained(&mut self) {
        let busy = |counter: Counter| {
            self.shared
                .seats
                .iter()
                .any(|seat| seat.counters.get(counter as usize) > 0)
        };
        if !busy(Counter::Visitors)
            && !busy(Counter::Targets)
            && !busy(Counter::CarriersBusy)
            && self.shared.sink.event(Event::Drained).is_ok()
        {
            self.draining = false;
        }
    }

    fn stop(mut self) {
        for index in 0..self.threads.len() {
            self.deliver(index, Mail::Stop);
        }
        self.threads
            .iter_mut()
            .filter_map(Option::take)
            .for_each(|thread| drop(thread.join()));
    }
}
