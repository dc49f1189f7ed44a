//! A plain driver of the multiplexer over a non-blocking socket, with sources and targets in memory.

use kariz_proto::model::{MuxParams, MuxVersion};
use kariz_proto::smux::{Config, HEADER_BYTES, Incoming, Mux, Role, StreamId};
use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

/// What one target takes in one turn, so that bytes have to wait.
const TARGET_BYTES_PER_TURN: usize = 16 * 1024;

/// The exchange takes a second or two.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Default)]
struct Stream {
    opened_here: bool,
    source: Vec<u8>,
    sent: usize,
    received: Vec<u8>,
    unconsumed: usize,
    peer_ended: bool,
    answered: bool,
    finished: bool,
    /// FNV of the request and length of the answer, where the request is ours.
    expected: Option<(u64, usize)>,
}

pub(crate) struct Driver {
    carrier: TcpStream,
    mux: Mux,
    streams: BTreeMap<StreamId, Stream>,
    out: Vec<u8>,
    started_at: Instant,
    peer_is_done: bool,
}

impl Driver {
    pub(crate) fn new(carrier: TcpStream, role: Role, version: MuxVersion) -> Self {
        carrier.set_nonblocking(true).unwrap();
        let params = MuxParams {
            version,
            concurrency: 1000,
            frame_size: 20_000,
            ..MuxParams::default()
        };
        let mux = Mux::new(role, Config::new(params, false), Instant::now());
        let (streams, started_at) = (BTreeMap::new(), Instant::now());
        Self {
            carrier,
            mux,
            streams,
            out: Vec::new(),
            started_at,
            peer_is_done: false,
        }
    }

    /// Opens `count` streams, each with a request and its end.
    pub(crate) fn open_requests(&mut self, count: usize) {
        for n in 0..count {
            let id = self.mux.open((n % 4) as u8).unwrap();
            let (payload, wanted) = (pattern(id, n * 9973), n * 12_011);
            let head = [(payload.len() as u32).to_le_bytes(), (wanted as u32).to_le_bytes()].concat();
            self.mux.queue_first(id, head).unwrap();
            self.mux.set_ready(id, !payload.is_empty());
            let expected = Some((fnv(&payload), wanted));
            let stream = Stream {
                opened_here: true,
                answered: true,
                expected,
                source: payload,
                ..Stream::default()
            };
            self.streams.insert(id, stream);
        }
    }

    /// Runs until the Go end says that all went well, then ends the answers and the connection.
    pub(crate) fn run_until_done(&mut self) {
        while !self.peer_is_done || !self.streams.is_empty() {
            let has_read = self.read_carrier();
            self.serve_streams();
            let has_written = self.write_carrier();
            self.mux.handle_timeout(Instant::now()).unwrap();
            assert!(
                self.started_at.elapsed() < PATIENCE,
                "{} streams are left",
                self.streams.len()
            );
            if !has_read && !has_written {
                std::thread::sleep(Duration::from_micros(200));
            }
        }
        while !self.out.is_empty() || self.mux.has_pending() {
            self.write_carrier();
        }
        self.carrier.shutdown(Shutdown::Write).unwrap();
    }

    pub(crate) fn assert_nothing_is_left(&self, streams: usize) {
        assert_eq!(
            (self.mux.streams(), self.mux.unconsumed(), self.mux.has_pending()),
            (0, 0, false)
        );
        let counters = self.mux.counters();
        // Go sends a second FIN on each stream that it closes after CloseWrite.
        assert!(counters.stale_frames <= streams as u64, "{counters:?}");
        assert_eq!((counters.reset_as_fin, counters.refused), (0, 0));
    }

    fn read_carrier(&mut self) -> bool {
        if self.mux.receive_paused() {
            return false;
        }
        let mut buffer = vec![0; 1 << 18];
        let length = match self.carrier.read(&mut buffer) {
            Ok(0) => panic!("the Go end closed the connection"),
            Ok(length) => length,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
            Err(error) => panic!("read: {error}"),
        };
        let streams = &mut self.streams;
        let received = self
            .mux
            .receive(Instant::now(), &buffer[..length], &mut |incoming| match incoming {
                Incoming::Opened(id) => assert!(streams.insert(id, Stream::default()).is_none()),
                Incoming::Data(id, bytes) => {
                    let stream = streams.get_mut(&id).unwrap();
                    stream.received.extend_from_slice(bytes);
                    stream.unconsumed += bytes.len();
                }
                Incoming::Fin(id) => streams.get_mut(&id).unwrap().peer_ended = true,
                Incoming::Reset(..) => panic!("Go has no reset"),
            });
        received.unwrap();
        true
    }

    fn serve_streams(&mut self) {
        for (id, stream) in &mut self.streams {
            let taken = stream.unconsumed.min(TARGET_BYTES_PER_TURN);
            stream.unconsumed -= taken;
            self.mux.consumed(*id, taken);
            if stream.peer_ended && stream.unconsumed == 0 && !stream.answered {
                stream.answered = true;
                if stream.received == b"done" {
                    self.peer_is_done = true;
                } else {
                    stream.source = answer(&stream.received);
                    self.mux.set_ready(*id, true);
                }
            }
            let may_end = stream.opened_here || self.peer_is_done;
            if stream.answered && may_end && !stream.finished && stream.sent == stream.source.len() {
                stream.finished = true;
                self.mux.finish(*id);
            }
        }
        self.streams.retain(|_, stream| {
            let keep = !stream.finished || !stream.peer_ended || stream.unconsumed > 0;
            if let (false, Some((sum, length))) = (keep, stream.expected) {
                check_answer(&stream.received, sum, length);
            }
            keep
        });
    }

    fn write_carrier(&mut self) -> bool {
        if self.out.is_empty() {
            self.fill();
        }
        match self.carrier.write(&self.out) {
            Ok(length) => drop(self.out.drain(..length)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
            Err(error) => panic!("write: {error}"),
        }
        self.mux.has_pending()
    }

    fn fill(&mut self) {
        let mut buffer = vec![0; 1 << 17];
        let mut used = self.mux.write_control(&mut buffer);
        while let Some(pull) = self.mux.next_data(buffer.len() - used) {
            let stream = self.streams.get_mut(&pull.id).unwrap();
            let rest = &stream.source[stream.sent..];
            let Some(payload) = rest
                .get(..rest.len().min(pull.max_len))
                .filter(|payload| !payload.is_empty())
            else {
                self.mux.set_ready(pull.id, false);
                continue;
            };
            let body = used + HEADER_BYTES;
            buffer[body..body + payload.len()].copy_from_slice(payload);
            buffer[used..body].copy_from_slice(&self.mux.pulled(pull.id, payload.len()));
            stream.sent += payload.len();
            used = body + payload.len();
        }
        buffer.truncate(used);
        self.out = buffer;
    }
}

fn answer(request: &[u8]) -> Vec<u8> {
    let (length, rest) = request.split_first_chunk().unwrap();
    let (wanted, payload) = rest.split_first_chunk().unwrap();
    assert_eq!(u32::from_le_bytes(*length) as usize, payload.len(), "a whole request");
    let bytes = pattern(99, u32::from_le_bytes(*wanted) as usize);
    [
        &fnv(payload).to_le_bytes(),
        bytes.as_slice(),
        &fnv(&bytes).to_le_bytes(),
    ]
    .concat()
}

fn check_answer(answer: &[u8], request_sum: u64, length: usize) {
    assert_eq!(answer.len(), 16 + length, "a whole answer");
    let (sum, rest) = answer.split_first_chunk().unwrap();
    let (bytes, bytes_sum) = rest.split_last_chunk().unwrap();
    assert_eq!(u64::from_le_bytes(*sum), request_sum, "what Go received");
    assert_eq!(u64::from_le_bytes(*bytes_sum), fnv(bytes), "what Go sent");
}

fn pattern(seed: u32, length: usize) -> Vec<u8> {
    let mut state = u64::from(seed) + 1;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..length).map(|_| next()).collect()
}

/// FNV-1a with 64 bits, as Go's `hash/fnv` has it.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum, byte| {
        (sum ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
    })
}
