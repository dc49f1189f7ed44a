//! Tests of the multiplexer, by behaviour.

mod codec;
mod fairness;
mod fuzzing;
mod liveness;

mod rules;
mod sending;
mod simulation;

mod vectors;
mod violations;
mod windows;

use super::frame::{Command, HEADER_BYTES, Header};
use super::{Config, Incoming, Mux, Role, StreamId, Violation};
use crate::model::{MuxParams, MuxVersion};
use std::time::{Duration, Instant};

const SYN: u8 = 0;
const FIN: u8 = 1;
const PSH: u8 = 2;
const NOP: u8 = 3;
const RST: u8 = 5;

/// What [`Incoming`] says, with a copy of the payload.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Event {
    Opened(StreamId),
    Data(StreamId, Vec<u8>),
    Fin(StreamId),
    Reset(StreamId, u32),
}

impl From<Incoming<'_>> for Event {
    fn from(incoming: Incoming<'_>) -> Self {
        match incoming {
            Incoming::Opened(id) => Self::Opened(id),
            Incoming::Data(id, bytes) => Self::Data(id, bytes.to_vec()),
            Incoming::Fin(id) => Self::Fin(id),
            Incoming::Reset(id, reason) => Self::Reset(id, reason),
        }
    }
}

fn kariz(version: MuxVersion) -> Config {
    Config::new(
        MuxParams {
            version,
            ..MuxParams::default()
        },
        true,
    )
}

fn foreign(version: MuxVersion) -> Config {
    Config {
        kariz: false,
        ..kariz(version)
    }
}

/// A Mux with a clock that the test moves, fed and read as raw frames.
struct End {
    mux: Mux,
    now: Instant,
}

impl End {
    fn new(role: Role, config: Config) -> Self {
        let now = Instant::now();
        Self {
            mux: Mux::new(role, config, now),
            now,
        }
    }

    fn receive(&mut self, bytes: &[u8]) -> Result<Vec<Event>, Violation> {
        let mut events = Vec::new();
        self.mux
            .receive(self.now, bytes, &mut |incoming| events.push(Event::from(incoming)))?;
        Ok(events)
    }

    fn receive_all(&mut self, frames: &[Vec<u8>]) -> Result<Vec<Event>, Violation> {
        self.receive(&frames.concat())
    }

    fn control(&mut self) -> Vec<u8> {
        let mut out = vec![0; 1 << 16];
        let length = self.mux.write_control(&mut out);
        out.truncate(length);
        out
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
        self.mux.handle_timeout(self.now).unwrap();
    }

    /// Pulls up to `length` bytes of the next stream and says which it was and how many bytes it sent.
    fn pull(&mut self, length: usize) -> Option<(StreamId, usize)> {
        let pull = self.mux.next_data(1 << 20)?;
        let length = length.min(pull.max_len);
        self.mux.pulled(pull.id, length);
        Some((pull.id, length))
    }
}

fn dialled(config: Config) -> End {
    End::new(Role::Dialled, config)
}

/// Commands and ids of what is pending.
fn pending(end: &mut End) -> Vec<(u8, StreamId)> {
    frames(&end.control())
        .into_iter()
        .filter(|frame| frame.0 != 4)
        .map(|(command, id, _)| (command, id))
        .collect()
}

fn frame(version: u8, command: Command, id: StreamId, payload: &[u8]) -> Vec<u8> {
    let header = Header {
        command,
        length: payload.len() as u16,
        id,
    }
    .encode(version);
    [header.as_slice(), payload].concat()
}

fn syn(id: StreamId) -> Vec<u8> {
    frame(2, Command::Syn, id, &[])
}

fn fin(id: StreamId) -> Vec<u8> {
    frame(2, Command::Fin, id, &[])
}

fn push(id: StreamId, payload: &[u8]) -> Vec<u8> {
    frame(2, Command::Push, id, payload)
}

fn update(id: StreamId, consumed: u32, window: u32) -> Vec<u8> {
    frame(
        2,
        Command::Update,
        id,
        &[consumed.to_le_bytes(), window.to_le_bytes()].concat(),
    )
}

fn rst(id: StreamId, reason: u32) -> Vec<u8> {
    frame(2, Command::Reset, id, &reason.to_le_bytes())
}

/// Cuts well-formed output into frames, as command, id and payload.
fn frames(mut bytes: &[u8]) -> Vec<(u8, StreamId, Vec<u8>)> {
    let mut frames = Vec::new();
    while let Some((header, rest)) = bytes.split_at_checked(HEADER_BYTES) {
        let length = usize::from(u16::from_le_bytes([header[2], header[3]]));
        let id = u32::from_le_bytes([header[4], header[5], header[6], header[7]]);
        frames.push((header[1], id, rest[..length].to_vec()));
        bytes = &rest[length..];
    }
    assert!(bytes.is_empty(), "half a header");
    frames
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}
