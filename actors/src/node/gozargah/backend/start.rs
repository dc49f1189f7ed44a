//! A panel starts a core.

use super::ascent::{Answer, Ascent};
use super::{Backend, MIN_PAUSE, OVERTAKEN, Phase, Running, STOP, warn};
use crate::node::core::Mode;
use crate::node::gozargah::config::CoreConfig;
use crate::node::gozargah::fault::Fault;
use crate::node::gozargah::log_files::LogFiles;
use crate::node::gozargah::users::Users;
use crate::node::session::Displace;
use crate::node::state::{Session, State};
use kameo::prelude::*;
use kariz_proto::panel::BackendType;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use uuid::Uuid;

/// Longest keep-alive time, in seconds; what is longer is as good as for ever.
const MAX_KEEP_ALIVE_S: u64 = 10 * 365 * 24 * 60 * 60;

/// Starts a core for a panel; whatever ran before is replaced.
///
/// But for the configuration that the same panel has started already and not heard of, because its core took longer than the panel
/// waited: that goes on. A panel that is less patient than its core needs would else restart it for ever.
pub(in crate::node::gozargah) struct StartBackend {
    pub(in crate::node::gozargah) wanted: Wanted,
    pub(in crate::node::gozargah) panel: IpAddr,
    /// The id of the panel's session, where it has one (G0).
    pub(in crate::node::gozargah) session: Option<Uuid>,
    pub(in crate::node::gozargah) answer: Answer,
}

/// What a panel wants to run.
#[derive(Debug, PartialEq)]
pub(in crate::node::gozargah) struct Wanted {
    pub(super) config: Arc<CoreConfig>,
    /// Copied when one changes while they are written down.
    pub(super) users: Arc<Users>,
    /// How long the panel may be silent before the core is stopped.
    pub(super) keep_alive: Option<Duration>,
}

impl Wanted {
    /// Reads what a panel sends.
    ///
    /// # Errors
    /// It is no configuration, or one for something else than a core.
    pub(in crate::node::gozargah) fn read(backend: kariz_proto::panel::Backend) -> Result<Self, Fault> {
        if BackendType::try_from(backend.r#type) != Ok(BackendType::Xray) {
            return Err(Fault::start("invalid backend type"));
        }
        let config = CoreConfig::read(&backend.config, &backend.exclude_inbounds);
        let seconds = backend.keep_alive.min(MAX_KEEP_ALIVE_S);
        Ok(Self {
            config: Arc::new(config.map_err(|error| Fault::start(format!("invalid configuration: {error}")))?),
            users: Arc::new(Users::new(backend.users)),
            keep_alive: (seconds > 0).then(|| Duration::from_secs(seconds)),
        })
    }
}

impl Running {
    fn new(wanted: Wanted, panel: IpAddr, state: &Arc<State>) -> Self {
        warn(wanted.users.all(), &wanted.config);
        Self {
            _log_files: LogFiles::begin(state, wanted.config.log_paths()),
            wanted,
            panel,
            phase: Phase::Waiting(Instant::now()),
            pause: MIN_PAUSE,
            is_unheard: false,
        }
    }

    /// Whether `panel` wants what it has started already, and does not know how that went. Users may be others.
    fn is_what(&self, panel: IpAddr, wanted: &Wanted) -> bool {
        let is_start = |ascent: &Ascent| ascent.answer.is_some();
        let is_on_its_way = self.is_unheard || matches!(&self.phase, Phase::ComingUp(ascent) if is_start(ascent));
        is_on_its_way
            && self.panel == panel
            && (&self.wanted.config, self.wanted.keep_alive) == (&wanted.config, wanted.keep_alive)
    }
}

impl Backend {
    async fn start(&mut self, start: StartBackend) {
        let StartBackend {
            wanted,
            panel,
            session,
            answer,
        } = start;
        // An error says that the session's actor is being restarted. Then another panel may keep a session without a core.
        let _ = self.session.ask(Displace).await;
        let repeated = self.running.as_mut().filter(|running| running.is_what(panel, &wanted));
        if let Some(running) = repeated {
            tracing::info!("{panel} starts what it has started and not heard of: that goes on");
            warn(wanted.users.all(), &wanted.config);
            let before = running.wanted.users.before(&wanted.users);
            running.wanted.users = wanted.users;
            if !before.is_empty() {
                self.generated.fall_behind();
            }
            match &mut running.phase {
                Phase::ComingUp(ascent) => {
                    ascent.note(before);
                    ascent.tell(answer);
                    return self.begin(panel, session);
                }
                Phase::Up(..) => {
                    running.is_unheard = answer.send(Ok(())).is_err();
                    self.begin(panel, session);
                    return self.bring(&before).await;
                }
                Phase::Waiting(_) => {}
            }
        } else {
            if let Some(running) = &self.running {
                tracing::warn!("New connection from {panel} core control access was taken away from previous client.");
                if matches!(running.phase, Phase::ComingUp(_)) {
                    // The supervisor restarts nothing while it restarts something. An error says that it is being restarted itself.
                    let _ = self.supervisor.ask(STOP).await;
                }
            }
            self.live.read_out(&self.ledger).await;
            self.forget(OVERTAKEN);
            self.running = Some(Running::new(wanted, panel, &self.state));
        }
        self.begin(panel, session);
        self.run(Mode::Restart, Some(answer)).await;
    }

    /// The backend is this panel's from now on.
    fn begin(&self, panel: IpAddr, session: Option<Uuid>) {
        self.live.begin(session.map(|id| Session { id, panel }));
        self.live.touch();
    }
}

impl Message<StartBackend> for Backend {
    type Reply = ();

    async fn handle(&mut self, start: StartBackend, _: &mut Context<Self, ()>) {
        self.start(start).await;
        self.tidy_soon();
    }
}
