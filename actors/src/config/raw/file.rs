//! The file as a whole, and the sections that concern the process.

use super::super::value::{CountU32, DurationOrZero, PositiveDuration, RateBytes, RateMessages, Workers};
use super::{RawClient, RawRelay, RawServer, section};
use kariz_proto::model::{IoDriver, LogFormat};

section! {
    /// A configuration file.
    RawFile {
        server: RawServer,
        client: RawClient,
        relay: RawRelay,
        limits: RawLimits,
        runtime: RawRuntime,
    }
}

section! {
    /// `[limits]`, `[server.limits]` and the `limits` of a service.
    RawLimits {
        bytes_per_second: RateBytes,
        burst_bytes: RateBytes,
        messages_per_second: RateMessages,
        burst_messages: RateMessages,
        visitors: CountU32,
    }
}

section! {
    /// `[runtime]`.
    RawRuntime {
        workers: Workers,
        pin: bool,
        io: IoDriver,
        log_format: LogFormat,
        drain_timeout: DurationOrZero,
        max_visitors: CountU32,
        max_handshakes: CountU32,
        handshake_timeout: PositiveDuration,
    }
}
