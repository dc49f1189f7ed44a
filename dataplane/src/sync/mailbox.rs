//! A bounded mailbox: many threads post, one worker collects.
//!
//! Whoever posts into an empty mailbox rings the bell (an eventfd, in life); the worker empties the mailbox each
//! time that the bell has rung. A message is never left behind without a ring after it.

use super::shim::{Mutex, MutexGuard};
use std::collections::VecDeque;

/// Wakes the worker. May be rung more often than needed.
pub trait Bell {
    /// Rings; must not block.
    fn ring(&self);
}

/// The mailbox of one worker.
#[derive(Debug)]
pub struct Mailbox<T, B> {
    queue: Mutex<VecDeque<T>>,
    capacity: usize,
    bell: B,
}

impl<T, B: Bell> Mailbox<T, B> {
    /// A mailbox for at most `capacity` messages.
    pub fn new(capacity: usize, bell: B) -> Self {
        Self {
            queue: Mutex::new(VecDeque::new()),
            capacity,
            bell,
        }
    }

    /// Puts a message in, and rings if the mailbox was empty.
    ///
    /// # Errors
    /// Gives the message back if the mailbox is full.
    pub fn post(&self, message: T) -> Result<(), T> {
        let was_empty = {
            let mut queue = self.lock();
            if queue.len() >= self.capacity {
                return Err(message);
            }
            queue.push_back(message);
            queue.len() == 1
        };
        if was_empty {
            self.bell.ring();
        }
        Ok(())
    }

    /// Takes everything out. To be called after the bell has rung and been silenced, in this order.
    pub fn collect(&self) -> VecDeque<T> {
        std::mem::take(&mut *self.lock())
    }

    /// The bell, for the worker to wait at.
    pub fn bell(&self) -> &B {
        &self.bell
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<T>> {
        // A panic while the lock is held cannot leave the queue half changed.
        self.queue.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}
