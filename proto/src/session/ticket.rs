//! Resumption tickets: what a client keeps, and how a server seals them (`proto/SESSION.md`, Resumption).

use super::random::random_bytes;
use super::{Random, ServiceOffer, wire};
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Nonce};
use prost::Message;
use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

/// How long a ticket is valid.
pub const TICKET_LIFETIME: Duration = Duration::from_secs(3600);
/// Longest sealed ticket in bytes; a session whose services do not fit gets none.
pub const MAX_TICKET_BYTES: usize = 16 * 1024;
/// Most used tickets that are remembered; while the cache is full no ticket is accepted.
pub const MAX_USED_TICKETS: usize = 65536;

const LABEL: &[u8] = b"kariz1 ticket";
const KEY_ID_BYTES: usize = 4;
const NONCE_BYTES: usize = 12;

/// A client's ticket with its secret, for the next connection to the same server. Opaque; kept in memory only.
#[derive(Clone, PartialEq)]
pub struct ResumptionTicket {
    pub(super) ticket: Vec<u8>,
    pub(super) secret: Zeroizing<[u8; 32]>,
    pub(super) expires: Instant,
    /// The services that both ends had proven when it was given.
    pub(super) services: Vec<ServiceOffer>,
}

impl ResumptionTicket {
    /// Whether the server may still take it.
    pub fn is_valid(&self, now: Instant) -> bool {
        now < self.expires
    }

    /// Whether it speaks for services that are still offered as they were.
    pub(super) fn fits(&self, now: Instant, offers: &[ServiceOffer]) -> bool {
        self.is_valid(now) && self.services.iter().all(|service| offers.contains(service))
    }
}

impl fmt::Debug for ResumptionTicket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ResumptionTicket(..)")
    }
}

/// Seals and opens tickets under keys that live in this process only. One for the whole server, shared by its
/// sessions.
pub struct TicketIssuer {
    start: Instant,
    keys: Mutex<Keys>,
    used: Mutex<Used>,
}

struct Keys {
    current: Key,
    previous: Option<Key>,
}

struct Key {
    id: u32,
    since: Instant,
    secret: Zeroizing<[u8; 32]>,
}

#[derive(Default)]
struct Used {
    tickets: HashMap<[u8; 16], u64>,
    expiries: BTreeSet<(u64, [u8; 16])>,
}

impl TicketIssuer {
    /// Makes the first key. Keys rotate every [`TICKET_LIFETIME`] when tickets are sealed.
    pub fn new(now: Instant, random: &mut dyn Random) -> Self {
        let current = Key {
            id: 1,
            since: now,
            secret: Zeroizing::new(random_bytes(random)),
        };
        Self {
            start: now,
            keys: Mutex::new(Keys {
                current,
                previous: None,
            }),
            used: Mutex::default(),
        }
    }

    /// Used tickets that are remembered: at most [`MAX_USED_TICKETS`]. A gauge.
    pub fn used(&self) -> usize {
        lock(&self.used).tickets.len()
    }

    /// Seals a ticket that expires [`TICKET_LIFETIME`] from now; `None` if it would be too long.
    pub(super) fn seal(&self, now: Instant, mut state: wire::TicketState, random: &mut dyn Random) -> Option<Vec<u8>> {
        state.id = random_bytes::<16>(random).to_vec();
        state.expires_ms = self.millis(now + TICKET_LIFETIME);
        let plain = Zeroizing::new(state.encode_to_vec());
        let nonce: [u8; NONCE_BYTES] = random_bytes(random);
        let mut keys = lock(&self.keys);
        keys.rotate(now, random);
        let id = keys.current.id.to_be_bytes();
        let sealed = keys
            .current
            .cipher()
            .encrypt(&Nonce::from(nonce), payload(&plain, &aad(id)))
            .ok()?;
        let ticket = [&id[..], &nonce[..], &sealed[..]].concat();
        (ticket.len() <= MAX_TICKET_BYTES).then_some(ticket)
    }

    /// Opens a ticket; `None` if it was not sealed here, is damaged, or has expired. Does not say whether it was used.
    pub(super) fn open(&self, now: Instant, ticket: &[u8]) -> Option<wire::TicketState> {
        let (id, rest) = ticket.split_first_chunk::<KEY_ID_BYTES>()?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_BYTES>()?;
        let plain = {
            let keys = lock(&self.keys);
            let key = keys.find(u32::from_be_bytes(*id))?;
            key.cipher()
                .decrypt(&Nonce::from(*nonce), payload(sealed, &aad(*id)))
                .ok()?
        };
        let state = wire::TicketState::decode(&Zeroizing::new(plain)[..]).ok()?;
        (self.millis(now) < state.expires_ms).then_some(state)
    }

    /// Uses a ticket up; false if it was used before or the cache is full.
    pub(super) fn redeem(&self, now: Instant, state: &wire::TicketState) -> bool {
        let Ok(id) = <[u8; 16]>::try_from(&state.id[..]) else {
            return false;
        };
        let now = self.millis(now);
        let mut used = lock(&self.used);
        used.forget_expired(now);
        if used.tickets.len() >= MAX_USED_TICKETS || used.tickets.contains_key(&id) {
            return false;
        }
        used.tickets.insert(id, state.expires_ms);
        used.expiries.insert((state.expires_ms, id));
        true
    }

    fn millis(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.start).as_millis()).unwrap_or(u64::MAX)
    }
}

impl fmt::Debug for TicketIssuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TicketIssuer(..)")
    }
}

impl Keys {
    /// A key seals for one lifetime and opens for one more, so that every ticket can be opened until it expires.
    fn rotate(&mut self, now: Instant, random: &mut dyn Random) {
        if now.saturating_duration_since(self.current.since) < TICKET_LIFETIME {
            return;
        }
        let next = Key {
            id: self.current.id.wrapping_add(1),
            since: now,
            secret: Zeroizing::new(random_bytes(random)),
        };
        self.previous = Some(std::mem::replace(&mut self.current, next));
    }

    fn find(&self, id: u32) -> Option<&Key> {
        let previous = self.previous.as_ref();
        [Some(&self.current), previous]
            .into_iter()
            .flatten()
            .find(|key| key.id == id)
    }
}

impl Key {
    fn cipher(&self) -> ChaCha20Poly1305 {
        ChaCha20Poly1305::new_from_slice(&*self.secret).expect("the key has the cipher's length")
    }
}

impl Used {
    fn forget_expired(&mut self, now: u64) {
        while let Some((expires, id)) = self.expiries.first().copied().filter(|(expires, _)| *expires <= now) {
            self.expiries.remove(&(expires, id));
            self.tickets.remove(&id);
        }
    }
}

fn aad(id: [u8; KEY_ID_BYTES]) -> Vec<u8> {
    [LABEL, &id].concat()
}

fn payload<'a>(msg: &'a [u8], aad: &'a [u8]) -> Payload<'a, 'a> {
    Payload { msg, aad }
}

/// A panic elsewhere leaves keys and cache whole: they are only changed by single inserts and removals.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
