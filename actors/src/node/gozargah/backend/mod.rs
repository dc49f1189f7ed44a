//! The actor that has what a panel started: configuration and users, and that brings both to the core
//! (`spec/node-panel.md`, 3.3 and 4.4).
//!
//! Users that were accepted are in the configuration of every core that comes after, whoever ended the one before. A core that comes
//! up is waited for beside everything else; users who change meanwhile are brought to it when it runs. Questions are answered from
//! [`Live`].

mod ascent;
mod launch;
mod start;
mod sync;

pub(super) use start::{StartBackend, Wanted};

use self::ascent::{Ascent, Fall};
use super::config::{CoreConfig, Ports};
use super::fault::Fault;
use super::generated::Generated;
use super::health::Health;
use super::ledger::Ledger;
use super::live::Live;
use super::log_files::LogFiles;
use super::users::complaints;
use crate::node::core::{Owner, Stop, Supervisor};
use crate::node::session::NodeSession;
use crate::node::state::State;
use kameo::prelude::*;
use kariz_proto::panel::User;
use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// The first pause before a core that died is started again; it doubles with every further death, up to [`MAX_PAUSE`].
const MIN_PAUSE: Duration = Duration::from_millis(100);

/// Time between a change of users and the moment that its memory goes back to the host.
const TIDY_AFTER: Duration = Duration::from_millis(500);

/// Whose cores these are.
const OWNER: Owner = Owner::Gozargah;

/// What whoever waits for a start is told when another one comes.
const OVERTAKEN: &str = "it was overtaken by a later call";

const STOP: Stop = Stop { owner: OWNER };

/// The backend's actor.
pub(crate) struct Backend {
    state: Arc<State>,
    live: Live,
    supervisor: ActorRef<Supervisor>,
    /// Of panels of the other kind.
    session: ActorRef<NodeSession>,
    started: watch::Receiver<Option<Owner>>,
    ledger: Ledger,
    /// Whose traffic the ledger has.
    counted_for: Option<IpAddr>,
    /// Of the last core.
    ports: Option<Ports>,
    /// The configuration as it is written down.
    generated: Generated,
    /// When memory goes back to the host: users come in large messages, which have been read and thrown away.
    tidy_at: Option<Instant>,
    running: Option<Running>,
}

/// What a panel started, and its core.
struct Running {
    wanted: Wanted,
    /// Who started it.
    panel: IpAddr,
    phase: Phase,
    /// Before a core is started again after the next death.
    pause: Duration,
    /// Whether the panel did not wait for the answer to its start. It will start again.
    is_unheard: bool,
    /// The files that the panel wants the core's lines in.
    _log_files: Option<LogFiles>,
}

/// How the core is.
enum Phase {
    /// It does not run, and is started again then.
    Waiting(Instant),
    /// It was launched, and its API has not answered yet.
    ComingUp(Ascent),
    /// It runs, since then.
    Up(Health, Instant),
}

/// What happens to it by itself.
enum Event {
    /// It is to be started again.
    Due,
    /// It runs from now on.
    Arrived,
    /// It will not.
    Fell(Fall),
    /// It does not answer any more.
    Lost,
}

/// Stops it, and forgets configuration and users.
pub(super) struct StopBackend;

/// Changes users.
pub(super) enum SyncUsers {
    /// These, and no others, are the users from now on.
    Replace(Vec<User>),
    /// These change, all others stay.
    Update(Vec<User>),
}

impl Actor for Backend {
    type Args = (<NodeSession as Actor>::Args, ActorRef<NodeSession>);
    type Error = Infallible;

    async fn on_start(
        ((state, live, ledger, supervisor), session): Self::Args,
        _: ActorRef<Self>,
    ) -> Result<Self, Infallible> {
        // A predecessor took its users with it: the panel starts anew when it hears that there is no backend.
        live.end();
        let _ = supervisor.tell(STOP).await;
        Ok(Self {
            started: state.starts(),
            generated: Generated::at(state.settings.generated.clone()),
            state,
            live,
            supervisor,
            session,
            ledger,
            counted_for: None,
            ports: None,
            tidy_at: None,
            running: None,
        })
    }

    async fn next(
        &mut self,
        _: WeakActorRef<Self>,
        mailbox: &mut MailboxReceiver<Self>,
    ) -> Result<Option<mailbox::Signal<Self>>, Infallible> {
        loop {
            let expires_at = self.expires_at();
            let write_at = self.write_at();
            tokio::select! {
                signal = mailbox.recv() => return Ok(signal),
                changed = self.started.changed() => match changed {
                    Ok(()) => self.look_after_core(),
                    Err(_) => return Ok(None),
                },
                event = event(&mut self.running) => self.happened(event).await,
                () = until(self.tidy_at) => {
                    self.tidy_at = None;
                    (self.state.give_back)();
                }
                () = until(write_at) => self.write_generated(),
                // It may have been put off meanwhile.
                () = until(expires_at) => if self.expires_at().is_some_and(|instant| instant <= Instant::now()) {
                    tracing::warn!("no panel has called for the keep-alive time: the core is stopped");
                    self.stop("no panel has called").await;
                },
            }
        }
    }
}

/// The next thing that happens to the core. Loses nothing when it is dropped.
async fn event(running: &mut Option<Running>) -> Event {
    let Some(running) = running else {
        return std::future::pending().await;
    };
    match &mut running.phase {
        Phase::Waiting(until) => {
            sleep_until(*until).await;
            Event::Due
        }
        Phase::ComingUp(ascent) => match ascent.over().await {
            Ok(()) => Event::Arrived,
            Err(fall) => Event::Fell(fall),
        },
        Phase::Up(health, _) => {
            health.lost().await;
            Event::Lost
        }
    }
}

async fn until(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

impl Backend {
    async fn happened(&mut self, event: Event) {
        match event {
            Event::Due => self.start_again().await,
            Event::Arrived => self.arrived().await,
            Event::Fell(fall) => self.fell(fall).await,
            Event::Lost => {
                tracing::error!("the core does not answer any more: it is restarted");
                self.start_again().await;
            }
        }
    }

    /// Stops the core for this reason, and forgets what it had.
    async fn stop(&mut self, reason: &str) {
        self.live.read_out(&self.ledger).await;
        self.forget(reason);
        // An error says that the supervisor is being restarted, and that stops its core.
        let _ = self.supervisor.ask(STOP).await;
    }

    /// There is no backend any more. Whoever waits for its start is told why.
    fn forget(&mut self, reason: &str) {
        self.live.end();
        let Some(Phase::ComingUp(ascent)) = self.running.take().map(|running| running.phase) else {
            return;
        };
        if let Some(answer) = ascent.answer {
            // Whoever asked may have gone.
            let _ = answer.send(Err(Fault::not_started(reason)));
        }
    }

    /// Has memory go back to the host in a while, behind a change of users. Where one follows the other it goes back in between.
    fn tidy_soon(&mut self) {
        let now = Instant::now();
        if self.tidy_at.is_some_and(|at| at <= now) {
            (self.state.give_back)();
            self.tidy_at = None;
        }
        self.tidy_at.get_or_insert(now + TIDY_AFTER);
    }

    /// When the configuration is to be written down again, as users have changed since.
    fn write_at(&self) -> Option<Instant> {
        self.running.as_ref()?;
        self.ports?;
        self.generated.due()
    }

    fn write_generated(&mut self) {
        let (Some(running), Some(ports)) = (&self.running, self.ports) else {
            return;
        };
        let Wanted { config, users, .. } = &running.wanted;
        let (config, users) = (config.clone(), users.clone());
        self.generated.write(move |file| config.pretty(&users, ports, file));
    }

    /// When the core is stopped unless a panel calls. A core that comes up answers no panel yet: that is no silence.
    fn expires_at(&self) -> Option<Instant> {
        let running = self.running.as_ref()?;
        let keep_alive = running.wanted.keep_alive?;
        (!matches!(running.phase, Phase::ComingUp(_))).then_some(self.live.touched()? + keep_alive)
    }
}

/// Says which users have credentials that are no good.
fn warn<'a>(users: impl IntoIterator<Item = &'a User>, config: &CoreConfig) {
    let inbounds: Vec<_> = config.inbounds().collect();
    for complaint in users.into_iter().flat_map(|user| complaints(user, &inbounds)) {
        tracing::warn!("{complaint}");
    }
}

impl Message<StopBackend> for Backend {
    type Reply = ();

    async fn handle(&mut self, StopBackend: StopBackend, _: &mut Context<Self, ()>) {
        self.stop("it was stopped").await;
        self.tidy_soon();
    }
}

impl Message<SyncUsers> for Backend {
    type Reply = Result<(), Fault>;

    async fn handle(&mut self, sync: SyncUsers, _: &mut Context<Self, Self::Reply>) -> Self::Reply {
        let synced = self.sync(sync).await;
        self.tidy_soon();
        synced
    }
}
