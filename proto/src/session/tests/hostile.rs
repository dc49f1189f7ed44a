//! Eavesdroppers, impostors, those who alter packets, and those who just talk nonsense.

use super::pair::*;
use crate::session::*;
use std::time::{Duration, Instant};

fn fresh_server(server: &ServerConfig, now: Instant) -> ServerSession {
    ServerSession::new(now, server.clone(), &mut Dice::fresh())
}

fn events(server: &mut ServerSession) -> Vec<ServerEvent> {
    std::iter::from_fn(|| server.poll_event()).collect()
}

#[test]
fn a_replayed_session_authenticates_nobody() {
    let now = Instant::now();
    let config = server_config(now, &[("web", "secret")]);
    let mut pair = Pair::new(client_config(vec![offer("web", "secret")]), config.clone());
    let hello = pair.client_sends();
    pair.server.handle_input(now, &hello);
    let challenge = pair.server_sends();
    pair.client.handle_input(now, &challenge);
    let auth = pair.client_sends();
    let mut server = fresh_server(&config, now);
    server.handle_input(now, &hello);
    assert!(events(&mut server).is_empty());
    server.handle_input(now, &auth);
    let closed = Closed {
        reason: CloseReason::ProtocolError,
        cause: CloseCause::Violation(Violation::Decrypt),
    };
    assert_eq!(events(&mut server), [ServerEvent::Closed(closed)]);
}

#[test]
fn a_replayed_ticket_changes_nothing() {
    let now = Instant::now();
    let config = server_config(now, &[("web", "secret")]);
    let client = client_config(vec![offer("web", "secret")]);
    let mut pair = Pair::with_ticket(now, client.clone(), config.clone(), None);
    pair.establish();
    let mut pair = Pair::with_ticket(now, client, config.clone(), Some(pair.ticket()));
    let hello = pair.client_sends();
    // The replay comes first: even so it only gets as far as a question to the driver, and no transport message of
    // the attacker can be decrypted.
    let mut replayed = fresh_server(&config, now);
    replayed.handle_input(now, &hello);
    assert!(matches!(events(&mut replayed)[..], [ServerEvent::Authenticated(_)]));
    replayed.accept(now, decision(vec![Grant::Ok]), &mut pair.dice).unwrap();
    replayed.handle_input(
        now,
        &[
            0, 20, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20,
        ],
    );
    assert!(
        !events(&mut replayed)
            .iter()
            .any(|event| matches!(event, ServerEvent::Established(_)))
    );
    // The true client falls back to a full handshake.
    pair.server.handle_input(now, &hello);
    let (client, _) = pair.establish();
    assert!(!client.resumed);
}

#[test]
fn a_replayed_ticket_that_stays_silent_is_dropped_in_time() {
    let now = Instant::now();
    let config = server_config(now, &[("web", "secret")]);
    let client = client_config(vec![offer("web", "secret")]);
    let mut pair = Pair::with_ticket(now, client.clone(), config.clone(), None);
    pair.establish();
    let mut pair = Pair::with_ticket(now, client, config, Some(pair.ticket()));
    let hello = pair.client_sends();
    pair.server.handle_input(now, &hello);
    pair.server
        .accept(now, decision(vec![Grant::Ok]), &mut pair.dice)
        .unwrap();
    pair.server.handle_timeout(now + HANDSHAKE);
    assert_eq!(pair.server_closed().unwrap().cause, CloseCause::HandshakeTimeout);
}

#[test]
fn a_changed_bit_anywhere_in_the_handshake_is_noticed() {
    let now = Instant::now();
    let flights = |flipped: Option<(usize, usize)>| {
        let config = server_config(now, &[("web", "secret")]);
        let mut pair = Pair::with_ticket(now, client_config(vec![offer("web", "secret")]), config, None);
        let mut lengths = Vec::new();
        for flight in 0..4 {
            let mut bytes = if flight % 2 == 0 {
                pair.client_sends()
            } else {
                pair.server_sends()
            };
            lengths.push(bytes.len());
            if let Some((_, bit)) = flipped.filter(|(chosen, _)| *chosen == flight) {
                bytes[bit / 8] ^= 1 << (bit % 8);
            }
            match flight % 2 {
                0 => pair.server.handle_input(now, &bytes),
                _ => pair.client.handle_input(now, &bytes),
            }
            pair.collect();
            if flight == 2
                && pair
                    .server_events
                    .iter()
                    .any(|event| matches!(event, ServerEvent::Authenticated(_)))
            {
                pair.server
                    .accept(now, decision(vec![Grant::Ok]), &mut pair.dice)
                    .unwrap();
            }
        }
        pair.collect();
        let up = pair
            .client_events
            .iter()
            .any(|event| matches!(event, ClientEvent::Established(_)));
        (up, lengths)
    };
    let (up, lengths) = flights(None);
    assert!(up);
    // Every bit of both handshake messages (Hello with its features is in the first, in clear), some of the others.
    for (flight, length) in lengths.into_iter().enumerate() {
        for bit in (0..length * 8).step_by(if flight < 2 { 1 } else { 7 }) {
            // X25519 ignores the top bit of a key (RFC 7748, section 5), but the hash does not.
            assert!(!flights(Some((flight, bit))).0, "flight {flight} bit {bit}");
        }
    }
}

#[test]
fn features_cannot_be_taken_away_by_somebody_in_between() {
    use prost::Message as _;
    let now = Instant::now();
    let hello = wire::Hello {
        version: 1,
        instance: vec![7; 16],
        features: Features::offered(crate::model::Lane::Mux).0,
        required: Features::LANE_MUX.0,
    };
    let mut pair = Pair::with_ticket(
        now,
        client_config(vec![offer("web", "secret")]),
        server_config(now, &[("web", "secret")]),
        None,
    );
    let mut bytes = pair.client_sends();
    // The Hello crosses in clear: the attacker swaps in one without KARIZ_MUX, of the same length.
    let clear = hello.encode_to_vec();
    let at = bytes
        .windows(clear.len())
        .position(|window| window == clear)
        .expect("Hello is readable");
    let poorer = wire::Hello {
        features: (Features::LANE_MUX | Features::MUX_V1 | Features(1 << 5)).0,
        ..hello
    };
    let poorer = poorer.encode_to_vec();
    assert_eq!(poorer.len(), clear.len());
    bytes[at..at + poorer.len()].copy_from_slice(&poorer);
    pair.server.handle_input(now, &bytes);
    let challenge = pair.server_sends();
    pair.client.handle_input(now, &challenge);
    assert_eq!(
        pair.client_closed().unwrap().cause,
        CloseCause::Violation(Violation::Decrypt)
    );
    assert!(
        !pair
            .client_events
            .iter()
            .any(|event| matches!(event, ClientEvent::Established(_)))
    );
}

#[test]
fn an_impostor_without_the_token_gets_nothing_opened() {
    // The impostor accepts every proof without knowing it: a server with another token whose driver lies.
    let now = Instant::now();
    let mut pair = Pair::with_ticket(
        now,
        client_config(vec![offer("web", "secret")]),
        server_config(now, &[("web", "guess")]),
        None,
    );
    let hello = pair.client_sends();
    pair.server.handle_input(now, &hello);
    let challenge = pair.server_sends();
    pair.client.handle_input(now, &challenge);
    let _auth = pair.client_sends();
    pair.server.send_for_tests(wire::control::Message::Accept(wire::Accept {
        session: 1,
        epoch: 1,
        carrier_key: vec![1; 32],
        heartbeat_ms: 5000,
        services: vec![wire::Result {
            name: "web".into(),
            outcome: wire::result::Outcome::Ok.into(),
            proof: vec![1; 32],
            mux_version: 1,
            ..wire::Result::default()
        }],
        ..wire::Accept::default()
    }));
    pair.server.send_for_tests(wire::control::Message::Want(wire::Want {
        service: "web".into(),
        lane: wire::want::Lane::Mux.into(),
        vouchers: vec![vec![0; 18]],
    }));
    let lies = pair.server_sends();
    pair.client.handle_input(now, &lies);
    let closed = Closed {
        reason: CloseReason::ProtocolError,
        cause: CloseCause::Violation(Violation::ServerProof),
    };
    pair.collect();
    assert_eq!(pair.client_events, [ClientEvent::Closed(closed)]);
}

#[test]
fn a_relaying_impostor_cannot_pass_proofs_on() {
    // The impostor shakes hands with both ends, so that it reads and writes everything in between.
    let now = Instant::now();
    let offers = || client_config(vec![offer("web", "secret")]);
    let mut victim = Pair::with_ticket(now, offers(), server_config(now, &[("web", "guess")]), None);
    let mut target = Pair::with_ticket(now, offers(), server_config(now, &[("web", "secret")]), None);
    let hello = victim.client_sends();
    victim.server.handle_input(now, &hello);
    let challenge = victim.server_sends();
    victim.client.handle_input(now, &challenge);
    let auth = victim.client_sends();
    let stolen = victim.server.read_for_tests(&auth);
    let hello = target.client_sends();
    target.server.handle_input(now, &hello);
    let challenge = target.server_sends();
    target.client.handle_input(now, &challenge);
    target.client_sends();
    // The target's server and the impostor share a channel, but the proof is bound to the victim's.
    target.server.handle_message(now, stolen).unwrap();
    assert_eq!(target.server_closed().unwrap().cause, CloseCause::Rejected);
}

#[test]
fn garbage_ends_a_connection_without_an_answer() {
    for garbage in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        b"\x16\x03\x01",
        b"KZ\x02\x01",
        b"KZ\x01\x03",
        b"KZ\x01\x01\xff\xff",
    ] {
        let now = Instant::now();
        let mut server = fresh_server(&server_config(now, &[]), now);
        server.handle_input(now, garbage);
        assert!(server.is_closed(), "{garbage:?}");
        assert_eq!(server.poll_transmit(), None);
    }
}

#[test]
fn half_a_frame_and_silence_end_at_the_handshake_timeout() {
    let now = Instant::now();
    for said in [&b""[..], b"KZ", b"KZ\x01\x01\x00\x30abc", b"KZ\x01\x02\x10\x00abc"] {
        let mut server = fresh_server(&server_config(now, &[]), now);
        server.handle_input(now + Duration::from_secs(1), said);
        assert_eq!(server.poll_timeout(), Some(now + HANDSHAKE));
        server.handle_timeout(now + HANDSHAKE);
        let closed = Closed {
            reason: CloseReason::Timeout,
            cause: CloseCause::HandshakeTimeout,
        };
        assert_eq!(events(&mut server), [ServerEvent::Closed(closed)]);
    }
}

#[test]
fn a_trickle_does_not_extend_the_handshake() {
    let now = Instant::now();
    let mut server = fresh_server(&server_config(now, &[]), now);
    for (index, byte) in b"KZ\x01\x01\x00\x40".iter().enumerate() {
        server.handle_input(now + Duration::from_millis(800 * index as u64), &[*byte]);
    }
    assert_eq!(server.poll_timeout(), Some(now + HANDSHAKE));
}

#[test]
fn half_a_frame_after_authentication_ends_with_silence() {
    let mut pair = Pair::up();
    pair.server.handle_input(pair.now, &[0, 99, 1, 2, 3]);
    let silent = pair.now + HEARTBEAT * MISSED_HEARTBEATS;
    pair.server.handle_timeout(silent);
    assert_eq!(pair.server_closed().unwrap().cause, CloseCause::Silent);
}

#[test]
fn a_server_that_does_not_answer_is_given_up() {
    let now = Instant::now();
    let services = vec![offer("web", "secret")];
    let mut client = ClientSession::new(now, client_config(services), None, &mut Dice(1));
    client.handle_timeout(now + HANDSHAKE);
    let closed = Closed {
        reason: CloseReason::Timeout,
        cause: CloseCause::HandshakeTimeout,
    };
    assert_eq!(client.poll_event(), Some(ClientEvent::Closed(closed)));
}

#[test]
fn replayed_and_reordered_transport_frames_are_noticed() {
    let mut pair = Pair::up();
    pair.client.ping(pair.now).unwrap();
    let ping = pair.client_sends();
    pair.server.handle_input(pair.now, &ping);
    pair.server.handle_input(pair.now, &ping);
    assert_eq!(
        pair.server_closed().unwrap().cause,
        CloseCause::Violation(Violation::Decrypt)
    );
}

#[test]
fn the_driver_has_all_the_time_it_needs() {
    let now = Instant::now();
    let services = vec![offer("web", "secret")];
    let mut pair = Pair::with_ticket(
        now,
        client_config(services),
        server_config(now, &[("web", "secret")]),
        None,
    );
    pair.run();
    pair.auth_request();
    assert_eq!(pair.server.poll_timeout(), None);
    pair.server.handle_timeout(now + HANDSHAKE);
    assert!(!pair.server.is_closed());
}
