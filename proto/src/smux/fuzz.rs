//! The fuzz body of the multiplexer.

use super::{Config, Incoming, Mux, Role, StreamId};
use crate::model::{MuxParams, MuxVersion};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Feeds a [`Mux`] what `data` says and checks what it promises.
///
/// The first byte chooses version, role and kind of peer. Then steps follow: a byte for what the driver does and,
/// to feed the carrier, a length and as many bytes.
///
/// # Panics
///
/// When a promise is broken: data on a stream that is not open, a count that is wrong, output that is not well-formed
/// frames, or a violation that is forgotten.
pub fn fuzz_smux(data: &[u8]) {
    let Some((choice, mut script)) = data.split_first() else {
        return;
    };
    let params = MuxParams {
        version: if choice & 1 == 0 {
            MuxVersion::V2
        } else {
            MuxVersion::V1
        },
        concurrency: 4,
        receive_buffer: 1 << 19,
        ..MuxParams::default()
    };
    let role = if choice & 2 == 0 { Role::Accepted } else { Role::Dialled };
    let mut run = Run {
        mux: Mux::new(role, Config::new(params, choice & 4 == 0), Instant::now()),
        now: Instant::now(),
        held: BTreeMap::new(),
    };
    while let Some((step, rest)) = script.split_first() {
        script = rest;
        if !run.step(*step, &mut script) {
            return;
        }
        run.check();
    }
}

/// A Mux and the streams that its driver knows, with the bytes that it keeps for each.
struct Run {
    mux: Mux,
    now: Instant,
    held: BTreeMap<StreamId, Held>,
}

#[derive(Default)]
struct Held {
    bytes: usize,
    peer_ended: bool,
}

impl Run {
    /// False when the carrier ended.
    fn step(&mut self, step: u8, script: &mut &[u8]) -> bool {
        let id = self
            .held
            .keys()
            .nth(usize::from(step >> 4) % self.held.len().max(1))
            .copied()
            .unwrap_or_default();
        match step & 15 {
            0..=4 => return self.feed(script),
            5 => {
                if let Ok(id) = self.mux.open(step >> 4) {
                    self.held.insert(id, Held::default());
                }
            }
            6 | 7 => self.consume(id, step & 1 == 0),
            8 => self.mux.set_ready(id, true),
            9 => self.mux.set_ready(id, false),
            10 => self.mux.finish(id),
            11 => {
                self.mux.reset(id, 1);
                self.held.remove(&id);
            }
            12 => drop(self.mux.queue_first(id, script.to_vec())),
            13 => {
                self.now += Duration::from_millis(u64::from(step >> 4) * 500);
                return self.mux.handle_timeout(self.now).is_ok();
            }
            14 => self.write(usize::from(step)),
            _ => self.write(1 << 16),
        }
        true
    }

    fn feed(&mut self, script: &mut &[u8]) -> bool {
        let Some((length, rest)) = script.split_first() else {
            return false;
        };
        let (bytes, rest) = rest.split_at(rest.len().min(usize::from(*length)));
        *script = rest;
        let held = &mut self.held;
        let result = self.mux.receive(self.now, bytes, &mut |incoming| match incoming {
            Incoming::Opened(id) => assert!(held.insert(id, Held::default()).is_none(), "opened twice"),
            Incoming::Data(id, bytes) => {
                let stream = held.get_mut(&id).expect("data on an open stream");
                assert!(!bytes.is_empty() && !stream.peer_ended, "data after the end");
                stream.bytes += bytes.len();
            }
            Incoming::Fin(id) => {
                let stream = held.get_mut(&id).expect("end of an open stream");
                assert!(!std::mem::replace(&mut stream.peer_ended, true), "second end");
            }
            Incoming::Reset(id, _) => assert!(held.remove(&id).is_some(), "reset of an open stream"),
        });
        if let Err(violation) = result {
            assert_eq!(
                self.mux.receive(self.now, &[], &mut |_| ()),
                Err(violation),
                "a violation stays"
            );
        }
        result.is_ok()
    }

    fn consume(&mut self, id: StreamId, all: bool) {
        if let Some(stream) = self.held.get_mut(&id) {
            let length = if all { stream.bytes } else { stream.bytes.min(1) };
            stream.bytes -= length;
            self.mux.consumed(id, length);
        }
    }

    /// Takes everything that fits into `room` and checks that it is whole frames.
    fn write(&mut self, room: usize) {
        let mut out = vec![0; room];
        let mut rest = out.len().min(self.mux.write_control(&mut out));
        let mut frames = out.get(..rest).unwrap_or_default();
        while let Some((header, payload)) = frames.split_first_chunk::<8>() {
            let length = usize::from(u16::from_le_bytes([header[2], header[3]]));
            frames = payload.get(length..).expect("a whole frame");
        }
        assert!(frames.is_empty(), "half a header");
        while let Some(pull) = self.mux.next_data(room - rest) {
            assert!(
                pull.max_len > 0 && pull.max_len + 8 <= room - rest,
                "room for the frame"
            );
            self.mux.pulled(pull.id, pull.max_len);
            rest += pull.max_len + 8;
        }
    }

    fn check(&mut self) {
        let held: usize = self.held.values().map(|stream| stream.bytes).sum();
        assert_eq!(self.mux.unconsumed(), held as u64, "unconsumed bytes");
        assert!(self.mux.streams() <= 4, "more streams than allowed");
        assert!(self.mux.next_timeout().is_some(), "a timer");
    }
}
