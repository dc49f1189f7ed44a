//! A core that lives and does not answer yet: it may have much to read.

use super::OWNER;
use crate::node::gozargah::config::Ports;
use crate::node::gozargah::core_api::CoreApi;
use crate::node::gozargah::fault::Fault;
use crate::node::gozargah::users::Before;
use crate::node::state::State;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

/// How long it may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Time between two questions.
const POLL: Duration = Duration::from_millis(5);

/// Where the outcome of a panel's start goes. Whoever waits may have gone.
pub(super) type Answer = oneshot::Sender<Result<(), Fault>>;

/// The core on its way up.
pub(super) struct Ascent {
    pub(super) api: Arc<CoreApi>,
    pub(super) ports: Ports,
    over: BoxFuture<'static, Result<(), &'static str>>,
    /// Who has changed since it was launched; it does not know of that yet.
    pub(super) changed: Before,
    answer: Option<Answer>,
}

impl Ascent {
    /// That of a core that was launched just now.
    pub(super) fn begin(state: Arc<State>, ports: Ports) -> Self {
        let api = Arc::new(CoreApi::at(ports.api));
        Self {
            over: answers(api.clone(), state).boxed(),
            api,
            ports,
            changed: Before::new(),
            answer: None,
        }
    }

    /// Resolves, once, when the core's API answers.
    ///
    /// # Errors
    /// Why it does not, and will not.
    pub(super) async fn over(&mut self) -> Result<(), &'static str> {
        (&mut self.over).await
    }

    /// Whether a panel has started it. Otherwise it is a core that comes back.
    pub(super) fn is_start(&self) -> bool {
        self.answer.is_some()
    }

    /// Notes who waits for it from now on; whoever did before hears that he does so in vain.
    pub(super) fn told_to(&mut self, answer: Answer) {
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

    /// Tells whoever waits; `false` if he has gone.
    pub(super) fn answer(self, outcome: Result<(), Fault>) -> bool {
        self.answer.is_none_or(|answer| answer.send(outcome).is_ok())
    }
}

async fn answers(api: Arc<CoreApi>, state: Arc<State>) -> Result<(), &'static str> {
    let asked = async {
        while api.system().await.is_err() && state.is_started_for(OWNER) {
            sleep(POLL).await;
        }
    };
    match timeout(PATIENCE, asked).await {
        Ok(()) if state.is_started_for(OWNER) => Ok(()),
        Ok(()) => Err("the core ended right after its start"),
        Err(_) => Err("the core's API does not answer"),
    }
}
