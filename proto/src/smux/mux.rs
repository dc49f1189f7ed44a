//! The multiplexer: opening, ending and counting streams.

use super::frame::Dialect;
use super::ids::Ids;
use super::liveness::{Held, Liveness};
use super::parser::Parser;
use super::queue::IdQueue;
use super::schedule::Schedule;
use super::stream::{Outbound, Stream, Turn};
use super::window::{FOREIGN_INITIAL_WINDOW, INITIAL_WINDOW, Inbound, Pool};
use super::{Config, OpenError, Role, Violation};
use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

/// A stream's name on its carrier, never reused there.
pub type StreamId = u32;

/// Most resets and refusals that may wait to be sent on one carrier.
pub const MAX_PENDING_RESETS: usize = 1024;

/// Streams by id. A frame looks its stream up several times, which a hash made to keep secrets would double the cost of.
/// It needs none: ids ascend, and whoever chooses them slows down only its own carrier.
pub type Streams<S> = HashMap<StreamId, S, foldhash::fast::FixedState>;

/// Reason of the RST that answers a SYN above [`Config::max_streams`].
pub const RESET_REFUSED: u32 = u32::MAX;

/// How many streams may be kept for each one that may be open: closed ones whose data a slow target has not taken.
const KEPT_PER_OPEN: usize = 2;

/// Entries of vanished streams that are tolerated among the held-back ones before they are swept.
const HELD_SLACK: usize = 64;

/// One end of a smux carrier, without the carrier. See the [module](super) for how to drive it.
///
/// Methods that name a stream do nothing if it does not exist: it may just have vanished, because it was reset or
/// because both directions are closed and all its bytes are consumed.
#[derive(Debug)]
pub struct Mux {
    pub(super) config: Config,
    pub(super) dialect: Dialect,
    pub(super) parser: Parser,
    /// The stream of the payload that is being parsed; `None` if it is to be skipped.
    pub(super) pushing: Option<StreamId>,
    pub(super) ids: Ids,
    pub(super) streams: Streams<Stream>,
    /// Streams that are not closed; the others only wait to be consumed.
    pub(super) open: usize,
    pub(super) pool: Pool,
    /// Bytes received and not consumed, over all streams.
    pub(super) unconsumed: u64,
    pub(super) schedule: Schedule,
    /// Streams with SYN or UPD to send.
    pub(super) urgent: IdQueue,
    /// Streams with first bytes or FIN to send.
    pub(super) ordered: IdQueue,
    /// Ends to tell of streams that are gone: RST with its reason, or FIN towards a foreign peer.
    pub(super) resets: VecDeque<(StreamId, u32)>,
    /// Streams of a foreign opener that are held back, in the order of their times.
    pub(super) held: VecDeque<Held>,
    /// How many of `held` are gone, with their end still to be told.
    pub(super) aborted_held: usize,
    pub(super) liveness: Liveness,
    pub(super) counters: Counters,
    pub(super) broken: Option<Violation>,
    started_at: Instant,
    clock: Duration,
}

/// What happened on a carrier since it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Resets that a foreign peer could only be told as FIN.
    pub reset_as_fin: u64,
    /// Frames for streams that were closed already.
    pub stale_frames: u64,
    /// Streams of the peer that were refused because of [`Config::max_streams`].
    pub refused: u64,
}

impl Mux {
    /// An end of a carrier on which nothing was sent or received yet.
    pub fn new(role: Role, config: Config, now: Instant) -> Self {
        let config = Config {
            frame_size: config.frame_size.max(1),
            ..config
        };
        Self {
            dialect: Dialect {
                version: config.version_byte(),
                resets: config.kariz,
            },
            parser: Parser::default(),
            pushing: None,
            ids: Ids::new(role, !config.kariz),
            streams: Streams::default(),
            open: 0,
            pool: Pool::new(&config),
            unconsumed: 0,
            schedule: Schedule::new(config.frame_size),
            urgent: IdQueue::default(),
            ordered: IdQueue::default(),
            resets: VecDeque::new(),
            held: VecDeque::new(),
            aborted_held: 0,
            liveness: Liveness::new(config.keep_alive, now),
            counters: Counters::default(),
            broken: None,
            started_at: now,
            clock: Duration::ZERO,
            config,
        }
    }

    /// Opens a stream of `priority` 0 (most urgent) to 3; greater ones count as 3.
    ///
    /// # Errors
    ///
    /// See [`OpenError`]; each means that the driver takes another carrier.
    pub fn open(&mut self, priority: u8) -> Result<StreamId, OpenError> {
        if let Some(violation) = self.broken {
            return Err(OpenError::Broken(violation));
        }
        if self.open >= self.config.max_streams as usize {
            return Err(OpenError::TooManyStreams);
        }
        if self.pending_resets() >= MAX_PENDING_RESETS {
            return Err(OpenError::ResetBacklog);
        }
        let id = self.ids.take_own().ok_or(OpenError::IdsExhausted)?;
        let stream = self.insert(id, priority);
        stream.syn_due = true;
        // A foreign peer knows the stream from the SYN before this UPD on.
        self.promise_opening(id);
        self.want_urgent(id);
        Ok(id)
    }

    /// Sets the priority of a stream, 0 (most urgent) to 3: an accepted one starts with 0.
    pub fn set_priority(&mut self, id: StreamId, priority: u8) {
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.turn.priority = priority.min(3);
        }
    }

    /// Aborts the stream in both directions, and it is gone: the driver drops what it holds of it.
    ///
    /// A Kariz peer gets RST with `reason`. A foreign one gets FIN, which is counted, unless it had one already.
    pub fn reset(&mut self, id: StreamId, reason: u32) {
        let Some(stream) = self.remove(id) else { return };
        if stream.syn_due {
            // The peer never hears of it.
            return;
        }
        if self.config.kariz {
            if !stream.closed {
                self.resets.push_back((id, reason));
            }
            return;
        }
        self.counters.reset_as_fin += 1;
        if stream.outbound.held {
            self.hold(id, true);
        } else if !stream.outbound.fin_sent {
            self.resets.push_back((id, reason));
        }
    }

    /// Streams that are open in at least one direction.
    pub fn streams(&self) -> usize {
        self.open
    }

    /// Bytes received and not consumed, over all streams.
    pub fn unconsumed(&self) -> u64 {
        self.unconsumed
    }

    /// What happened so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Time only serves to measure the path, so that a clock which stands still between two calls does no harm.
    pub(super) fn advance(&mut self, now: Instant) {
        self.clock = self.clock.max(now.saturating_duration_since(self.started_at));
    }

    pub(super) fn clock(&self) -> Duration {
        self.clock
    }

    pub(super) fn pending_resets(&self) -> usize {
        self.resets.len() + self.aborted_held
    }

    /// Whether the peer may open one more.
    pub(super) fn has_room(&self) -> bool {
        let max_streams = self.config.max_streams as usize;
        self.open < max_streams && self.streams.len() < max_streams.saturating_mul(KEPT_PER_OPEN)
    }

    pub(super) fn insert(&mut self, id: StreamId, priority: u8) -> &mut Stream {
        self.open += 1;
        let inbound = self.pool.open(self.clock);
        let peer_window = if self.config.kariz {
            INITIAL_WINDOW
        } else {
            FOREIGN_INITIAL_WINDOW
        };
        self.streams
            .entry(id)
            .insert_entry(Stream::new(inbound, peer_window, priority.min(3)))
            .into_mut()
    }

    /// Promises more than the peer assumes, if there is more; [`Mux::want_urgent`] is what sends it.
    pub(super) fn promise_opening(&mut self, id: StreamId) {
        let clock = self.clock;
        if let Some(stream) = self.streams.get_mut(&id)
            && self.config.is_v2()
            && self.pool.promise_opening(&mut stream.inbound, clock)
        {
            stream.update_due = true;
        }
    }

    pub(super) fn want_urgent(&mut self, id: StreamId) {
        if let Some(stream) = self.streams.get_mut(&id)
            && !stream.in_urgent
        {
            stream.in_urgent = true;
            self.urgent.push(id);
        }
    }

    pub(super) fn want_ordered(&mut self, id: StreamId) {
        if let Some(stream) = self.streams.get_mut(&id)
            && !stream.in_ordered
            && stream.outbound.has_ordered()
        {
            stream.in_ordered = true;
            self.ordered.push(id);
        }
    }

    pub(super) fn refresh(&mut self, id: StreamId) {
        if let Some(stream) = self.streams.get_mut(&id) {
            self.schedule.refresh(id, stream, self.config.is_v2());
        }
    }

    /// Keeps the stream back from a foreign opener for a while, or, if it is gone, the news of its end.
    pub(super) fn hold(&mut self, id: StreamId, aborted: bool) {
        let now = self.started_at + self.clock;
        let until = now.checked_add(self.config.hold_back).unwrap_or(now);
        self.aborted_held += usize::from(aborted);
        self.held.push_back(Held { until, id, aborted });
    }

    /// The opener has shown that it knows the stream, or the time is up.
    pub(super) fn release(&mut self, id: StreamId) {
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.outbound.held = false;
            self.want_ordered(id);
            self.refresh(id);
        }
    }

    /// Lets the stream go if both directions are closed: from the count at once, from the table when all is consumed.
    pub(super) fn settle(&mut self, id: StreamId) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        if !stream.fin_received || !stream.outbound.fin_sent {
            return;
        }
        if !stream.closed {
            stream.closed = true;
            self.open -= 1;
            self.pool.give_up_slot(&mut stream.inbound);
        }
        if stream.inbound.unconsumed() == 0 {
            self.remove(id);
        }
    }

    pub(super) fn remove(&mut self, id: StreamId) -> Option<Stream> {
        let stream = self.streams.remove(&id)?;
        self.open -= usize::from(!stream.closed);
        self.pool.close(&stream.inbound);
        self.unconsumed -= u64::from(stream.inbound.unconsumed());
        self.schedule.remove(&stream, &self.streams);
        let streams = &self.streams;
        self.urgent.sweep(streams.len(), |id| streams.contains_key(&id));
        self.ordered.sweep(streams.len(), |id| streams.contains_key(&id));
        if self.held.len() > self.aborted_held + 2 * streams.len() + HELD_SLACK {
            self.held.retain(|held| held.aborted || streams.contains_key(&held.id));
        }
        Some(stream)
    }
}

impl Stream {
    fn new(inbound: Inbound, peer_window: u32, priority: u8) -> Self {
        Self {
            inbound,
            outbound: Outbound {
                written: 0,
                peer_consumed: 0,
                peer_window,
                first: Vec::new(),
                first_sent: 0,
                ready: false,
                held: false,
                started: false,
                fin_due: false,
                fin_sent: false,
            },
            turn: Turn {
                priority,
                deficit: 0,
                in_ring: false,
                eligible: false,
            },
            syn_due: false,
            update_due: false,
            opening_waits: false,
            in_urgent: false,
            in_ordered: false,
            fin_received: false,
            closed: false,
        }
    }
}
