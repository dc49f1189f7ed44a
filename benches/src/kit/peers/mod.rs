//! The programs of others: where to find them, and how to run each as its authors mean it to be run.
//!
//! Each is looked up in `--peers-dir`, in `target/peers/bin`, and on PATH; rathole, which a registry carries, is
//! installed when it is in none of them. What cannot be had is named as missing.

mod backhaul;
mod find;
mod frp;
mod haproxy;
mod rathole;
mod realm;

pub(crate) use find::Peers;

use super::contestant::{Contestant, End, Hop, Tunnel};
use super::pair::Addresses;
use anyhow::{Context, Result};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Who can be measured beside Kariz; the last six are part of this kit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub(crate) enum Peer {
    Rathole,
    Frp,
    Backhaul,
    Haproxy,
    Realm,
    Splice,
    Framing,
    TokioCopy,
    UringCopy,
    MonoioCopy,
    RealmIo,
}

/// One process of a peer: what it listens at, what it dials.
#[derive(Debug)]
pub(crate) struct Recipe {
    peer: Peer,
    role: Role,
}

#[derive(Debug)]
enum Role {
    /// An end of a tunnel.
    Tunnel { end: End, mux: bool, addresses: Addresses },
    /// A relay.
    Hop { from: SocketAddr, to: SocketAddr },
}

impl Peer {
    /// Its name in result files and file names.
    pub(super) fn name(self) -> String {
        format!("{self:?}").to_lowercase()
    }

    /// What of it takes part.
    pub(crate) fn contestants(self) -> Vec<Contestant> {
        let hop = |hop| vec![Contestant::Pair(hop), Contestant::Relay(hop)];
        match self {
            Self::Rathole => vec![Contestant::Tunnel(Tunnel::Rathole)],
            Self::Frp => vec![Contestant::Tunnel(Tunnel::Frp), Contestant::Tunnel(Tunnel::FrpMux)],
            Self::Backhaul => [Tunnel::Backhaul, Tunnel::BackhaulMux].map(Contestant::Tunnel).to_vec(),
            Self::Haproxy => hop(Hop::Haproxy),
            Self::Realm => hop(Hop::Realm),
            Self::Splice => hop(Hop::Splice),
            Self::Framing => vec![Contestant::Tunnel(Tunnel::Framing)],
            Self::TokioCopy => hop(Hop::TokioCopy),
            Self::UringCopy => hop(Hop::UringCopy),
            Self::MonoioCopy => hop(Hop::MonoioCopy),
            Self::RealmIo => hop(Hop::RealmIo),
        }
    }
}

impl Recipe {
    pub(crate) fn tunnel(peer: Peer, end: End, mux: bool, addresses: Addresses) -> Self {
        let role = Role::Tunnel { end, mux, addresses };
        Self { peer, role }
    }

    pub(crate) fn hop(peer: Peer, from: SocketAddr, to: SocketAddr) -> Self {
        let role = Role::Hop { from, to };
        Self { peer, role }
    }

    /// Names its files; another for each process of a run.
    pub(crate) fn name(&self) -> String {
        let peer = self.peer.name();
        match &self.role {
            Role::Tunnel { end, addresses, .. } => {
                format!(
                    "{peer}-{}-{}",
                    format!("{end:?}").to_lowercase(),
                    addresses.entry.port()
                )
            }
            Role::Hop { from, .. } => format!("{peer}-{}", from.port()),
        }
    }

    /// Writes its configuration file into `folder`, if it needs one, and says how to start it.
    pub(crate) fn command(&self, peers: &Peers, folder: &Path) -> Result<Command> {
        let program = |index: usize| -> Result<Command> {
            let found = peers
                .programs(self.peer)
                .with_context(|| format!("no {:?}", self.peer))?;
            Ok(Command::new(&found[index]))
        };
        let file = |text: String| write(folder, &self.name(), &text);
        match (self.peer, &self.role) {
            (Peer::Rathole, Role::Tunnel { end, addresses, .. }) => {
                rathole::command(program(0)?, *end, addresses, file)
            }
            (Peer::Frp, Role::Tunnel { end, mux, addresses }) => {
                let which = usize::from(*end == End::Inner);
                frp::command(program(which)?, *end, *mux, addresses, file)
            }
            (Peer::Backhaul, Role::Tunnel { end, mux, addresses }) => {
                backhaul::command(program(0)?, *end, *mux, addresses, file)
            }
            (Peer::Haproxy, Role::Hop { from, to }) => haproxy::command(program(0)?, *from, *to, file),
            (Peer::Realm, Role::Hop { from, to }) => Ok(realm::command(program(0)?, *from, *to)),
            _ => anyhow::bail!("{:?} cannot be a {:?}", self.peer, self.role),
        }
    }
}

/// Protects nothing: both ends run on this machine for the length of a measurement.
const TOKEN: &str = "a-token-for-measurements-only";

fn write(folder: &Path, name: &str, text: &str) -> Result<PathBuf> {
    let path = folder.join(format!("{name}.toml"));
    std::fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
    Ok(path)
}
