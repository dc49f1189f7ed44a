//! Bytes that a slow socket has not taken yet, in pooled buffers. Bound: the stream's window, which the protocol
//! checks before anything gets here.

use crate::pool::{Buffer, BufferPool};
use std::collections::VecDeque;
use std::rc::Rc;

#[derive(Debug, Default)]
pub(super) struct Backlog {
    chunks: VecDeque<Chunk>,
    bytes: usize,
}

#[derive(Debug)]
struct Chunk {
    buffer: Buffer,
    start: usize,
    end: usize,
}

impl Backlog {
    pub(super) fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Bytes that are kept.
    pub(super) fn len(&self) -> usize {
        self.bytes
    }

    pub(super) fn push(&mut self, pool: &Rc<BufferPool>, mut bytes: &[u8]) {
        self.bytes += bytes.len();
        while !bytes.is_empty() {
            if self.chunks.back().is_none_or(|last| last.end == last.buffer.len()) {
                self.chunks.push_back(Chunk {
                    buffer: pool.take_for(bytes.len()),
                    start: 0,
                    end: 0,
                });
            }
            let Some(last) = self.chunks.back_mut() else { return };
            let fitting = bytes.len().min(last.buffer.len() - last.end);
            let (now, later) = bytes.split_at(fitting);
            last.buffer[last.end..last.end + fitting].copy_from_slice(now);
            last.end += fitting;
            bytes = later;
        }
    }

    /// The next bytes in a row; empty when there is nothing.
    pub(super) fn front(&self) -> &[u8] {
        self.chunks
            .front()
            .map_or(&[], |chunk| &chunk.buffer[chunk.start..chunk.end])
    }

    /// Takes bytes off the front: at most as many as [`Backlog::front`] has.
    pub(super) fn advance(&mut self, bytes: usize) {
        self.bytes -= bytes;
        if let Some(front) = self.chunks.front_mut() {
            front.start += bytes;
            if front.start == front.end {
                self.chunks.pop_front();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_back_what_was_pushed_and_its_buffers() {
        let pool = Rc::new(BufferPool::default());
        let mut backlog = Backlog::default();
        let data: Vec<u8> = (0..200_000_u32).map(|n| n as u8).collect();
        data.chunks(70_001).for_each(|part| backlog.push(&pool, part));
        let mut got = Vec::new();
        while !backlog.is_empty() {
            let take = backlog.front().len().min(999);
            got.extend_from_slice(&backlog.front()[..take]);
            backlog.advance(take);
        }
        assert_eq!(got, data);
        assert_eq!(pool.busy(), 0);
    }
}
