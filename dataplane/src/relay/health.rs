//! Which remotes of a relay are worth dialling, and in which order.
//!
//! A remote is out after [`FAILURES_UNTIL_OUT`] failed dials in a row and back after a probe that succeeded. When all
//! are out, all are tried: a visitor is better served late than never.

use crate::net::connect_any;
use crate::service::Service;
use crate::worker::{ServiceKind, Worker, spawn};
use kariz_proto::control::RelayRemote;
use kariz_proto::model::{HostPort, Strategy};
use monoio::time::sleep;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

/// Failed dials in a row after which a remote is out.
const FAILURES_UNTIL_OUT: u32 = 3;

/// Time between probes of a remote that is out.
const PROBE_INTERVAL: Duration = Duration::from_secs(2);

/// Limit for one probe.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// What one worker knows of a relay's remotes. Bound: one entry for each remote of the configuration.
#[derive(Debug, Default)]
pub(crate) struct Health {
    remotes: RefCell<HashMap<HostPort, Rc<Remote>>>,
}

#[derive(Debug, Default)]
struct Remote {
    failures: Cell<u32>,
    visitors: Cell<u64>,
}

/// Counts a visitor of a remote until it is dropped.
pub(crate) struct Visit(Rc<Remote>);

impl Drop for Visit {
    fn drop(&mut self) {
        self.0.visitors.set(self.0.visitors.get() - 1);
    }
}

impl Remote {
    fn is_out(&self) -> bool {
        self.failures.get() >= FAILURES_UNTIL_OUT
    }
}

impl Health {
    /// Places in `remotes`, to be tried one after the other: healthy ones first; among them the first of the list
    /// (failover) or the one with the fewest visitors (balance).
    pub(super) fn order(&self, remotes: &RelayRemote) -> Vec<usize> {
        let mut order: Vec<_> = (0..remotes.remotes.len()).collect();
        order.sort_by_key(|index| {
            let remote = self.remote(&remotes.remotes[*index].0);
            let load = if remotes.strategy == Strategy::Balance {
                remote.visitors.get()
            } else {
                0
            };
            (remote.is_out(), load)
        });
        order
    }

    pub(super) fn reached(&self, name: &HostPort) {
        self.remote(name).failures.set(0);
    }

    pub(super) fn visit(&self, name: &HostPort) -> Visit {
        let remote = self.remote(name);
        remote.visitors.set(remote.visitors.get() + 1);
        Visit(remote)
    }

    /// Counts a failed dial; the one that puts the remote out starts its probes.
    pub(super) fn failed(&self, worker: &Rc<Worker>, service: &Service, name: &HostPort, port: u16) {
        let remote = self.remote(name);
        remote.failures.set(remote.failures.get().saturating_add(1));
        if remote.failures.get() == FAILURES_UNTIL_OUT {
            let spec = service.spec.borrow().clone();
            tracing::warn!(service = %spec.name, remote = %name, "remote is out");
            let (held, name) = (worker.clone(), name.clone());
            spawn(worker, async move {
                // Whoever reaches it meanwhile ends the probing, and so does the end of the service or of the remote.
                while remote.is_out() {
                    sleep(PROBE_INTERVAL).await;
                    let service = held.services.get(spec.service);
                    let Some(addrs) = service.and_then(|service| addresses(&service, &name, port)) else {
                        return;
                    };
                    if connect_any(&addrs, &spec.socket, &held.sockets, PROBE_TIMEOUT)
                        .await
                        .is_ok()
                    {
                        remote.failures.set(0);
                        tracing::info!(service = %spec.name, remote = %name, "remote is back");
                    }
                }
            });
        }
    }

    fn remote(&self, name: &HostPort) -> Rc<Remote> {
        self.remotes.borrow_mut().entry(name.clone()).or_default().clone()
    }
}

/// What a remote's name stands for now; `None` if the service has it no longer.
fn addresses(service: &Service, name: &HostPort, port: u16) -> Option<Vec<SocketAddr>> {
    let ServiceKind::Relay(remotes) = &*service.kind.borrow() else {
        return None;
    };
    let (_, ips) = remotes.remotes.iter().find(|(remote, _)| remote == name)?;
    Some(ips.iter().map(|ip| SocketAddr::new(*ip, port)).collect())
}
