//! Users change: first what the next core will have, then the core that runs.

use super::{Backend, Running, SyncUsers, warn};
use crate::node::gozargah::core_api::CoreApi;
use crate::node::gozargah::fault::Fault;
use crate::node::gozargah::generation::Generation;
use crate::node::gozargah::live::Current;
use crate::node::gozargah::users::{Change, Users, changes};
use futures_util::{StreamExt, stream};
use kariz_proto::panel::User;
use std::time::Duration;
use tokio::time::timeout;
use tonic::{Code, Status};

/// Changes that are under way at the core at a time.
const CHANGES_AT_A_TIME: usize = 32;

/// A core that has made no change for this long is given up, and so is one that lets a single change time out. Tens of thousands
/// of them may take longer all together.
const STUCK_AFTER: Duration = Duration::from_secs(10);

impl Backend {
    pub(super) async fn sync(&mut self, sync: SyncUsers) -> Result<(), Fault> {
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
        match make(&api, changes).await {
            Made::All => return Ok(()),
            Made::NeedsRestart => tracing::warn!("the core takes no users while it runs: it is restarted with them"),
            Made::Stuck => {
                tracing::error!("the core does not answer while users change: it is restarted with all of them")
            }
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

/// What became of changes.
enum Made {
    /// They are made, but for those that the core has its own objections to.
    All,
    /// The core has no way to make them but a restart.
    NeedsRestart,
    /// It does not answer.
    Stuck,
}

/// Makes changes at the core.
async fn make(api: &CoreApi, changes: Vec<Change>) -> Made {
    let made = stream::iter(changes).map(|change| async move { (api.make(&change).await, change) });
    let mut made = made.buffer_unordered(CHANGES_AT_A_TIME);
    let mut needs_restart = false;
    loop {
        let Ok(next) = timeout(STUCK_AFTER, made.next()).await else {
            return Made::Stuck;
        };
        let Some((outcome, change)) = next else { break };
        if let Err(status) = outcome {
            if is_silence(&status) {
                return Made::Stuck;
            }
            needs_restart |= is_structural(&status);
            let (email, tag) = (change.email, change.tag);
            tracing::warn!("user {email} at the inbound {tag}: {}", status.message());
        }
    }
    match needs_restart {
        true => Made::NeedsRestart,
        false => Made::All,
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
