//! Where nodes are started: key pairs, ports, environment.

use super::environment::{Environment, Protocol, Variables};
use super::pair::Pair;
use super::panel::Panel;
use super::program::Program;
use super::tls;
use crate::kit::children::Process;
use anyhow::{Context, Result, bail};
use kariz_bench::load::{free_port, wait_until_listening};
use kariz_bench::process;
use rustix::process::{Pid, Signal, kill_process};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long a node may take until it listens.
const LISTEN_LIMIT: Duration = Duration::from_secs(20);

/// What all nodes of a run have in common.
#[derive(Debug)]
pub(crate) struct Place {
    folder: PathBuf,
    node: Pair,
    panel: Pair,
    instant_core: PathBuf,
}

/// Which core a node is to run.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Core<'a> {
    /// A real one.
    Real(&'a Path),
    /// One that is ready as soon as it has read its configuration, and does nothing then.
    Instant,
}

/// That core. A node gives its core no PATH: the shell's own has to do.
const INSTANT_CORE: &str = "#!/bin/sh\n\
    case $1 in\n\
    version) echo 'Xray 1.0.0 (for measurements)' ;;\n\
    *) cat > /dev/null; echo '[Warning] core: Xray 1.0.0 started'; exec sleep 3600 ;;\n\
    esac\n";

impl Place {
    /// Makes the pairs of node and panel with `kariz cert node`.
    pub(crate) fn prepare(kariz: &Path, folder: &Path) -> Result<Self> {
        let instant_core = folder.join("instant-core");
        write_program(&instant_core, INSTANT_CORE)?;
        Ok(Self {
            folder: folder.to_owned(),
            node: Pair::make(kariz, folder, "node")?,
            panel: Pair::make(kariz, folder, "panel")?,
            instant_core,
        })
    }

    /// Starts a node for Marzban panels, and waits until it listens.
    pub(crate) fn start(&self, program: &Program, core: Core<'_>) -> Result<Node<'_>> {
        let [address, api] = [loopback()?, loopback()?];
        let core = match core {
            Core::Real(path) => path,
            Core::Instant => &self.instant_core,
        };
        let variables = self.environment(address, core).marzban(api, &self.panel);
        self.launch(program, address, variables)
    }

    /// Starts one for panels that have a key, and waits until it listens.
    pub(super) fn start_keyed(&self, program: &Program, core: &Path, protocol: Protocol) -> Result<Node<'_>> {
        let address = loopback()?;
        let variables = self.environment(address, core).keyed(protocol);
        self.launch(program, address, variables)
    }

    /// For files of everything that runs here.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    fn environment<'a>(&'a self, address: SocketAddr, core: &'a Path) -> Environment<'a> {
        Environment {
            address,
            core,
            folder: &self.folder,
            pair: &self.node,
        }
    }

    fn launch(&self, program: &Program, address: SocketAddr, variables: Variables) -> Result<Node<'_>> {
        let mut command = program.command();
        command.envs(variables);
        let begin = Instant::now();
        let process = Process::start(command, &self.folder, &format!("{}-{}", program.name(), address.port()))?;
        let mut node = Node {
            place: self,
            process,
            address,
            listening_after: Duration::ZERO,
        };
        let up = wait_until_listening(address, LISTEN_LIMIT);
        node.listening_after = begin.elapsed();
        up.with_context(|| node.process.obituary())?;
        Ok(node)
    }
}

/// A running node. Dropping it kills it and its core.
#[derive(Debug)]
pub(crate) struct Node<'a> {
    place: &'a Place,
    pub(crate) process: Process,
    address: SocketAddr,
    /// How long it took until it listened.
    pub(crate) listening_after: Duration,
}

impl Node<'_> {
    /// Takes a session, as a Marzban panel does.
    pub(crate) fn connect(&self) -> Result<Panel> {
        Panel::connect(self.address, &self.place.node, &self.place.panel).with_context(|| self.process.obituary())
    }

    /// Connects without a certificate, and offers `protocols` (ALPN).
    pub(super) fn tls(&self, protocols: &[&str]) -> Result<tls::Stream> {
        tls::connect(self.address, &self.place.node, None, protocols).with_context(|| self.process.obituary())
    }

    /// The core's process.
    pub(super) fn core(&self) -> Result<u32> {
        let mut children = process::children(self.process.id())?;
        children.retain(|pid| process::runs(*pid));
        match children.as_slice() {
            [core] => Ok(*core),
            others => bail!("one core was expected, the children are {others:?}"),
        }
    }
}

impl Drop for Node<'_> {
    fn drop(&mut self) {
        // The original leaves its core behind when it is killed.
        let cores = process::children(self.process.id()).unwrap_or_default();
        let pids = cores.into_iter().filter_map(|pid| Pid::from_raw(pid.try_into().ok()?));
        for core in pids {
            // It may have ended by itself.
            let _ = kill_process(core, Signal::KILL);
        }
    }
}

/// An address that nobody used a moment ago.
pub(crate) fn loopback() -> Result<SocketAddr> {
    Ok((Ipv4Addr::LOCALHOST, free_port()?).into())
}

fn write_program(path: &Path, text: &str) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(path, text).with_context(|| format!("writing {}", path.display()))?;
    Ok(std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))?)
}
