//! Users change: first what the next core will have, then the core that runs.

use super::{Backend, Event, Phase, SyncUsers, Wanted, event, warn};
use crate::node::gozargah::changes::{Change, Changes};
use crate::node::gozargah::core_api::CoreApi;
use crate::node::gozargah::fault::Fault;
use crate::node::gozargah::generation::Generation;
use crate::node::gozargah::live::Current;
use crate::node::gozargah::users::{Before, Users};
use futures_util::{StreamExt, stream};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;
use tonic::{Code, Status};

/// Changes that are under way at the core at a time.
const CHANGES_AT_A_TIME: usize = 32;

/// A core that has made no change for this long is given up, and so is one that lets a single call of it time out. Tens of
/// thousands of them may take longer all together.
const STUCK_AFTER: Duration = Duration::from_secs(10);

impl Backend {
    pub(super) async fn sync(&mut self, sync: SyncUsers) -> Result<(), Fault> {
        let Some(running) = &mut self.running else {
            return Err(Fault::no_backend(Generation::of(&self.state.settings)));
        };
        let before = match sync {
            SyncUsers::Replace(users) => {
                warn(&users, &running.wanted.config);
                let new = Arc::new(Users::new(users));
                let before = running.wanted.users.before(&new);
                running.wanted.users = new;
                before
            }
            SyncUsers::Update(users) => {
                warn(&users, &running.wanted.config);
                Arc::make_mut(&mut running.wanted.users).update(users)
            }
        };
        if !before.is_empty() {
            self.generated.fall_behind();
        }
        match &mut running.phase {
            // The next core has them.
            Phase::Waiting(_) => {}
            Phase::ComingUp(ascent) => ascent.note(before),
            Phase::Up(..) => self.bring(&before).await,
        }
        // It may have taken long, and the panel waited for it.
        self.live.touch();
        Ok(())
    }

    /// Brings those who have changed to the core that runs.
    pub(super) async fn bring(&mut self, before: &Before) {
        let (Some(running), Current::Up(core)) = (&mut self.running, self.live.get()) else {
            return;
        };
        let Wanted { config, users, .. } = &running.wanted;
        let changes = Changes::since(before, users, &config.inbounds().collect::<Vec<_>>());
        let made = tokio::select! {
            made = make(&core.api, changes) => made,
            Event::Lost = event(&mut self.running) => Made::Stuck,
        };
        match made {
            Made::All => return,
            Made::NeedsRestart => tracing::warn!("the core takes no users while it runs: it is restarted with them"),
            Made::Stuck => {
                tracing::error!("the core does not answer while users change: it is restarted with all of them")
            }
        }
        self.start_again().await;
    }
}

/// What became of changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Made {
    /// They are made, but for those that the core has its own objections to.
    All,
    /// The core has no way to make them but a restart.
    NeedsRestart,
    /// It does not answer.
    Stuck,
}

async fn make(api: &CoreApi, Changes { first, rest }: Changes) -> Made {
    let made = all(api, first).await;
    if made == Made::Stuck {
        return made;
    }
    match all(api, rest).await {
        Made::All => made,
        other => other,
    }
}

/// Makes changes, a number of them at a time.
async fn all(api: &CoreApi, changes: Vec<Change>) -> Made {
    let make = |change: Change| async move { (api.make(&change).await, change) };
    let mut answers = stream::iter(changes).map(make).buffer_unordered(CHANGES_AT_A_TIME);
    let mut made = Made::All;
    loop {
        let Ok(next) = timeout(STUCK_AFTER, answers.next()).await else {
            return Made::Stuck;
        };
        let Some((answer, Change { tag, email, .. })) = next else {
            return made;
        };
        if let Err(status) = answer {
            if is_silence(&status) {
                return Made::Stuck;
            }
            if is_structural(&status) {
                made = Made::NeedsRestart;
            }
            tracing::warn!("user {email} at the inbound {tag}: {}", status.message());
        }
    }
}

/// Whether the core has not answered in time, or is gone: nobody knows what became of the change.
fn is_silence(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::Cancelled | Code::DeadlineExceeded | Code::Unavailable
    )
}

/// Whether no user at all could be changed at that inbound.
fn is_structural(status: &Status) -> bool {
    ["is not a UserManager", "handler not found"]
        .iter()
        .any(|words| status.message().contains(words))
}
