//! The target that every measurement and end-to-end test dials: one thread, one epoll, any number of connections, each
//! doing what its [`Request`](crate::request::Request) asks.

mod connection;

use crate::poller::{Interest, Poller, Ready};
use connection::{Connection, Next};
use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

const LISTENER: u64 = u64::MAX;

/// How often the thread looks whether it is to stop.
const STOP_CHECK: Duration = Duration::from_millis(50);

/// Connections accepted before others get a turn.
const ACCEPT_BATCH: usize = 64;

/// A running target; dropping it closes its connections and ends its thread.
#[derive(Debug)]
pub struct Target {
    address: SocketAddr,
    counters: Arc<Counters>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// What the target has seen since it started. Relaxed counters: exact once the traffic has ended.
#[derive(Debug, Default)]
pub struct Counters {
    /// Connections accepted.
    pub accepted: AtomicU64,
    /// Connections that are open now.
    pub open: AtomicU64,
    /// Payload bytes received (sinks and echoes), without requests.
    pub received: AtomicU64,
    /// Payload bytes sent (sources and echoes).
    pub sent: AtomicU64,
    /// Sinks that received a wrong byte.
    pub mismatches: AtomicU64,
    /// Clean ends that came before the announced length or inside the request: lost bytes that nobody was told of.
    pub short_ends: AtomicU64,
    /// Connections that carried what was announced and ended cleanly.
    pub completed: AtomicU64,
    /// Connections that the other side reset.
    pub resets: AtomicU64,
    /// Connections whose first bytes were no request.
    pub foreign: AtomicU64,
}

impl Counters {
    fn add(counter: &AtomicU64, value: u64) {
        counter.fetch_add(value, Ordering::Relaxed);
    }
}

impl Target {
    /// Listens on `bind` (port 0: any free one) and serves from a thread of its own, in the caller's network namespace.
    ///
    /// # Errors
    /// The address cannot be bound, or no thread or descriptor is left.
    pub fn start(bind: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(bind)?;
        // The standard library's queue of 128 is too short for thousands of visitors at once.
        rustix::net::listen(&listener, 4096)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let poller = Poller::new()?;
        poller.add(&listener, LISTENER, Interest::Read)?;
        let counters = Arc::new(Counters::default());
        let stop = Arc::new(AtomicBool::new(false));
        let server = Server {
            listener,
            poller,
            connections: HashMap::new(),
            next_token: 0,
            buffer: vec![0; crate::pattern::CHUNK],
            counters: counters.clone(),
        };
        let stopped = stop.clone();
        let thread = std::thread::Builder::new()
            .name("bench-target".into())
            .spawn(move || server.run(&stopped))?;
        Ok(Self {
            address,
            counters,
            stop,
            thread: Some(thread),
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it has seen so far.
    pub fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic in the thread has already been printed; there is nothing to add here.
            let _ = thread.join();
        }
    }
}

struct Server {
    listener: TcpListener,
    poller: Poller,
    connections: HashMap<u64, Connection>,
    next_token: u64,
    buffer: Vec<u8>,
    counters: Arc<Counters>,
}

impl Server {
    fn run(mut self, stop: &AtomicBool) {
        let mut ready = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            if let Err(error) = self.poller.wait(Some(STOP_CHECK), &mut ready) {
                eprintln!("bench target: waiting failed: {error}");
                return;
            }
            for &event in &ready {
                if event.token == LISTENER {
                    self.accept()
                } else {
                    self.serve(event)
                }
            }
        }
    }

    fn accept(&mut self) {
        for _ in 0..ACCEPT_BATCH {
            let stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => {
                    // Out of descriptors, mostly: the queue keeps the rest until some are free again.
                    eprintln!("bench target: accepting failed: {error}");
                    std::thread::sleep(Duration::from_millis(10));
                    return;
                }
            };
            let token = self.next_token;
            self.next_token += 1;
            let watched = stream
                .set_nonblocking(true)
                .and_then(|()| stream.set_nodelay(true))
                .and_then(|()| self.poller.add(&stream, token, Interest::Read));
            if watched.is_ok() {
                Counters::add(&self.counters.accepted, 1);
                Counters::add(&self.counters.open, 1);
                self.connections.insert(token, Connection::new(stream));
            }
        }
    }

    fn serve(&mut self, event: Ready) {
        let Some(connection) = self.connections.get_mut(&event.token) else {
            return;
        };
        let before = connection.interest();
        let next = connection.step(&mut self.buffer, &self.counters);
        let keep = match next {
            Next::Close => false,
            Next::Wait(interest) if interest == before => true,
            Next::Wait(interest) => self.poller.change(connection.stream(), event.token, interest).is_ok(),
        };
        if !keep {
            self.connections.remove(&event.token);
            self.counters.open.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests;
