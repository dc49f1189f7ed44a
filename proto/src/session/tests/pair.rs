//! Two machines and the wire between them, without delay.

use crate::control::{Epoch, InstanceId, SessionId};
use crate::model::{Lane, MuxVersion, Token};
use crate::session::{
    AuthRequest, ClientConfig, ClientEstablished, ClientEvent, ClientSession, Closed, Decision, Features, Grant,
    KnownService, KnownServices, ResumptionTicket, ServerConfig, ServerEstablished, ServerEvent, ServerSession,
    ServiceKind, ServiceOffer, TicketIssuer,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

pub(super) const HEARTBEAT: Duration = Duration::from_secs(5);
pub(super) const HANDSHAKE: Duration = Duration::from_secs(5);

/// A reproducible source of bytes for tests (splitmix64).
#[derive(Clone)]
pub(super) struct Dice(pub(super) u64);

impl Dice {
    /// Different from every other one of the process.
    pub(super) fn fresh() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(1);
        Self(COUNT.fetch_add(1, Ordering::Relaxed) << 32)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

impl crate::session::Random for Dice {
    fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let word = self.next().to_le_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
    }
}

pub(super) fn offer(name: &str, token: &str) -> ServiceOffer {
    ServiceOffer {
        name: name.into(),
        kind: ServiceKind::Tcp,
        token: Token::new(token),
        connection_pool: 8,
        mux_concurrency: 0,
        mux_version: MuxVersion::V2,
    }
}

pub(super) fn known(services: &[(&str, &str)]) -> Arc<KnownServices> {
    let known = services.iter().map(|(name, token)| {
        let service = KnownService {
            token: Token::new(*token),
            mux_version: MuxVersion::V1,
        };
        ((*name).into(), service)
    });
    Arc::new(known.collect())
}

pub(super) fn client_config(services: Vec<ServiceOffer>) -> ClientConfig {
    ClientConfig {
        instance: InstanceId([7; 16]),
        lane: Lane::Mux,
        features: Features::offered(Lane::Mux),
        services,
        heartbeat: HEARTBEAT,
        handshake_timeout: HANDSHAKE,
    }
}

pub(super) fn server_config(now: Instant, services: &[(&str, &str)]) -> ServerConfig {
    ServerConfig {
        lane: Lane::Mux,
        features: Features::offered(Lane::Mux),
        heartbeat: HEARTBEAT,
        handshake_timeout: HANDSHAKE,
        services: known(services),
        tickets: Arc::new(TicketIssuer::new(now, &mut Dice(99))),
    }
}

pub(super) fn decision(grants: Vec<Grant>) -> Decision {
    Decision {
        session: SessionId(42),
        epoch: Epoch(3),
        max_carriers: 100,
        max_visitors: Some(1000),
        grants,
    }
}

/// A client and a server, and what they have said to their drivers.
pub(super) struct Pair {
    pub(super) now: Instant,
    pub(super) client: ClientSession,
    pub(super) server: ServerSession,
    pub(super) client_events: Vec<ClientEvent>,
    pub(super) server_events: Vec<ServerEvent>,
    pub(super) dice: Dice,
}

impl Pair {
    pub(super) fn new(client: ClientConfig, server: ServerConfig) -> Self {
        Self::with_ticket(Instant::now(), client, server, None)
    }

    pub(super) fn with_ticket(
        now: Instant,
        client: ClientConfig,
        server: ServerConfig,
        ticket: Option<ResumptionTicket>,
    ) -> Self {
        let mut dice = Dice::fresh();
        Self {
            now,
            client: ClientSession::new(now, client, ticket, &mut dice),
            server: ServerSession::new(now, server, &mut dice),
            client_events: Vec::new(),
            server_events: Vec::new(),
            dice,
        }
    }

    /// One service, proven and granted.
    pub(super) fn up() -> Self {
        let now = Instant::now();
        let mut pair = Self::with_ticket(
            now,
            client_config(vec![offer("web", "secret")]),
            server_config(now, &[("web", "secret"), ("mail", "secret2"), ("db", "secret3")]),
            None,
        );
        pair.establish();
        pair
    }

    /// Shakes hands and grants everything.
    pub(super) fn establish(&mut self) -> (ClientEstablished, ServerEstablished) {
        self.run();
        let request = self.auth_request();
        self.accept(vec![Grant::Ok; request.proven.len()]);
        let client = self.client_events.iter().find_map(|event| match event {
            ClientEvent::Established(established) => Some(established.clone()),
            _ => None,
        });
        let server = self.server_events.iter().find_map(|event| match event {
            ServerEvent::Established(established) => Some(established.clone()),
            _ => None,
        });
        (client.expect("client is up"), server.expect("server is up"))
    }

    pub(super) fn accept(&mut self, grants: Vec<Grant>) {
        self.server
            .accept(self.now, decision(grants), &mut self.dice)
            .expect("a client waits");
        self.run();
    }

    /// Moves bytes until nothing is left to say.
    pub(super) fn run(&mut self) {
        loop {
            let up = self.client_sends();
            let down = self.server_sends();
            if up.is_empty() && down.is_empty() {
                break;
            }
            self.server.handle_input(self.now, &up);
            self.client.handle_input(self.now, &down);
            self.collect();
        }
        self.collect();
    }

    /// Advances time, with everything that is due on the way, up to `duration` later.
    pub(super) fn pass(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some(due) = self.next_timeout().filter(|due| *due <= end) {
            self.now = due.max(self.now);
            self.client.handle_timeout(self.now);
            self.server.handle_timeout(self.now);
            self.run();
        }
        self.now = end;
    }

    fn next_timeout(&self) -> Option<Instant> {
        [self.client.poll_timeout(), self.server.poll_timeout()]
            .into_iter()
            .flatten()
            .min()
    }

    pub(super) fn client_sends(&mut self) -> Vec<u8> {
        std::iter::from_fn(|| self.client.poll_transmit()).flatten().collect()
    }

    pub(super) fn server_sends(&mut self) -> Vec<u8> {
        std::iter::from_fn(|| self.server.poll_transmit()).flatten().collect()
    }

    pub(super) fn collect(&mut self) {
        self.client_events
            .extend(std::iter::from_fn(|| self.client.poll_event()));
        self.server_events
            .extend(std::iter::from_fn(|| self.server.poll_event()));
    }

    pub(super) fn auth_request(&self) -> AuthRequest {
        let request = self.server_events.iter().rev().find_map(|event| match event {
            ServerEvent::Authenticated(request) => Some(request.clone()),
            _ => None,
        });
        request.expect("a client has authenticated")
    }

    pub(super) fn ticket(&self) -> ResumptionTicket {
        let ticket = self.client_events.iter().rev().find_map(|event| match event {
            ClientEvent::Ticket(ticket) => Some(ticket.clone()),
            _ => None,
        });
        ticket.expect("the client has a ticket")
    }

    pub(super) fn client_closed(&mut self) -> Option<Closed> {
        self.collect();
        self.client_events.iter().find_map(|event| match event {
            ClientEvent::Closed(closed) => Some(closed.clone()),
            _ => None,
        })
    }

    pub(super) fn server_closed(&mut self) -> Option<Closed> {
        self.collect();
        self.server_events.iter().find_map(|event| match event {
            ServerEvent::Closed(closed) => Some(closed.clone()),
            _ => None,
        })
    }
}
