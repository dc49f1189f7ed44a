//! A tunnel of two processes, whichever: the outer one takes visitors, the inner one dials the target.

use super::children::{self, Process};
use super::kariz::{Kariz, Lane};
use anyhow::{Context, Result};
use kariz_bench::load::{free_port, wait_until_up};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a tunnel may take until its first visitor gets an answer.
pub(crate) const START_LIMIT: Duration = Duration::from_secs(15);

/// The tunnels that the kit knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    KarizDirect,
    KarizMux,
    SplicePair,
    FramingPair,
}

/// The three addresses of a tunnel.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Addresses {
    /// Where visitors go.
    pub(crate) entry: SocketAddr,
    /// Where the two processes meet: Kariz' server, or the exit of a bare pair, listens there.
    pub(crate) link: SocketAddr,
    /// What the inner process dials.
    pub(crate) target: SocketAddr,
}

/// How to start either process of a tunnel, also again.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) kind: Kind,
    pub(crate) addresses: Addresses,
    kariz: Option<Kariz>,
    folder: PathBuf,
}

/// A running tunnel.
#[derive(Debug)]
pub(crate) struct Pair {
    pub(crate) outer: Process,
    pub(crate) inner: Process,
}

impl Kind {
    /// Everybody, or only the bare pairs if there is no Kariz.
    pub(crate) fn all(kariz: Option<&Kariz>) -> Vec<Self> {
        let lanes = [Self::KarizDirect, Self::KarizMux]
            .into_iter()
            .filter(|_| kariz.is_some());
        lanes.chain([Self::SplicePair, Self::FramingPair]).collect()
    }

    /// The lanes of Kariz; without it the bare pairs, so that the kit can be tried.
    pub(crate) fn under_test(kariz: Option<&Kariz>) -> Vec<Self> {
        if kariz.is_some() {
            vec![Self::KarizDirect, Self::KarizMux]
        } else {
            vec![Self::SplicePair, Self::FramingPair]
        }
    }

    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::KarizDirect => "kariz direct",
            Self::KarizMux => "kariz mux",
            Self::SplicePair => "splice pair",
            Self::FramingPair => "framing pair",
        }
    }

    /// Whether it is Kariz.
    pub(crate) fn is_kariz(self) -> bool {
        matches!(self, Self::KarizDirect | Self::KarizMux)
    }
}

impl Addresses {
    /// All on loopback, at free ports.
    pub(crate) fn local(target: SocketAddr) -> Result<Self> {
        Ok(Self {
            entry: local()?,
            link: local()?,
            target,
        })
    }
}

/// A free loopback address.
pub(crate) fn local() -> Result<SocketAddr> {
    Ok((Ipv4Addr::LOCALHOST, free_port().context("finding a free port")?).into())
}

/// Starts a bare contender.
pub(crate) fn contender(kind: &str, from: SocketAddr, to: SocketAddr, folder: &Path) -> Result<Process> {
    let command = children::own(&["contend", kind, &from.to_string(), &to.to_string()])?;
    Process::start(command, folder, &format!("{kind}-{}", from.port()))
}

impl Plan {
    pub(crate) fn new(kind: Kind, addresses: Addresses, kariz: Option<&Kariz>, folder: &Path) -> Self {
        Self {
            kind,
            addresses,
            kariz: kariz.cloned(),
            folder: folder.to_owned(),
        }
    }

    /// Starts the process that visitors meet, in the network namespace of the calling thread.
    pub(crate) fn outer(&self) -> Result<Process> {
        let Addresses { entry, link, .. } = self.addresses;
        match self.kind {
            Kind::KarizDirect => self.kariz()?.server(Lane::Direct, entry, link),
            Kind::KarizMux => self.kariz()?.server(Lane::Mux, entry, link),
            Kind::SplicePair => contender("splice", entry, link, &self.folder),
            Kind::FramingPair => contender("frame-entry", entry, link, &self.folder),
        }
    }

    /// Starts the process that meets the target.
    pub(crate) fn inner(&self) -> Result<Process> {
        let Addresses { link, target, .. } = self.addresses;
        match self.kind {
            Kind::KarizDirect => self.kariz()?.client(Lane::Direct, link, target),
            Kind::KarizMux => self.kariz()?.client(Lane::Mux, link, target),
            Kind::SplicePair => contender("splice", link, target, &self.folder),
            Kind::FramingPair => contender("frame-exit", link, target, &self.folder),
        }
    }

    /// Starts both here and waits until a visitor gets an answer.
    pub(crate) fn start(&self) -> Result<Pair> {
        let pair = Pair {
            inner: self.inner()?,
            outer: self.outer()?,
        };
        self.wait(&pair)?;
        Ok(pair)
    }

    /// Waits until a visitor gets an answer.
    pub(crate) fn wait(&self, pair: &Pair) -> Result<()> {
        wait_until_up(self.addresses.entry, START_LIMIT)
            .with_context(|| format!("{} carries nothing; {}", self.kind.label(), pair.obituary()))
    }

    fn kariz(&self) -> Result<&Kariz> {
        self.kariz.as_ref().context("this run is without kariz")
    }
}

impl Pair {
    /// What both printed last.
    pub(crate) fn obituary(&self) -> String {
        format!("{}\n{}", self.outer.obituary(), self.inner.obituary())
    }
}
