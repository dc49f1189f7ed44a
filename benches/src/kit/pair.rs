//! Starting the processes of a contestant, and waiting until they carry traffic.

use super::children::{self, Process};
use super::contestant::{Contestant, End, Hop, Tunnel};
use super::kariz::{Kariz, Lane};
use super::peers::{Peer, Recipe};
use super::programs::Programs;
use anyhow::{Context, Result};
use kariz_bench::load::{first_answer, free_port, wait_until_listening, wait_until_up};
use kariz_bench::path::{self, DelayedPath};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

/// How long a contestant may take until its first visitor gets an answer.
pub(crate) const START_LIMIT: Duration = Duration::from_secs(15);

/// Where a contestant's processes listen and dial.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Addresses {
    /// Where visitors go.
    pub(crate) entry: SocketAddr,
    /// Where the two processes meet; see [`Contestant::outer_listens`].
    pub(crate) link: SocketAddr,
    /// What the last process dials.
    pub(crate) target: SocketAddr,
}

/// How to start every process of a contestant, also again.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) contestant: Contestant,
    pub(crate) addresses: Addresses,
    programs: Programs,
}

/// The running processes of a contestant, the outer one first.
#[derive(Debug)]
pub(crate) struct Chain {
    pub(crate) processes: Vec<Process>,
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
fn local() -> Result<SocketAddr> {
    Ok((Ipv4Addr::LOCALHOST, free_port().context("finding a free port")?).into())
}

impl Plan {
    pub(crate) fn new(contestant: Contestant, addresses: Addresses, programs: &Programs) -> Self {
        Self {
            contestant,
            addresses,
            programs: programs.clone(),
        }
    }

    /// Starts one process, in the network namespace of the calling thread.
    pub(crate) fn launch(&self, end: End) -> Result<Process> {
        let Addresses { entry, link, target } = self.addresses;
        match self.contestant {
            Contestant::Tunnel(tunnel) => self.launch_tunnel(tunnel, end),
            Contestant::Pair(hop) if end == End::Outer => self.launch_hop(hop, entry, link),
            Contestant::Pair(hop) => self.launch_hop(hop, link, target),
            Contestant::Relay(hop) => self.launch_hop(hop, entry, target),
            Contestant::Bare => anyhow::bail!("nothing to start"),
        }
    }

    fn launch_tunnel(&self, tunnel: Tunnel, end: End) -> Result<Process> {
        let Addresses { entry, link, target } = self.addresses;
        let run = |kariz: &Kariz, lane| match end {
            End::Outer => kariz.server(lane, entry, link),
            End::Inner => kariz.client(lane, link, target),
        };
        let peer = match tunnel {
            Tunnel::KarizDirect => return run(self.programs.kariz()?, Lane::Direct),
            Tunnel::KarizMux => return run(self.programs.kariz()?, Lane::Mux),
            Tunnel::BeforeDirect => return run(self.programs.before()?, Lane::Direct),
            Tunnel::BeforeMux => return run(self.programs.before()?, Lane::Mux),
            Tunnel::Framing if end == End::Outer => return self.contend("frame-entry", entry, link),
            Tunnel::Framing => return self.contend("frame-exit", link, target),
            Tunnel::Rathole => Peer::Rathole,
            Tunnel::Frp | Tunnel::FrpMux => Peer::Frp,
            Tunnel::Backhaul | Tunnel::BackhaulMux => Peer::Backhaul,
        };
        let mux = matches!(tunnel, Tunnel::FrpMux | Tunnel::BackhaulMux);
        let recipe = Recipe::tunnel(peer, end, mux, self.addresses);
        self.programs.start_peer(&recipe)
    }

    fn launch_hop(&self, hop: Hop, from: SocketAddr, to: SocketAddr) -> Result<Process> {
        match hop {
            Hop::Kariz => self.programs.kariz()?.relay(from, to),
            Hop::Before => self.programs.before()?.relay(from, to),
            Hop::Haproxy => self.programs.start_peer(&Recipe::hop(Peer::Haproxy, from, to)),
            Hop::Realm => self.programs.start_peer(&Recipe::hop(Peer::Realm, from, to)),
            Hop::Splice | Hop::TokioCopy | Hop::UringCopy | Hop::MonoioCopy | Hop::RealmIo => {
                self.contend(hop.name(), from, to)
            }
        }
    }

    /// Starts a contender of the kit.
    fn contend(&self, kind: &str, from: SocketAddr, to: SocketAddr) -> Result<Process> {
        let command = children::own(&["contend", kind, &from.to_string(), &to.to_string()])?;
        Process::start(command, self.programs.folder(), &format!("{kind}-{}", from.port()))
    }

    /// Starts all processes here, and waits until a visitor gets an answer.
    pub(crate) fn start(&self) -> Result<Chain> {
        let chain = self.launch_all(|| Ok(()))?;
        self.or_obituary(wait_until_up(self.addresses.entry, START_LIMIT), &chain)?;
        Ok(chain)
    }

    /// Starts one process after the other, each as soon as the one before listens, and returns how long it took until a
    /// visitor had an answer. Nobody's pause between two tries takes part in it.
    pub(crate) fn start_in_turn(&self) -> Result<(Chain, Duration)> {
        let begin = Instant::now();
        let meeting = self.addresses.link;
        let chain = self.launch_all(|| {
            wait_until_listening(meeting, START_LIMIT).context("waiting for the first process to listen")
        })?;
        let answered = first_answer(self.addresses.entry, START_LIMIT);
        let elapsed = begin.elapsed();
        self.or_obituary(answered, &chain)?;
        Ok((chain, elapsed))
    }

    /// Starts all processes, those first who listen where the two meet, and does `between` them what there is to do.
    fn launch_all(&self, between: impl Fn() -> Result<()>) -> Result<Chain> {
        let mut ends = self.contestant.ends().to_vec();
        if !self.contestant.outer_listens() {
            ends.reverse();
        }
        let mut processes = Vec::new();
        for end in &ends {
            if !processes.is_empty() {
                between()?;
            }
            processes.push(self.launch(*end)?);
        }
        if !self.contestant.outer_listens() {
            processes.reverse();
        }
        Ok(Chain { processes })
    }

    /// A plan for the two ends of a path: visitors and the outer process are in the first namespace, the inner one and the
    /// target, which listens at `target_port`, in the second.
    pub(crate) fn across(who: Contestant, target_port: u16, programs: &Programs) -> Result<Self> {
        let loopback = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let listener = if who.outer_listens() { path::FIRST } else { path::SECOND };
        let addresses = Addresses {
            entry: loopback(free_port()?),
            link: (listener, free_port()?).into(),
            target: loopback(target_port),
        };
        Ok(Self::new(who, addresses, programs))
    }

    /// Starts the processes of [`Plan::across`], each at its end, and waits until a visitor gets an answer.
    pub(crate) fn start_across(&self, path: &DelayedPath) -> Result<Chain> {
        let mut processes = Vec::new();
        for end in self.contestant.ends() {
            let (plan, end) = (self.clone(), *end);
            let namespace = match end {
                End::Outer => &path.first,
                End::Inner => &path.second,
            };
            processes.push(namespace.run(move || plan.launch(end))?);
        }
        let (chain, entry) = (Chain { processes }, self.addresses.entry);
        let up = path.first.run(move || wait_until_up(entry, START_LIMIT));
        self.or_obituary(up, &chain)?;
        Ok(chain)
    }

    fn or_obituary(&self, up: io::Result<()>, chain: &Chain) -> Result<()> {
        up.with_context(|| format!("{} carries nothing; {}", self.contestant.label(), chain.obituary()))
    }
}

impl Chain {
    /// CPU time of all its processes so far.
    pub(crate) fn cpu_time(&self) -> Result<Duration> {
        self.processes.iter().map(Process::cpu_time).sum()
    }

    /// What all printed last.
    pub(crate) fn obituary(&self) -> String {
        let obituaries: Vec<String> = self.processes.iter().map(Process::obituary).collect();
        obituaries.join("\n")
    }
}
