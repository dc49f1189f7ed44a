//! Buffers for bytes that a slow receiver did not take at once.

use super::idle::Idle;
use std::cell::Cell;
use std::ops::{Deref, DerefMut};
use std::rc::Rc;

/// Size of a pooled buffer.
pub(crate) const BUFFER_BYTES: usize = 64 << 10;

/// Most buffers of a worker that may be borrowed at a time: 64 MiB. Beyond it a connection gets a small buffer
/// of its own ([`SMALL_BYTES`]), so that many slow receivers slow themselves down and nobody else.
pub(crate) const MAX_BUFFERS: usize = 1024;

/// Buffers that the pool keeps for the next borrower.
const MAX_IDLE: usize = 64;

/// Size of a buffer beyond [`MAX_BUFFERS`], and of one for few bytes: those are not pooled.
const SMALL_BYTES: usize = 4 << 10;

/// The buffers of one worker.
#[derive(Debug, Default)]
pub(crate) struct BufferPool {
    idle: Idle<Box<[u8]>, MAX_IDLE>,
    busy: Cell<usize>,
}

/// A borrowed buffer; goes back when dropped.
#[derive(Debug)]
pub(crate) struct Buffer {
    bytes: Box<[u8]>,
    pool: Rc<BufferPool>,
}

impl BufferPool {
    /// How many bytes the next [`BufferPool::take`] will have room for.
    pub(crate) fn next_size(&self) -> usize {
        if self.busy.get() < MAX_BUFFERS {
            BUFFER_BYTES
        } else {
            SMALL_BYTES
        }
    }

    /// Borrows a buffer of [`BufferPool::next_size`] bytes; its content is whatever the last borrower left.
    pub(crate) fn take(self: &Rc<Self>) -> Buffer {
        self.take_of(self.next_size())
    }

    /// Borrows a buffer for `bytes` bytes: a small one if they fit, else one of [`BufferPool::next_size`].
    pub(crate) fn take_for(self: &Rc<Self>, bytes: usize) -> Buffer {
        if bytes <= SMALL_BYTES {
            self.take_of(SMALL_BYTES)
        } else {
            self.take()
        }
    }

    /// Borrows a buffer of [`BUFFER_BYTES`] even beyond the cap: for carriers, which have a bound of their own.
    pub(crate) fn take_full(self: &Rc<Self>) -> Buffer {
        self.take_of(BUFFER_BYTES)
    }

    fn take_of(self: &Rc<Self>, size: usize) -> Buffer {
        let idle = if size == BUFFER_BYTES { self.idle.pop() } else { None };
        self.busy.set(self.busy.get() + 1);
        Buffer {
            bytes: idle.unwrap_or_else(|| vec![0; size].into_boxed_slice()),
            pool: self.clone(),
        }
    }

    /// Gives back half of what nobody has needed since the last call. To be called once in a while.
    pub(crate) fn trim(&self) {
        self.idle.trim();
    }

    /// Buffers that are borrowed.
    pub(crate) fn busy(&self) -> usize {
        self.busy.get()
    }

    /// Buffers that wait for a borrower.
    pub(crate) fn idle(&self) -> usize {
        self.idle.len()
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.pool.busy.set(self.pool.busy.get() - 1);
        if self.bytes.len() == BUFFER_BYTES {
            self.pool.idle.push(std::mem::take(&mut self.bytes));
        }
    }
}

impl Deref for Buffer {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beyond_the_cap_buffers_are_small_and_not_kept() {
        let pool = Rc::new(BufferPool::default());
        let borrowed: Vec<_> = (0..MAX_BUFFERS).map(|_| pool.take()).collect();
        assert!(borrowed.iter().all(|buffer| buffer.len() == BUFFER_BYTES));
        let small = pool.take();
        assert_eq!(small.len(), SMALL_BYTES);
        assert_eq!(pool.busy(), MAX_BUFFERS + 1);
        drop(small);
        assert_eq!(pool.idle(), 0);
        drop(borrowed);
        assert_eq!((pool.busy(), pool.idle()), (0, MAX_IDLE));
    }

    #[test]
    fn few_bytes_borrow_a_small_buffer() {
        let pool = Rc::new(BufferPool::default());
        assert_eq!(pool.take_for(1).len(), SMALL_BYTES);
        assert_eq!(pool.take_for(SMALL_BYTES + 1).len(), BUFFER_BYTES);
        assert_eq!((pool.busy(), pool.idle()), (0, 1));
    }
}
