//! What is kept for one stream.

use super::window::Inbound;

/// One stream of a carrier.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) inbound: Inbound,
    pub(super) outbound: Outbound,
    pub(super) turn: Turn,
    /// SYN is to be sent.
    pub(super) syn_due: bool,
    /// UPD is to be sent.
    pub(super) update_due: bool,
    /// The one with the opening window waits for the first bytes.
    pub(super) opening_waits: bool,
    /// The id is in the queue of urgent frames.
    pub(super) in_urgent: bool,
    /// The id is in the queue of first bytes and FIN.
    pub(super) in_ordered: bool,
    /// The peer ended its direction.
    pub(super) fin_received: bool,
    /// Both directions are closed; only unconsumed bytes keep the stream.
    pub(super) closed: bool,
}

/// The direction towards the peer.
#[derive(Debug)]
pub(super) struct Outbound {
    /// Bytes sent, modulo 2^32.
    pub(super) written: u32,
    pub(super) peer_consumed: u32,
    pub(super) peer_window: u32,
    /// Bytes that go before all others, and how many of them were sent.
    pub(super) first: Vec<u8>,
    pub(super) first_sent: u16,
    /// The source socket has bytes.
    pub(super) ready: bool,
    /// Nothing may be sent before the opener's first data.
    pub(super) held: bool,
    /// Something was sent or queued, so that first bytes come too late.
    pub(super) started: bool,
    pub(super) fin_due: bool,
    pub(super) fin_sent: bool,
}

/// A stream's place in the schedule of data.
#[derive(Debug)]
pub(super) struct Turn {
    pub(super) priority: u8,
    /// Bytes that the stream may still send in this turn; below zero what it sent ahead.
    pub(super) deficit: i64,
    /// The id is in the ring.
    pub(super) in_ring: bool,
    /// The stream could send data now.
    pub(super) eligible: bool,
}

impl Outbound {
    /// Bytes that the peer's window leaves room for; `None` is no window (v1).
    pub(super) fn room(&self, is_v2: bool) -> u32 {
        if is_v2 {
            self.peer_window.saturating_sub(self.in_flight())
        } else {
            u32::MAX
        }
    }

    /// Bytes sent that the peer has not consumed.
    pub(super) fn in_flight(&self) -> u32 {
        self.written.wrapping_sub(self.peer_consumed)
    }

    /// Whether FIN, or first bytes, could go now.
    pub(super) fn has_ordered(&self) -> bool {
        !self.held && (self.fin_due || !self.first.is_empty())
    }
}

impl Stream {
    /// Whether data of the source may be sent now.
    pub(super) fn can_send(&self, is_v2: bool) -> bool {
        let out = &self.outbound;
        let is_open = !self.syn_due && !out.held && !out.fin_due && !out.fin_sent;
        out.ready && is_open && out.first.is_empty() && out.room(is_v2) > 0
    }
}
