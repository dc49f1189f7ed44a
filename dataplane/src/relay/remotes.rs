//! The remotes of a relay as all workers see them: which are worth dialling, and in which order.
//!
//! A remote is out after [`FAILURES_UNTIL_OUT`] failed dials in a row and back after a probe that succeeded. When all
//! are out, all are tried: a visitor is better served late than never.

use crate::net::connect_any;
use crate::service::Service;
use crate::tally::{Share, Tally};
use crate::worker::{ServiceKind, Worker, spawn};
use kariz_proto::control::RelayRemote;
use kariz_proto::model::{HostPort, Strategy};
use monoio::time::sleep;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Failed dials in a row after which a remote is out.
const FAILURES_UNTIL_OUT: u32 = 3;

/// Time between probes of a remote that is out.
const PROBE_INTERVAL: Duration = Duration::from_secs(2);

/// Limit for one probe.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// What the configuration says of a relay's remotes, with the state of each. Bound: one state for each remote.
#[derive(Debug)]
pub(crate) struct Remotes {
    pub(super) spec: Arc<RelayRemote>,
    /// In the order of the specification.
    states: Vec<Arc<Remote>>,
}

/// The state of one remote; shared by all workers, written once for each visitor.
#[derive(Debug)]
pub(super) struct Remote {
    failures: AtomicU32,
    visitors: Arc<Tally>,
}

impl Remotes {
    /// Remotes that were there before keep their state.
    pub(crate) fn new(spec: Arc<RelayRemote>, before: Option<&Self>, workers: usize) -> Self {
        let known = |name: &HostPort| {
            let before = before?;
            let index = before.spec.remotes.iter().position(|(known, _)| known == name)?;
            before.states.get(index).cloned()
        };
        let states = spec.remotes.iter().map(|(name, _)| {
            known(name).unwrap_or_else(|| {
                Arc::new(Remote {
                    failures: AtomicU32::new(0),
                    visitors: Tally::new(workers),
                })
            })
        });
        let states = states.collect();
        Self { spec, states }
    }

    /// A worker is dead: its visitors are gone, and so are the probes that it may have made.
    pub(crate) fn forget(&self, worker: usize) {
        for state in &self.states {
            state.visitors.forget(worker);
            state.failures.store(0, Ordering::Relaxed);
        }
    }

    /// Places of the remotes, to be tried one after the other: healthy ones first; among them the first of the list
    /// (failover) or the one with the fewest visitors (balance).
    pub(super) fn order(&self) -> Vec<usize> {
        let load = |state: &Remote| match self.spec.strategy {
            Strategy::Balance => state.visitors.total(),
            Strategy::Failover => 0,
        };
        let mut order: Vec<_> = (0..self.states.len()).collect();
        // Cached: other workers change the keys meanwhile.
        order.sort_by_cached_key(|index| (self.states[*index].is_out(), load(&self.states[*index])));
        order
    }

    /// The remote in a place: its name, where it is for a visitor at `port_offset` of the public range, its state.
    pub(super) fn get(&self, index: usize, port_offset: u16) -> Option<(&HostPort, Vec<SocketAddr>, &Arc<Remote>)> {
        let (name, ips) = self.spec.remotes.get(index)?;
        let port = name.ports.at(port_offset)?;
        let addrs = ips.iter().map(|ip| SocketAddr::new(*ip, port)).collect();
        Some((name, addrs, self.states.get(index)?))
    }
}

impl Remote {
    fn is_out(&self) -> bool {
        self.failures.load(Ordering::Relaxed) >= FAILURES_UNTIL_OUT
    }

    /// Counts a visitor from before it is dialled, so that those who come together are spread.
    pub(super) fn visitor(&self, worker: &Worker) -> Option<Share> {
        self.visitors.take(worker.place(), u64::MAX)
    }

    /// It has answered; says so if it was out.
    pub(super) fn reached(&self, service: &str, name: &HostPort) {
        if self.failures.load(Ordering::Relaxed) > 0 && self.failures.swap(0, Ordering::Relaxed) >= FAILURES_UNTIL_OUT {
            tracing::info!(service, remote = %name, "remote is back");
        }
    }

    /// Counts a failed dial; the worker whose dial puts the remote out probes it.
    pub(super) fn failed(self: &Arc<Self>, worker: &Rc<Worker>, service: &Service, name: &HostPort, port_offset: u16) {
        if self.failures.fetch_add(1, Ordering::Relaxed) + 1 != FAILURES_UNTIL_OUT {
            return;
        }
        let spec = service.spec.borrow().clone();
        tracing::warn!(service = %spec.name, remote = %name, "remote is out");
        let (remote, held, name) = (self.clone(), worker.clone(), name.clone());
        spawn(worker, async move {
            // Whoever reaches it meanwhile ends the probing, and so does the end of the service or of the remote.
            while remote.is_out() {
                sleep(PROBE_INTERVAL).await;
                let service = held.services.get(spec.service);
                let Some(addrs) = service.and_then(|service| addresses(&service, &name, port_offset)) else {
                    return;
                };
                if connect_any(&addrs, &spec.socket, &held.sockets, PROBE_TIMEOUT)
                    .await
                    .is_ok()
                {
                    remote.reached(&spec.name, &name);
                }
            }
        });
    }
}

/// Where a remote is now; `None` if the service has it no longer.
fn addresses(service: &Service, name: &HostPort, port_offset: u16) -> Option<Vec<SocketAddr>> {
    let ServiceKind::Relay(remotes) = &*service.kind.borrow() else {
        return None;
    };
    let index = remotes.spec.remotes.iter().position(|(remote, _)| remote == name)?;
    Some(remotes.get(index, port_offset)?.1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kariz_proto::model::PortRange;
    use std::net::Ipv4Addr;

    fn remotes(ports: &[u16], strategy: Strategy, before: Option<&Remotes>) -> Remotes {
        let remote = |port: &u16| {
            let name = HostPort {
                host: "127.0.0.1".into(),
                ports: PortRange::single(*port),
            };
            (name, vec![Ipv4Addr::LOCALHOST.into()])
        };
        let spec = RelayRemote {
            remotes: ports.iter().map(remote).collect(),
            strategy,
            dial_timeout: Duration::from_secs(1),
        };
        Remotes::new(Arc::new(spec), before, 2)
    }

    fn put_out(remotes: &Remotes, index: usize) {
        remotes.states[index]
            .failures
            .store(FAILURES_UNTIL_OUT, Ordering::Relaxed);
    }

    #[test]
    fn visitors_of_all_workers_decide_a_balance_from_before_their_dials() {
        let remotes = remotes(&[1, 2, 3], Strategy::Balance, None);
        let held = [
            remotes.states[0].visitors.take(0, u64::MAX),
            remotes.states[1].visitors.take(1, u64::MAX),
        ];
        assert_eq!(remotes.order(), [2, 0, 1]);
        drop(held);
        assert_eq!(remotes.order(), [0, 1, 2]);
    }

    #[test]
    fn remote_that_is_out_comes_last_and_stays_out_when_the_list_changes() {
        let before = remotes(&[1, 2], Strategy::Failover, None);
        put_out(&before, 0);
        assert_eq!(before.order(), [1, 0]);
        let after = remotes(&[3, 1], Strategy::Failover, Some(&before));
        assert_eq!(after.order(), [0, 1]);
        let again = remotes(&[1, 3], Strategy::Failover, Some(&after));
        assert_eq!(again.order(), [1, 0]);
        let fresh = remotes(&[2], Strategy::Failover, Some(&again));
        let back = remotes(&[1, 2], Strategy::Failover, Some(&fresh));
        assert_eq!(back.order(), [0, 1], "what had left the list is not known any more");
    }

    #[test]
    fn dead_worker_leaves_no_visitors_and_no_remote_that_nobody_probes() {
        let remotes = remotes(&[1, 2], Strategy::Balance, None);
        let _held = remotes.states[0].visitors.take(1, u64::MAX);
        put_out(&remotes, 1);
        remotes.forget(1);
        assert_eq!(remotes.order(), [0, 1]);
        assert_eq!(remotes.states[0].visitors.total(), 0);
    }
}
