//! A core on its way up: it may wait for the end of the one before it, and then have much to read.

use super::OWNER;
use crate::node::core::{Outcome, Owner};
use crate::node::gozargah::config::Ports;
use crate::node::gozargah::core_api::CoreApi;
use crate::node::gozargah::fault::Fault;
use crate::node::gozargah::users::Before;
use crate::node::log_hub::LogReader;
use crate::node::state::State;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

/// How long a core that lives may take until its API answers.
const PATIENCE: Duration = Duration::from_secs(60);

/// Time between two questions.
const POLL: Duration = Duration::from_millis(5);

/// Where the outcome of a panel's start goes. Whoever waits may have gone.
pub(super) type Answer = oneshot::Sender<Result<(), Fault>>;

/// The core on its way up.
pub(super) struct Ascent {
    pub(super) api: Arc<CoreApi>,
    pub(super) ports: Ports,
    /// How often it was tried, this time too.
    pub(super) tries: usize,
    /// What it says.
    pub(super) lines: LogReader,
    over: BoxFuture<'static, Result<(), Fall>>,
    /// Who has changed since it was launched; it does not know of that yet.
    pub(super) changed: Before,
    /// Whom to tell, if a panel has started it. Otherwise it is a core that comes back.
    pub(super) answer: Option<Answer>,
}

/// Why there is no core.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fall {
    /// A panel of another kind has taken it.
    TakenOver,
    /// It ended, was not even there, or does not answer. Empty: without a word.
    Failed(String),
}

impl Ascent {
    /// That of a core for which `outcome` tells of its launch.
    pub(super) fn new(
        state: Arc<State>,
        outcome: oneshot::Receiver<Outcome>,
        ports: Ports,
        tries: usize,
        answer: Option<Answer>,
    ) -> Self {
        let api = Arc::new(CoreApi::at(ports.api));
        Self {
            ports,
            tries,
            lines: state.logs.reader_of_new(state.settings.startup_log_lines),
            over: comes_up(outcome, api.clone(), state).boxed(),
            api,
            changed: Before::new(),
            answer,
        }
    }

    /// Resolves, once, when the core's API answers.
    ///
    /// # Errors
    /// It does not, and will not.
    pub(super) async fn over(&mut self) -> Result<(), Fall> {
        (&mut self.over).await
    }

    /// Notes who waits for it from now on; whoever did before hears that he does so in vain.
    pub(super) fn tell(&mut self, answer: Answer) {
        if let Some(before) = self.answer.replace(answer) {
            // Most have gone.
            let _ = before.send(Err(Fault::not_started(super::OVERTAKEN)));
        }
    }

    /// Notes users who change.
    pub(super) fn note(&mut self, before: Before) {
        for (email, was) in before {
            self.changed.entry(email).or_insert(was);
        }
    }
}

async fn comes_up(outcome: oneshot::Receiver<Outcome>, api: Arc<CoreApi>, state: Arc<State>) -> Result<(), Fall> {
    match outcome.await {
        Ok(Outcome::Running | Outcome::AlreadyStarted) => {}
        Ok(Outcome::TakenOver) => return Err(Fall::TakenOver),
        Ok(Outcome::Failed(reason)) => return Err(Fall::Failed(reason)),
        Err(_) => return Err(Fall::Failed("the core was lost".into())),
    }
    let asked = async {
        while api.system().await.is_err() && state.is_started_for(OWNER) {
            sleep(POLL).await;
        }
    };
    match timeout(PATIENCE, asked).await {
        Ok(()) if state.is_started_for(OWNER) => Ok(()),
        Ok(()) if state.is_started_for(Owner::Marzban) => Err(Fall::TakenOver),
        Ok(()) => Err(Fall::Failed(String::new())),
        Err(_) => Err(Fall::Failed("the core's API does not answer".into())),
    }
}
