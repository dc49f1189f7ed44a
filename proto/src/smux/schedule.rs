//! Whose turn it is to send data: weighted round robin, fair by bytes (`spec/smux.md`, Sending).

use super::queue::IdQueue;
use super::stream::{Stream, Turn};
use super::{StreamId, Streams};

/// Shares of the priorities 0 (most urgent) to 3.
const WEIGHTS: [u8; 4] = [8, 4, 2, 1];

/// Smallest number of bytes by which a turn of weight 1 is worth more than the one before.
const MIN_QUANTUM: i64 = 256;

/// Deficit round robin over the streams that have data and may send it.
///
/// A stream keeps its turn until its quantum is used up, so that its frames stay as large as it has bytes; a frame may
/// exceed what is left of the quantum, and the excess is taken from the next turns. A ring entry of a stream that
/// cannot send any more is dropped when its turn comes.
#[derive(Debug)]
pub(super) struct Schedule {
    ring: IdQueue,
    /// Bytes of weight 1.
    quantum: i64,
    /// Streams that could send now: exact, unlike the ring's length.
    eligible: usize,
}

impl Schedule {
    /// A turn of weight 8 is worth two full frames.
    pub(super) fn new(frame_size: u16) -> Self {
        Self {
            ring: IdQueue::default(),
            quantum: i64::from(frame_size / 4).max(MIN_QUANTUM),
            eligible: 0,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.eligible == 0
    }

    /// Notes whether the stream can send now.
    pub(super) fn refresh(&mut self, id: StreamId, stream: &mut Stream, is_v2: bool) {
        let eligible = stream.can_send(is_v2);
        if eligible == stream.turn.eligible {
            return;
        }
        stream.turn.eligible = eligible;
        if !eligible {
            self.eligible -= 1;
            return;
        }
        self.eligible += 1;
        if !stream.turn.in_ring {
            stream.turn.in_ring = true;
            self.ring.push(id);
        }
    }

    /// The stream that has the turn.
    pub(super) fn current(&mut self, streams: &mut Streams<Stream>) -> Option<StreamId> {
        while self.eligible > 0 {
            let id = self.ring.front()?;
            let Some(turn) = streams.get_mut(&id).map(|stream| &mut stream.turn) else {
                self.ring.pop();
                continue;
            };
            if !turn.eligible {
                // Unused credit ends with the backlog; what was sent ahead stays owed.
                turn.deficit = turn.deficit.min(0);
                turn.in_ring = false;
                self.ring.pop();
                continue;
            }
            if turn.deficit > 0 {
                return Some(id);
            }
            turn.deficit += self.quantum * weight(turn);
            if turn.deficit > 0 {
                return Some(id);
            }
            self.ring.rotate();
        }
        None
    }

    /// Charges the stream for a frame of `bytes` and passes the turn on when its quantum is used up.
    pub(super) fn charge(&mut self, id: StreamId, turn: &mut Turn, bytes: usize) {
        turn.deficit -= bytes as i64;
        if turn.deficit <= 0 && self.ring.front() == Some(id) {
            self.ring.rotate();
        }
    }

    /// The stream was removed from `streams`.
    pub(super) fn remove(&mut self, removed: &Stream, streams: &Streams<Stream>) {
        self.eligible -= usize::from(removed.turn.eligible);
        self.ring.sweep(streams.len(), |id| streams.contains_key(&id));
    }
}

fn weight(turn: &Turn) -> i64 {
    WEIGHTS.get(usize::from(turn.priority)).copied().unwrap_or(1).into()
}
