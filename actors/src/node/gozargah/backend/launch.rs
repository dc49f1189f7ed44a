//! Cores come and go: started with what the panel started, read out before they end, started again when they have died.

use super::{Backend, MIN_PAUSE, OWNER};
use crate::node::core::{Launch, Mode, Outcome, Owner, Prepared};
use crate::node::gozargah::config::Ports;
use crate::node::gozargah::core_api::CoreApi;
use crate::node::gozargah::fault::Fault;
use crate::node::gozargah::generation::Generation;
use crate::node::gozargah::health::Health;
use crate::node::gozargah::live::Current;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout};

/// How long a core that has started may take until its API answers.
const API_PATIENCE: Duration = Duration::from_secs(5);

/// Time between two questions whether it does.
const API_POLL: Duration = Duration::from_millis(5);

/// How often a start is tried with another port for the API if the one it had was taken in between.
const MAX_PORTS: usize = 4;

/// The longest pause.
const MAX_PAUSE: Duration = Duration::from_secs(30);

/// A core that has run for this long counts as one that runs.
const STABLE_AFTER: Duration = Duration::from_secs(60);

/// How long the counters of a core that is to end may take.
const READ_OUT_TIMEOUT: Duration = Duration::from_secs(1);

/// Most bytes of a core's last lines that a panel is told: over gRPC they go into a header.
const MAX_TAIL_BYTES: usize = 4 << 10;

impl Backend {
    /// Starts a core with what is to run now, in the place of one that runs.
    pub(super) async fn run(&mut self) -> Result<(), Fault> {
        self.read_out().await;
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
            self.live.set(Current::Down);
            match self.launch(json).await? {
                Outcome::Running | Outcome::AlreadyStarted => {
                    let api = CoreApi::at(port);
                    self.answers(&api).await?;
                    self.started.mark_unchanged();
                    let api = Arc::new(api);
                    let mut measures = false;
                    if let Some(running) = &mut self.running {
                        running.health = Some(Health::of(api.clone()));
                        measures = running.config.measures();
                    }
                    self.live.set_metrics(measures.then_some(metrics));
                    self.live.set(Current::Up(api, Instant::now()));
                    return Ok(());
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

    /// Reads out what the core that runs has counted: it is about to end.
    pub(super) async fn read_out(&mut self) {
        let Current::Up(api, _) = self.live.get() else { return };
        // From here on nobody else asks it.
        self.live.set(Current::Down);
        match timeout(READ_OUT_TIMEOUT, api.counters(String::new(), true)).await {
            Ok(Ok(counters)) => self.ledger.add(counters),
            Ok(Err(status)) => tracing::warn!("the core's counters are lost: {}", status.message()),
            Err(_) => tracing::warn!("the core's counters are lost: no answer within {READ_OUT_TIMEOUT:?}"),
        }
    }

    async fn launch(&mut self, json: Vec<u8>) -> Result<Outcome, Fault> {
        let (outcome, told) = oneshot::channel();
        let config = Prepared {
            json: Ok(json),
            fingerprint: None,
        };
        let launch = Launch {
            owner: OWNER,
            mode: Mode::Restart,
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
        match timeout(API_PATIENCE, asked).await {
            Ok(()) if self.state.is_started_for(OWNER) => Ok(()),
            Ok(()) => Err(Fault::start(
                "failed to start xray: the core ended right after its start",
            )),
            Err(_) => Err(Fault::start("failed to start xray: the core's API does not answer")),
        }
    }

    /// Notices that the core has died, or that another kind of panel has taken it.
    pub(super) fn look_after_core(&mut self) {
        let owner = *self.started.borrow_and_update();
        match (owner, &self.running) {
            (None, Some(running)) if running.again_at.is_none() => self.run_later(),
            (Some(Owner::Marzban), Some(_)) => {
                tracing::warn!("the core was taken away by a panel of another kind");
                self.running = None;
                self.live.end();
            }
            _ => {}
        }
    }

    pub(super) async fn start_again(&mut self) {
        self.look_after_core();
        if self.running.is_none() {
            return;
        }
        if let Err(fault) = self.run().await {
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
