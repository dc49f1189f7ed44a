//! Bytes from the carrier: the rules for each frame (`spec/smux.md`, Rules for us).

use super::mux::{MAX_PENDING_RESETS, RESET_REFUSED};
use super::parser::Piece;
use super::window::MAX_WINDOW;
use super::{Mux, StreamId, Violation};
use std::time::Instant;

/// What the peer did with a stream. Payloads are slices of what was given to [`Mux::receive`].
#[derive(Debug, PartialEq, Eq)]
pub enum Incoming<'a> {
    /// The peer opened this stream.
    Opened(StreamId),
    /// The next bytes of the stream, never empty; to be answered by [`Mux::consumed`] when they are delivered.
    Data(StreamId, &'a [u8]),
    /// The peer will send no more on the stream.
    Fin(StreamId),
    /// The peer aborted the stream, and it is gone: the driver drops what it holds of it. Only from a Kariz peer.
    Reset(StreamId, u32),
}

impl Mux {
    /// Takes `bytes` from the carrier, cut anywhere, and reports what they mean, in order.
    ///
    /// # Errors
    ///
    /// A [`Violation`]: what was reported before it counts, nothing after it does. The carrier has to be closed and its
    /// streams reset; every later call fails with the same violation.
    pub fn receive(
        &mut self,
        now: Instant,
        mut bytes: &[u8],
        sink: &mut impl FnMut(Incoming<'_>),
    ) -> Result<(), Violation> {
        if let Some(violation) = self.broken {
            return Err(violation);
        }
        self.advance(now);
        if !bytes.is_empty() {
            self.liveness.heard_at = now;
            self.liveness.was_paused = false;
        }
        loop {
            let piece = self.parser.next(&mut bytes, self.dialect).transpose();
            let Some(piece) = piece else { return Ok(()) };
            if let Err(violation) = piece.and_then(|piece| self.take(piece, sink)) {
                self.broken = Some(violation);
                return Err(violation);
            }
        }
    }

    /// Whether the driver must not read the carrier, because as much as the receive buffer is not consumed.
    ///
    /// That is v1's only flow control. With v2 the windows keep it from happening; it remains the bound where the
    /// windows that foreign senders assume exceed the receive buffer.
    pub fn receive_paused(&self) -> bool {
        let bound = u64::from(self.config.receive_buffer);
        if self.config.is_v2() {
            self.unconsumed > bound
        } else {
            self.unconsumed >= bound.max(1)
        }
    }

    /// The driver has delivered `length` bytes of the stream to its socket.
    pub fn consumed(&mut self, id: StreamId, length: usize) {
        self.take_consumed(id, length, false);
    }

    /// The driver has taken `length` bytes of a stream that the peer opened for itself, and will answer them with
    /// [`Mux::queue_first`]: an UPD waits for that.
    pub fn consumed_before_answer(&mut self, id: StreamId, length: usize) {
        self.take_consumed(id, length, true);
    }

    fn take_consumed(&mut self, id: StreamId, length: usize, before_answer: bool) {
        let clock = self.clock();
        let was_paused = self.receive_paused();
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        let held = stream.inbound.unconsumed();
        debug_assert!(length <= held as usize, "more consumed than received");
        let length = u32::try_from(length).unwrap_or(u32::MAX).min(held);
        let update_due = self.pool.consume(&mut stream.inbound, length, clock);
        self.unconsumed -= u64::from(length);
        stream.update_due |= update_due;
        if stream.update_due && !(stream.opening_waits && before_answer) {
            self.want_urgent(id);
        }
        self.liveness.was_paused |= was_paused && !self.receive_paused();
        self.settle(id);
    }

    fn take(&mut self, piece: Piece<'_>, sink: &mut impl FnMut(Incoming<'_>)) -> Result<(), Violation> {
        match piece {
            Piece::Syn(id) => self.take_syn(id, sink),
            Piece::Push { id, length } => self.take_push(id, length),
            Piece::Data(bytes) => {
                self.take_data(bytes, sink);
                Ok(())
            }
            Piece::Fin(id) => self.take_fin(id, sink),
            Piece::Update { id, consumed, window } => self.take_update(id, consumed, window),
            Piece::Reset { id, reason } => self.take_reset(id, reason, sink),
            Piece::Nop => Ok(()),
        }
    }

    fn take_syn(&mut self, id: StreamId, sink: &mut impl FnMut(Incoming<'_>)) -> Result<(), Violation> {
        if self.streams.contains_key(&id) && !self.ids.is_own(id) {
            return Err(Violation::AlreadyOpen(id));
        }
        self.ids.take_peer(id)?;
        if self.pending_resets() >= MAX_PENDING_RESETS {
            return Err(Violation::ResetFlood);
        }
        if !self.has_room() {
            self.refuse(id);
            return Ok(());
        }
        let kariz = self.config.kariz;
        let stream = self.insert(id, 0);
        stream.outbound.held = !kariz;
        if kariz {
            self.promise_opening(id);
            if let Some(stream) = self.streams.get_mut(&id) {
                stream.opening_waits = stream.update_due;
            }
        } else {
            self.hold(id, false);
        }
        sink(Incoming::Opened(id));
        Ok(())
    }

    fn refuse(&mut self, id: StreamId) {
        self.counters.refused += 1;
        if self.config.kariz {
            self.resets.push_back((id, RESET_REFUSED));
        } else {
            self.counters.reset_as_fin += 1;
            self.hold(id, true);
        }
    }

    /// Checks a whole PSH by its header, so that no byte beyond a window is ever delivered.
    fn take_push(&mut self, id: StreamId, length: u16) -> Result<(), Violation> {
        self.pushing = None;
        let Some(stream) = self.streams.get_mut(&id).filter(|stream| !stream.syn_due) else {
            return self.take_stale(id);
        };
        if stream.fin_received {
            if self.config.kariz {
                return Err(Violation::DataAfterFin(id));
            }
            // Go lets a writer that races with Close send behind the FIN.
            self.counters.stale_frames += 1;
            return Ok(());
        }
        if self.config.is_v2() && !stream.inbound.admits(length.into()) {
            return Err(Violation::WindowExceeded(id));
        }
        if length > 0 {
            self.pushing = Some(id);
            if stream.outbound.held {
                self.release(id);
            }
        }
        Ok(())
    }

    fn take_data(&mut self, bytes: &[u8], sink: &mut impl FnMut(Incoming<'_>)) {
        let clock = self.clock();
        let Some(id) = self.pushing else { return };
        // The driver may have reset the stream in the middle of a frame.
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        self.pool.receive(&mut stream.inbound, bytes.len() as u32, clock);
        self.unconsumed += bytes.len() as u64;
        sink(Incoming::Data(id, bytes));
    }

    fn take_fin(&mut self, id: StreamId, sink: &mut impl FnMut(Incoming<'_>)) -> Result<(), Violation> {
        let Some(stream) = self.streams.get_mut(&id).filter(|stream| !stream.syn_due) else {
            return self.take_stale(id);
        };
        if stream.fin_received {
            if self.config.kariz {
                return Err(Violation::SecondFin(id));
            }
            // Go sends one for CloseWrite and another for Close.
            self.counters.stale_frames += 1;
            return Ok(());
        }
        stream.fin_received = true;
        stream.update_due = false;
        self.pool.end(&mut stream.inbound);
        sink(Incoming::Fin(id));
        self.settle(id);
        Ok(())
    }

    fn take_update(&mut self, id: StreamId, consumed: u32, window: u32) -> Result<(), Violation> {
        if window > MAX_WINDOW {
            return Err(Violation::WindowTooLarge(id));
        }
        let Some(stream) = self.streams.get_mut(&id).filter(|stream| !stream.syn_due) else {
            return self.take_stale(id);
        };
        let out = &mut stream.outbound;
        if consumed.wrapping_sub(out.peer_consumed) > out.in_flight() {
            let is_older = out.peer_consumed.wrapping_sub(consumed) <= MAX_WINDOW;
            return match (is_older, self.config.kariz) {
                (false, _) => Err(Violation::ConsumedTooMuch(id)),
                (true, true) => Err(Violation::ConsumedRewound(id)),
                // Two readers of one Go stream can overtake each other.
                (true, false) => Ok(()),
            };
        }
        let edge = consumed.wrapping_add(window);
        let old_edge = out.peer_consumed.wrapping_add(out.peer_window);
        if self.config.kariz && (edge.wrapping_sub(old_edge) as i32) < 0 {
            return Err(Violation::WindowTakenBack(id));
        }
        out.peer_consumed = consumed;
        out.peer_window = window;
        self.refresh(id);
        Ok(())
    }

    fn take_reset(&mut self, id: StreamId, reason: u32, sink: &mut impl FnMut(Incoming<'_>)) -> Result<(), Violation> {
        match self.streams.get(&id).filter(|stream| !stream.syn_due) {
            None => self.take_stale(id),
            Some(_) => {
                self.remove(id);
                sink(Incoming::Reset(id, reason));
                Ok(())
            }
        }
    }

    /// A frame for a stream that is not there: fine if it once was, and counted.
    fn take_stale(&mut self, id: StreamId) -> Result<(), Violation> {
        if self.streams.contains_key(&id) || !self.ids.was_opened(id) {
            return Err(Violation::NeverOpened(id));
        }
        self.counters.stale_frames += 1;
        Ok(())
    }
}
