//! Fuzz bodies: everything of the session protocol that eats bytes from outside. A normal test runs them over
//! `fuzz/corpus/` and mutations of it; `fuzz/` has the thin targets for cargo-fuzz.

use super::carrier::{First, MAX_FIRST_BYTES, MAX_OPEN_BYTES, Open, Ready, parse_first};
use super::link::split_message;
use super::{
    ClientConfig, ClientEvent, ClientSession, Features, KnownService, ServerConfig, ServerSession, ServiceKind,
    ServiceOffer, TicketIssuer, wire,
};
use crate::control::{CarrierKey, InstanceId};
use crate::model::{Lane, MuxVersion, Token};
use prost::Message;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

/// The first bytes of a connection: an answer within the bound, nothing consumed that is not there, the same answer
/// whatever follows, and no forgery verifies.
pub fn fuzz_session_first(data: &[u8]) {
    match parse_first(data) {
        Ok(First::Carrier { hello, consumed }) => {
            assert!(consumed <= data.len() && consumed <= MAX_FIRST_BYTES);
            assert_eq!(
                parse_first(&data[..consumed]),
                Ok(First::Carrier {
                    hello: hello.clone(),
                    consumed
                })
            );
            assert_eq!(parse_first(&data[..consumed - 1]), Ok(First::Incomplete));
            assert!(!hello.verify(&CarrierKey([0x5a; 32])));
        }
        Ok(First::Incomplete) => assert!(data.len() < MAX_FIRST_BYTES),
        Ok(First::Control) | Err(_) => {}
    }
}

/// Open and Ready without MAC: what decodes, encodes to something that decodes to the same.
pub fn fuzz_session_open_ready(data: &[u8]) {
    if let Ok(open) = Open::decode(data, None) {
        match open {
            None => assert!(data.len() < MAX_OPEN_BYTES),
            Some((open, consumed)) => {
                assert!(consumed <= data.len() && consumed <= MAX_OPEN_BYTES);
                let again = open.encode(None);
                assert_eq!(Open::decode(&again, None), Ok(Some((open, again.len()))));
            }
        }
    }
    if let Ok(Some((ready, consumed))) = Ready::decode(data, None) {
        assert!(consumed <= data.len());
        let again = ready.encode(None);
        assert_eq!(Ready::decode(&again, None), Ok(Some((ready, again.len()))));
    }
}

/// A control carrier before the handshake: the bytes go to a fresh server and a fresh client. Neither has anything
/// to say to a driver but its end.
pub fn fuzz_session_handshake(data: &[u8]) {
    let now = Instant::now();
    let mut server = server(now);
    server.handle_input(now, data);
    while let Some(event) = server.poll_event() {
        assert!(matches!(event, super::ServerEvent::Closed(_)));
    }
    let mut client = client(now);
    client.handle_input(now, data);
    while let Some(event) = client.poll_event() {
        assert!(matches!(event, ClientEvent::Closed(_)));
    }
}

/// Decrypted control messages on live sessions at both ends: whatever a peer says, a client dials nothing for a
/// service that it has not proven.
pub fn fuzz_session_control(data: &[u8]) {
    let now = Instant::now();
    let mut server = server(now);
    server.assume_established(now);
    let mut client = client(now);
    client.assume_established(now);
    let mut rest = data;
    while let Ok(Some((message, length))) = split_message(rest) {
        rest = &rest[length..];
        let Ok(wire::Control { message: Some(message) }) = wire::Control::decode(message) else {
            continue;
        };
        if !server.is_closed() && server.handle_message(now, message.clone()).is_err() {
            server.close(now, super::CloseReason::ProtocolError, Duration::ZERO, "");
        }
        if !client.is_closed() && client.handle_message(now, message).is_err() {
            client.close(now, super::CloseReason::ProtocolError, Duration::ZERO, "");
        }
    }
    while let Some(event) = client.poll_event() {
        if let ClientEvent::Want { service, .. } = event {
            assert_eq!(&*service, "web");
        }
    }
}

fn server(now: Instant) -> ServerSession {
    // Sealing keys play no part: no input can hold a ticket that opens.
    static ISSUER: LazyLock<Arc<TicketIssuer>> =
        LazyLock::new(|| Arc::new(TicketIssuer::new(Instant::now(), &mut |bytes: &mut [u8]| bytes.fill(1))));
    let service = KnownService {
        token: Token::new("secret"),
        mux_version: MuxVersion::V2,
    };
    let config = ServerConfig {
        lane: Lane::Mux,
        features: Features::offered(Lane::Mux),
        heartbeat: Duration::from_secs(5),
        handshake_timeout: Duration::from_secs(5),
        services: Arc::new(["web", "mail"].map(|name| (name.into(), service.clone())).into()),
        tickets: ISSUER.clone(),
    };
    ServerSession::new(now, config, &mut |bytes: &mut [u8]| bytes.fill(2))
}

fn client(now: Instant) -> ClientSession {
    let offer = |name: &str| ServiceOffer {
        name: name.into(),
        kind: ServiceKind::Tcp,
        token: Token::new("secret"),
        connection_pool: 8,
        mux_concurrency: 0,
        mux_version: MuxVersion::V2,
    };
    let config = ClientConfig {
        instance: InstanceId([3; 16]),
        lane: Lane::Mux,
        features: Features::offered(Lane::Mux),
        services: vec![offer("web"), offer("mail")],
        heartbeat: Duration::from_secs(5),
        handshake_timeout: Duration::from_secs(5),
    };
    ClientSession::new(now, config, None, &mut |bytes: &mut [u8]| bytes.fill(4))
}
