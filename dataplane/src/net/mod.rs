//! Sockets: how they are made, waited for, accepted, connected, ended, and watched.

mod accept;
mod dial;
pub(crate) mod listener;
pub(crate) mod options;
mod shortage;
mod sock;
mod sys;
mod table;

pub(crate) use accept::{ACCEPT_BATCH, ACCEPT_PAUSE, Accept, Accepted, accept, is_shortage, unmapped};
pub(crate) use dial::{connect, connect_any};
pub(crate) use shortage::Shortage;
pub(crate) use sock::would_block;
pub(crate) use sock::{Sock, arm, disarm};
pub(crate) use sys::was_reset;
pub(crate) use table::{SocketTable, Watched};
