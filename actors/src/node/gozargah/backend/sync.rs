//! Users change: first what the next core will have, then the core that runs.

use super::{Backend, Event, Phase, SyncUsers, event, warn};
use crate::node::gozargah::account::Account;
use crate::node::gozargah::core_api::CoreApi;
use crate::node::gozargah::fault::Fault;
use crate::node::gozargah::generation::Generation;
use crate::node::gozargah::live::Current;
use crate::node::gozargah::users::{Before, Change, Users};
use futures_util::{StreamExt, stream};
use std::collections::HashMap;
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
                warn(&users, &running.inbounds);
                running.wanted.users.replace(Users::new(users))
            }
            SyncUsers::Update(users) => {
                warn(&users, &running.inbounds);
                running.wanted.users.update(users)
            }
        };
        running.generated.is_behind = true;
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
        let changes = running.wanted.users.changes_since(before, &running.inbounds);
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

/// Makes changes at the core. Where credentials go from one user to another, the one is gone before the other comes: a core that
/// removes a user forgets his credentials, whoever has them.
async fn make(api: &CoreApi, changes: Vec<Change>) -> Made {
    let first = moved(&changes);
    let (mut removals, mut others) = (Vec::new(), Vec::new());
    for (change, is_first) in changes.into_iter().zip(first) {
        let Change {
            tag,
            email,
            removes,
            adds,
        } = change;
        let call = |removes, adds| Call {
            tag: tag.clone(),
            email: email.clone(),
            removes,
            adds,
        };
        if is_first {
            removals.push(call(true, None));
        }
        others.push(call(removes.is_some() && !is_first, adds));
    }
    let removed = all(api, removals).await;
    if removed == Made::Stuck {
        return removed;
    }
    match all(api, others).await {
        Made::All => removed,
        other => other,
    }
}

/// Of each change, whether it takes credentials away that another user gets.
fn moved(changes: &[Change]) -> Vec<bool> {
    let mut gets: HashMap<(&str, &[u8]), Option<&str>> = HashMap::new();
    for change in changes {
        let Some(account) = &change.adds else { continue };
        let who = gets
            .entry((&change.tag, account.credential()))
            .or_insert(Some(&change.email));
        // More than one: whoever it is taken from, another one gets it.
        if who.is_some_and(|who| who != change.email) {
            *who = None;
        }
    }
    let is_moved = |change: &Change| {
        let removed = change.removes.as_ref()?;
        let who = gets.get(&(&*change.tag, removed.credential()))?;
        Some(who.is_none_or(|who| who != change.email))
    };
    changes.iter().map(|change| is_moved(change).unwrap_or(false)).collect()
}

/// What is done about one user at one inbound.
struct Call {
    tag: String,
    email: String,
    removes: bool,
    adds: Option<Account>,
}

impl Call {
    async fn make(&self, api: &CoreApi) -> Result<(), Status> {
        if self.removes {
            api.remove(&self.tag, &self.email).await?;
        }
        match &self.adds {
            Some(account) => api.add(&self.tag, &self.email, account).await,
            None => Ok(()),
        }
    }
}

/// Makes calls, a number of them at a time.
async fn all(api: &CoreApi, calls: Vec<Call>) -> Made {
    let make = |call: Call| async move { (call.make(api).await, call) };
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_that_another_one_gets_are_taken_first() {
        let account = |password: &str| Account::Trojan {
            password: password.into(),
        };
        let change = |tag: &str, email: &str, removes: &str, adds: &str| Change {
            tag: tag.into(),
            email: email.into(),
            removes: (!removes.is_empty()).then(|| account(removes)),
            adds: (!adds.is_empty()).then(|| account(adds)),
        };
        let changes = [
            change("one", "swaps", "a", "b"),
            change("one", "with", "b", "a"),
            change("one", "goes", "c", ""),
            change("one", "comes", "", "c"),
            change("one", "changes", "d", "e"),
            change("two", "changes", "e", "f"),
            change("one", "keeps", "g", "g"),
            change("one", "shares", "h", "h"),
            change("one", "too", "", "h"),
        ];
        let first: Vec<_> = moved(&changes)
            .into_iter()
            .zip(&changes)
            .filter(|(first, _)| *first)
            .collect();
        let emails: Vec<_> = first.iter().map(|(_, change)| &*change.email).collect();
        assert_eq!(emails, ["swaps", "with", "goes", "shares"]);
    }
}
