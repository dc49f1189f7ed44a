//! The bare copy-framing pair: what a multiplexed lane can do at best if it copies.
//!
//! An entry takes visitors and carries up to 16 of them on one carrier to the exit, which dials the target. Frames are
//! laid out as smux's (version, command, length, stream: 8 bytes, then up to 65,535 bytes), reads are up to 256 KiB,
//! all frames of one read leave in one write, received payload goes to its socket straight from the read buffer.
//! There is no flow control: a stream whose reader is slow stops its whole carrier. That makes it a limit, not a tunnel.

mod carrier;
mod frame;

use super::{LISTENER, accept, dial, listen, reset_on_close};
use crate::poller::{Interest, Poller, Ready};
use carrier::Carrier;
use frame::{Batch, Command};
use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

/// Streams on one carrier before the next one is dialled: the default of `default_mux_concurrency`.
const STREAMS_PER_CARRIER: usize = 16;

/// Which end of the pair a process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Takes visitors, dials carriers.
    Entry,
    /// Takes carriers, dials the target.
    Exit,
}

/// Runs one end: listens at `from`, dials `to`, until a listener fails.
///
/// # Errors
/// `from` cannot be bound, or descriptors run out.
pub fn run(end: End, from: SocketAddr, to: SocketAddr) -> io::Result<()> {
    let listener = listen(from)?;
    let poller = Poller::new()?;
    poller.add(&listener, LISTENER, Interest::Read)?;
    let mut mux = Mux {
        end,
        to,
        listener,
        poller,
        next_token: 0,
        next_stream: 1,
        carriers: HashMap::new(),
        streams: HashMap::new(),
        batch: Batch::new(),
        again: Vec::new(),
    };
    let mut ready = Vec::new();
    loop {
        let timeout = (!mux.again.is_empty()).then_some(Duration::ZERO);
        mux.poller.wait(timeout, &mut ready)?;
        for event in ready.iter().copied().chain(std::mem::take(&mut mux.again)) {
            if event.token == LISTENER {
                mux.accept()?
            } else {
                mux.handle(event)?
            }
        }
    }
}

struct Mux {
    end: End,
    to: SocketAddr,
    listener: TcpListener,
    poller: Poller,
    next_token: u64,
    next_stream: u32,
    carriers: HashMap<u64, Carrier>,
    streams: HashMap<u64, Stream>,
    batch: Batch,
    /// Sockets whose turn ended before they were drained.
    again: Vec<Ready>,
}

struct Stream {
    socket: TcpStream,
    carrier: u64,
    id: u32,
    readable: bool,
    ended: bool,
    finished: bool,
}

impl Mux {
    fn accept(&mut self) -> io::Result<()> {
        while let Some(socket) = accept(&self.listener)? {
            if self.end == End::Exit {
                self.add_carrier(socket.into())?;
                continue;
            }
            let free = self
                .carriers
                .iter()
                .find(|(_, carrier)| carrier.streams.len() < STREAMS_PER_CARRIER);
            let carrier = match free {
                Some((token, _)) => *token,
                None => match dial(self.to)? {
                    Some(carrier) => self.add_carrier(carrier.into())?,
                    None => {
                        reset_on_close(&socket);
                        continue;
                    }
                },
            };
            let id = self.next_stream;
            self.next_stream += 2;
            self.add_stream(socket.into(), carrier, id)?;
            self.control(carrier, Command::Open, id);
        }
        Ok(())
    }

    fn add_carrier(&mut self, socket: TcpStream) -> io::Result<u64> {
        let token = self.watch(&socket)?;
        self.carriers.insert(token, Carrier::new(socket));
        Ok(token)
    }

    fn add_stream(&mut self, socket: TcpStream, carrier: u64, id: u32) -> io::Result<()> {
        let token = self.watch(&socket)?;
        if let Some(carrier) = self.carriers.get_mut(&carrier) {
            carrier.streams.insert(id, token);
        }
        self.streams.insert(
            token,
            Stream {
                socket,
                carrier,
                id,
                readable: false,
                ended: false,
                finished: false,
            },
        );
        Ok(())
    }

    fn watch(&mut self, socket: &TcpStream) -> io::Result<u64> {
        let token = self.next_token;
        self.next_token += 1;
        self.poller.add(socket, token, Interest::Edges)?;
        Ok(token)
    }

    fn handle(&mut self, event: Ready) -> io::Result<()> {
        if self.carriers.contains_key(&event.token) {
            return self.serve_carrier(event);
        }
        let Some(stream) = self.streams.get_mut(&event.token) else {
            return Ok(());
        };
        stream.readable |= event.readable;
        let carrier = stream.carrier;
        if event.writable
            && self
                .carriers
                .get(&carrier)
                .is_some_and(|carrier| carrier.waits_for(event.token))
        {
            self.receive(carrier)?;
        }
        self.send(event.token);
        Ok(())
    }

    fn serve_carrier(&mut self, event: Ready) -> io::Result<()> {
        let token = event.token;
        if event.writable
            && self
                .carriers
                .get_mut(&token)
                .is_some_and(|carrier| carrier.flush().is_err())
        {
            self.fail(token);
            return Ok(());
        }
        if event.writable {
            let waiting: Vec<u64> = self
                .carriers
                .get(&token)
                .into_iter()
                .flat_map(|c| c.streams.values().copied())
                .collect();
            waiting.into_iter().for_each(|stream| self.send(stream));
        }
        if event.readable { self.receive(token) } else { Ok(()) }
    }

    /// One read of a stream's socket, framed and written to its carrier.
    fn send(&mut self, token: u64) {
        let Some(stream) = self.streams.get_mut(&token) else {
            return;
        };
        let Some(carrier) = self.carriers.get_mut(&stream.carrier) else {
            return;
        };
        if !stream.readable || stream.ended || !carrier.is_flushed() {
            return;
        }
        match self.batch.read(&stream.socket, stream.id) {
            Ok(0) => {
                stream.ended = true;
                let (carrier, id) = (stream.carrier, stream.id);
                self.control(carrier, Command::End, id);
                self.close_if_done(token);
            }
            Ok(_) => {
                if carrier.write(self.batch.frames()).is_err() {
                    let carrier = stream.carrier;
                    self.fail(carrier);
                } else {
                    self.again.push(Ready {
                        token,
                        readable: true,
                        writable: false,
                    });
                }
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                stream.readable = false
            }
            Err(_) => self.abort(token),
        }
    }

    /// Reads from a carrier and hands the payload out, until it is drained, a stream blocks, or its turn is over.
    fn receive(&mut self, token: u64) -> io::Result<()> {
        for _ in 0..super::TURN {
            loop {
                let Some(carrier) = self.carriers.get_mut(&token) else {
                    return Ok(());
                };
                match carrier.next_piece() {
                    None => break,
                    Some(carrier::Piece::Control(Command::Open, id)) if self.end == End::Exit => match dial(self.to)? {
                        Some(socket) => self.add_stream(socket.into(), token, id)?,
                        None => self.control(token, Command::Reset, id),
                    },
                    Some(carrier::Piece::Control(command, id)) => self.control_received(token, command, id),
                    Some(carrier::Piece::Payload(id)) => {
                        let stream = carrier.streams.get(&id).copied();
                        let socket = stream
                            .and_then(|stream| self.streams.get(&stream))
                            .map(|stream| &stream.socket);
                        match carrier.deliver(socket) {
                            Ok(true) => {}
                            Ok(false) => return Ok(()),
                            Err(_) => stream.into_iter().for_each(|stream| self.abort(stream)),
                        }
                    }
                }
            }
            let Some(carrier) = self.carriers.get_mut(&token) else {
                return Ok(());
            };
            match carrier.fill() {
                Ok(true) => {}
                Ok(false) => return Ok(()),
                Err(_) => {
                    self.fail(token);
                    return Ok(());
                }
            }
        }
        self.again.push(Ready {
            token,
            readable: true,
            writable: false,
        });
        Ok(())
    }

    fn control_received(&mut self, carrier: u64, command: Command, id: u32) {
        let Some(&token) = self.carriers.get(&carrier).and_then(|carrier| carrier.streams.get(&id)) else {
            return;
        };
        let Some(stream) = self.streams.get_mut(&token) else {
            return;
        };
        match command {
            Command::End => {
                stream.finished = true;
                // The socket may be gone already, which its own events will tell.
                let _ = stream.socket.shutdown(Shutdown::Write);
                self.close_if_done(token);
            }
            Command::Reset => self.remove(token),
            Command::Open | Command::Data => {}
        }
    }

    fn control(&mut self, carrier: u64, command: Command, id: u32) {
        let Some(open) = self.carriers.get_mut(&carrier) else {
            return;
        };
        if open.queue(frame::header(command, id, 0)).is_err() {
            self.fail(carrier);
        }
    }

    fn close_if_done(&mut self, token: u64) {
        let Some(stream) = self.streams.get(&token) else { return };
        if stream.ended && stream.finished {
            let stream = self.streams.remove(&token);
            self.forget(token, stream);
        }
    }

    fn abort(&mut self, token: u64) {
        if let Some(stream) = self.streams.get(&token) {
            let (carrier, id) = (stream.carrier, stream.id);
            self.remove(token);
            self.control(carrier, Command::Reset, id);
        }
    }

    fn remove(&mut self, token: u64) {
        let stream = self.streams.remove(&token);
        if let Some(stream) = &stream {
            reset_on_close(&stream.socket);
        }
        self.forget(token, stream);
    }

    fn forget(&mut self, token: u64, stream: Option<Stream>) {
        if let Some(stream) = stream
            && let Some(carrier) = self.carriers.get_mut(&stream.carrier)
        {
            carrier.streams.remove(&stream.id);
            if carrier.waits_for(token) {
                self.again.push(Ready {
                    token: stream.carrier,
                    readable: true,
                    writable: false,
                });
            }
        }
    }

    fn fail(&mut self, carrier: u64) {
        if let Some(carrier) = self.carriers.remove(&carrier) {
            carrier.streams.values().for_each(|token| self.remove(*token));
        }
    }
}
