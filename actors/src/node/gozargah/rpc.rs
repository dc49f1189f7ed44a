//! The gRPC stubs, as tonic generates them from `proto/schema`; the messages are `kariz_proto`'s.
#![allow(missing_docs, unreachable_pub, clippy::all)]

/// What panels call.
pub(super) mod node {
    tonic::include_proto!("service");
}

/// The core's API: users.
pub(super) mod handler {
    tonic::include_proto!("xray.app.proxyman.command");
}

/// The core's API: counters.
pub(super) mod stats {
    tonic::include_proto!("xray.app.stats.command");
}
