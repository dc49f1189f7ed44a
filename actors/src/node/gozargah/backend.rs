//! The actor that has what a panel started: configuration and users, and that brings both to the core
//! (`spec/node-panel.md`, 3.3 and 4.4).
//!
//! Users that were accepted are in the configuration of every core that comes after, whoever ended the one before. While a
//! start or a change of users is under way, the next one waits in the mailbox; questions are answered from [`Live`].

use super::config::{CoreConfig, Ports};
use super::core_api::CoreApi;
use super::fault::Fault;
use super::generated::Generated;
use super::generation::Generation;
use super::health::Health;
use super::inbound::Inbound;
use super::ledger::Ledger;
use super::live::{Current, Live};
use super::log_files::LogFiles;
use super::users::{Change, Users, changes, complaints};
use crate::node::core::{Launch, Mode, Outcome, Owner, Prepared, Stop, Supervisor};
use crate::node::state::{Session, State};
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
use uuid::Uuid;

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

/// How long the counters of a core that is to end may take.
const READ_OUT_TIMEOUT: Duration = Duration::from_secs(1);

/// Most bytes of a core's last lines that a panel is told: over gRPC they go into a header.
const MAX_TAIL_BYTES: usize = 4 << 10;

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
    started: watch::Receiver<Option<Owner>>,
    ledger: Ledger,
    /// Whose traffic the ledger has.
    counted_for: Option<IpAddr>,
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
    type Args = (Arc<State>, Live, Ledger, ActorRef<Supervisor>);
    type Error = Infallible;

    async fn on_start((state, live, ledger, supervisor): Self::Args, _: ActorRef<Self>) -> Result<Self, Infallible> {
        // A predecessor took its users with it: the panel starts anew when it hears that there is no backend.
        live.end();
        let _ = supervisor.tell(STOP).await;
        Ok(Self {
            started: state.starts(),
            state,
            live,
            supervisor,
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
        } = start;
        if BackendType::try_from(backend.r#type) != Ok(BackendType::Xray) {
            return Err(Fault::start("invalid backend type"));
        }
        let config = CoreConfig::read(&backend.config, &backend.exclude_inbounds).map_err(Fault::start)?;
        if self.running.is_some() {
            tracing::warn!("New connection from {panel} core control access was taken away from previous client.");
        }
        let inbounds: Vec<Inbound> = config.inbounds().cloned().collect();
        warn(&backend.users, &inbounds);
        self.read_out().await;
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
            self.live.set(Current::Down);
            self.ledger.clear();
        }
        self.live.set_session(session.map(|id| Session { id, panel }));
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
    async fn read_out(&mut self) {
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

    async fn stop(&mut self) {
        self.read_out().await;
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

    /// Notices that the core has died, or that another kind of panel has taken it.
    fn look_after_core(&mut self) {
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

    async fn start_again(&mut self) {
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

    async fn sync(&mut self, sync: SyncUsers) -> Result<(), Fault> {
        let Some(running) = &mut self.running else {
            return Err(Fault::no_backend(Generation::of(&self.state.settings)));
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
        running.generated.is_behind = true;
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

impl Message<StartBackend> for Backend {
    type Reply = Result<(), Fault>;

    async fn handle(&mut self, start: StartBackend, _: &mut Context<Self, Self::Reply>) -> Self::Reply {
        self.tidy_at = Some(Instant::now() + TIDY_AFTER);
        self.start(start).await
    }
}

impl Message<StopBackend> for Backend {
    type Reply = ();

    async fn handle(&mut self, StopBackend: StopBackend, _: &mut Context<Self, ()>) {
        self.tidy_at = Some(Instant::now() + TIDY_AFTER);
        self.stop().await;
    }
}

impl Message<SyncUsers> for Backend {
    type Reply = Result<(), Fault>;

    async fn handle(&mut self, sync: SyncUsers, _: &mut Context<Self, Self::Reply>) -> Self::Reply {
        self.tidy_at = Some(Instant::now() + TIDY_AFTER);
        self.sync(sync).await
    }
}
