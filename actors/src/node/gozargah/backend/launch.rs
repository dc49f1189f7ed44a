//! Cores come and go: started with what the panel started, read out before they end, started again when they have died.

use super::ascent::Ascent;
use super::{Backend, MIN_PAUSE, OWNER, Phase, Running};
use crate::node::core::{Launch, Mode, Outcome, Owner, Prepared, TAKEN_OVER};
use crate::node::gozargah::config::Ports;
use crate::node::gozargah::fault::Fault;
use crate::node::gozargah::generation::Generation;
use crate::node::gozargah::health::Health;
use crate::node::gozargah::live::{Core, Current};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// How often a start is tried with another port for the API if the one it had was taken in between.
const MAX_PORTS: usize = 4;

/// The longest pause.
const MAX_PAUSE: Duration = Duration::from_secs(30);

/// A core that has run for this long counts as one that runs.
const STABLE_AFTER: Duration = Duration::from_secs(60);

/// Most bytes of a core's last lines that a panel is told: over gRPC they go into a header.
const MAX_TAIL_BYTES: usize = 4 << 10;

impl Backend {
    /// Starts a core with what is to run now, in the place of one that runs, and has it come up. [`Mode::Resume`] leaves the core of
    /// another owner.
    ///
    /// # Errors
    /// It did not start. If it was because of another owner, there is no backend any more.
    pub(super) async fn run(&mut self, mode: Mode) -> Result<(), Fault> {
        self.live.read_out(&self.ledger).await;
        let mut last = String::new();
        let mut lines = self.state.logs.reader_of_new(self.state.settings.startup_log_lines);
        for _ in 0..MAX_PORTS {
            let Some(running) = &mut self.running else {
                return Err(Fault::no_backend(Generation::of(&self.state.settings)));
            };
            let [api, metrics] =
                free_ports().map_err(|error| Fault::start(format!("no port for the core's API: {error}")))?;
            let ports = Ports { api, metrics };
            self.ports = Some(ports);
            let json = running.wanted.json(ports);
            if running.generated.is_wanted() {
                running.generated.write(json.clone());
            }
            let config = Prepared {
                json: Ok(json),
                fingerprint: None,
                sockets: running.wanted.config.sockets(),
            };
            self.live.set(Current::Down);
            match self.launch(mode, config).await? {
                Outcome::Running | Outcome::AlreadyStarted => {
                    // What happens to it from here on is seen when it is looked for the next time.
                    self.started.mark_unchanged();
                    let ascent = Ascent::begin(self.state.clone(), ports);
                    if let Some(running) = &mut self.running {
                        running.phase = Phase::ComingUp(ascent);
                    }
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
        Err(Fault::not_started(&format!("{last}{tail}")))
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

    /// The core that came up runs from now on.
    pub(super) async fn arrived(&mut self) {
        let Some(running) = &mut self.running else { return };
        let now = Instant::now();
        let Phase::ComingUp(mut ascent) = std::mem::replace(&mut running.phase, Phase::Waiting(now)) else {
            return;
        };
        running.phase = Phase::Up(Health::of(ascent.api.clone()), now);
        let (panel, users) = (running.panel, running.wanted.users.len());
        tracing::info!("a core runs for {panel} with {users} users");
        // What was counted is the panel's at whose call it was: another one has other users.
        if self.counted_for.replace(panel) != Some(panel) {
            self.ledger.begin_anew();
        }
        self.live.set(Current::Up(Core {
            api: ascent.api.clone(),
            since: now,
            metrics: running.wanted.config.measures().then_some(ascent.ports.metrics),
        }));
        // No panel could be answered before.
        self.live.touch();
        let changed = std::mem::take(&mut ascent.changed);
        if ascent.is_start() {
            running.is_unheard = !ascent.answer(Ok(()));
        }
        if !changed.is_empty() {
            self.bring(&changed).await;
        }
    }

    /// The core that came up is none.
    pub(super) async fn fell(&mut self, reason: &str) {
        tracing::error!("failed to start xray: {reason}");
        let is_start = |running: &Running| matches!(&running.phase, Phase::ComingUp(ascent) if ascent.is_start());
        if self.running.as_ref().is_some_and(is_start) {
            self.stop(reason).await;
        } else {
            self.run_later();
        }
        self.look_after_core();
    }

    /// Notices that the core has died, or that another kind of panel has taken it.
    pub(super) fn look_after_core(&mut self) {
        let owner = *self.started.borrow_and_update();
        match (owner, self.running.as_ref().map(|running| &running.phase)) {
            (None, Some(Phase::Up(..))) => self.run_later(),
            (Some(Owner::Marzban), Some(_)) => self.give_up(),
            // One that comes up sees for itself.
            _ => {}
        }
    }

    /// Leaves the core to a panel of another kind.
    fn give_up(&mut self) {
        tracing::warn!("the core was taken away by a panel of another kind");
        self.forget(TAKEN_OVER);
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
        let now = Instant::now();
        if matches!(running.phase, Phase::Up(_, since) if now - since >= STABLE_AFTER) {
            running.pause = MIN_PAUSE;
        }
        tracing::warn!("the core does not run: it is started again in {:?}", running.pause);
        running.phase = Phase::Waiting(now + running.pause);
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
