//! Cores come and go: started with what the panel started, read out before they end, started again when they have died.

use super::ascent::{Answer, Ascent, Fall};
use super::{Backend, MIN_PAUSE, OWNER, Phase};
use crate::node::core::{Launch, Mode, Outcome, Owner, Prepared, TAKEN_OVER};
use crate::node::gozargah::config::Ports;
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
    /// `answer` is told how that went.
    pub(super) async fn run(&mut self, mode: Mode, answer: Option<Answer>) {
        self.live.read_out(&self.ledger).await;
        self.launch(mode, answer, 1).await;
    }

    async fn launch(&mut self, mode: Mode, answer: Option<Answer>, tries: usize) {
        let Some(running) = &mut self.running else { return };
        self.live.set(Current::Down);
        let (outcome, told) = oneshot::channel();
        let found = free_ports();
        let ports = *found.as_ref().unwrap_or(&Ports { api: 0, metrics: 0 });
        self.ports = found.as_ref().ok().copied();
        running.phase = Phase::ComingUp(Ascent::new(self.state.clone(), told, ports, tries, answer));
        if let Err(error) = found {
            // Nobody else listens, and the ascent does.
            let _ = outcome.send(Outcome::Failed(format!("no port for the core's API: {error}")));
            return;
        }
        let config = Prepared {
            json: Ok(running.wanted.config.json(&running.wanted.users, ports)),
            fingerprint: None,
            sockets: running.wanted.config.sockets(),
        };
        let launch = Launch {
            owner: OWNER,
            mode,
            config,
            outcome,
        };
        // An error drops the outcome's sender, by which the ascent learns of it.
        let _ = self.supervisor.tell(launch).await;
        self.write_generated();
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
        if ascent.ports.are_taken(&reason) && ascent.tries < MAX_PORTS {
            let (answer, tries) = (ascent.answer.take(), ascent.tries + 1);
            // Whoever's the core is by now, it is not taken away a second time.
            return self.launch(Mode::Resume, answer, tries).await;
        }
        tracing::error!("failed to start xray: {reason}");
        if ascent.answer.is_some() {
            let tail = tail(&self.state.logs.take(&mut ascent.lines).lines);
            self.stop(&format!("{reason}{tail}")).await;
        } else {
            self.run_later();
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
        self.run(Mode::Resume, None).await;
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
fn free_ports() -> std::io::Result<Ports> {
    let listen = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let (api, metrics) = (listen()?, listen()?);
    Ok(Ports {
        api: api.local_addr()?.port(),
        metrics: metrics.local_addr()?.port(),
    })
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
