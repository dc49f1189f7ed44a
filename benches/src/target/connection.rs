//! One connection of the target: a small state machine, stepped whenever its socket is ready.

use super::Counters;
use crate::pacing::pace;
use crate::pattern::{CHUNK, Pattern};
use crate::poller::Interest;
use crate::request::{ENDLESS, REQUEST_LEN, Receipt, Request, Work};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

/// Bytes that an echo reads before it sends them back.
const ECHO_BLOCK: usize = 64 * 1024;

#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    state: State,
    interest: Interest,
}

#[derive(Debug)]
enum State {
    Asking {
        bytes: [u8; REQUEST_LEN],
        filled: usize,
    },
    Echo {
        pending: Vec<u8>,
        sent: usize,
        carried: u64,
        length: u64,
    },
    Sink {
        request: Request,
        pattern: Pattern,
        received: u64,
        mismatch: Option<u64>,
    },
    Answer {
        bytes: Vec<u8>,
        sent: usize,
    },
    Source {
        request: Request,
        pattern: Pattern,
        sent: u64,
    },
    /// Everything is sent and said; waiting for the visitor's end.
    Ending,
}

/// What the server does with the connection now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    Wait(Interest),
    Close,
}

/// What one attempt to move bytes came to.
enum Moved {
    Bytes(usize),
    End,
    Blocked,
    Failed,
}

impl Connection {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            state: State::Asking {
                bytes: [0; REQUEST_LEN],
                filled: 0,
            },
            interest: Interest::Read,
        }
    }

    pub(super) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    pub(super) fn interest(&self) -> Interest {
        self.interest
    }

    /// Moves what can be moved now; a bounded amount, so that others get their turn.
    pub(super) fn step(&mut self, buffer: &mut [u8], counters: &Counters) -> Next {
        let next = match &mut self.state {
            State::Asking { .. } => self.ask(counters),
            State::Echo { .. } => self.echo(buffer, counters),
            State::Sink { .. } => self.sink(buffer, counters),
            State::Answer { .. } => self.answer(counters),
            State::Source { .. } => self.source(counters),
            State::Ending => self.end(buffer, counters),
        };
        if let Next::Wait(interest) = next {
            self.interest = interest;
        }
        next
    }

    fn ask(&mut self, counters: &Counters) -> Next {
        let State::Asking { bytes, filled } = &mut self.state else {
            return Next::Close;
        };
        match read(&self.stream, &mut bytes[*filled..]) {
            Moved::Bytes(count) => *filled += count,
            Moved::Blocked => return Next::Wait(Interest::Read),
            Moved::End => {
                Counters::add(&counters.short_ends, 1);
                return Next::Close;
            }
            Moved::Failed => return reset(counters),
        }
        if *filled < REQUEST_LEN {
            return Next::Wait(Interest::Read);
        }
        let Ok(request) = Request::parse(bytes) else {
            Counters::add(&counters.foreign, 1);
            return Next::Close;
        };
        if request.mbit_per_s > 0 && pace(&self.stream, request.mbit_per_s).is_err() {
            return reset(counters);
        }
        let pattern = Pattern::new(request.seed);
        let (state, interest) = match request.work {
            Work::Echo => (
                State::Echo {
                    pending: Vec::new(),
                    sent: 0,
                    carried: 0,
                    length: request.length,
                },
                Interest::Read,
            ),
            Work::Sink => (
                State::Sink {
                    request,
                    pattern,
                    received: 0,
                    mismatch: None,
                },
                Interest::Read,
            ),
            Work::Source | Work::Reset => (
                State::Source {
                    request,
                    pattern,
                    sent: 0,
                },
                Interest::Write,
            ),
        };
        self.state = state;
        Next::Wait(interest)
    }

    fn echo(&mut self, buffer: &mut [u8], counters: &Counters) -> Next {
        let State::Echo {
            pending,
            sent,
            carried,
            length,
        } = &mut self.state
        else {
            return Next::Close;
        };
        if *sent == pending.len() {
            let block = ECHO_BLOCK.min(buffer.len());
            let count = match read(&self.stream, &mut buffer[..block]) {
                Moved::Bytes(count) => count,
                Moved::Blocked => return Next::Wait(Interest::Read),
                Moved::Failed => return reset(counters),
                Moved::End => {
                    // Closing both ways at once: everything that came has already gone back.
                    let short = *length != ENDLESS && *carried < *length;
                    Counters::add(
                        if short {
                            &counters.short_ends
                        } else {
                            &counters.completed
                        },
                        1,
                    );
                    return Next::Close;
                }
            };
            Counters::add(&counters.received, count as u64);
            *carried += count as u64;
            // The common case leaves nothing behind, and an idle connection holds no buffer.
            let gone = match write(&self.stream, &buffer[..count]) {
                Moved::Bytes(gone) => gone,
                Moved::Blocked => 0,
                Moved::End | Moved::Failed => return reset(counters),
            };
            Counters::add(&counters.sent, gone as u64);
            if gone == count {
                return Next::Wait(Interest::Read);
            }
            *pending = buffer[gone..count].to_vec();
            *sent = 0;
            return Next::Wait(Interest::Write);
        }
        match write(&self.stream, &pending[*sent..]) {
            Moved::Bytes(count) => {
                Counters::add(&counters.sent, count as u64);
                *sent += count;
            }
            Moved::Blocked => return Next::Wait(Interest::Write),
            Moved::End | Moved::Failed => return reset(counters),
        }
        if *sent < pending.len() {
            return Next::Wait(Interest::Write);
        }
        *pending = Vec::new();
        *sent = 0;
        Next::Wait(Interest::Read)
    }

    fn sink(&mut self, buffer: &mut [u8], counters: &Counters) -> Next {
        let State::Sink {
            request,
            pattern,
            received,
            mismatch,
        } = &mut self.state
        else {
            return Next::Close;
        };
        match read(&self.stream, buffer) {
            Moved::Bytes(count) => {
                if mismatch.is_none()
                    && let Err(wrong) = pattern.verify(*received, &buffer[..count], request.check)
                {
                    *mismatch = Some(wrong.position);
                    Counters::add(&counters.mismatches, 1);
                }
                *received += count as u64;
                Counters::add(&counters.received, count as u64);
                Next::Wait(Interest::Read)
            }
            Moved::Blocked => Next::Wait(Interest::Read),
            Moved::Failed => reset(counters),
            Moved::End => {
                if request.length != ENDLESS && *received < request.length {
                    Counters::add(&counters.short_ends, 1);
                }
                let bytes = Receipt {
                    received: *received,
                    mismatch: *mismatch,
                }
                .encode()
                .to_vec();
                self.state = State::Answer { bytes, sent: 0 };
                Next::Wait(Interest::Write)
            }
        }
    }

    fn answer(&mut self, counters: &Counters) -> Next {
        let State::Answer { bytes, sent } = &mut self.state else {
            return Next::Close;
        };
        match write(&self.stream, &bytes[*sent..]) {
            Moved::Bytes(count) => *sent += count,
            Moved::Blocked => return Next::Wait(Interest::Write),
            Moved::End | Moved::Failed => return reset(counters),
        }
        if *sent < bytes.len() {
            return Next::Wait(Interest::Write);
        }
        Counters::add(&counters.completed, 1);
        Next::Close
    }

    fn source(&mut self, counters: &Counters) -> Next {
        let State::Source { request, pattern, sent } = &mut self.state else {
            return Next::Close;
        };
        let left = request.length - *sent;
        if left > 0 {
            let length = usize::try_from(left).unwrap_or(CHUNK);
            match write(&self.stream, pattern.slice(*sent, length)) {
                Moved::Bytes(count) => {
                    *sent += count as u64;
                    Counters::add(&counters.sent, count as u64);
                }
                Moved::Blocked => {}
                Moved::End | Moved::Failed => return reset(counters),
            }
            return Next::Wait(Interest::Write);
        }
        if request.work == Work::Reset {
            // Failing to ask for the reset would make the close a clean one: the test that counts resets sees it.
            let _ = rustix::net::sockopt::set_socket_linger(&self.stream, Some(Duration::ZERO));
            return Next::Close;
        }
        if self.stream.shutdown(Shutdown::Write).is_err() {
            return reset(counters);
        }
        self.state = State::Ending;
        Next::Wait(Interest::Read)
    }

    fn end(&mut self, buffer: &mut [u8], counters: &Counters) -> Next {
        match read(&self.stream, buffer) {
            Moved::Bytes(_) | Moved::Blocked => Next::Wait(Interest::Read),
            Moved::End => {
                Counters::add(&counters.completed, 1);
                Next::Close
            }
            Moved::Failed => reset(counters),
        }
    }
}

fn reset(counters: &Counters) -> Next {
    Counters::add(&counters.resets, 1);
    Next::Close
}

fn read(mut stream: &TcpStream, buffer: &mut [u8]) -> Moved {
    outcome(stream.read(buffer))
}

fn write(mut stream: &TcpStream, bytes: &[u8]) -> Moved {
    outcome(stream.write(bytes))
}

fn outcome(result: io::Result<usize>) -> Moved {
    match result {
        Ok(0) => Moved::End,
        Ok(count) => Moved::Bytes(count),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Moved::Blocked,
        Err(_) => Moved::Failed,
    }
}
