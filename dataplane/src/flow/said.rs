//! What a visitor has said before anybody is known to have heard it.

use crate::sync::counters::Counters;
use crate::worker::COUNTERS;
use kariz_proto::control::Counter;
use std::cell::RefCell;

/// Most bytes that are kept of one visitor. Who says more without waiting for an answer cannot be repeated.
pub(crate) const MAX_SAID_BYTES: usize = 16 << 10;

/// Most bytes that a worker keeps of all its visitors; beyond it a visitor cannot be repeated.
const MAX_KEPT_BYTES: u64 = 16 << 20;

const KEPT: usize = Counter::SaidKept as usize;

/// Everything that a visitor has said so far, for another carrier, should this one turn out to be dead.
pub(crate) struct Said<'a> {
    /// `None`: somebody has heard it, or it was too much.
    kept: RefCell<Option<Vec<u8>>>,
    counters: &'a Counters<COUNTERS>,
}

impl<'a> Said<'a> {
    pub(crate) fn new(counters: &'a Counters<COUNTERS>) -> Self {
        Self {
            kept: RefCell::new(Some(Vec::new())),
            counters,
        }
    }

    /// Keeps `bytes` behind what was said before.
    pub(crate) fn note(&self, bytes: &[u8]) {
        let mut kept = self.kept.borrow_mut();
        let Some(said) = kept.as_mut() else { return };
        let fits = said.len() + bytes.len() <= MAX_SAID_BYTES
            && self.counters.get(KEPT) + bytes.len() as u64 <= MAX_KEPT_BYTES;
        if fits {
            said.extend_from_slice(bytes);
            self.counters.add(KEPT, bytes.len() as u64);
        } else {
            drop(kept);
            self.forget();
        }
    }

    fn forget(&self) {
        let kept = self.kept.take().map_or(0, |said| said.len());
        self.counters.sub(KEPT, kept as u64);
    }

    /// The client has answered: what was said is in its hands.
    pub(crate) fn was_heard(&self) {
        self.forget();
    }

    /// Whether everything that was said is still here, and nobody has heard it.
    pub(crate) fn can_be_repeated(&self) -> bool {
        self.kept.borrow().is_some()
    }

    /// Says it again. Returns whether there was anything.
    pub(crate) fn repeat(&self, to: &mut Vec<u8>) -> bool {
        let kept = self.kept.borrow();
        let said = kept.as_deref().unwrap_or_default();
        to.extend_from_slice(said);
        !said.is_empty()
    }
}

impl Drop for Said<'_> {
    fn drop(&mut self) {
        self.forget();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repeated(said: &Said<'_>) -> Vec<u8> {
        let mut all = Vec::new();
        said.repeat(&mut all);
        all
    }

    #[test]
    fn what_was_said_in_pieces_is_repeated_as_a_whole_and_again() {
        let counters = Counters::default();
        let said = Said::new(&counters);
        said.note(b"hello ");
        said.note(b"world");
        assert!(said.can_be_repeated());
        assert_eq!(repeated(&said), b"hello world");
        assert_eq!(repeated(&said), b"hello world");
        assert_eq!(counters.get(KEPT), 11);
        drop(said);
        assert_eq!(counters.get(KEPT), 0);
    }

    #[test]
    fn too_much_and_what_was_heard_cannot_be_repeated() {
        let counters = Counters::default();
        let (much, heard) = (Said::new(&counters), Said::new(&counters));
        much.note(&[1; MAX_SAID_BYTES]);
        assert!(much.can_be_repeated());
        much.note(&[1]);
        heard.note(b"x");
        heard.was_heard();
        heard.note(b"y");
        for said in [much, heard] {
            assert!(!said.can_be_repeated());
            assert_eq!(repeated(&said), b"");
        }
        assert_eq!(counters.get(KEPT), 0);
    }

    #[test]
    fn worker_keeps_no_more_than_its_bound() {
        let counters = Counters::default();
        let many: Vec<_> = (0..=MAX_KEPT_BYTES as usize / MAX_SAID_BYTES)
            .map(|_| Said::new(&counters))
            .collect();
        many.iter().for_each(|said| said.note(&[1; MAX_SAID_BYTES]));
        assert_eq!(counters.get(KEPT), MAX_KEPT_BYTES);
        let kept: Vec<bool> = many.iter().map(Said::can_be_repeated).collect();
        assert!(kept[..many.len() - 1].iter().all(|kept| *kept));
        assert!(!kept[many.len() - 1]);
    }
}
