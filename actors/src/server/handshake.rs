//! A control carrier before it is a session's.

use super::sessions::{Decide, Establish, Sessions};
use crate::dataplane::ControlCarrier;
use crate::driver::{Driver, now, random};
use crate::shared::Shared;
use kameo::prelude::*;
use kariz_proto::session::{CloseReason, Features, ServerConfig, ServerEvent, ServerSession};
use std::sync::Arc;
use std::time::Duration;

/// Takes a connection through the handshake and hands it to the sessions. Time and size are bounded by the machine;
/// a peer that fails is counted and closed.
pub(crate) async fn handshake(shared: &Arc<Shared>, sessions: &ActorRef<Sessions>, carrier: ControlCarrier) {
    let ControlCarrier { stream, first, peer } = carrier;
    let spec = shared.spec();
    let Some(server) = &spec.server else { return };
    let lane = server.transport.lane();
    let config = ServerConfig {
        lane,
        features: Features::offered(lane),
        heartbeat: server.heartbeat,
        handshake_timeout: spec.runtime.handshake_timeout,
        services: shared.known_services(),
        tickets: shared.tickets.clone(),
    };
    let mut machine = ServerSession::new(now(), config, &mut random);
    machine.handle_input(now(), &first);
    let mut driver = Driver::new(machine, stream);
    let mut proven = Vec::new();
    loop {
        match driver.event().await {
            ServerEvent::Authenticated(request) => {
                for name in &request.refused {
                    tracing::warn!(service = &**name, %peer, reason = "wrong token or unknown", "service refused");
                }
                proven = request.proven.clone();
                let decision = sessions.ask(Decide(request)).await;
                let accepted = match decision {
                    Ok(Some(decision)) => driver.machine.accept(now(), decision, &mut random).is_ok(),
                    Ok(None) | Err(_) => false,
                };
                if !accepted {
                    driver
                        .machine
                        .close(now(), CloseReason::RateLimitExceeded, Duration::ZERO, "no room");
                }
            }
            ServerEvent::Established(established) => {
                let establish = Establish {
                    driver: Box::new(driver),
                    established,
                    proven,
                    peer,
                };
                if sessions.tell(establish).await.is_err() {
                    tracing::warn!(%peer, reason = "internal", "session refused");
                }
                return;
            }
            ServerEvent::Closed(closed) => {
                shared.handshake_failed(peer, &closed.cause);
                return driver.finish().await;
            }
            // Nothing else is said before the session is up.
            _ => {}
        }
    }
}
