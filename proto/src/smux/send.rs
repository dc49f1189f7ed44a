//! Bytes for the carrier: control frames, then turns for data (`spec/smux.md`, Sending).

use super::frame::{Command, HEADER_BYTES, Header, RESET_BYTES, UPDATE_BYTES};
use super::window::Pool;
use super::{Mux, QueueError, StreamId};

/// Most bytes that may go before all data of a stream ([`Mux::queue_first`]); less than any initial window.
pub const MAX_FIRST_BYTES: usize = 4096;

/// Room for the longest control frame: with less, [`Mux::write_control`] may not get on.
pub const MIN_CONTROL_ROOM: usize = HEADER_BYTES + UPDATE_BYTES;

/// No turn is given for less payload than this (or a full frame, if that is less), so that the end of an out buffer
/// does not become a tiny frame. A small window still can.
pub const MIN_PULL_BYTES: usize = 1024;

/// A stream's turn to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pull {
    /// The stream whose source is to be read.
    pub id: StreamId,
    /// Most payload bytes of the frame: at least 1.
    pub max_len: usize,
    /// Bytes that the stream may send at present, over all frames: at least `max_len`. A driver that reads more than
    /// one frame at once says [`Mux::pulled`] for each; what is more than the stream's turn is taken off its next ones.
    pub window: usize,
}

/// The driver's buffer as far as it is filled.
struct Out<'a> {
    buffer: &'a mut [u8],
    used: usize,
}

impl Out<'_> {
    fn room(&self) -> usize {
        self.buffer.len() - self.used
    }

    /// Appends `header` and `payload` if both fit.
    fn put(&mut self, header: [u8; HEADER_BYTES], payload: &[u8]) -> bool {
        let Some(place) = self.buffer.get_mut(self.used..self.used + HEADER_BYTES + payload.len()) else {
            return false;
        };
        let (head, body) = place.split_at_mut(HEADER_BYTES);
        head.copy_from_slice(&header);
        body.copy_from_slice(payload);
        self.used += HEADER_BYTES + payload.len();
        true
    }
}

impl Mux {
    /// Whether there is anything to send now. It can be true once more than that after a stream vanished: then
    /// [`Mux::write_control`] writes nothing and settles it.
    pub fn has_pending(&self) -> bool {
        self.has_control() || !self.schedule.is_empty()
    }

    /// The stream's source socket has bytes to read, or has none.
    pub fn set_ready(&mut self, id: StreamId, ready: bool) {
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.outbound.ready = ready;
        }
        self.refresh(id);
    }

    /// Sends `bytes` before all data of the stream.
    ///
    /// With them goes the UPD with the opening window of a stream that a Kariz peer opened, unless [`Mux::consumed`] has
    /// sent it off before. On its own it would cost the peer a wake-up for nothing: until then nobody takes anything.
    ///
    /// # Errors
    ///
    /// See [`QueueError`]; nothing was queued then.
    pub fn queue_first(&mut self, id: StreamId, bytes: Vec<u8>) -> Result<(), QueueError> {
        let clock = self.clock();
        let Some(stream) = self.streams.get_mut(&id) else {
            return Err(QueueError::NotOpen);
        };
        let out = &mut stream.outbound;
        if out.fin_due || out.fin_sent {
            return Err(QueueError::NotOpen);
        }
        if bytes.len() > MAX_FIRST_BYTES {
            return Err(QueueError::TooLong);
        }
        if out.started {
            return Err(QueueError::NotFirst);
        }
        out.started = true;
        out.first = bytes;
        if stream.opening_waits {
            Pool::promise_leaves(&mut stream.inbound, clock);
            self.want_urgent(id);
        }
        self.want_ordered(id);
        self.refresh(id);
        Ok(())
    }

    /// The stream's source has ended: FIN goes behind all that was pulled.
    pub fn finish(&mut self, id: StreamId) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        stream.outbound.ready = false;
        if !stream.outbound.fin_sent {
            stream.outbound.fin_due = true;
            self.want_ordered(id);
        }
        self.refresh(id);
    }

    /// Puts pending control frames into `out` and returns how many bytes they take: first RST, NOP, SYN and UPD, then
    /// the first bytes of streams and FIN. What does not fit waits; `out` needs [`MIN_CONTROL_ROOM`].
    pub fn write_control(&mut self, out: &mut [u8]) -> usize {
        let mut out = Out { buffer: out, used: 0 };
        if self.write_resets(&mut out) && self.write_keep_alive(&mut out) && self.write_urgent(&mut out) {
            self.write_ordered(&mut out);
        }
        out.used
    }

    /// Whose turn it is to send data, with how much of it, where the out buffer has `room` bytes left for a header and
    /// a payload. `None` if no stream can send, or not in that room.
    ///
    /// The driver answers with [`Mux::pulled`], with [`Mux::set_ready`]`(id, false)` if the source had nothing,
    /// with [`Mux::finish`] if it ended or [`Mux::reset`] if it failed; without an answer the next turn is the same.
    pub fn next_data(&mut self, room: usize) -> Option<Pull> {
        let frame_size = usize::from(self.config.frame_size);
        let room = room.checked_sub(HEADER_BYTES)?.min(frame_size);
        if room < MIN_PULL_BYTES.min(frame_size) {
            return None;
        }
        let id = self.schedule.current(&mut self.streams)?;
        let window = self.streams.get(&id)?.outbound.room(self.config.is_v2());
        Some(Pull {
            id,
            max_len: room.min(window as usize),
            window: window as usize,
        })
    }

    /// The driver has read `length` bytes, 1 to [`Pull::max_len`], of the stream's source; returns the header that goes
    /// in front of them.
    pub fn pulled(&mut self, id: StreamId, length: usize) -> [u8; HEADER_BYTES] {
        debug_assert!(
            (1..=usize::from(self.config.frame_size)).contains(&length),
            "length of a frame"
        );
        if let Some(stream) = self.streams.get_mut(&id) {
            debug_assert!(
                length <= stream.outbound.room(self.config.is_v2()) as usize,
                "more than the window"
            );
            stream.outbound.started = true;
            stream.outbound.written = stream.outbound.written.wrapping_add(length as u32);
            self.schedule.charge(id, &mut stream.turn, HEADER_BYTES + length);
        }
        self.refresh(id);
        self.header(Command::Push, length, id)
    }

    fn has_control(&self) -> bool {
        let queued = self.urgent.front().is_some() || self.ordered.front().is_some();
        queued || self.liveness.keep_alive_due || !self.resets.is_empty()
    }

    fn header(&self, command: Command, length: usize, id: StreamId) -> [u8; HEADER_BYTES] {
        Header {
            command,
            length: length as u16,
            id,
        }
        .encode(self.dialect.version)
    }

    fn write_resets(&mut self, out: &mut Out<'_>) -> bool {
        while let Some((id, reason)) = self.resets.front().copied() {
            let written = if self.config.kariz {
                out.put(self.header(Command::Reset, RESET_BYTES, id), &reason.to_le_bytes())
            } else {
                out.put(self.header(Command::Fin, 0, id), &[])
            };
            if !written {
                return false;
            }
            self.resets.pop_front();
        }
        true
    }

    fn write_keep_alive(&mut self, out: &mut Out<'_>) -> bool {
        if self.liveness.keep_alive_due {
            self.liveness.keep_alive_due = !out.put(self.header(Command::Nop, 0, 0), &[]);
        }
        !self.liveness.keep_alive_due
    }

    fn write_urgent(&mut self, out: &mut Out<'_>) -> bool {
        while let Some(id) = self.urgent.front() {
            let syn = self.header(Command::Syn, 0, id);
            let update = self.header(Command::Update, UPDATE_BYTES, id);
            if let Some(stream) = self.streams.get_mut(&id) {
                if stream.syn_due {
                    stream.syn_due = !out.put(syn, &[]);
                }
                if stream.update_due && !stream.syn_due {
                    let (consumed, window) = stream.inbound.update();
                    let [a, b, c, d] = consumed.to_le_bytes();
                    let [e, f, g, h] = window.to_le_bytes();
                    stream.update_due = !out.put(update, &[a, b, c, d, e, f, g, h]);
                    stream.opening_waits &= stream.update_due;
                }
                if stream.syn_due || stream.update_due {
                    return false;
                }
                stream.in_urgent = false;
                self.refresh(id);
            }
            self.urgent.pop();
        }
        true
    }

    fn write_ordered(&mut self, out: &mut Out<'_>) {
        while let Some(id) = self.ordered.front() {
            if !self.write_first(id, out) || !self.write_fin(id, out) {
                return;
            }
            if let Some(stream) = self.streams.get_mut(&id) {
                stream.in_ordered = false;
            }
            self.ordered.pop();
            self.refresh(id);
            self.settle(id);
        }
    }

    /// True when nothing is left to write.
    fn write_first(&mut self, id: StreamId, out: &mut Out<'_>) -> bool {
        loop {
            let version = self.dialect.version;
            let Some(stream) = self.streams.get_mut(&id) else {
                return true;
            };
            let first = stream
                .outbound
                .first
                .get(usize::from(stream.outbound.first_sent)..)
                .unwrap_or_default();
            if first.is_empty() {
                stream.outbound.first = Vec::new();
                return true;
            }
            let room = out.room().saturating_sub(HEADER_BYTES);
            let length = first.len().min(room).min(usize::from(self.config.frame_size));
            let Some(payload) = first.get(..length).filter(|payload| !payload.is_empty()) else {
                return false;
            };
            let header = Header {
                command: Command::Push,
                length: length as u16,
                id,
            };
            if !out.put(header.encode(version), payload) {
                return false;
            }
            stream.outbound.first_sent += length as u16;
            stream.outbound.written = stream.outbound.written.wrapping_add(length as u32);
        }
    }

    fn write_fin(&mut self, id: StreamId, out: &mut Out<'_>) -> bool {
        let fin = self.header(Command::Fin, 0, id);
        let Some(outbound) = self.streams.get_mut(&id).map(|stream| &mut stream.outbound) else {
            return true;
        };
        if outbound.fin_due && out.put(fin, &[]) {
            outbound.fin_due = false;
            outbound.fin_sent = true;
        }
        !outbound.fin_due
    }
}
