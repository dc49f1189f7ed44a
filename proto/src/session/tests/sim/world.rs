//! Clients, connections and time.

use super::super::pair::{Dice, client_config, offer};
use super::link::{Direction, Fault};
use super::server::Server;
use crate::control::{CarrierKey, Epoch, InstanceId, SessionId};
use crate::model::ServiceName;
use crate::session::*;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const FAULTS_END: Duration = Duration::from_secs(60);
const END: Duration = Duration::from_secs(150);

pub(super) struct World {
    start: Instant,
    now: Instant,
    dice: Dice,
    server: Server,
    clients: Vec<Client>,
    connections: Vec<Connection>,
    /// First flights that an eavesdropper has kept.
    heard: Vec<Vec<u8>>,
    reached: Reached,
}

/// How often something happened.
pub(super) type Reached = BTreeMap<&'static str, u64>;

/// A client's driver.
struct Client {
    config: ClientConfig,
    backoff: Backoff,
    ticket: Option<ResumptionTicket>,
    connection: Option<usize>,
    redial: Option<Instant>,
    services: BTreeMap<ServiceName, ServiceOutcome>,
}

pub(super) struct Connection {
    /// `None` for an attacker who replays.
    owner: Option<usize>,
    client: Option<ClientSession>,
    pub(super) server: ServerSession,
    up: Direction,
    down: Direction,
    pub(super) session: Option<SessionId>,
    pub(super) server_key: Option<(Epoch, CarrierKey)>,
    client_key: Option<(Epoch, CarrierKey)>,
}

impl Connection {
    /// Violations are only seen where somebody has altered bytes.
    pub(super) fn check_end(&self, closed: &Closed) {
        let violated = matches!(
            closed.cause,
            CloseCause::Violation(_) | CloseCause::Refused(_) | CloseCause::Rejected
        );
        let told = closed.reason == CloseReason::ProtocolError;
        let disturbed = self.up.tampered || self.down.tampered || self.owner.is_none();
        assert!(disturbed || !(violated || told), "{closed:?}");
    }
}

impl World {
    pub(super) fn new(mut dice: Dice) -> Self {
        let start = Instant::now();
        let clients = (1..=2).map(|number| {
            let mut config = client_config(vec![offer("web", "secret"), offer("mail", "secret2")]);
            config.instance = InstanceId([number; 16]);
            Client {
                config,
                backoff: Backoff::new(Duration::from_secs(3), Duration::from_secs(5)),
                ticket: None,
                connection: None,
                redial: Some(start + Duration::from_millis(dice.below(3000))),
                services: BTreeMap::new(),
            }
        });
        let clients = clients.collect();
        Self {
            start,
            now: start,
            dice,
            server: Server::new(start),
            clients,
            connections: Vec::new(),
            heard: Vec::new(),
            reached: Reached::new(),
        }
    }

    pub(super) fn run(mut self) -> Reached {
        while let Some(next) = self.next_timeout().filter(|next| *next < self.start + END) {
            self.now = self.now.max(next);
            self.server.handle_timeout(self.now, &mut self.connections);
            self.redial();
            for at in 0..self.connections.len() {
                self.deliver(at);
            }
            for at in 0..self.connections.len() {
                self.settle(at);
            }
        }
        self.check();
        self.reached
    }

    fn count(&mut self, what: &'static str) {
        *self.reached.entry(what).or_default() += 1;
    }

    fn faulty(&self) -> bool {
        self.now < self.start + FAULTS_END
    }

    fn next_timeout(&self) -> Option<Instant> {
        let connections = self.connections.iter().flat_map(|connection| {
            let client = connection.client.as_ref().and_then(ClientSession::poll_timeout);
            [
                client,
                connection.server.poll_timeout(),
                connection.up.next(),
                connection.down.next(),
            ]
        });
        let redials = self.clients.iter().map(|client| client.redial);
        connections
            .chain(redials)
            .chain([self.server.next_timeout()])
            .flatten()
            .min()
    }

    fn redial(&mut self) {
        for owner in 0..self.clients.len() {
            if self.clients[owner].redial.is_some_and(|at| at <= self.now) {
                self.clients[owner].redial = None;
                if self.faulty() && self.dice.below(8) == 0 {
                    // Killed and started again: another process, without ticket.
                    self.clients[owner].config.instance =
                        InstanceId([self.dice.next().to_be_bytes(), [0; 8]].concat().try_into().unwrap());
                    self.clients[owner].ticket = None;
                }
                self.dial(owner);
            }
        }
        if self.faulty() && !self.heard.is_empty() && self.dice.below(50) == 0 {
            self.replay();
        }
    }

    fn dial(&mut self, owner: usize) {
        let client = &mut self.clients[owner];
        let ticket = client.ticket.take();
        client.services.clear();
        client.connection = Some(self.connections.len());
        let client = ClientSession::new(self.now, client.config.clone(), ticket, &mut self.dice);
        self.connect(Some(owner), Some(client));
    }

    fn replay(&mut self) {
        let which = self.dice.below(self.heard.len() as u64) as usize;
        let flight = self.heard[which].clone();
        let at = self.connections.len();
        self.connect(None, None);
        self.connections[at].up.send(self.now, &flight, false, &mut self.dice);
    }

    fn connect(&mut self, owner: Option<usize>, client: Option<ClientSession>) {
        let server = ServerSession::new(self.now, self.server.config.clone(), &mut self.dice);
        let [up, down] = self.faults().map(|fault| Direction::new(self.now, fault));
        self.connections.push(Connection {
            owner,
            client,
            server,
            up,
            down,
            session: None,
            server_key: None,
            client_key: None,
        });
    }

    fn faults(&mut self) -> [Fault; 2] {
        if !self.faulty() {
            return [Fault::None; 2];
        }
        let at = self.now + Duration::from_millis(self.dice.below(20_000));
        let at = at.min(self.start + FAULTS_END);
        match self.dice.below(6) {
            0 => [Fault::Cut(at); 2],
            1 => [Fault::Swallow(at); 2],
            2 => [Fault::Swallow(at), Fault::None],
            3 => [Fault::Tamper(self.dice.below(40)), Fault::None],
            4 => [Fault::None, Fault::Tamper(self.dice.below(40))],
            _ => [Fault::None; 2],
        }
    }

    fn deliver(&mut self, at: usize) {
        let now = self.now;
        let connection = &mut self.connections[at];
        while let Some(piece) = connection.up.receive(now) {
            connection.server.handle_input(now, &piece);
        }
        if connection.up.ends(now) {
            connection.server.handle_eof(now);
        }
        connection.server.handle_timeout(now);
        let mut pieces = Vec::new();
        pieces.extend(std::iter::from_fn(|| connection.down.receive(now)));
        let ends = connection.down.ends(now);
        if let Some(client) = &mut connection.client {
            pieces.iter().for_each(|piece| client.handle_input(now, piece));
            if ends {
                client.handle_eof(now);
            }
            client.handle_timeout(now);
        }
    }

    fn settle(&mut self, at: usize) {
        while let Some(event) = self.connections[at].server.poll_event() {
            self.server
                .handle(self.now, at, event, &mut self.connections, &mut self.dice);
        }
        while let Some(event) = self.connections[at].client.as_mut().and_then(ClientSession::poll_event) {
            self.handle_client(at, event);
        }
        let faulty = self.faulty();
        let connection = &mut self.connections[at];
        if let Some(client) = &mut connection.client {
            let bytes: Vec<u8> = std::iter::from_fn(|| client.poll_transmit()).flatten().collect();
            if bytes.starts_with(b"KZ") && self.heard.len() < 20 {
                self.heard.push(bytes.clone());
            }
            connection.up.send(self.now, &bytes, faulty, &mut self.dice);
            if client.is_closed() {
                connection.up.finish(self.now);
            }
        }
        let bytes: Vec<u8> = std::iter::from_fn(|| connection.server.poll_transmit())
            .flatten()
            .collect();
        connection.down.send(self.now, &bytes, faulty, &mut self.dice);
        if connection.server.is_closed() {
            connection.down.finish(self.now);
        }
        if let (Some(client), Some(server)) = (&connection.client_key, &connection.server_key) {
            assert_eq!(client, server);
        }
    }

    fn handle_client(&mut self, at: usize, event: ClientEvent) {
        let owner = self.connections[at].owner.expect("attackers have no machine");
        let client = &mut self.clients[owner];
        match event {
            ClientEvent::Established(established) => {
                *self
                    .reached
                    .entry(if established.resumed { "resumed" } else { "full" })
                    .or_default() += 1;
                client.backoff.succeeded(self.now);
                client.services = outcomes(established.services);
                self.connections[at].client_key = Some((established.epoch, established.carrier_key));
            }
            ClientEvent::Registered { services } => {
                client.services.extend(outcomes(services));
                self.count("registered");
            }
            ClientEvent::Dropped { services } => {
                client.services.retain(|name, _| !services.contains(name));
                let offers = client
                    .config
                    .services
                    .iter()
                    .filter(|offer| services.contains(&offer.name));
                let offers = offers.cloned().collect();
                let machine = self.connections[at].client.as_mut().expect("it has just spoken");
                let _ = machine.register(self.now, offers);
            }
            ClientEvent::Want { service, vouchers, .. } => {
                assert!(matches!(client.services.get(&service), Some(ServiceOutcome::Ok { .. })));
                for voucher in vouchers {
                    if let Some(purpose) = self.server.vouchers.take(self.now, &voucher) {
                        assert_eq!(purpose, service);
                    }
                }
            }
            ClientEvent::Ticket(ticket) => client.ticket = Some(ticket),
            ClientEvent::Pong { .. } | ClientEvent::PeerClosing { .. } => {}
            ClientEvent::Closed(closed) => {
                self.connections[at].check_end(&closed);
                self.count(closed.cause.as_str());
                let wait = self.clients[owner].backoff.failed(self.now, &mut self.dice);
                self.clients[owner].redial = Some(self.now + wait);
                self.clients[owner].connection = None;
            }
        }
    }

    /// Both clients are up, and each service is held by one of them, which knows it.
    fn check(&self) {
        assert_eq!(self.server.living().len(), 2, "both clients are up");
        for service in ["web", "mail"].map(ServiceName::from) {
            let holder = self.server.ownership.holder(&service).expect("somebody holds it");
            let (at, lost) = self.server.sessions[&holder];
            assert_eq!(lost, None);
            let sure = self
                .clients
                .iter()
                .filter(|client| matches!(client.services.get(&service), Some(ServiceOutcome::Ok { .. })));
            let sure: Vec<_> = sure.map(|client| client.connection).collect();
            assert_eq!(sure, [Some(at)], "{service}: the holder and nobody else serves it");
        }
    }
}

fn outcomes(services: Vec<ServiceStatus>) -> BTreeMap<ServiceName, ServiceOutcome> {
    services
        .into_iter()
        .map(|status| (status.name, status.outcome))
        .collect()
}
