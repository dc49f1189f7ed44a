//! Receive windows of v2: how much each stream may have in flight (`spec/smux.md`, Streams and Rules for us).
//!
//! Every stream can always get the floor; the floors of all streams together are at most a quarter of the receive
//! buffer, however many streams there may be. The rest is a pool; a stream may hold up to three quarters of what the
//! others leave of it, so that a single stream can have nearly all, many share it, and a newcomer always finds
//! something. As nothing promised can be taken back, a stream that has more than its share gives it up by consuming
//! without being promised more.

use super::Config;
use std::time::Duration;

/// What a Kariz sender assumes of a stream before its first UPD, in bytes.
pub const INITIAL_WINDOW: u32 = 64 * 1024;

/// What Go's sender assumes of a stream before its first UPD, in bytes, whatever the receiver has.
pub const FOREIGN_INITIAL_WINDOW: u32 = 256 * 1024;

/// What a stream is promised first where half of the pool leaves room for it, in bytes.
pub const OPENING_WINDOW: u32 = 1024 * 1024;

/// Largest window in bytes: the sender computes in signed 32 bits.
pub const MAX_WINDOW: u32 = i32::MAX as u32;

/// How long the smallest round trip counts before a later one replaces it: paths change.
const ROUND_TRIP_LIFETIME: Duration = Duration::from_secs(10);

/// What is renewed at once over a distance, at least, in bytes.
const FAR_STEP: u32 = 128 * 1024;

/// A round trip from which on a window is renewed in smaller steps.
const FAR: Duration = Duration::from_millis(5);

/// One stream's inbound direction. Positions count bytes modulo 2^32, as on the wire.
#[derive(Debug, Clone)]
pub(super) struct Inbound {
    received: u32,
    consumed: u32,
    /// The position up to which the peer may send.
    edge: u32,
    /// What the last UPD promised, from its `consumed` on.
    granted: u32,
    /// What this stream could use.
    target: u32,
    /// The edge before the UPD whose effect is awaited, and when that was queued.
    awaited: Option<(u32, Duration)>,
    /// When the first byte of the current measurement was consumed, and how many were.
    epoch_at: Duration,
    epoch_bytes: u32,
    /// The peer sends no more, so that nothing is promised any more.
    ended: bool,
    /// Whether the stream counts in the number of streams, and so may hold its floor.
    has_slot: bool,
}

impl Inbound {
    /// Bytes received that were not consumed.
    pub(super) fn unconsumed(&self) -> u32 {
        self.received.wrapping_sub(self.consumed)
    }

    /// Bytes that the peer may make this end hold.
    pub(super) fn promised(&self) -> u32 {
        self.edge.wrapping_sub(self.consumed)
    }

    /// Whether `length` more bytes stay inside the window.
    pub(super) fn admits(&self, length: u32) -> bool {
        length <= self.edge.wrapping_sub(self.received)
    }

    /// The fields of an UPD frame.
    pub(super) fn update(&self) -> (u32, u32) {
        (self.consumed, self.promised())
    }

    #[cfg(test)]
    pub(super) fn target(&self) -> u32 {
        self.target
    }
}

/// The receive buffer of one carrier, as promised to its streams.
#[derive(Debug)]
pub(super) struct Pool {
    is_v2: bool,
    initial: u32,
    floor: u32,
    stream_buffer: u32,
    capacity: u64,
    used: u64,
    /// The smallest recent round trip, and when it was measured.
    round_trip: Option<(Duration, Duration)>,
}

impl Pool {
    pub(super) fn new(config: &Config) -> Self {
        let floor = INITIAL_WINDOW
            .min(config.receive_buffer / 4 / config.max_streams.max(1))
            .max(1);
        let floors = u64::from(floor) * u64::from(config.max_streams);
        Self {
            is_v2: config.is_v2(),
            initial: if config.kariz {
                INITIAL_WINDOW
            } else {
                FOREIGN_INITIAL_WINDOW
            },
            floor,
            stream_buffer: config.stream_buffer.clamp(1, MAX_WINDOW),
            capacity: u64::from(config.receive_buffer).saturating_sub(floors),
            used: 0,
            round_trip: None,
        }
    }

    /// A new stream, with the window that its peer assumes.
    pub(super) fn open(&mut self, now: Duration) -> Inbound {
        let inbound = Inbound {
            received: 0,
            consumed: 0,
            edge: self.initial,
            granted: self.initial,
            target: OPENING_WINDOW.min(self.stream_buffer),
            awaited: None,
            epoch_at: now,
            epoch_bytes: 0,
            ended: false,
            has_slot: true,
        };
        self.used += self.extra(&inbound);
        inbound
    }

    /// Promises the opening window; true if that is more than the peer assumes anyway.
    pub(super) fn promise_opening(&mut self, inbound: &mut Inbound, now: Duration) -> bool {
        // Only half of the pool is given to streams that have not shown yet that they use it.
        let window = self.share(inbound, self.capacity / 2);
        window > inbound.promised() && {
            self.promise(inbound, window, now);
            true
        }
    }

    /// The opening promise is on its way only now: its effect is measured from here.
    pub(super) fn promise_leaves(inbound: &mut Inbound, now: Duration) {
        if let Some((_, queued_at)) = &mut inbound.awaited {
            *queued_at = now;
        }
    }

    /// Counts `length` bytes from the peer.
    pub(super) fn receive(&mut self, inbound: &mut Inbound, length: u32, now: Duration) {
        inbound.received = inbound.received.wrapping_add(length);
        if let Some((old_edge, queued_at)) = inbound.awaited
            && inbound.received.wrapping_sub(old_edge) as i32 > 0
        {
            inbound.awaited = None;
            self.sample(now.saturating_sub(queued_at), now);
        }
    }

    /// Counts `length` bytes as consumed; true if an UPD is due.
    ///
    /// One is due when a [step](Self::step) of the window is missing. For a stream that was never promised more than
    /// its peer assumed that is the first read, as in Go.
    pub(super) fn consume(&mut self, inbound: &mut Inbound, length: u32, now: Duration) -> bool {
        self.used -= self.extra(inbound);
        inbound.consumed = inbound.consumed.wrapping_add(length);
        self.used += self.extra(inbound);
        if !self.is_v2 || inbound.ended {
            return false;
        }
        self.grow(inbound, length, now);
        let window = self.share(inbound, self.capacity).max(inbound.promised());
        window - inbound.promised() >= self.step(window) && {
            self.promise(inbound, window, now);
            true
        }
    }

    /// The peer ended its direction: it will use no more of its window.
    pub(super) fn end(&mut self, inbound: &mut Inbound) {
        self.used -= self.extra(inbound);
        inbound.ended = true;
        inbound.edge = inbound.received;
        self.used += self.extra(inbound);
    }

    /// The stream does not count as open any more; what it still holds is on top of the other streams' floors.
    pub(super) fn give_up_slot(&mut self, inbound: &mut Inbound) {
        self.used -= self.extra(inbound);
        inbound.has_slot = false;
        self.used += self.extra(inbound);
    }

    /// The stream is gone.
    pub(super) fn close(&mut self, inbound: &Inbound) {
        self.used -= self.extra(inbound);
    }

    /// The smallest recent time between an UPD and its effect.
    #[cfg(test)]
    pub(super) fn round_trip(&self) -> Option<Duration> {
        self.round_trip.map(|(round_trip, _)| round_trip)
    }

    /// What `inbound` is promised beyond its floor.
    fn extra(&self, inbound: &Inbound) -> u64 {
        let floor = if inbound.has_slot { self.floor } else { 0 };
        if self.is_v2 {
            inbound.promised().saturating_sub(floor).into()
        } else {
            0
        }
    }

    /// The window that `inbound` may have where all streams together may use `capacity` of the pool.
    fn share(&self, inbound: &Inbound, capacity: u64) -> u32 {
        let others = self.used - self.extra(inbound);
        let share = capacity.saturating_sub(others) / 4 * 3;
        let window = u64::from(self.floor) + share;
        inbound.target.min(u32::try_from(window).unwrap_or(MAX_WINDOW))
    }

    /// How much of `window` has to be missing before it is renewed: half, as in Go; over a distance an eighth.
    ///
    /// The peer waits for one step at a time: with W bytes of window, a round trip R and a link of rate C, a single stream
    /// gets W / (R + step / C). Where W is just R * C, halves cost a third of that. Nearby, where R is next to nothing, the
    /// updates themselves would cost more (a tenth of the CPU time of a bulk stream).
    fn step(&self, window: u32) -> u32 {
        let half = (window / 2).max(1);
        let far = self.round_trip.is_some_and(|(round_trip, _)| round_trip >= FAR);
        if far {
            half.min((window / 8).max(FAR_STEP))
        } else {
            half
        }
    }

    fn promise(&mut self, inbound: &mut Inbound, window: u32, now: Duration) {
        inbound.awaited.get_or_insert((inbound.edge, now));
        self.used -= self.extra(inbound);
        inbound.edge = inbound.consumed.wrapping_add(window);
        inbound.granted = window;
        self.used += self.extra(inbound);
    }

    /// Doubles the target when a whole window was consumed within two round trips: then the path holds at least half
    /// a window, and the peer, who learns of it in steps, may be waiting for us.
    fn grow(&mut self, inbound: &mut Inbound, length: u32, now: Duration) {
        inbound.epoch_bytes = inbound.epoch_bytes.saturating_add(length);
        if inbound.epoch_bytes < inbound.granted {
            return;
        }
        let took = now.saturating_sub(inbound.epoch_at);
        let path_is_full = self.round_trip.is_some_and(|(round_trip, _)| took <= round_trip * 2);
        if path_is_full && inbound.granted >= inbound.target {
            inbound.target = inbound.target.saturating_mul(2).min(self.stream_buffer);
        }
        inbound.epoch_at = now;
        inbound.epoch_bytes = 0;
    }

    /// A measured time is never below the round trip, but above it when the peer had nothing to send or was not
    /// blocked; hence the smallest one counts, for all streams of the carrier.
    fn sample(&mut self, took: Duration, now: Duration) {
        let replaces = self.round_trip.is_none_or(|(smallest, measured_at)| {
            took <= smallest || now.saturating_sub(measured_at) > ROUND_TRIP_LIFETIME
        });
        if replaces {
            self.round_trip = Some((took, now));
        }
    }

    #[cfg(test)]
    pub(super) fn max_window(&self) -> u32 {
        self.stream_buffer
    }

    #[cfg(test)]
    pub(super) fn set_round_trip(&mut self, round_trip: Duration, measured_at: Duration) {
        self.round_trip = Some((round_trip, measured_at));
    }
}
