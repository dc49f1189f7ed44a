//! What a pool keeps for its next borrower.

use std::cell::{Cell, RefCell};

/// Things that nobody uses now. At most `MOST` are kept; what nobody has needed for a while goes.
#[derive(Debug)]
pub(super) struct Idle<T, const MOST: usize> {
    things: RefCell<Vec<T>>,
    /// Fewest since the last [`Idle::trim`].
    fewest: Cell<usize>,
}

impl<T, const MOST: usize> Default for Idle<T, MOST> {
    fn default() -> Self {
        Self {
            things: RefCell::default(),
            fewest: Cell::new(0),
        }
    }
}

impl<T, const MOST: usize> Idle<T, MOST> {
    pub(super) fn len(&self) -> usize {
        self.things.borrow().len()
    }

    pub(super) fn pop(&self) -> Option<T> {
        let thing = self.things.borrow_mut().pop();
        self.fewest.set(self.fewest.get().min(self.len()));
        thing
    }

    /// Keeps a thing, or drops it if there are enough.
    pub(super) fn push(&self, thing: T) {
        let mut things = self.things.borrow_mut();
        if things.len() < MOST {
            things.push(thing);
        }
    }

    /// Drops half of what nobody has needed since the last call. To be called once in a while.
    pub(super) fn trim(&self) {
        let mut things = self.things.borrow_mut();
        let kept = things.len() - self.fewest.get().div_ceil(2);
        things.truncate(kept);
        self.fewest.set(kept);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn use_at_once(idle: &Idle<u8, 8>, count: usize) {
        let used: Vec<_> = (0..count).map(|_| idle.pop().unwrap_or(7)).collect();
        used.into_iter().for_each(|thing| idle.push(thing));
    }

    #[test]
    fn what_nobody_needs_goes_and_what_is_used_stays() {
        let idle = Idle::default();
        use_at_once(&idle, 8);
        idle.trim();
        assert_eq!(idle.len(), 8, "all of them were needed since the last time");
        use_at_once(&idle, 6);
        idle.trim();
        assert_eq!(idle.len(), 7, "half of the two that lay there");
        (0..4).for_each(|_| idle.trim());
        assert_eq!(idle.len(), 0);
    }

    #[test]
    fn number_of_kept_things_is_bounded() {
        let idle = Idle::default();
        use_at_once(&idle, 20);
        assert_eq!(idle.len(), 8);
    }
}
