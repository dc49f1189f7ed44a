//! Cores come and go: started with what the panel started, read out before they end, started again when they have died.

use super::ascent::{Ascent, Fall};
use super::{Backend, MIN_PAUSE, OWNER, Phase};
use crate::node::core::{Launch, Mode, Owner, Prepared, TAKEN_OVER};
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
    /// Launches a core with what is to run now, in the place of one that runs. [`Mode::Resume`] leaves the core of another owner.
    ///
    /// # Errors
    /// It cannot even be tried.
    pub(super) async fn run(&mut self, mode: Mode) -> Result<(), Fault> {
        self.live.read_out(&self.ledger).await;
        self.launch(mode, 1).await
    }

    async fn launch(&mut self, mode: Mode, tries: usize) -> Result<(), Fault> {
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
        let (outcome, told) = oneshot::channel();
        running.phase = Phase::ComingUp(Ascent::new(self.state.clone(), ports, mode, tries, told));
        let launch = Launch {
            owner: OWNER,
            mode,
            config,
            outcome,
        };
        self.supervisor.tell(launch).await.map_err(|_| Fault::internal())
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
        if let Some(answer) = ascent.answer.take() {
            running.is_unheard = answer.send(Ok(())).is_err();
        }
        if !changed.is_empty() {
            self.bring(&changed).await;
        }
    }

    /// The core that was to come up did not.
    pub(super) async fn fell(&mut self, fall: Fall) {
        let reason = match fall {
            Fall::TakenOver => return self.give_up(),
            Fall::Failed(reason) if reason.is_empty() => "the core ended right after its start".to_owned(),
            Fall::Failed(reason) => reason,
        };
        let Some(Phase::ComingUp(ascent)) = self.running.as_mut().map(|running| &mut running.phase) else {
            return;
        };
        let answer = ascent.answer.take();
        let (mode, tries) = (ascent.mode, ascent.tries);
        if ascent.ports.are_taken(&reason) && tries < MAX_PORTS && self.launch(mode, tries + 1).await.is_ok() {
            if let (Some(answer), Some(Phase::ComingUp(ascent))) =
                (answer, self.running.as_mut().map(|running| &mut running.phase))
            {
                ascent.tell(answer);
            }
            return;
        }
        let Some(Phase::ComingUp(ascent)) = self.running.as_mut().map(|running| &mut running.phase) else {
            return;
        };
        let tail = tail(&self.state.logs.take(&mut ascent.lines).lines);
        tracing::error!("failed to start xray: {reason}");
        match answer {
            Some(answer) => {
                self.stop(&reason).await;
                // Whoever asked may have gone.
                let _ = answer.send(Err(Fault::not_started(&format!("{reason}{tail}"))));
            }
            None => self.run_later(),
        }
    }

    /// Notices that the core has died, or that another kind of panel has taken it.
    pub(super) fn look_after_core(&mut self) {
        let owner = *self.started.borrow_and_update();
        match (owner, self.running.as_ref().map(|running| &running.phase)) {
            // It sees for itself; and until it is launched there may be one of somebody else.
            (_, Some(Phase::ComingUp(_))) => {}
            (None, Some(Phase::Up(..))) => self.run_later(),
            (Some(Owner::Marzban), Some(_)) => self.give_up(),
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
