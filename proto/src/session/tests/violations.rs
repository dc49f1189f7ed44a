//! Every violation, made to happen.

use super::pair::*;
use crate::model::Lane;
use crate::session::wire::control::Message;
use crate::session::*;
use std::time::Instant;

fn server_offers(services: Vec<wire::Offer>) -> Option<CloseCause> {
    let now = Instant::now();
    let config = server_config(now, &[("web", "secret")]);
    let mut pair = Pair::with_ticket(now, client_config(vec![offer("web", "secret")]), config, None);
    let hello = pair.client_sends();
    pair.server.handle_input(now, &hello);
    let challenge = pair.server_sends();
    pair.client.handle_input(now, &challenge);
    pair.client_sends();
    let auth = Message::Auth(wire::Auth { services });
    pair.server.take_for_tests(now, auth);
    pair.server_closed().map(|closed| closed.cause)
}

fn wire_offer(name: &str) -> wire::Offer {
    wire::Offer {
        name: name.into(),
        mux_version: 1,
        ..wire::Offer::default()
    }
}

/// What an established server makes of a message.
pub(super) fn server_takes(messages: impl IntoIterator<Item = Message>) -> Closed {
    let mut pair = Pair::up();
    for message in messages {
        pair.server.take_for_tests(pair.now, message);
    }
    let closed = pair.server_closed().expect("the server has closed");
    pair.run();
    // The client is told.
    assert_eq!(pair.client_closed().unwrap().reason, closed.reason);
    closed
}

/// What an established client makes of a message.
pub(super) fn client_takes(messages: impl IntoIterator<Item = Message>) -> Closed {
    let mut pair = Pair::up();
    for message in messages {
        pair.client.take_for_tests(pair.now, message);
    }
    let closed = pair.client_closed().expect("the client has closed");
    pair.run();
    assert_eq!(pair.server_closed().unwrap().reason, closed.reason);
    closed
}

pub(super) fn violation(violation: Violation) -> Closed {
    Closed {
        reason: violation.reason(),
        cause: CloseCause::Violation(violation),
    }
}

pub(super) fn want(service: &str, lane: Lane, vouchers: Vec<Vec<u8>>) -> Message {
    let lane = match lane {
        Lane::Direct => wire::want::Lane::Direct,
        Lane::Mux => wire::want::Lane::Mux,
    };
    Message::Want(wire::Want {
        service: service.into(),
        lane: lane.into(),
        vouchers,
    })
}

/// Feeds raw bytes to a fresh server.
fn server_reads(bytes: &[u8]) -> Closed {
    let now = Instant::now();
    let mut server = ServerSession::new(now, server_config(now, &[]), &mut Dice(1));
    server.handle_input(now, bytes);
    match server.poll_event() {
        Some(ServerEvent::Closed(closed)) => closed,
        other => panic!("{other:?}"),
    }
}

#[test]
fn bad_first_bytes() {
    assert_eq!(server_reads(b"KZ\x01\x04"), violation(Violation::BadPrefix));
}

#[test]
fn handshake_messages_and_tickets_beyond_their_bounds() {
    assert_eq!(
        server_reads(b"KZ\x01\x01\x04\x01"),
        violation(Violation::HandshakeTooLong)
    );
    assert_eq!(server_reads(b"KZ\x01\x02\x40\x01"), violation(Violation::TicketTooLong));
    assert_eq!(
        server_reads(b"KZ\x01\x02\x00\x00\x04\x01"),
        violation(Violation::HandshakeTooLong)
    );
}

#[test]
fn frames_that_hold_nothing() {
    let mut pair = Pair::up();
    pair.server
        .handle_input(pair.now, &[0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(pair.server_closed(), Some(violation(Violation::FrameTooShort)));
}

#[test]
fn frames_from_somebody_else() {
    let mut pair = Pair::up();
    pair.server
        .handle_input(pair.now, &[[0, 20].as_slice(), &[9; 20]].concat());
    assert_eq!(pair.server_closed(), Some(violation(Violation::Decrypt)));
}

#[test]
fn messages_that_are_too_long_or_malformed() {
    for (plain, expected) in [
        (&[0xff, 0xff, 0x7f][..], Violation::MessageTooLong),
        (&[0x80, 0x80, 0x80, 0x01], Violation::MessageTooLong),
        (&[0x01, 0xff], Violation::Malformed),
    ] {
        let mut pair = Pair::up();
        let frame = pair.client.seal_for_tests(plain);
        pair.server.handle_input(pair.now, &frame);
        assert_eq!(pair.server_closed(), Some(violation(expected)));
    }
}

#[test]
fn messages_of_later_versions_are_skipped() {
    let mut pair = Pair::up();
    // Control with field 99, an empty message.
    let frame = pair.client.seal_for_tests(&[0x03, 0x9a, 0x06, 0x00]);
    pair.server.handle_input(pair.now, &frame);
    pair.client.ping(pair.now).unwrap();
    pair.run();
    assert!(matches!(pair.client_events.last(), Some(ClientEvent::Pong { .. })));
}

#[test]
fn messages_at_the_wrong_end_or_time() {
    let auth = || Message::Auth(wire::Auth::default());
    assert_eq!(server_takes([auth()]), violation(Violation::Unexpected("Auth")));
    let accept = Message::Accept(wire::Accept::default());
    assert_eq!(client_takes([accept]), violation(Violation::Unexpected("Accept")));
    let cases = [
        (Message::Accept(wire::Accept::default()), "Accept"),
        (Message::Registered(wire::Registered::default()), "Registered"),
        (want("web", Lane::Mux, vec![]), "Want"),
        (Message::Ticket(wire::Ticket::default()), "Ticket"),
    ];
    for (message, name) in cases {
        assert_eq!(server_takes([message]), violation(Violation::Unexpected(name)));
    }
    let register = Message::Register(wire::Register::default());
    assert_eq!(client_takes([auth()]), violation(Violation::Unexpected("Auth")));
    assert_eq!(client_takes([register]), violation(Violation::Unexpected("Register")));
}

#[test]
fn messages_before_auth_and_bytes_before_accept() {
    let now = Instant::now();
    let config = || server_config(now, &[("web", "secret")]);
    let mut pair = Pair::with_ticket(now, client_config(vec![offer("web", "secret")]), config(), None);
    let hello = pair.client_sends();
    pair.server.handle_input(now, &hello);
    pair.server.take_for_tests(now, Message::Ping(wire::Ping::default()));
    assert_eq!(pair.server_closed(), Some(violation(Violation::Unexpected("Ping"))));

    let mut pair = Pair::with_ticket(now, client_config(vec![offer("web", "secret")]), config(), None);
    pair.run();
    pair.server.handle_input(now, &[0]);
    assert_eq!(
        pair.server_closed(),
        Some(violation(Violation::Unexpected("bytes before Accept")))
    );
}

#[test]
fn a_server_that_talks_before_accept() {
    let now = Instant::now();
    let config = server_config(now, &[("web", "secret")]);
    let mut pair = Pair::with_ticket(now, client_config(vec![offer("web", "secret")]), config, None);
    pair.run();
    pair.client.take_for_tests(now, want("web", Lane::Mux, vec![]));
    assert_eq!(pair.client_closed(), Some(violation(Violation::Unexpected("Want"))));
}

#[test]
fn offers_that_break_the_rules() {
    let cause = |violation| Some(CloseCause::Violation(violation));
    assert_eq!(server_offers(vec![]), cause(Violation::NoServices));
    let many = (0..1025).map(|number| wire_offer(&number.to_string())).collect();
    assert_eq!(server_offers(many), cause(Violation::TooManyServices));
    assert_eq!(
        server_offers(vec![wire_offer("a"), wire_offer("a")]),
        cause(Violation::DuplicateService)
    );
    assert_eq!(server_offers(vec![wire_offer("")]), cause(Violation::Field("service")));
    assert_eq!(
        server_offers(vec![wire_offer(&"x".repeat(65))]),
        cause(Violation::Field("service"))
    );
    let version = wire::Offer {
        mux_version: 3,
        ..wire_offer("a")
    };
    assert_eq!(server_offers(vec![version]), cause(Violation::Field("mux_version")));
    assert_eq!(server_offers(vec![wire_offer("a")]), Some(CloseCause::Rejected));
}

#[test]
fn a_request_number_that_is_used_twice() {
    let proof = |pair: &Pair| pair.client.proof_for_tests("mail", "secret2");
    let mut pair = Pair::up();
    let offer = wire::Offer {
        proof: proof(&pair),
        ..wire_offer("mail")
    };
    for _ in 0..2 {
        let register = wire::Register {
            request: 5,
            services: vec![offer.clone()],
        };
        pair.server.take_for_tests(pair.now, Message::Register(register));
    }
    assert_eq!(pair.server_closed(), Some(violation(Violation::Field("request"))));

    let mut pair = Pair::up();
    let offer = wire::Offer {
        proof: proof(&pair),
        ..wire_offer("mail")
    };
    for request in 1..=MAX_REGISTER_REQUESTS as u64 + 1 {
        assert!(!pair.server.is_closed());
        let register = wire::Register {
            request,
            services: vec![offer.clone()],
        };
        pair.server.take_for_tests(pair.now, Message::Register(register));
    }
    assert_eq!(pair.server_closed(), Some(violation(Violation::TooManyRequests)));
}

#[test]
fn lanes_that_do_not_meet() {
    let now = Instant::now();
    let mut client = client_config(vec![offer("web", "secret")]);
    client.lane = Lane::Direct;
    client.features = Features::offered(Lane::Direct);
    let mut pair = Pair::with_ticket(now, client, server_config(now, &[("web", "secret")]), None);
    pair.run();
    let missing = Features::LANE_DIRECT | Features::LANE_MUX;
    let expected = Violation::RequiredFeatures(missing.0);
    assert_eq!(pair.server_closed(), Some(violation(expected)));
    assert_eq!(
        pair.client_closed().unwrap().cause,
        CloseCause::Refused(expected.to_string())
    );
}

#[test]
fn required_features_of_later_versions() {
    let now = Instant::now();
    let mut client = client_config(vec![offer("web", "secret")]);
    client.features = Features(u64::MAX);
    let mut pair = Pair::with_ticket(now, client, server_config(now, &[("web", "secret")]), None);
    let (client, _) = pair.establish();
    // What is offered beyond the server's knowledge is left out; only what is required would be refused.
    assert_eq!(client.features, Features::offered(Lane::Mux));
}

#[test]
fn a_flood_of_messages() {
    // The shortest messages there are, and of no known kind: they count all the same.
    let mut pair = Pair::up();
    pair.now += std::time::Duration::from_secs(1);
    let plain = vec![0; MAX_MESSAGES_PER_SECOND as usize];
    let frame = pair.client.seal_for_tests(&plain);
    pair.server.handle_input(pair.now, &frame);
    let one_more = pair.client.seal_for_tests(&[0]);
    pair.now += std::time::Duration::from_secs(1);
    pair.server.handle_input(pair.now, &one_more);
    assert!(!pair.server.is_closed());
    let frame = pair.client.seal_for_tests(&plain);
    pair.server.handle_input(pair.now, &frame);
    assert_eq!(pair.server_closed(), Some(violation(Violation::Flood)));
    assert_eq!(Violation::Flood.reason(), CloseReason::RateLimitExceeded);
}

#[test]
fn every_violation_has_a_word_of_its_own() {
    let words = [
        Violation::BadPrefix.as_str(),
        Violation::Unexpected("Auth").as_str(),
        CloseCause::Violation(Violation::Decrypt).as_str(),
        CloseCause::Silent.as_str(),
    ];
    assert_eq!(words, ["bad_prefix", "unexpected", "decrypt", "silent"]);
}
