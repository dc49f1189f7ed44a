//! The actor that has what a panel started: configuration and users, and that brings both to the core
//! (`spec/node-panel.md`, 3.3 and 4.4).
//!
//! Users that were accepted are in the configuration of every core that comes after, whoever ended the one before. While a
//! start or a change of users is under way, the next one waits in the mailbox; questions are answered from [`Live`].

use super::config::CoreConfig;
use super::core_api::CoreApi;
use super::fault::Fault;
use super::health::Health;
use super::inbound::Inbound;
use super::live::{Current, Live};
use super::users::{Change, Users, changes, complaints};
use crate::node::core::{Launch, Mode, Outcome, Prepared, Stop, Supervisor};
use crate::node::state::State;
use futures_util::{StreamExt, stream};
use kameo::prelude::*;
use kariz_proto::panel::{BackendType, User};
use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tonic::Status;

/// Changes that are under way at the core at a time.
const CHANGES_AT_A_TIME: usize = 32;

/// How long all changes of one call may take.
const SYNC_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a core that has started may take until its API answers.
const API_PATIENCE: Duration = Duration::from_secs(5);

/// Time between two questions whether it does.
const API_POLL: Duration = Duration::from_millis(5);

/// How often a start is tried with another port for the API if the one it had was taken in between.
const MAX_PORTS: usize = 4;

/// The first pause before a core that died is started again; it doubles with every further death, up to [`MAX_PAUSE`].
const MIN_PAUSE: Duration = Duration::from_millis(100);

/// The longest pause.
const MAX_PAUSE: Duration = Duration::from_secs(30);

/// Longest keep-alive time, in seconds; what is longer is as good as for ever.
const MAX_KEEP_ALIVE_S: u64 = 10 * 365 * 24 * 60 * 60;

/// A core that has run for this long counts as one that runs.
const STABLE_AFTER: Duration = Duration::from_secs(60);

/// The backend's actor.
pub(crate) struct Backend {
    state: Arc<State>,
    live: Live,
    supervisor: ActorRef<Supervisor>,
    started: watch::Receiver<bool>,
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
}

/// Starts a core for a panel; whatever ran before is replaced.
pub(super) struct StartBackend {
    pub(super) backend: kariz_proto::panel::Backend,
    pub(super) panel: IpAddr,
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
    type Args = (Arc<State>, Live, ActorRef<Supervisor>);
    type Error = Infallible;

    async fn on_start((state, live, supervisor): Self::Args, _: ActorRef<Self>) -> Result<Self, Infallible> {
        // A predecessor took its users with it: the panel starts anew when it hears that there is no backend.
        live.set(Current::None);
        let _ = supervisor.tell(Stop).await;
        Ok(Self {
            started: state.starts(),
            state,
            live,
            supervisor,
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
            tokio::select! {
                signal = mailbox.recv() => return Ok(signal),
                changed = self.started.changed(), if again_at.is_none() => match changed {
                    Ok(()) => self.look_after_core(),
                    Err(_) => return Ok(None),
                },
                () = until(again_at) => self.start_again().await,
                () = lost(&mut self.running) => {
                    tracing::error!("the core does not answer any more: it is restarted");
                    self.start_again().await;
                }
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
        let StartBackend { backend, panel } = start;
        if BackendType::try_from(backend.r#type) != Ok(BackendType::Xray) {
            return Err(Fault::start("invalid backend type"));
        }
        let config = CoreConfig::read(&backend.config, &backend.exclude_inbounds).map_err(Fault::start)?;
        if self.running.is_some() {
            tracing::warn!("New connection from {panel} core control access was taken away from previous client.");
        }
        let inbounds: Vec<Inbound> = config.inbounds().cloned().collect();
        warn(&backend.users, &inbounds);
        self.running = Some(Running {
            config,
            inbounds,
            users: Users::new(backend.users),
            since: Instant::now(),
            again_at: None,
            pause: MIN_PAUSE,
            health: None,
            keep_alive: (backend.keep_alive > 0).then(|| Duration::from_secs(backend.keep_alive.min(MAX_KEEP_ALIVE_S))),
        });
        self.live.touch();
        let started = self.run().await;
        match (&started, &self.running) {
            (Ok(()), Some(running)) => tracing::info!("a core runs for {panel} with {} users", running.users.len()),
            _ => self.stop().await,
        }
        started
    }

    /// Starts a core with what is to run now, in the place of one that runs.
    async fn run(&mut self) -> Result<(), Fault> {
        let mut last = String::new();
        for _ in 0..MAX_PORTS {
            let Some(running) = &mut self.running else {
                return Err(Fault::no_backend());
            };
            running.again_at = None;
            running.health = None;
            running.since = Instant::now();
            let port = free_port().map_err(|error| Fault::start(format!("no port for the core's API: {error}")))?;
            let json = running.config.json(&running.users, port);
            self.live.set(Current::Down);
            match self.launch(json).await? {
                Outcome::Running | Outcome::AlreadyStarted => {
                    let api = CoreApi::at(port);
                    self.answers(&api).await?;
                    self.started.mark_unchanged();
                    let api = Arc::new(api);
                    if let Some(running) = &mut self.running {
                        running.health = Some(Health::of(api.clone()));
                    }
                    self.live.set(Current::Up(api, Instant::now()));
                    return Ok(());
                }
                Outcome::Failed(reason) if reason.contains(&format!(":{port}: bind: address already in use")) => {
                    last = reason;
                }
                Outcome::Failed(reason) => return Err(Fault::start(format!("failed to start xray: {reason}"))),
            }
        }
        Err(Fault::start(format!("failed to start xray: {last}")))
    }

    async fn launch(&mut self, json: Vec<u8>) -> Result<Outcome, Fault> {
        let (outcome, told) = oneshot::channel();
        let config = Prepared {
            json: Ok(json),
            fingerprint: None,
        };
        let launch = Launch {
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
            while api.system().await.is_err() && self.state.is_started() {
                sleep(API_POLL).await;
            }
        };
        match timeout(API_PATIENCE, asked).await {
            Ok(()) if self.state.is_started() => Ok(()),
            Ok(()) => Err(Fault::start(
                "failed to start xray: the core ended right after its start",
            )),
            Err(_) => Err(Fault::start("failed to start xray: the core's API does not answer")),
        }
    }

    async fn stop(&mut self) {
        self.running = None;
        self.live.set(Current::None);
        // An error says that the supervisor is being restarted, and that stops its core.
        let _ = self.supervisor.ask(Stop).await;
    }

    /// When the core is stopped unless a panel calls.
    fn expires_at(&self) -> Option<Instant> {
        let keep_alive = self.running.as_ref()?.keep_alive?;
        Some(self.live.touched()? + keep_alive)
    }

    /// Notices that the core has died.
    fn look_after_core(&mut self) {
        if !self.state.is_started() {
            self.run_later();
        }
    }

    async fn start_again(&mut self) {
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

    async fn sync(&mut self, sync: SyncUsers) -> Result<(), Fault> {
        let Some(running) = &mut self.running else {
            return Err(Fault::no_backend());
        };
        let changes = match sync {
            SyncUsers::Replace(users) => {
                warn(&users, &running.inbounds);
                let new = Users::new(users);
                let changes = running.users.changes_to(&new, &running.inbounds);
                running.users = new;
                changes
            }
            SyncUsers::Update(users) => {
                warn(&users, &running.inbounds);
                users.into_iter().flat_map(|user| running.update(user)).collect()
            }
        };
        let Current::Up(api, _) = self.live.get() else {
            // The next core has them.
            return Ok(());
        };
        match timeout(SYNC_TIMEOUT, make(&api, changes)).await {
            Ok(true) => return Ok(()),
            Ok(false) => tracing::warn!("the core takes no users while it runs: it is restarted with them"),
            Err(_) => tracing::error!("the core takes no users within {SYNC_TIMEOUT:?}: it is restarted with them"),
        }
        self.start_again().await;
        Ok(())
    }
}

impl Running {
    /// Takes a user over; returns what has to change at the core.
    fn update(&mut self, user: User) -> Vec<Change> {
        let before = self.users.get(&user.email);
        let changes = changes(&user.email, before, Some(&user), &self.inbounds).collect();
        self.users.put(user);
        changes
    }
}

/// Makes changes at the core. `false` if it has no way to make them but a restart.
async fn make(api: &CoreApi, changes: Vec<Change>) -> bool {
    let made = stream::iter(changes).map(|change| async move { (api.make(&change).await, change) });
    let mut made = made.buffer_unordered(CHANGES_AT_A_TIME);
    let mut needs_restart = false;
    while let Some((outcome, change)) = made.next().await {
        if let Err(status) = outcome {
            needs_restart |= is_structural(&status);
            tracing::warn!(
                "user {} at the inbound {}: {}",
                change.email,
                change.tag,
                status.message()
            );
        }
    }
    !needs_restart
}

/// Whether no user at all could be changed at that inbound.
fn is_structural(status: &Status) -> bool {
    ["is not a UserManager", "handler not found"]
        .iter()
        .any(|words| status.message().contains(words))
}

fn warn(users: &[User], inbounds: &[Inbound]) {
    for complaint in users.iter().flat_map(|user| complaints(user, inbounds)) {
        tracing::warn!("{complaint}");
    }
}

/// A port of this machine that nobody listened on a moment ago.
fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

impl Message<StartBackend> for Backend {
    type Reply = Result<(), Fault>;

    async fn handle(&mut self, start: StartBackend, _: &mut Context<Self, Self::Reply>) -> Self::Reply {
        self.start(start).await
    }
}

impl Message<StopBackend> for Backend {
    type Reply = ();

    async fn handle(&mut self, StopBackend: StopBackend, _: &mut Context<Self, ()>) {
        self.stop().await;
    }
}

impl Message<SyncUsers> for Backend {
    type Reply = Result<(), Fault>;

    async fn handle(&mut self, sync: SyncUsers, _: &mut Context<Self, Self::Reply>) -> Self::Reply {
        self.sync(sync).await
    }
}
