//! What everybody in the node may read at any time, and what outlives each actor.

use super::core::{Owner, Spawner};
use super::log_hub::LogHub;
use super::settings::Settings;
use super::{Failure, GiveBack};
use crate::driver::random;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, watch};
use tokio::time::timeout;
use uuid::{Builder, Uuid};

/// How long an answer waits for the core's version. It is only not known in the first moments of a node's life.
const VERSION_PATIENCE: Duration = Duration::from_millis(80);

/// The node's state. Each part has one writer; readers never wait for one another.
pub(crate) struct State {
    pub(crate) settings: Settings,
    /// The core's lines.
    pub(crate) logs: LogHub,
    /// Forks cores. It lives as long as the node: a core dies with the thread that forked it.
    pub(crate) spawner: Spawner,
    /// For whoever has just freed much memory.
    pub(crate) give_back: GiveBack,
    /// Held by the life of a core, from its fork to its end: there is one at a time, whoever owns it.
    pub(crate) core_place: Mutex<()>,
    session: watch::Sender<Option<Session>>,
    started: watch::Sender<Option<Owner>>,
    version: watch::Sender<Version>,
    stopping: watch::Sender<bool>,
    failure: watch::Sender<Option<Failure>>,
}

/// The panel that controls the core.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Session {
    /// Made at `/connect`; every other request has to name it.
    pub(crate) id: Uuid,
    /// Where the panel connected from.
    pub(crate) panel: IpAddr,
}

impl Session {
    /// An id that nobody can guess.
    pub(crate) fn new_id() -> Uuid {
        let mut bytes = [0; 16];
        random(&mut bytes);
        Builder::from_random_bytes(bytes).into_uuid()
    }
}

/// What `xray version` said.
#[derive(Debug, Clone, Default)]
enum Version {
    /// It has not answered yet.
    #[default]
    Unknown,
    /// It has; nothing if the answer was not understood.
    Known(Option<Arc<str>>),
}

impl State {
    pub(crate) fn new(settings: Settings, spawner: Spawner, give_back: GiveBack) -> Arc<Self> {
        Arc::new(Self {
            logs: LogHub::new(settings.log_lines),
            settings,
            spawner,
            give_back,
            core_place: Mutex::new(()),
            session: watch::Sender::new(None),
            started: watch::Sender::new(None),
            version: watch::Sender::default(),
            stopping: watch::Sender::new(false),
            failure: watch::Sender::new(None),
        })
    }

    /// Who is connected.
    pub(crate) fn session(&self) -> Option<Session> {
        *self.session.borrow()
    }

    /// Changes of who is connected.
    pub(crate) fn sessions(&self) -> watch::Receiver<Option<Session>> {
        self.session.subscribe()
    }

    /// For the session's actor alone.
    pub(super) fn set_session(&self, session: Option<Session>) {
        self.session.send_replace(session);
    }

    /// Whether a core was started for `owner` and has neither exited nor been told to.
    pub(crate) fn is_started_for(&self, owner: Owner) -> bool {
        *self.started.borrow() == Some(owner)
    }

    /// For whom a core is started, and changes of it.
    pub(crate) fn starts(&self) -> watch::Receiver<Option<Owner>> {
        self.started.subscribe()
    }

    /// For the supervisor alone.
    pub(super) fn set_started(&self, started: Option<Owner>) {
        self.started.send_replace(started);
    }

    /// The core's version, `x.y.z`; `None` if it is not known within [`VERSION_PATIENCE`], or at all.
    pub(crate) async fn core_version(&self) -> Option<Arc<str>> {
        let mut version = self.version.subscribe();
        let known = version.wait_for(|version| matches!(version, Version::Known(_)));
        match timeout(VERSION_PATIENCE, known).await {
            Ok(Ok(version)) => match &*version {
                Version::Known(version) => version.clone(),
                Version::Unknown => None,
            },
            _ => None,
        }
    }

    /// For the one who asks the core.
    pub(super) fn set_core_version(&self, version: Option<Arc<str>>) {
        self.version.send_replace(Version::Known(version));
    }

    /// Becomes true when the node ends.
    pub(crate) fn stopping(&self) -> watch::Receiver<bool> {
        self.stopping.subscribe()
    }

    pub(super) fn begin_stop(&self) {
        self.stopping.send_replace(true);
    }

    /// The node cannot go on.
    pub(super) fn fail(&self, failure: Failure) {
        self.failure.send_replace(Some(failure));
    }

    /// Waits for [`State::fail`].
    pub(super) async fn failure(&self) -> Failure {
        let mut failure = self.failure.subscribe();
        match failure.wait_for(Option::is_some).await {
            Ok(failure) => failure.clone().unwrap_or(Failure::Internal),
            Err(_) => Failure::Internal,
        }
    }
}
