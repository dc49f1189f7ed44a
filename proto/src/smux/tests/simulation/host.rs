//! One end: a driver as the data plane has it, with made-up sockets.

use super::plan::{Plan, Reader};
use super::{Dice, World, link::Link};
use crate::smux::{Config, Incoming, Mux, Role, StreamId};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How often a slow reader reads.
const SLOW_READ: Duration = Duration::from_millis(5);

/// How a stream ended for this end's target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// With all its bytes.
    Clean,
    Reset,
}

/// The sockets of one stream at one end.
struct Socket {
    outbound: Plan,
    inbound: Plan,
    sent: u64,
    /// What the source has at the moment, and when it gets more.
    available: usize,
    refill_at: Instant,
    finished: bool,
    received: u64,
    backlog: usize,
    read_at: Instant,
    fin_seen: bool,
}

pub(super) struct Host {
    pub(super) mux: Mux,
    direction: u64,
    world: World,
    dice: Dice,
    sockets: BTreeMap<StreamId, Socket>,
    pub(super) endings: BTreeMap<StreamId, Ending>,
    pub(super) to_open: u32,
    open_at: Instant,
    out: Vec<u8>,
}

impl Host {
    pub(super) fn new(role: Role, config: Config, world: World, now: Instant) -> Self {
        let direction = u64::from(role == Role::Accepted);
        let mut dice = Dice::new(&[world.seed, direction, 77]);
        let to_open = dice.between(u64::from(role == Role::Accepted), 6) as u32;
        Self {
            mux: Mux::new(role, config, now),
            direction,
            world,
            dice,
            sockets: BTreeMap::new(),
            endings: BTreeMap::new(),
            to_open,
            open_at: now,
            out: Vec::new(),
        }
    }

    /// Everything that can be done at `now`.
    pub(super) fn turn(&mut self, now: Instant, inbound: &mut Link, outbound: &mut Link) {
        self.mux.handle_timeout(now).unwrap();
        self.open_streams(now);
        while !self.mux.receive_paused()
            && let Some(piece) = inbound.receive(now)
        {
            self.read(&piece, now);
            self.drain_targets(now);
        }
        self.drain_targets(now);
        self.poll_sources(now);
        while self.fill() && !outbound.is_full() {
            let sent = outbound.send(&self.out, now);
            self.out.drain(..sent);
        }
        self.check();
    }

    /// When this end does something by itself.
    pub(super) fn next_wake(&self, now: Instant) -> Option<Instant> {
        let sources = self
            .sockets
            .values()
            .filter(|socket| !socket.finished)
            .map(|socket| socket.refill_at);
        let readers = self
            .sockets
            .values()
            .filter(|socket| socket.backlog > 0)
            .map(|socket| socket.read_at);
        let opening = (self.to_open > 0).then_some(self.open_at);
        sources
            .chain(readers)
            .chain(opening)
            .chain(self.mux.next_timeout())
            .filter(|at| *at > now)
            .min()
    }

    /// Whether all that was planned has happened, but for streams whose reader is stuck.
    pub(super) fn is_done(&self) -> bool {
        let is_stuck = |socket: &Socket| {
            let stuck = Reader::Stuck;
            socket.inbound.reader == stuck || socket.outbound.reader == stuck
        };
        self.to_open == 0 && self.out.is_empty() && self.sockets.values().all(is_stuck)
    }

    /// The carrier is lost: what did not end is reset.
    pub(super) fn lose_carrier(&mut self) {
        for id in std::mem::take(&mut self.sockets).into_keys() {
            self.endings.entry(id).or_insert(Ending::Reset);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.sockets.is_empty()
    }

    fn insert(&mut self, id: StreamId, now: Instant) -> &mut Socket {
        let plan = |direction| Plan::of(self.world.seed, id, direction, self.world.with_stuck);
        let (outbound, inbound) = (plan(self.direction), plan(1 - self.direction));
        let first = outbound.bytes(0, outbound.first as usize);
        let socket = Socket {
            sent: first.len() as u64,
            outbound,
            inbound,
            available: 0,
            refill_at: now,
            finished: false,
            received: 0,
            backlog: 0,
            read_at: now,
            fin_seen: false,
        };
        if !first.is_empty() {
            self.mux.queue_first(id, first).unwrap();
        }
        self.sockets.entry(id).insert_entry(socket).into_mut()
    }

    fn open_streams(&mut self, now: Instant) {
        while self.to_open > 0 && self.open_at <= now {
            if let Ok(id) = self.mux.open(self.dice.between(0, 3) as u8) {
                self.to_open -= 1;
                self.insert(id, now);
            }
            self.open_at = now + Duration::from_millis(self.dice.between(0, 40));
        }
    }

    fn read(&mut self, piece: &[u8], now: Instant) {
        let mut opened = Vec::new();
        let (sockets, endings, seed) = (&mut self.sockets, &mut self.endings, self.world);
        let mut early = BTreeMap::new();
        let result = self.mux.receive(now, piece, &mut |incoming| match incoming {
            Incoming::Opened(id) => opened.push(id),
            Incoming::Data(id, bytes) if opened.contains(&id) => {
                early
                    .entry(id)
                    .or_insert_with(|| (Vec::new(), false))
                    .0
                    .extend_from_slice(bytes);
            }
            Incoming::Data(id, bytes) => sockets.get_mut(&id).expect("open").deliver(bytes),
            Incoming::Fin(id) if opened.contains(&id) => early.entry(id).or_insert((Vec::new(), false)).1 = true,
            Incoming::Fin(id) => sockets.get_mut(&id).expect("open").end(&seed),
            Incoming::Reset(id, reason) => {
                assert_eq!(reason, id ^ 0x55);
                opened.retain(|opened| *opened != id);
                early.remove(&id);
                sockets.remove(&id);
                endings.entry(id).or_insert(Ending::Reset);
            }
        });
        result.unwrap();
        for id in opened {
            let world = self.world;
            let socket = self.insert(id, now);
            let (bytes, ended) = early.remove(&id).unwrap_or_default();
            socket.deliver(&bytes);
            if ended {
                socket.end(&world);
            }
        }
    }

    fn drain_targets(&mut self, now: Instant) {
        let mut gone = Vec::new();
        for (id, socket) in &mut self.sockets {
            let length = match socket.inbound.reader {
                Reader::Fast => socket.backlog,
                Reader::Slow(_) if socket.read_at > now => 0,
                Reader::Slow(most) => socket.backlog.min(most),
                Reader::Stuck => 0,
            };
            if length > 0 {
                socket.read_at = now + SLOW_READ;
                socket.backlog -= length;
                self.mux.consumed(*id, length);
            }
            if socket.fin_seen && socket.backlog == 0 {
                self.endings.entry(*id).or_insert(Ending::Clean);
                if socket.finished {
                    gone.push(*id);
                }
            }
        }
        self.sockets.retain(|id, _| !gone.contains(id));
    }

    fn poll_sources(&mut self, now: Instant) {
        let mut failed = Vec::new();
        for (id, socket) in self.sockets.iter_mut().filter(|(_, socket)| !socket.finished) {
            // Behind the FIN of a foreign peer that has really reset, nobody reads any more: a driver's idle timeout.
            let is_abandoned = !self.world.kariz && socket.fin_seen && socket.inbound.fails_at.is_some();
            if is_abandoned || socket.outbound.fails_at.is_some_and(|at| socket.sent >= at) {
                failed.push(*id);
            } else if socket.sent == socket.outbound.total {
                socket.finished = true;
                self.mux.finish(*id);
            } else if socket.refill_at <= now {
                socket.available = 1 << self.dice.between(0, 18);
                socket.refill_at = now + Duration::from_millis(self.dice.between(1, 30));
                self.mux.set_ready(*id, true);
            }
        }
        for id in failed {
            self.sockets.remove(&id);
            self.mux.reset(id, id ^ 0x55);
            self.endings.insert(id, Ending::Reset);
        }
    }

    /// Fills the out buffer; true if it holds something.
    fn fill(&mut self) -> bool {
        if !self.out.is_empty() || !self.mux.has_pending() {
            return !self.out.is_empty();
        }
        let mut buffer = vec![0; 1 << self.dice.between(6, 17)];
        let mut used = self.mux.write_control(&mut buffer);
        while let Some(pull) = self.mux.next_data(buffer.len() - used) {
            let Some(socket) = self.sockets.get_mut(&pull.id) else {
                self.mux.set_ready(pull.id, false);
                continue;
            };
            let left = (socket.outbound.total - socket.sent) as usize;
            let length = pull.max_len.min(socket.available).min(left);
            if length == 0 {
                self.mux.set_ready(pull.id, false);
                continue;
            }
            buffer[used + 8..used + 8 + length].copy_from_slice(&socket.outbound.bytes(socket.sent, length));
            socket.sent += length as u64;
            socket.available -= length;
            buffer[used..used + 8].copy_from_slice(&self.mux.pulled(pull.id, length));
            used += 8 + length;
        }
        buffer.truncate(used);
        self.out = buffer;
        used > 0
    }

    fn check(&self) {
        let backlog: usize = self.sockets.values().map(|socket| socket.backlog).sum();
        assert_eq!(self.mux.unconsumed(), backlog as u64);
        if self.world.windows_hold {
            assert!(!self.mux.receive_paused(), "windows keep the buffer from overflowing");
            assert!(backlog <= self.world.receive_buffer);
        }
    }
}

impl Socket {
    fn deliver(&mut self, bytes: &[u8]) {
        assert!(!self.fin_seen, "data behind the end");
        for byte in bytes {
            assert_eq!(*byte, self.inbound.byte(self.received), "offset {}", self.received);
            self.received += 1;
        }
        assert!(
            self.received
                <= self
                    .inbound
                    .fails_at
                    .unwrap_or(self.inbound.total)
                    .max(self.inbound.total)
        );
        self.backlog += bytes.len();
    }

    /// A foreign peer cannot tell a reset from an end; between Kariz ends an end is the end.
    fn end(&mut self, world: &World) {
        assert!(!self.fin_seen, "second end");
        let can_be_reset = self.inbound.fails_at.is_some() || self.outbound.fails_at.is_some();
        if world.kariz || !can_be_reset {
            assert_eq!(self.received, self.inbound.total, "a clean end with bytes missing");
        }
        self.fin_seen = true;
    }
}
