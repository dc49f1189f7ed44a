//! What server and relay do alike for the services that they open to the public.

use crate::limits::{Limits, Scope, SetBudgets};
use crate::plane::StartError;
use crate::shared::Shared;
use kameo::prelude::*;
use kariz_proto::control::{BudgetSet, Command, ServiceId};
use kariz_proto::model::{Limits as LimitSpec, ListenAddr, ServiceName};
use std::time::Duration;

/// A service whose listeners could not be opened or moved is tried again after this.
pub(crate) const REOPEN_INTERVAL: Duration = Duration::from_secs(5);

/// Services that have to let go of their address before others can move there, out of all that change. The others keep
/// theirs until they have the new one, so that a new one that is taken costs nobody anything.
pub(crate) fn in_the_way<'a, S>(
    changed: &[(&'a ServiceName, &S, &S)],
    listen: impl Fn(&S) -> ListenAddr,
) -> Vec<&'a ServiceName> {
    let moves = || changed.iter().filter(|(_, old, new)| listen(old) != listen(new));
    let blocks = |name: &ServiceName, from: ListenAddr| {
        moves().any(|(other, _, new)| *other != name && listen(new).overlaps(from))
    };
    moves()
        .filter(|(name, old, _)| blocks(name, listen(old)))
        .map(|(name, ..)| *name)
        .collect()
}

/// Tests that every address can be listened on.
pub(crate) async fn probe(shared: &Shared, addresses: impl Iterator<Item = ListenAddr>) -> Result<(), StartError> {
    for listen in addresses {
        shared.data_plane.submit(Command::ProbeListen { listen }).await?;
    }
    Ok(())
}

/// Makes a service's budgets what its limits say; what its visitors count against, once every worker knows.
pub(crate) async fn budgets(
    shared: &Shared,
    limits: &ActorRef<Limits>,
    service: ServiceId,
    of_service: LimitSpec,
) -> BudgetSet {
    let set = SetBudgets {
        scope: Scope::Service(service),
        limits: of_service,
    };
    let service = limits.ask(set).await.unwrap_or_default();
    let process = shared.budgets.lock().get(Scope::Process);
    BudgetSet {
        process: process.pair(),
        service: service.pair(),
        ..BudgetSet::default()
    }
}

/// Closes a service's listeners and its budgets.
pub(crate) async fn close(shared: &Shared, limits: &ActorRef<Limits>, service: ServiceId) {
    shared.tell(Command::CloseService { service }).await;
    let close = SetBudgets {
        scope: Scope::Service(service),
        limits: LimitSpec::default(),
    };
    if limits.ask(close).await.is_err() {
        tracing::debug!(service = service.0, "the limiter is restarting");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kariz_proto::model::PortRange;

    fn way(moves: &[(&str, u16, u16)]) -> Vec<String> {
        let listen = |port: u16| ListenAddr {
            ip: None,
            ports: PortRange::single(port),
        };
        let moves: Vec<_> = moves
            .iter()
            .map(|(name, from, to)| (ServiceName::from(*name), listen(*from), listen(*to)))
            .collect();
        let changed: Vec<_> = moves.iter().map(|(name, from, to)| (name, from, to)).collect();
        in_the_way(&changed, |listen| *listen)
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn only_who_holds_an_address_that_another_moves_to_lets_go_first() {
        assert!(way(&[("a", 1, 2), ("b", 3, 4)]).is_empty());
        assert_eq!(way(&[("a", 1, 2), ("b", 2, 3)]), ["b"]);
        assert_eq!(way(&[("a", 1, 2), ("b", 2, 1)]), ["a", "b"]);
        assert!(way(&[("a", 1, 1)]).is_empty(), "its own address is in nobody's way");
    }
}
