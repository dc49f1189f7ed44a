//! Pipes for flows that turned out to be bulk.
//!
//! A pipe costs two descriptors and up to [`PIPE_BYTES`] of kernel memory, so it is borrowed when there is
//! something to move and given back when it is empty.

use super::idle::Idle;
use crate::net::would_block;
use rustix::pipe::{PipeFlags, SpliceFlags};
use std::cell::Cell;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;

/// Size that is asked for; an unprivileged process beyond the user's limit gets less, or none at all.
pub(crate) const PIPE_BYTES: usize = 1 << 20;

/// Below this a pipe is worth less than a copy.
const MIN_PIPE_BYTES: usize = 64 << 10;

/// Most pipes of a worker that may be borrowed at a time. Beyond it flows are copied.
pub(crate) const MAX_PIPES: usize = 256;

/// Pipes that the pool keeps for the next borrower.
const MAX_IDLE: usize = 16;

/// The pipes of one worker.
#[derive(Debug, Default)]
pub(crate) struct PipePool {
    idle: Idle<Ends, MAX_IDLE>,
    busy: Cell<usize>,
}

#[derive(Debug)]
struct Ends {
    read: OwnedFd,
    write: OwnedFd,
}

/// A borrowed pipe. Goes back when dropped empty; one that still holds bytes is closed.
#[derive(Debug)]
pub(crate) struct Pipe {
    ends: Option<Ends>,
    held: usize,
    pool: Rc<PipePool>,
}

impl PipePool {
    /// Borrows an empty pipe; `None` if the cap is reached or the kernel has none to give.
    pub(crate) fn take(self: &Rc<Self>) -> Option<Pipe> {
        if self.busy.get() >= MAX_PIPES {
            return None;
        }
        let ends = self.idle.pop().or_else(open)?;
        self.busy.set(self.busy.get() + 1);
        Some(Pipe {
            ends: Some(ends),
            held: 0,
            pool: self.clone(),
        })
    }

    /// Closes half of what nobody has needed since the last call. To be called once in a while.
    pub(crate) fn trim(&self) {
        self.idle.trim();
    }

    /// Pipes that are borrowed.
    pub(crate) fn busy(&self) -> usize {
        self.busy.get()
    }

    /// Pipes that wait for a borrower.
    pub(crate) fn idle(&self) -> usize {
        self.idle.len()
    }
}

fn open() -> Option<Ends> {
    let (read, write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).ok()?;
    let size = rustix::pipe::fcntl_setpipe_size(&write, PIPE_BYTES)
        .or_else(|_| rustix::pipe::fcntl_getpipe_size(&write))
        .unwrap_or(0);
    (size >= MIN_PIPE_BYTES).then_some(Ends { read, write })
}

impl Pipe {
    /// Bytes that are in the pipe.
    pub(crate) fn held(&self) -> usize {
        self.held
    }

    /// Moves up to `most` bytes from a socket into the pipe. `None` is "nothing now (or the pipe is full)",
    /// `Some(0)` the end of the stream.
    ///
    /// # Errors
    /// What the kernel answers of the socket.
    pub(crate) fn fill(&mut self, from: impl AsFd, most: usize) -> io::Result<Option<usize>> {
        let Some(ends) = &self.ends else { return Ok(None) };
        let moved = would_block(rustix::pipe::splice(from, None, &ends.write, None, most, FLAGS))?;
        self.held += moved.unwrap_or(0);
        Ok(moved)
    }

    /// Moves what the pipe holds into a socket. `None` is "no room now".
    ///
    /// # Errors
    /// What the kernel answers of the socket.
    pub(crate) fn drain(&mut self, to: impl AsFd) -> io::Result<Option<usize>> {
        let Some(ends) = &self.ends else { return Ok(None) };
        let moved = would_block(rustix::pipe::splice(&ends.read, None, to, None, self.held, FLAGS))?;
        self.held -= moved.unwrap_or(0);
        Ok(moved)
    }
}

const FLAGS: SpliceFlags = SpliceFlags::MOVE.union(SpliceFlags::NONBLOCK);

impl Drop for Pipe {
    fn drop(&mut self) {
        self.pool.busy.set(self.pool.busy.get() - 1);
        if self.held == 0
            && let Some(ends) = self.ends.take()
        {
            self.pool.idle.push(ends);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    #[test]
    fn a_pipe_that_holds_bytes_is_not_given_to_somebody_else() {
        let pool = Rc::new(PipePool::default());
        let (mut source, reader) = UnixStream::pair().unwrap();
        let (writer, mut sink) = UnixStream::pair().unwrap();
        source.write_all(b"hello").unwrap();
        let mut pipe = pool.take().unwrap();
        assert_eq!(pipe.fill(&reader, 100).unwrap(), Some(5));
        assert_eq!(pipe.held(), 5);
        drop(pipe);
        assert_eq!((pool.busy(), pool.idle()), (0, 0));

        source.write_all(b"world").unwrap();
        let mut pipe = pool.take().unwrap();
        assert_eq!(pipe.fill(&reader, 100).unwrap(), Some(5));
        assert_eq!(pipe.drain(&writer).unwrap(), Some(5));
        let mut got = [0; 5];
        sink.read_exact(&mut got).unwrap();
        assert_eq!(&got, b"world");
        drop(pipe);
        assert_eq!((pool.busy(), pool.idle()), (0, 1));
    }

    #[test]
    fn beyond_the_cap_there_is_no_pipe() {
        let pool = Rc::new(PipePool::default());
        let borrowed: Vec<_> = (0..MAX_PIPES).map_while(|_| pool.take()).collect();
        assert_eq!(pool.busy(), borrowed.len());
        assert!(borrowed.len() < MAX_PIPES || pool.take().is_none());
    }
}
