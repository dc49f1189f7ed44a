//! Two machines and the wire between them, without delay.

use super::counting;
use kariz_proto::control::{Epoch, InstanceId, SessionId};
use kariz_proto::model::{Lane, MuxVersion, ServiceName, Token};
use kariz_proto::session::{
    ClientConfig, ClientEvent, ClientSession, Decision, Features, Grant, KnownService, Random, ResumptionTicket,
    ServerConfig, ServerEvent, ServerSession, ServiceKind, ServiceOffer, TicketIssuer,
};
use std::sync::Arc;
use std::time::{Duration, Instant};

const HEARTBEAT: Duration = Duration::from_secs(5);

/// What both ends know before they meet.
pub(super) struct Configs {
    client: ClientConfig,
    server: ServerConfig,
}

/// Two ends with a session.
pub(super) struct Pair {
    pub(super) client: ClientSession,
    pub(super) server: ServerSession,
    /// For the next session.
    pub(super) ticket: ResumptionTicket,
    pub(super) resumed: bool,
}

/// Name of a service of [`Configs`].
pub(super) fn service(number: usize) -> ServiceName {
    format!("service-{number}").into()
}

impl Configs {
    /// As many services, each with its token.
    pub(super) fn new(now: Instant, services: usize) -> Self {
        let token = |number| Token::new(format!("a token of thirty-two bytes, {number:03}"));
        let offers = (0..services).map(|number| ServiceOffer {
            name: service(number),
            kind: ServiceKind::Tcp,
            token: token(number),
            connection_pool: 8,
            mux_concurrency: 0,
            mux_version: MuxVersion::V2,
        });
        let known = (0..services).map(|number| {
            let known = KnownService {
                token: token(number),
                mux_version: MuxVersion::V2,
            };
            (service(number), known)
        });
        let features = Features::offered(Lane::Mux);
        Self {
            client: ClientConfig {
                instance: InstanceId([7; 16]),
                lane: Lane::Mux,
                features,
                services: offers.collect(),
                heartbeat: HEARTBEAT,
                handshake_timeout: HEARTBEAT,
            },
            server: ServerConfig {
                lane: Lane::Mux,
                features,
                heartbeat: HEARTBEAT,
                handshake_timeout: HEARTBEAT,
                services: Arc::new(known.collect()),
                tickets: Arc::new(TicketIssuer::new(now, &mut counting())),
            },
        }
    }

    /// Shakes hands until both ends are up, with every service granted.
    pub(super) fn establish(&self, now: Instant, ticket: Option<ResumptionTicket>, random: &mut dyn Random) -> Pair {
        let mut client = ClientSession::new(now, self.client.clone(), ticket, random);
        let mut server = ServerSession::new(now, self.server.clone(), random);
        let (mut ticket, mut resumed) = (None, None);
        let mut is_up = false;
        while !is_up {
            while let Some(bytes) = client.poll_transmit() {
                server.handle_input(now, &bytes);
            }
            while let Some(event) = server.poll_event() {
                match event {
                    ServerEvent::Authenticated(request) => {
                        let grants = vec![Grant::Ok; request.proven.len()];
                        server
                            .accept(now, decision(grants), random)
                            .expect("the client waits for an answer");
                    }
                    ServerEvent::Established(established) => {
                        assert_eq!(established.services.len(), self.client.services.len());
                        is_up = true;
                    }
                    other => unreachable!("{other:?}"),
                }
            }
            while let Some(bytes) = server.poll_transmit() {
                client.handle_input(now, &bytes);
            }
            while let Some(event) = client.poll_event() {
                match event {
                    ClientEvent::Established(established) => resumed = Some(established.resumed),
                    ClientEvent::Ticket(fresh) => ticket = Some(fresh),
                    // The client confirms a resumption with a ping.
                    ClientEvent::Pong { .. } => {}
                    other => unreachable!("{other:?}"),
                }
            }
        }
        Pair {
            client,
            server,
            ticket: ticket.expect("a ticket comes with the session"),
            resumed: resumed.expect("the client is up, too"),
        }
    }
}

fn decision(grants: Vec<Grant>) -> Decision {
    Decision {
        session: SessionId(42),
        epoch: Epoch(3),
        max_carriers: 4096,
        max_visitors: None,
        grants,
    }
}
