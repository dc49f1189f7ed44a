//! The actor that has what a panel started: configuration and users, and that brings both to the core
//! (`spec/node-panel.md`, 3.3 and 4.4).
//!
//! Users that were accepted are in the configuration of every core that comes after, whoever ended the one before. While a
//! start or a change of users is under way, the next one waits in the mailbox; questions are answered from [`Live`].

mod launch;
mod sync;

use super::config::{CoreConfig, Ports};
use super::fault::Fault;
use super::generated::Generated;
use super::health::Health;
use super::inbound::Inbound;
use super::ledger::Ledger;
use super::live::{Live, Turn};
use super::log_files::LogFiles;
use super::users::{Users, complaints};
use crate::node::core::{Mode, Owner, Stop, Supervisor};
use crate::node::session::{Displace, NodeSession};
use crate::node::state::{Session, State};
use kameo::prelude::*;
use kariz_proto::panel::{BackendType, User};
use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

/// The first pause before a core that died is started again; it doubles with every further death, up to [`MAX_PAUSE`].
const MIN_PAUSE: Duration = Duration::from_millis(100);

/// Longest keep-alive time, in seconds; what is longer is as good as for ever.
const MAX_KEEP_ALIVE_S: u64 = 10 * 365 * 24 * 60 * 60;

/// Time between a change of users and the moment that its memory goes back to the host. Another change puts it off.
const TIDY_AFTER: Duration = Duration::from_millis(500);

/// Whose cores these are.
const OWNER: Owner = Owner::Gozargah;

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
    /// The last call to start or to stop that was looked at.
    turn: Turn,
    /// Of the last core.
    ports: Option<Ports>,
    /// When memory goes back to the host: users come in large messages, which have been read and thrown away.
    tidy_at: Option<Instant>,
    running: Option<Running>,
}

/// What a panel started.
struct Running {
    config: CoreConfig,
    inbounds: Vec<Inbound>,
    users: Users,
    /// Of the core that runs, or ran last.
    since: Instant,
    /// When a core that died is to be started again, and the pause after the next death.
    again_at: Option<Instant>,
    pause: Duration,
    /// Of the core that runs.
    health: Option<Health>,
    /// How long a panel may be silent before the core is stopped.
    keep_alive: Option<Duration>,
    /// The configuration as it is written down.
    generated: Generated,
    /// The files that the panel wants the core's lines in.
    _log_files: Option<LogFiles>,
}

/// Starts a core for a panel; whatever ran before is replaced.
pub(super) struct StartBackend {
    pub(super) backend: kariz_proto::panel::Backend,
    pub(super) panel: IpAddr,
    /// The id of the panel's session, where it has one (G0).
    pub(super) session: Option<Uuid>,
    pub(super) turn: Turn,
}

/// Stops it, and forgets configuration and users.
pub(super) struct StopBackend {
    pub(super) turn: Turn,
}

/// Changes users.
pub(super) enum SyncUsers {
    /// These, and no others, are the users from now on.
    Replace(Vec<User>),
    /// These change, all others stay.
    Update(Vec<User>),
}

impl Actor for Backend {
    type Args = (Arc<State>, Live, Ledger, ActorRef<Supervisor>, ActorRef<NodeSession>);
    type Error = Infallible;

    async fn on_start(
        (state, live, ledger, supervisor, session): Self::Args,
        _: ActorRef<Self>,
    ) -> Result<Self, Infallible> {
        // A predecessor took its users with it: the panel starts anew when it hears that there is no backend.
        live.end();
        let _ = supervisor.tell(STOP).await;
        Ok(Self {
            started: state.starts(),
            state,
            live,
            supervisor,
            session,
            ledger,
            counted_for: None,
            turn: Turn::default(),
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
            let again_at = self.running.as_ref().and_then(|running| running.again_at);
            let expires_at = self.expires_at();
            let write_at = self.write_at();
            tokio::select! {
                signal = mailbox.recv() => return Ok(signal),
                changed = self.started.changed() => match changed {
                    Ok(()) => self.look_after_core(),
                    Err(_) => return Ok(None),
                },
                () = until(again_at) => self.start_again().await,
                () = lost(&mut self.running) => {
                    tracing::error!("the core does not answer any more: it is restarted");
                    self.start_again().await;
                }
                () = until(self.tidy_at) => {
                    self.tidy_at = None;
                    (self.state.give_back)();
                }
                () = until(write_at) => self.write_generated(),
                // It may have been put off meanwhile.
                () = until(expires_at) => if self.expires_at().is_some_and(|instant| instant <= Instant::now()) {
                    tracing::warn!("no panel has called for the keep-alive time: the core is stopped");
                    self.stop().await;
                },
            }
        }
    }
}

/// Resolves when the core that runs is to be given up.
async fn lost(running: &mut Option<Running>) {
    match running.as_mut().and_then(|running| running.health.as_mut()) {
        Some(health) => health.lost().await,
        None => std::future::pending().await,
    }
}

async fn until(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

impl Backend {
    async fn start(&mut self, start: StartBackend) -> Result<(), Fault> {
        let StartBackend {
            backend,
            panel,
            session,
            turn,
        } = start;
        self.turn = turn;
        if BackendType::try_from(backend.r#type) != Ok(BackendType::Xray) {
            return Err(Fault::start("invalid backend type"));
        }
        let config = CoreConfig::read(&backend.config, &backend.exclude_inbounds);
        let config = config.map_err(|error| Fault::start(format!("invalid configuration: {error}")))?;
        if self.running.is_some() {
            tracing::warn!("New connection from {panel} core control access was taken away from previous client.");
        }
        let inbounds: Vec<Inbound> = config.inbounds().cloned().collect();
        warn(&backend.users, &inbounds);
        // An error says that the session's actor is being restarted. Then another panel may keep a session without a core.
        let _ = self.session.ask(Displace).await;
        self.ledger.read_out(&self.live).await;
        self.running = Some(Running {
            generated: Generated::at(self.state.settings.generated.clone()),
            _log_files: LogFiles::begin(&self.state, config.log_paths()),
            config,
            inbounds,
            users: Users::new(backend.users),
            since: Instant::now(),
            again_at: None,
            pause: MIN_PAUSE,
            health: None,
            keep_alive: (backend.keep_alive > 0).then(|| Duration::from_secs(backend.keep_alive.min(MAX_KEEP_ALIVE_S))),
        });
        // What was counted is the panel's at whose call it was: another one has other users.
        if self.counted_for.replace(panel) != Some(panel) {
            self.ledger.begin_anew();
        }
        self.live.begin(session.map(|id| Session { id, panel }));
        self.live.touch();
        let started = self.run(Mode::Restart).await;
        // The panel waited for it: its time begins now.
        self.live.touch();
        match (&started, &self.running) {
            (Ok(()), Some(running)) => tracing::info!("a core runs for {panel} with {} users", running.users.len()),
            _ => self.stop().await,
        }
        started
    }

    async fn stop(&mut self) {
        self.ledger.read_out(&self.live).await;
        self.running = None;
        self.live.end();
        // An error says that the supervisor is being restarted, and that stops its core.
        let _ = self.supervisor.ask(STOP).await;
    }

    /// When the configuration is to be written down again, as users have changed since.
    fn write_at(&self) -> Option<Instant> {
        self.running.as_ref()?.generated.due()
    }

    fn write_generated(&mut self) {
        if let (Some(running), Some(ports)) = (&mut self.running, self.ports) {
            running.generated.write(running.config.json(&running.users, ports));
        }
    }

    /// When the core is stopped unless a panel calls.
    fn expires_at(&self) -> Option<Instant> {
        let keep_alive = self.running.as_ref()?.keep_alive?;
        Some(self.live.touched()? + keep_alive)
    }
}

/// Says which users have credentials that are no good.
fn warn(users: &[User], inbounds: &[Inbound]) {
    for complaint in users.iter().flat_map(|user| complaints(user, inbounds)) {
        tracing::warn!("{complaint}");
    }
}

impl Message<StartBackend> for Backend {
    type Reply = Result<(), Fault>;

    async fn handle(&mut self, start: StartBackend, _: &mut Context<Self, Self::Reply>) -> Self::Reply {
        self.tidy_at = Some(Instant::now() + TIDY_AFTER);
        self.start(start).await
    }
}

impl Message<StopBackend> for Backend {
    type Reply = ();

    async fn handle(&mut self, StopBackend { turn }: StopBackend, _: &mut Context<Self, ()>) {
        self.turn = turn;
        self.tidy_at = Some(Instant::now() + TIDY_AFTER);
        self.stop().await;
    }
}

impl Message<SyncUsers> for Backend {
    type Reply = Result<(), Fault>;

    async fn handle(&mut self, sync: SyncUsers, _: &mut Context<Self, Self::Reply>) -> Self::Reply {
        self.tidy_at = Some(Instant::now() + TIDY_AFTER);
        let synced = self.sync(sync).await;
        if synced.is_ok() {
            // It may have taken long, and the panel waited for it.
            self.live.touch();
        }
        synced
    }
}
