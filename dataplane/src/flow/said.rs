//! What a visitor has said before anybody is known to have heard it.

use std::cell::RefCell;

/// Most bytes that are kept. A visitor who says more without waiting for an answer cannot be repeated.
pub(crate) const MAX_SAID_BYTES: usize = 16 << 10;

/// Everything that a visitor has said so far, for another carrier, should this one turn out to be dead.
#[derive(Debug)]
pub(crate) struct Said {
    /// `None`: somebody has heard it, or it was too much.
    kept: RefCell<Option<Vec<u8>>>,
}

impl Said {
    pub(crate) fn new() -> Self {
        Self {
            kept: RefCell::new(Some(Vec::new())),
        }
    }

    /// Keeps `bytes` behind what was said before.
    pub(crate) fn note(&self, bytes: &[u8]) {
        let mut kept = self.kept.borrow_mut();
        if let Some(said) = kept.as_mut() {
            if said.len() + bytes.len() <= MAX_SAID_BYTES {
                said.extend_from_slice(bytes);
            } else {
                *kept = None;
            }
        }
    }

    /// The client has answered: what was said is in its hands.
    pub(crate) fn was_heard(&self) {
        self.kept.take();
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

#[cfg(test)]
mod tests {
    use super::*;

    fn repeated(said: &Said) -> Vec<u8> {
        let mut all = Vec::new();
        said.repeat(&mut all);
        all
    }

    #[test]
    fn what_was_said_in_pieces_is_repeated_as_a_whole_and_again() {
        let said = Said::new();
        said.note(b"hello ");
        said.note(b"world");
        assert!(said.can_be_repeated());
        assert_eq!(repeated(&said), b"hello world");
        assert_eq!(repeated(&said), b"hello world");
    }

    #[test]
    fn too_much_and_what_was_heard_cannot_be_repeated() {
        let (much, heard) = (Said::new(), Said::new());
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
    }
}
