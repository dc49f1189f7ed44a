//! Users change: first what the next core will have, then the core that runs.

use super::{Backend, SyncUsers, lost, warn};
use crate::node::gozargah::account::Account;
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
                let before = running.users.update(users);
                let of_one = |(email, before): (&String, &Option<User>)| {
                    changes(email, before.as_ref(), running.users.get(email), &running.inbounds).collect::<Vec<_>>()
                };
                before.iter().flat_map(of_one).collect()
            }
        };
        running.generated.is_behind = true;
        let Current::Up(core) = self.live.get() else {
            // The next core has them.
            return Ok(());
        };
        let made = tokio::select! {
            made = make(&core.api, changes) => made,
            () = lost(&mut self.running) => Made::Stuck,
        };
        match made {
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

/// Makes changes at the core. Whoever goes is gone before anybody comes: a credential that goes from one user to another would
/// else be taken from both.
async fn make(api: &CoreApi, changes: Vec<Change>) -> Made {
    let (mut removals, mut additions) = (Vec::new(), Vec::new());
    for Change {
        tag,
        email,
        removes,
        adds,
    } in changes
    {
        let call = |account| Call {
            tag: tag.clone(),
            email: email.clone(),
            account,
        };
        removals.extend(removes.then(|| call(None)));
        additions.extend(adds.map(|account| call(Some(account))));
    }
    let removed = all(api, removals).await;
    if removed == Made::Stuck {
        return removed;
    }
    match all(api, additions).await {
        Made::All => removed,
        other => other,
    }
}

/// A call that lets a user in with an account, or without one no more.
struct Call {
    tag: String,
    email: String,
    account: Option<Account>,
}

/// Makes calls, a number of them at a time.
async fn all(api: &CoreApi, calls: Vec<Call>) -> Made {
    let make = |call: Call| async move {
        let Call { tag, email, account } = &call;
        let answer = match account {
            Some(account) => api.add(tag, email, account).await,
            None => api.remove(tag, email).await,
        };
        (answer, call)
    };
    let mut answers = stream::iter(calls).map(make).buffer_unordered(CHANGES_AT_A_TIME);
    let mut made = Made::All;
    loop {
        let Ok(next) = timeout(STUCK_AFTER, answers.next()).await else {
            return Made::Stuck;
        };
        let Some((answer, Call { tag, email, .. })) = next else {
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
