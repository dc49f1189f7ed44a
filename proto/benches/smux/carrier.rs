//! Both ends of a carrier in version 2, with payload and with the windows that flow back: one batch from the sources of
//! one end to the targets of the other.

use super::{BATCH_BYTES, STREAMS, end, ready};
use criterion::{BenchmarkId, Criterion, Throughput};
use kariz_proto::model::MuxVersion;
use kariz_proto::smux::{HEADER_BYTES, Incoming, Mux, Role, StreamId};
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Payload of a batch, and the end's buffer: frames are short, and many, where windows are.
const PAYLOAD_BYTES: usize = BATCH_BYTES;
const BUFFER_BYTES: usize = 2 * BATCH_BYTES;

/// Some processors copy ten times slower when the target lies a few bytes behind its source modulo a page, and a frame's
/// header makes eight: buffers keep away from each other, wherever the allocator puts them.
const PAGE_BYTES: usize = 4096;
const SOURCE_PLACE: usize = 0;
const BATCH_PLACE: usize = PAGE_BYTES / 4;
const TARGET_PLACE: usize = PAGE_BYTES / 2;

/// What a batch takes on its way.
const BATCH_TIME: Duration = Duration::from_micros(50);

pub(super) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("smux_carrier");
    group.throughput(Throughput::Bytes(PAYLOAD_BYTES as u64));
    for streams in STREAMS {
        let mut carrier = Carrier::new(streams);
        let mut source = Buffer::new(PAYLOAD_BYTES, SOURCE_PLACE);
        let source = source.bytes();
        (0..).zip(&mut *source).for_each(|(at, byte)| *byte = (at % 251) as u8);
        carrier.pass(source);
        assert!(carrier.target.bytes() == source);
        group.bench_function(BenchmarkId::new("batch", streams), |bencher| {
            bencher.iter(|| carrier.pass(black_box(source)));
        });
    }
    group.finish();
}

/// Bytes that begin at a given place in a page.
struct Buffer {
    memory: Vec<u8>,
    start: usize,
    length: usize,
}

impl Buffer {
    fn new(length: usize, place: usize) -> Self {
        let memory = vec![0; length + 2 * PAGE_BYTES];
        let start = memory.as_ptr().align_offset(PAGE_BYTES) + place;
        Self { memory, start, length }
    }

    fn bytes(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..self.start + self.length]
    }
}

struct Carrier {
    sender: Mux,
    receiver: Mux,
    now: Instant,
    batch: Buffer,
    back: Vec<u8>,
    target: Buffer,
    got: Vec<(StreamId, usize)>,
}

impl Carrier {
    fn new(streams: u32) -> Self {
        let (sender, _, opening) = ready(MuxVersion::V2, streams, |_| 0);
        let mut carrier = Self {
            sender,
            receiver: end(Role::Accepted, MuxVersion::V2, streams),
            now: Instant::now(),
            batch: Buffer::new(BUFFER_BYTES, BATCH_PLACE),
            back: vec![0; BUFFER_BYTES],
            target: Buffer::new(PAYLOAD_BYTES, TARGET_PLACE),
            got: Vec::new(),
        };
        carrier.batch.bytes()[..opening.len()].copy_from_slice(&opening);
        carrier.deliver(opening.len());
        assert_eq!(carrier.receiver.streams(), streams as usize);
        carrier
    }

    /// The bytes of `source` cross in frames.
    fn pass(&mut self, source: &[u8]) {
        let batch = self.batch.bytes();
        let mut filled = self.sender.write_control(batch);
        let mut sent = 0;
        while sent < PAYLOAD_BYTES {
            let pull = self.sender.next_data(BUFFER_BYTES - filled).expect("windows are open");
            let length = pull.max_len.min(PAYLOAD_BYTES - sent);
            let frame = &mut batch[filled..filled + HEADER_BYTES + length];
            frame[HEADER_BYTES..].copy_from_slice(&source[sent..sent + length]);
            frame[..HEADER_BYTES].copy_from_slice(&self.sender.pulled(pull.id, length));
            filled += frame.len();
            sent += length;
        }
        assert_eq!(self.deliver(filled), PAYLOAD_BYTES);
    }

    /// Takes what is in the batch to its targets, and the windows back; returns the length of the payload.
    fn deliver(&mut self, filled: usize) -> usize {
        self.now += BATCH_TIME;
        let (target, got) = (self.target.bytes(), &mut self.got);
        let mut delivered = 0;
        got.clear();
        self.receiver
            .receive(self.now, &self.batch.bytes()[..filled], &mut |incoming| {
                if let Incoming::Data(id, data) = incoming {
                    target[delivered..delivered + data.len()].copy_from_slice(data);
                    delivered += data.len();
                    got.push((id, data.len()));
                }
            })
            .expect("the frames are legal");
        got.iter().for_each(|(id, length)| self.receiver.consumed(*id, *length));
        let back = self.receiver.write_control(&mut self.back);
        self.sender
            .receive(self.now, &self.back[..back], &mut |_| {
                unreachable!("only windows come back")
            })
            .expect("the frames are legal");
        delivered
    }
}
