//! Takes packets from each end, keeps them for a while, and gives them to the other.

use crate::poller::{Interest, Poller};
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Larger than the MTU of the interfaces, in bytes.
const PACKET: usize = 2048;

/// Packets on their way in one direction, at most; the next one is lost, as on a full link. About 100 MB.
const ON_THE_WAY: usize = 65_536;

/// How often the thread looks whether it is to stop.
const STOP_CHECK: Duration = Duration::from_millis(50);

pub(super) struct Forwarder {
    ends: [File; 2],
    /// What was read from the end of the same number, with the time at which it arrives at the other.
    queues: [VecDeque<(Instant, Vec<u8>)>; 2],
    delay: Duration,
    cut: Arc<AtomicBool>,
    poller: Poller,
}

impl Forwarder {
    pub(super) fn new(ends: [File; 2], delay: Duration, cut: Arc<AtomicBool>) -> io::Result<Self> {
        let poller = Poller::new()?;
        for (token, end) in (0..).zip(&ends) {
            poller.add(end, token, Interest::Read)?;
        }
        Ok(Self {
            ends,
            queues: Default::default(),
            delay,
            cut,
            poller,
        })
    }

    pub(super) fn run(mut self, stop: &AtomicBool) {
        let mut ready = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            let next = self
                .queues
                .iter()
                .filter_map(|queue| queue.front())
                .map(|(due, _)| *due)
                .min();
            let wait = next.map_or(STOP_CHECK, |due| {
                due.saturating_duration_since(Instant::now()).min(STOP_CHECK)
            });
            if let Err(error) = self.poller.wait(Some(wait), &mut ready) {
                eprintln!("bench path: waiting failed: {error}");
                return;
            }
            for event in &ready {
                self.take(event.token as usize);
            }
            self.deliver();
        }
    }

    fn take(&mut self, from: usize) {
        let mut packet = [0; PACKET];
        // The interface may go down while its namespace is taken apart: nothing to forward then.
        while let Ok(length) = (&self.ends[from]).read(&mut packet) {
            let vanishes = self.cut.load(Ordering::Relaxed) || self.queues[from].len() >= ON_THE_WAY;
            if !vanishes {
                self.queues[from].push_back((Instant::now() + self.delay, packet[..length].to_vec()));
            }
        }
    }

    fn deliver(&mut self) {
        let now = Instant::now();
        for (from, queue) in self.queues.iter_mut().enumerate() {
            while queue.front().is_some_and(|(due, _)| *due <= now)
                && let Some((_, packet)) = queue.pop_front()
            {
                let sent = (&self.ends[1 - from]).write(&packet);
                if sent.is_err_and(|error| error.kind() == ErrorKind::WouldBlock) {
                    eprintln!("bench path: the interface took no packet");
                }
            }
        }
    }
}
