//! Cores come and go: started with what the panel started, read out before they end, started again when they have died.

use super::{Backend, MIN_PAUSE, OWNER};
use crate::node::core::{Launch, Mode, Outcome, Owner, Prepared, TAKEN_OVER};
use crate::node::gozargah::config::Ports;
use crate::node::gozargah::core_api::CoreApi;
use crate::node::gozargah::fault::Fault;
use crate::node::gozargah::generation::Generation;
use crate::node::gozargah::health::Health;
use crate::node::gozargah::live::{Core, Current};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout};

/// How long a core that lives may take until its API answers: it may have much to read.
const API_PATIENCE: Duration = Duration::from_secs(60);

/// Time between two questions whether it does.
const API_POLL: Duration = Duration::from_millis(5);

/// How often a start is tried with another port for the API if the one it had was taken in between.
const MAX_PORTS: usize = 4;

/// The longest pause.
const MAX_PAUSE: Duration = Duration::from_secs(30);

/// A core that has run for this long counts as one that runs.
const STABLE_AFTER: Duration = Duration::from_secs(60);

/// Most bytes of a core's last lines that a panel is told: over gRPC they go into a header.
const MAX_TAIL_BYTES: usize = 4 << 10;

impl Backend {
    /// Starts a core with what is to run now, in the place of one that runs. [`Mode::Resume`] leaves that of another owner.
    pub(super) async fn run(&mut self, mode: Mode) -> Result<(), Fault> {
        self.ledger.read_out(&self.live).await;
        let mut last = String::new();
        let mut lines = self.state.logs.reader_of_new(self.state.settings.startup_log_lines);
        for _ in 0..MAX_PORTS {
            let Some(running) = &mut self.running else {
                return Err(Fault::no_backend(Generation::of(&self.state.settings)));
            };
            running.again_at = None;
            running.health = None;
            running.since = Instant::now();
            let [port, metrics] =
                free_ports().map_err(|error| Fault::start(format!("no port for the core's API: {error}")))?;
            let ports = Ports { api: port, metrics };
            self.ports = Some(ports);
            let json = running.config.json(&running.users, ports);
            if running.generated.is_wanted() {
                running.generated.write(json.clone());
            }
            let config = Prepared {
                json: Ok(json),
                fingerprint: None,
                sockets: running.config.sockets(),
            };
            self.live.set(Current::Down);
            match self.launch(mode, config).await? {
                Outcome::Running | Outcome::AlreadyStarted => {
                    let api = CoreApi::at(port);
                    // What happens to it from here on is seen when it is looked for the next time.
                    self.started.mark_unchanged();
                    self.answers(&api).await?;
                    let api = Arc::new(api);
                    let mut measures = false;
                    if let Some(running) = &mut self.running {
                        running.health = Some(Health::of(api.clone()));
                        measures = running.config.measures();
                    }
                    self.live.set(Current::Up(Core {
                        api,
                        since: Instant::now(),
                        metrics: measures.then_some(metrics),
                    }));
                    return Ok(());
                }
                Outcome::TakenOver => {
                    self.give_up();
                    return Err(Fault::start(TAKEN_OVER));
                }
                Outcome::Failed(reason) if ports.are_taken(&reason) => last = reason,
                Outcome::Failed(reason) => {
                    last = reason;
                    break;
                }
            }
        }
        let tail = tail(&self.state.logs.take(&mut lines).lines);
        Err(Fault::start(format!("failed to start xray: {last}{tail}")))
    }

    async fn launch(&mut self, mode: Mode, config: Prepared) -> Result<Outcome, Fault> {
        let (outcome, told) = oneshot::channel();
        let launch = Launch {
            owner: OWNER,
            mode,
            config,
            outcome,
        };
        self.supervisor.tell(launch).await.map_err(|_| Fault::internal())?;
        told.await.map_err(|_| Fault::internal())
    }

    /// Waits until the core's API answers.
    async fn answers(&mut self, api: &CoreApi) -> Result<(), Fault> {
        let asked = async {
            while api.system().await.is_err() && self.state.is_started_for(OWNER) {
                sleep(API_POLL).await;
            }
        };
        let why_not = tokio::select! {
            asked = timeout(API_PATIENCE, asked) => match asked {
                Ok(()) if self.state.is_started_for(OWNER) => return Ok(()),
                Ok(()) => "the core ended right after its start",
                Err(_) => "the core's API does not answer",
            },
            () = self.live.is_overtaken(self.turn) => "it was overtaken by a later call",
        };
        Err(Fault::start(format!("failed to start xray: {why_not}")))
    }

    /// Notices that the core has died, or that another kind of panel has taken it.
    pub(super) fn look_after_core(&mut self) {
        let owner = *self.started.borrow_and_update();
        match (owner, &self.running) {
            (None, Some(running)) if running.again_at.is_none() => self.run_later(),
            (Some(Owner::Marzban), Some(_)) => self.give_up(),
            _ => {}
        }
    }

    /// Leaves the core to a panel of another kind.
    fn give_up(&mut self) {
        tracing::warn!("the core was taken away by a panel of another kind");
        self.running = None;
        self.live.end();
    }

    pub(super) async fn start_again(&mut self) {
        self.look_after_core();
        if self.running.is_none() {
            return;
        }
        if let Err(fault) = self.run(Mode::Resume).await {
            tracing::error!("{}", fault.text);
            self.run_later();
        }
    }

    /// Has a core started after a pause that grows from one failure to the next.
    fn run_later(&mut self) {
        let Some(running) = &mut self.running else { return };
        self.live.set(Current::Down);
        running.health = None;
        if running.since.elapsed() >= STABLE_AFTER {
            running.pause = MIN_PAUSE;
        }
        tracing::warn!("the core does not run: it is started again in {:?}", running.pause);
        running.again_at = Some(Instant::now() + running.pause);
        running.pause = (running.pause * 2).min(MAX_PAUSE);
    }
}

/// Ports of this machine that nobody listened on a moment ago.
fn free_ports() -> std::io::Result<[u16; 2]> {
    let listen = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let (one, other) = (listen()?, listen()?);
    Ok([one.local_addr()?.port(), other.local_addr()?.port()])
}

/// The last lines of a core that did not start, as a panel is told.
fn tail(lines: &[Arc<str>]) -> String {
    let mut bytes = 0;
    let fits = |line: &&Arc<str>| {
        bytes += line.len() + 1;
        bytes <= MAX_TAIL_BYTES
    };
    let mut last: Vec<&str> = lines.iter().rev().take_while(fits).map(|line| &**line).collect();
    if last.is_empty() {
        return String::new();
    }
    last.reverse();
    format!("; recent xray logs:\n{}", last.join("\n"))
}
