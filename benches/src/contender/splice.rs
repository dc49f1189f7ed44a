//! The bare splice relay: one hop; two of them in a row are the limit of the direct lane.
//!
//! Pipes of 1 MiB are borrowed from a pool while they hold something, as `design/measurements.md` found best.

use super::{LISTENER, TURN, accept, dial, listen, reset_on_close};
use crate::poller::{Interest, Poller, Ready};
use rustix::io::Errno;
use rustix::net::Shutdown;
use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};

const PIPE_BYTES: usize = 1 << 20;

/// Relays everything that arrives at `from` to `to`, until a listener fails.
///
/// # Errors
/// `from` cannot be bound, or descriptors run out.
pub fn run(from: SocketAddr, to: SocketAddr) -> io::Result<()> {
    let listener = listen(from)?;
    let poller = Poller::new()?;
    poller.add(&listener, LISTENER, Interest::Read)?;
    let mut relay = Relay {
        listener,
        to,
        poller,
        links: Vec::new(),
        free: Vec::new(),
        pipes: Vec::new(),
    };
    let mut ready = Vec::new();
    let mut unfinished: Vec<usize> = Vec::new();
    loop {
        let timeout = (!unfinished.is_empty()).then_some(std::time::Duration::ZERO);
        relay.poller.wait(timeout, &mut ready)?;
        for event in &ready {
            if event.token == LISTENER {
                relay.accept()?;
                continue;
            }
            relay.note(*event);
            let index = (event.token >> 1) as usize;
            if relay.turn(index)? && !unfinished.contains(&index) {
                unfinished.push(index);
            }
        }
        for index in std::mem::take(&mut unfinished) {
            if relay.turn(index)? {
                unfinished.push(index);
            }
        }
    }
}

struct Relay {
    listener: TcpListener,
    to: SocketAddr,
    poller: Poller,
    links: Vec<Option<Link>>,
    free: Vec<usize>,
    pipes: Vec<Pipe>,
}

/// A connection and its onward connection; `flows[0]` goes from side 0 to side 1.
struct Link {
    sides: [Side; 2],
    flows: [Flow; 2],
}

struct Side {
    socket: OwnedFd,
    readable: bool,
    writable: bool,
}

#[derive(Default)]
struct Flow {
    pipe: Option<Pipe>,
    held: usize,
    ended: bool,
    done: bool,
}

struct Pipe {
    reader: OwnedFd,
    writer: OwnedFd,
}

impl Relay {
    fn accept(&mut self) -> io::Result<()> {
        while let Some(visitor) = accept(&self.listener)? {
            let Some(onward) = dial(self.to)? else {
                reset_on_close(&visitor);
                continue;
            };
            let sockets = [visitor, onward];
            let index = self.free.pop().unwrap_or_else(|| {
                self.links.push(None);
                self.links.len() - 1
            });
            for (side, socket) in sockets.iter().enumerate() {
                self.poller.add(socket, (index << 1 | side) as u64, Interest::Edges)?;
            }
            let sides = sockets.map(|socket| Side {
                socket,
                readable: false,
                writable: false,
            });
            self.links[index] = Some(Link {
                sides,
                flows: Default::default(),
            });
        }
        Ok(())
    }

    fn note(&mut self, event: Ready) {
        if let Some(link) = &mut self.links[(event.token >> 1) as usize] {
            let side = &mut link.sides[(event.token & 1) as usize];
            side.readable |= event.readable;
            side.writable |= event.writable;
        }
    }

    /// Moves what can be moved on one link, and says whether its turn ended before that.
    fn turn(&mut self, index: usize) -> io::Result<bool> {
        let Some(link) = &mut self.links[index] else {
            return Ok(false);
        };
        let mut more = false;
        for from in 0..2 {
            match link.pump(from, &mut self.pipes) {
                Ok(unfinished) => more |= unfinished,
                Err(Errno::MFILE | Errno::NFILE) => return Err(Errno::MFILE.into()),
                Err(_) => {
                    link.sides.iter().for_each(|side| reset_on_close(&side.socket));
                    self.close(index);
                    return Ok(false);
                }
            }
        }
        if link.flows.iter().all(|flow| flow.done) {
            self.close(index);
            return Ok(false);
        }
        Ok(more)
    }

    fn close(&mut self, index: usize) {
        if let Some(link) = self.links[index].take() {
            let empty = link
                .flows
                .into_iter()
                .filter(|flow| flow.held == 0)
                .filter_map(|flow| flow.pipe);
            self.pipes.extend(empty);
            self.free.push(index);
        }
    }
}

impl Link {
    fn pump(&mut self, from: usize, pipes: &mut Vec<Pipe>) -> Result<bool, Errno> {
        let [first, second] = &mut self.sides;
        let (source, sink) = if from == 0 { (first, second) } else { (second, first) };
        let flow = &mut self.flows[from];
        for _ in 0..TURN {
            if flow.held == 0 {
                if flow.ended || !source.readable {
                    break;
                }
                let pipe = match flow.pipe.take().or_else(|| pipes.pop()) {
                    Some(pipe) => pipe,
                    None => Pipe::new()?,
                };
                let pipe = flow.pipe.insert(pipe);
                match step(&source.socket, &pipe.writer, PIPE_BYTES)? {
                    Some(0) => flow.ended = true,
                    Some(count) => flow.held = count,
                    None => source.readable = false,
                }
                continue;
            }
            let Some(pipe) = &flow.pipe else { break };
            if !sink.writable {
                return Ok(false);
            }
            match step(&pipe.reader, &sink.socket, flow.held)? {
                Some(count) => flow.held -= count,
                None => sink.writable = false,
            }
        }
        if flow.held > 0 {
            return Ok(sink.writable);
        }
        pipes.extend(flow.pipe.take());
        if flow.ended && !flow.done {
            if !sink.writable {
                return Ok(false);
            }
            rustix::net::shutdown(&sink.socket, Shutdown::Write)?;
            flow.done = true;
        }
        Ok(!flow.ended && source.readable)
    }
}

/// One splice: bytes moved, 0 at the end of the source, `None` if it would have to wait.
fn step(from: impl AsFd, to: impl AsFd, length: usize) -> Result<Option<usize>, Errno> {
    match splice(from, None, to, None, length, SpliceFlags::MOVE | SpliceFlags::NONBLOCK) {
        Ok(count) => Ok(Some(count)),
        Err(Errno::AGAIN | Errno::INTR) => Ok(None),
        Err(error) => Err(error),
    }
}

impl Pipe {
    fn new() -> Result<Self, Errno> {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        // Without the right to 1 MiB the pipe stays at 64 KiB; the relay is slower then, not wrong.
        let _ = fcntl_setpipe_size(&writer, PIPE_BYTES);
        Ok(Self { reader, writer })
    }
}
