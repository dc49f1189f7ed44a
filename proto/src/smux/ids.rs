//! Which stream ids were used (`spec/smux.md`, Streams): the dialling end has 3, 5, 7 ..., the other 2, 4, 6 ...

use super::{Role, StreamId, Violation};
use std::collections::BTreeSet;

/// Most ids that a foreign peer may leave out and use later. Go takes a stream's id and sends its SYN in two steps, so
/// that streams which are opened at once can arrive in another order.
const MAX_SKIPPED_IDS: usize = 1024;

/// Ids of both ends of one carrier.
#[derive(Debug)]
pub(super) struct Ids {
    first_own: StreamId,
    /// `None` when they are used up.
    next_own: Option<StreamId>,
    highest_peer: StreamId,
    skipped: BTreeSet<StreamId>,
    out_of_order: bool,
}

impl Ids {
    pub(super) fn new(role: Role, out_of_order: bool) -> Self {
        let (first_own, before_first_peer) = match role {
            Role::Dialled => (3, 0),
            Role::Accepted => (2, 1),
        };
        let skipped = BTreeSet::new();
        Self {
            first_own,
            next_own: Some(first_own),
            highest_peer: before_first_peer,
            skipped,
            out_of_order,
        }
    }

    /// The next id of this end; `None` when they are used up.
    pub(super) fn take_own(&mut self) -> Option<StreamId> {
        let id = self.next_own?;
        self.next_own = id.checked_add(2);
        Some(id)
    }

    /// Checks the id of a SYN and notes it as used.
    pub(super) fn take_peer(&mut self, id: StreamId) -> Result<(), Violation> {
        if self.is_own(id) {
            return Err(Violation::WrongParity(id));
        }
        if id <= self.highest_peer {
            return if self.skipped.remove(&id) {
                Ok(())
            } else {
                Err(Violation::IdTooLow(id))
            };
        }
        if self.out_of_order {
            let below = (1..=MAX_SKIPPED_IDS as u32).map_while(|steps| id.checked_sub(2 * steps));
            self.skipped
                .extend(below.take_while(|skipped| *skipped > self.highest_peer));
            while self.skipped.len() > MAX_SKIPPED_IDS {
                self.skipped.pop_first();
            }
        }
        self.highest_peer = id;
        Ok(())
    }

    /// Whether a stream of this id was open once.
    pub(super) fn was_opened(&self, id: StreamId) -> bool {
        if self.is_own(id) {
            id >= self.first_own && self.next_own.is_none_or(|next| id < next)
        } else {
            let first_peer = 5 - self.first_own;
            id >= first_peer && id <= self.highest_peer && !self.skipped.contains(&id)
        }
    }

    /// Whether the id has this end's parity.
    pub(super) fn is_own(&self, id: StreamId) -> bool {
        id % 2 == self.first_own % 2
    }

    #[cfg(test)]
    pub(super) fn jump_to(&mut self, next_own: StreamId) {
        self.next_own = Some(next_own);
    }
}
