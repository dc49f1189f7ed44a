//! A receiver parses reads of data frames, hands out what they hold, and promises new windows (version 2).

use super::{BATCH_BYTES, STREAMS, control, end, ready};
use criterion::{BenchmarkId, Criterion, Throughput};
use kariz_proto::model::MuxVersion;
use kariz_proto::smux::{HEADER_BYTES, Incoming, MIN_PULL_BYTES, Mux, Role, StreamId};
use std::hint::black_box;
use std::time::Instant;

/// Payloads of the frames: a keystroke, a small message, as much as goes into a frame.
const PAYLOAD_BYTES: [usize; 3] = [64, 1024, 32_768];

pub(super) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("smux_receive");
    for payload in PAYLOAD_BYTES {
        for streams in STREAMS {
            let (opening, reads) = record(streams, payload);
            let mut receiver = Receiver::new(streams, &opening);
            let frames: usize = reads.iter().map(|read| read.frames.len()).sum();
            group.throughput(Throughput::ElementsAndBytes {
                elements: frames as u64,
                bytes: reads.iter().map(|read| read.bytes.len() as u64).sum(),
            });
            group.bench_function(BenchmarkId::new(format!("payload_{payload}"), streams), |bencher| {
                bencher.iter(|| reads.iter().for_each(|read| receiver.take(read)));
            });
        }
    }
    group.finish();
}

/// Whole frames, and what they hold.
#[derive(Default)]
struct Read {
    bytes: Vec<u8>,
    frames: Vec<(StreamId, usize)>,
}

/// What a sender sends first of all, and then in one round of its streams, or in one read if they are few. A frame says
/// nothing of its place in the stream, so that the round can come any number of times.
fn record(streams: u32, payload: usize) -> (Vec<u8>, Vec<Read>) {
    let (mut mux, ids, opening) = ready(MuxVersion::V2, streams, |_| 0);
    let mut reads = Vec::new();
    let mut frames = 0;
    while frames < ids.len() {
        let mut read = Read::default();
        while BATCH_BYTES - read.bytes.len() >= HEADER_BYTES + payload.max(MIN_PULL_BYTES) / 2 {
            let Some(pull) = mux.next_data(BATCH_BYTES - read.bytes.len()) else {
                break;
            };
            let length = pull.max_len.min(payload);
            read.bytes.extend_from_slice(&mux.pulled(pull.id, length));
            read.bytes.resize(read.bytes.len() + length, 0x5a);
            read.frames.push((pull.id, length));
            // Back to the end of the queue, where it would else go on until its turn is used up.
            mux.set_ready(pull.id, false);
            mux.next_data(BATCH_BYTES);
            mux.set_ready(pull.id, true);
        }
        frames += read.frames.len();
        reads.push(read);
    }
    (opening, reads)
}

/// The accepting end.
struct Receiver {
    mux: Mux,
    now: Instant,
    /// Kept for its memory, as the data plane does.
    got: Vec<(StreamId, usize)>,
    out: Vec<u8>,
}

impl Receiver {
    fn new(streams: u32, opening: &[u8]) -> Self {
        let mut mux = end(Role::Accepted, MuxVersion::V2, streams);
        let now = Instant::now();
        let mut opened = 0;
        mux.receive(now, opening, &mut |incoming| {
            opened += u32::from(matches!(incoming, Incoming::Opened(_)));
        })
        .expect("the frames are legal");
        assert_eq!(opened, streams);
        control(&mut mux);
        Self {
            mux,
            now,
            got: Vec::new(),
            out: vec![0; BATCH_BYTES],
        }
    }

    /// Everything that follows from a read, without the sockets.
    fn take(&mut self, read: &Read) {
        let got = &mut self.got;
        got.clear();
        self.mux
            .receive(self.now, black_box(&read.bytes), &mut |incoming| match incoming {
                Incoming::Data(id, data) => got.push((id, data.len())),
                other => unreachable!("{other:?}"),
            })
            .expect("the frames are legal");
        got.iter().for_each(|(id, length)| self.mux.consumed(*id, *length));
        black_box(self.mux.write_control(&mut self.out));
        assert!(self.got == read.frames && self.mux.unconsumed() == 0);
    }
}
