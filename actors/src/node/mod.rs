//! The node: it runs a proxy core for a panel that drives it over the network (`spec/node-marzban.md`, `spec/node-panel.md`,
//! `spec/xray.md`).
//!
//! ```text
//!            listen: TCP, TLS
//!               |
//!               |  the panel shows a key, or a certificate and speaks HTTP/2: gozargah, which has a map of its own
//!               |
//!               |  the panel shows a certificate:
//!            http: one connection, hyper underneath; requests of G0 go to gozargah, too
//!               |
//!            marzban: the seven endpoints and the log stream
//!               |  asks and tells                 reads at any time
//!            session (actor) --- tells ---> core::supervisor (actor) ---> the core's process
//!               |                                 |                          | lines
//!               +--------- publish: State --------+                      LogHub
//! ```
//!
//! | actor | does | restarted | when it dies |
//! |---|---|---|---|
//! | node root | supervises | never | [`Node::failed`] resolves: the process exits with 70 and its supervisor starts it anew |
//! | session | knows which panel is connected | always | nothing: the session outlives it |
//! | backend | has configuration and users of a Gozargah or PasarGuard panel | always | the core is stopped; the panel hears that there is no backend, and starts anew |
//! | core supervisor | owns the core's process | always | the core is stopped; the panel sees that it is not started, and restarts it |
//!
//! Requests that only ask (`/`, `/ping`) read a [`State`] and touch no actor. Log lines go through a ring that nobody is
//! ever awaited for. Messages go from left to right only: the backend tells the session when it takes the core, both tell the
//! supervisor what to do, and that awaits nobody. It knows whose panel's the core is; the backend learns from the [`State`] when it
//! has lost it, and the session that takes it over has what it counted read out before (`Live`, `Ledger`).

pub mod certificate;
pub mod settings;

mod core;
mod gozargah;
mod http;
mod listen;
mod log_hub;
mod marzban;
mod session;
mod state;
mod stream;
mod tls;

pub use gozargah::fuzz_node_message;
pub use http::ACCESS_LOG;
pub use marzban::{fuzz_node_body, fuzz_node_config};

use self::core::{Spawner, Supervisor};
use self::gozargah::{Backend, Door, Ledger, Live};
use self::listen::{Port, Service};
use self::marzban::Panel;
use self::session::NodeSession;
use self::settings::{Access, Environment, Settings};
use self::state::State;
use crate::root::restarted;
use kameo::prelude::*;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// How long a core may take to end when the node does. Whatever is left after it is killed.
const STOP_GRACE: Duration = Duration::from_millis(1_000);

/// How long the whole node may take to end.
const STOP_TIMEOUT: Duration = Duration::from_millis(1_800);

/// Has the allocator give memory back to the host that is not in use.
pub type GiveBack = fn();

/// A running node. Dropping it ends its actors at once and kills the core.
pub struct Node {
    state: Arc<State>,
    root: ActorRef<NodeRoot>,
    actors: Actors,
    port: Arc<Port>,
    address: SocketAddr,
}

/// Why a node cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address cannot be listened on. Exit code 75.
    #[error("SERVICE_HOST={host}, SERVICE_PORT={port}: cannot listen: {error}")]
    Listen {
        /// `SERVICE_HOST`.
        host: String,
        /// `SERVICE_PORT`.
        port: u16,
        /// The kernel's answer.
        error: io::Error,
    },
    /// A certificate or key cannot be used. Exit code 1, as in the original.
    #[error("{variable}={}: {reason}", .path.display())]
    Certificate {
        /// The variable that names the file.
        variable: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The kernel gave no thread or actor. Exit code 70.
    #[error("a part of the program could not be started: {0}")]
    Internal(String),
}

/// What ended a running node.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The core's file is not a program that can be run. Exit code 1, as in the original.
    #[error("XRAY_EXECUTABLE_PATH={}: {reason}", .path.display())]
    Core {
        /// `XRAY_EXECUTABLE_PATH`.
        path: PathBuf,
        /// The kernel's answer.
        reason: String,
    },
    /// An actor died more often than it may be restarted. Exit code 70.
    #[error("a part of the program broke down")]
    Internal,
}

impl Node {
    /// Listens, and serves panels from then on. `give_back` is called now and then after much memory was freed, on this thread. Has to
    /// be called on a tokio runtime, which the actors then live on.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn start(settings: Settings, give_back: GiveBack) -> Result<Self, StartError> {
        let servers = tls::for_node(&settings)?;
        let spawner = Spawner::start().map_err(|error| StartError::Internal(error.to_string()))?;
        let state = State::new(settings, spawner, give_back);
        let listener = listen::bind(&state.settings).await?;
        let address = listener
            .local_addr()
            .map_err(|error| StartError::Internal(error.to_string()))?;
        let root = NodeRoot::spawn(state.clone());
        let actors = root
            .ask(GetActors)
            .await
            .map_err(|error| StartError::Internal(error.to_string()))?;
        tokio::spawn(core::find_version(state.clone()));
        let port = Port::new(servers, state.stopping(), service(&state, &actors));
        tokio::spawn(port.clone().serve(listener));
        Ok(Self {
            state,
            root,
            actors,
            port,
            address,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Logs how much there is of everything that has a bound.
    pub fn log_gauges(&self) {
        self.port.log_gauges();
    }

    /// Resolves when the node cannot go on.
    pub async fn failed(&self) -> Failure {
        tokio::select! {
            failure = self.state.failure() => failure,
            () = self.root.wait_for_shutdown() => Failure::Internal,
        }
    }

    /// Ends connections, then the core, within two seconds whatever the core does.
    pub async fn stop(&self) {
        self.quit(STOP_GRACE).await;
    }

    /// The same, but the core and all that it has forked are killed. It may be under way already, and more patient.
    pub async fn kill(&self) {
        self.quit(Duration::ZERO).await;
    }

    async fn quit(&self, grace: Duration) {
        self.state.begin_stop();
        let core_ends = self.actors.supervisor.ask(core::Quit { grace });
        // What does not end in time is killed when the runtime is dropped.
        let _ = timeout(STOP_TIMEOUT, async { core_ends.await }).await;
    }
}

/// What [`check`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// What keeps a node from starting, or from working with any panel.
    pub problems: Vec<String>,
    /// What deserves attention.
    pub warnings: Vec<String>,
}

/// Reads the environment and looks at what [`Node::start`] would use, all of it whatever is wrong with the rest; starts and
/// makes nothing. A pair that is missing is no problem where the node can make it.
pub fn check(environment: Environment<'_>, directory: &Path) -> Checked {
    let reading = settings::read(environment, directory);
    let mut found = Checked {
        problems: Vec::new(),
        warnings: reading.warnings,
    };
    // Until it is known better, the certificate has to be good for the panels that ask most of it.
    let mut access = Access::Certificate;
    match reading.settings {
        Ok(settings) => {
            access = settings.access;
            found.problems.extend(listen::check(&settings));
            if !settings.assets.is_dir() {
                found.warnings.push(format!(
                    "XRAY_ASSETS_PATH={}: there is no such folder; rules by country or site would keep the core from starting",
                    settings.assets.display()
                ));
            }
        }
        Err(refused) => found.problems.extend(refused.problems.iter().map(ToString::to_string)),
    }
    tls::check(&reading.files, access, &mut found);
    found
}

impl Drop for Node {
    fn drop(&mut self) {
        self.root.kill();
    }
}

/// The top of the node's supervision tree; has no state that could break.
struct NodeRoot {
    actors: Actors,
}

/// The references stay good when an actor is restarted.
#[derive(Clone, Reply)]
struct Actors {
    session: ActorRef<NodeSession>,
    backend: ActorRef<Backend>,
    live: Live,
    ledger: Ledger,
    supervisor: ActorRef<Supervisor>,
}

/// Who serves the connections, by what the settings ask of panels.
fn service(state: &Arc<State>, actors: &Actors) -> Service {
    let bodies = http::BodyRoom::default();
    let door = Door::new(
        state.clone(),
        actors.live.clone(),
        actors.ledger.clone(),
        actors.backend.clone(),
        bodies.clone(),
    );
    match state.settings.access {
        Access::Certificate => Service::Certificate(Panel::new(state.clone(), actors.session.clone(), bodies, door)),
        Access::Key(_) => Service::Key(door),
    }
}

/// Asks for the actors.
struct GetActors;

impl Actor for NodeRoot {
    type Args = Arc<State>;
    type Error = Infallible;

    async fn on_start(state: Arc<State>, me: ActorRef<Self>) -> Result<Self, Infallible> {
        let supervisor = restarted(Supervisor::supervise(&me, state.clone())).spawn().await;
        let (live, ledger) = (Live::default(), Ledger::default());
        let shared = (state, live.clone(), ledger.clone(), supervisor.clone());
        let session = restarted(NodeSession::supervise(&me, shared.clone())).spawn().await;
        let backend = restarted(Backend::supervise(&me, (shared, session.clone())))
            .spawn()
            .await;
        Ok(Self {
            actors: Actors {
                session,
                backend,
                live,
                ledger,
                supervisor,
            },
        })
    }
}

impl Message<GetActors> for NodeRoot {
    type Reply = Actors;

    async fn handle(&mut self, GetActors: GetActors, _: &mut Context<Self, Actors>) -> Actors {
        self.actors.clone()
    }
}
