//! What smux costs without sockets: `cargo bench -p kariz-proto --bench smux`.
//!
//! | group | what is measured |
//! |---|---|
//! | `smux_codec` | control frames, written and parsed |
//! | `smux_send` | turns of a sender whose streams all want to send: scheduler and headers |
//! | `smux_receive` | parsing a batch of frames, consuming all of it, and promising new windows |
//! | `smux_carrier` | both ends with payload: what the mux lane costs beside its system calls |
//!
//! Nothing but `smux_carrier` touches payload, so that bytes per second of the others only compare their like.

mod carrier;
mod codec;
mod receive;
mod send;

use criterion::Criterion;
use kariz_proto::model::{MuxParams, MuxVersion};
use kariz_proto::smux::{Config, INITIAL_WINDOW, Mux, Role, StreamId};
use std::time::{Duration, Instant};

/// Bytes of a batch, as the data plane sends them.
const BATCH_BYTES: usize = 65_000;

/// Streams of a carrier.
const STREAMS: [u32; 3] = [1, 64, 1000];

/// Receive buffer for each stream: with v2 every one of them always has a whole [`INITIAL_WINDOW`].
const STREAM_ROOM_BYTES: u32 = 4 * INITIAL_WINDOW;

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    codec::bench(&mut criterion);
    send::bench(&mut criterion);
    receive::bench(&mut criterion);
    carrier::bench(&mut criterion);
    criterion.final_summary();
}

/// An end between two Kariz with room for `streams`.
fn end(role: Role, version: MuxVersion, streams: u32) -> Mux {
    let default = MuxParams::default();
    let params = MuxParams {
        version,
        receive_buffer: default.receive_buffer.max(streams * STREAM_ROOM_BYTES),
        ..default
    };
    let config = Config {
        max_streams: streams,
        ..Config::new(params, true)
    };
    Mux::new(role, config, Instant::now())
}

/// A dialling end with open streams that are ready to send, and the frames that told of them.
fn ready(version: MuxVersion, streams: u32, priority: impl Fn(u32) -> u8) -> (Mux, Vec<StreamId>, Vec<u8>) {
    let mut mux = end(Role::Dialled, version, streams);
    let ids: Vec<_> = (0..streams)
        .map(|stream| mux.open(priority(stream)).expect("there is room for the stream"))
        .collect();
    let opening = control(&mut mux);
    ids.iter().for_each(|id| mux.set_ready(*id, true));
    (mux, ids, opening)
}

/// Everything but data that the end has to send.
fn control(mux: &mut Mux) -> Vec<u8> {
    let mut out = vec![0; BATCH_BYTES];
    let length = mux.write_control(&mut out);
    out.truncate(length);
    out
}
