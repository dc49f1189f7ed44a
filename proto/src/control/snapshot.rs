//! Counters and gauges of a worker, as the control plane reads them.

use super::WorkerIndex;

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident => $text:literal,)*) => {
        /// A counter (only rises) or gauge of one worker. The text is its name in logs.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(usize)]
        pub enum Counter { $($(#[$doc])* $name,)* }

        impl Counter {
            /// Every counter, in the order of [`WorkerSnapshot::values`].
            pub const ALL: &'static [Counter] = &[$(Counter::$name,)*];

            /// Name in logs.
            pub fn as_str(self) -> &'static str {
                match self { $(Counter::$name => $text,)* }
            }
        }
    };
}

counters! {
    /// Gauge: visitors at the public side (server, relay).
    Visitors => "visitors",
    /// Gauge: visitors at the inner side (client).
    Targets => "targets",
    /// Gauge: visitors that wait for a carrier.
    Waiting => "waiting",
    /// Gauge: a client's carriers without a visitor.
    CarriersIdle => "carriers_idle",
    /// Gauge: a server's carriers without a visitor.
    ServerIdle => "server_idle",
    /// Gauge: carriers that bear visitors.
    CarriersBusy => "carriers_busy",
    /// Gauge: connections that have not authenticated yet.
    Handshakes => "handshakes",
    /// Gauge: vouchers that were given out and not brought back.
    Vouchers => "vouchers",
    /// Gauge: pipes that are borrowed.
    PipesBusy => "pipes_busy",
    /// Gauge: pipes that lie in the pool.
    PipesIdle => "pipes_idle",
    /// Gauge: buffers that are borrowed.
    BuffersBusy => "buffers_busy",
    /// Gauge: buffers that lie in the pool.
    BuffersIdle => "buffers_idle",
    /// Gauge: sockets of every kind.
    Sockets => "sockets",
    /// Gauge: bytes buffered for slow visitors and targets of mux carriers.
    MuxBuffered => "mux_buffered",
    /// Gauge: bytes of visitors in the direct lane that are kept until the client has answered.
    SaidKept => "said_kept",
    /// Connections accepted on public listeners.
    Accepted => "accepted",
    /// Visitors whose target was reached.
    Opened => "opened",
    /// Visitors refused, for any reason.
    Refused => "refused",
    /// Visitors that ended with a reset after they were opened.
    Resets => "resets",
    /// Bytes from visitors.
    BytesIn => "bytes_in",
    /// Bytes to visitors.
    BytesOut => "bytes_out",
    /// Carriers that authenticated.
    Carriers => "carriers",
    /// Connections to a carrier listener that were dropped: garbage, silence, forged, too many.
    HandshakesFailed => "handshakes_failed",
    /// Resets that a foreign smux peer could only be told as FIN.
    ResetAsFin => "reset_as_fin",
    /// Frames for streams that were closed already.
    StaleFrames => "stale_frames",
    /// Mux carriers ended by a violation of the peer.
    Violations => "violations",
    /// Times that accepting paused for want of descriptors.
    AcceptPaused => "accept_paused",
    /// Events that the control plane had no room for.
    EventsLost => "events_lost",
    /// Panics of single connections.
    Panics => "panics",
    /// Visitors and carriers that came from another worker.
    HandedOver => "handed_over",
    /// Sockets reset by the sweep for dead peers.
    Swept => "swept",
}

impl Counter {
    /// Gauges come first; this is the last of them.
    pub const LAST_GAUGE: Counter = Counter::SaidKept;
}

/// The counters of one worker at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerSnapshot {
    /// Which.
    pub worker: WorkerIndex,
    /// Values in the order of [`Counter::ALL`].
    pub values: Vec<u64>,
}

impl WorkerSnapshot {
    /// The value of one counter.
    pub fn get(&self, counter: Counter) -> u64 {
        self.values.get(counter as usize).copied().unwrap_or(0)
    }
}
