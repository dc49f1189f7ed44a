//! A server's driver, as the control plane has one: it decides with `Ownership` and keeps sessions for a while.

use super::super::pair::{Dice, server_config};
use super::world::Connection;
use crate::control::{SessionId, Voucher, WorkerIndex};
use crate::model::{Lane, ServiceName};
use crate::session::*;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

pub(super) const SESSION_TIMEOUT: Duration = Duration::from_secs(30);

pub(super) struct Server {
    pub(super) config: ServerConfig,
    pub(super) ownership: Ownership,
    /// The connection of each session, and since when it has none.
    pub(super) sessions: BTreeMap<SessionId, (usize, Option<Instant>)>,
    pub(super) vouchers: VoucherTable<ServiceName>,
    next_session: u64,
}

impl Server {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            config: server_config(now, &[("web", "secret"), ("mail", "secret2")]),
            ownership: Ownership::new(),
            sessions: BTreeMap::new(),
            vouchers: VoucherTable::new(WorkerIndex(0), 64),
            next_session: 1,
        }
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        let lost = self
            .sessions
            .values()
            .filter_map(|(_, lost)| lost.map(|lost| lost + SESSION_TIMEOUT));
        lost.chain(self.ownership.poll_timeout())
            .chain(self.vouchers.next_deadline())
            .min()
    }

    pub(super) fn handle_timeout(&mut self, now: Instant, connections: &mut [Connection]) {
        while self.vouchers.expire(now).is_some() {}
        let verdicts = self.ownership.handle_timeout(now);
        self.apply(now, verdicts, connections);
        let over = |lost: &Option<Instant>| lost.is_some_and(|lost| now >= lost + SESSION_TIMEOUT);
        let over: Vec<_> = self
            .sessions
            .iter()
            .filter(|(_, (_, lost))| over(lost))
            .map(|(id, _)| *id)
            .collect();
        for session in over {
            self.sessions.remove(&session);
            let verdicts = self.ownership.remove(session);
            self.apply(now, verdicts, connections);
        }
    }

    pub(super) fn handle(
        &mut self,
        now: Instant,
        at: usize,
        event: ServerEvent,
        connections: &mut [Connection],
        dice: &mut Dice,
    ) {
        match event {
            ServerEvent::Authenticated(request) => self.decide(now, &request, &mut connections[at], dice),
            ServerEvent::Established(established) => self.establish(now, at, &established, connections, dice),
            ServerEvent::Registering { request, proven } => {
                let session = connections[at].session.expect("it is up");
                let holder = |service: &ProvenService| self.ownership.holder(&service.name);
                let free = |service: &ProvenService| holder(service).is_none_or(|holder| holder == session);
                let grants: Vec<_> = proven
                    .iter()
                    .map(|service| if free(service) { Grant::Ok } else { Grant::Taken })
                    .collect();
                let _ = connections[at].server.answer_register(now, request, &grants);
                self.claim(
                    now,
                    session,
                    proven.into_iter().map(|service| service.name).collect(),
                    &[],
                    connections,
                );
            }
            ServerEvent::Unregistered { services } => {
                let session = connections[at].session.expect("it is up");
                for service in services {
                    let verdicts = self.ownership.release(&service, session);
                    self.apply(now, verdicts, connections);
                }
            }
            ServerEvent::Pong { .. } => {
                let session = connections[at].session.expect("it is up");
                if self.is_current(session, at) {
                    let verdicts = self.ownership.answered(session);
                    self.apply(now, verdicts, connections);
                }
            }
            ServerEvent::PeerClosing { .. } => {
                let session = connections[at].session.expect("it is up");
                if self.is_current(session, at) {
                    let verdicts = self.ownership.drain(session);
                    self.apply(now, verdicts, connections);
                }
            }
            ServerEvent::Closed(closed) => {
                connections[at].check_end(&closed);
                if let Some((_, lost)) = connections[at].session.and_then(|session| {
                    self.is_current(session, at)
                        .then(|| self.sessions.get_mut(&session))
                        .flatten()
                }) {
                    *lost = Some(now);
                }
            }
        }
    }

    fn is_current(&self, session: SessionId, at: usize) -> bool {
        self.sessions.get(&session).is_some_and(|(current, _)| *current == at)
    }

    /// Looks, changes nothing.
    fn decide(&mut self, now: Instant, request: &AuthRequest, connection: &mut Connection, dice: &mut Dice) {
        let before = format!("{:?}", self.ownership);
        self.next_session += 1;
        let (session, epoch) = self.ownership.preview(request.instance, SessionId(self.next_session));
        let free = |service: &ProvenService| self.ownership.is_free_for(&service.name, request.instance);
        let grants = request
            .proven
            .iter()
            .map(|service| if free(service) { Grant::Ok } else { Grant::Taken });
        let decision = Decision {
            session,
            epoch,
            max_carriers: 10,
            max_visitors: None,
            grants: grants.collect(),
        };
        connection
            .server
            .accept(now, decision, dice)
            .expect("it has just asked");
        assert_eq!(format!("{:?}", self.ownership), before);
    }

    fn establish(
        &mut self,
        now: Instant,
        at: usize,
        established: &ServerEstablished,
        connections: &mut [Connection],
        dice: &mut Dice,
    ) {
        let decided = (established.session, established.epoch);
        if self.ownership.preview(established.instance, established.session) != decided {
            // Another connection of the instance came up between decision and confirmation.
            return connections[at]
                .server
                .close(now, CloseReason::InternalError, Duration::ZERO, "overtaken");
        }
        assert_eq!(
            self.ownership.attach(established.instance, established.session),
            decided
        );
        connections[at].session = Some(established.session);
        connections[at].server_key = Some((established.epoch, established.carrier_key.clone()));
        if let Some((older, _)) = self.sessions.insert(established.session, (at, None)) {
            connections[older]
                .server
                .close(now, CloseReason::Normal, Duration::ZERO, "replaced");
        }
        let names = ["web", "mail"].map(ServiceName::from).to_vec();
        let granted: Vec<_> = established
            .services
            .iter()
            .map(|service| service.name.clone())
            .collect();
        self.claim(now, established.session, names, &granted, connections);
        for service in &established.services {
            let lifetime = Duration::from_secs(10);
            let voucher = self.vouchers.issue(now, lifetime, service.name.clone(), dice);
            let vouchers: Vec<Voucher> = voucher.into_iter().collect();
            let _ = connections[at].server.want(now, &service.name, Lane::Mux, &vouchers);
        }
    }

    /// Claims what was proven; `granted` is what the client was told it has.
    fn claim(
        &mut self,
        now: Instant,
        session: SessionId,
        services: Vec<ServiceName>,
        granted: &[ServiceName],
        connections: &mut [Connection],
    ) {
        for service in services {
            match self.ownership.claim(now, &service, session) {
                Claim::Granted { from } => {
                    let outcome = Outcome::Granted { from };
                    let verdict = Verdict {
                        service,
                        claimant: session,
                        outcome,
                    };
                    self.apply(now, vec![verdict], connections);
                }
                Claim::Contested { holder } | Claim::Taken { holder } => {
                    let (at, _) = self.sessions[&holder];
                    let _ = connections[at].server.ping(now);
                    // A grant that was promised, and is gone since, is taken back.
                    if granted.contains(&service) {
                        let (own, _) = self.sessions[&session];
                        let _ = connections[own].server.unregister(now, &[service]);
                    }
                }
            }
        }
    }

    fn apply(&mut self, now: Instant, verdicts: Vec<Verdict>, connections: &mut [Connection]) {
        for verdict in verdicts {
            let Outcome::Granted { from } = verdict.outcome else {
                continue;
            };
            let services = [verdict.service];
            if let Some((at, _)) = self.sessions.get(&verdict.claimant) {
                let _ = connections[*at].server.grant(now, &services);
            }
            if let Some((at, _)) = from.and_then(|from| self.sessions.get(&from)) {
                let _ = connections[*at].server.unregister(now, &services);
            }
        }
    }

    /// Sessions with a living connection.
    pub(super) fn living(&self) -> BTreeSet<SessionId> {
        let living = self.sessions.iter().filter(|(_, (_, lost))| lost.is_none());
        living.map(|(session, _)| *session).collect()
    }
}
