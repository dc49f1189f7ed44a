//! Handshakes with a peer that speaks Noise well and the protocol badly.

use super::pair::*;
use crate::model::Lane;
use crate::session::carrier::PREFIX_CONTROL;
use crate::session::noise::{MAX_NOISE_BYTES, Role, Seed, full};
use crate::session::*;
use prost::Message as _;
use std::time::Instant;

fn hello() -> wire::Hello {
    wire::Hello {
        version: 1,
        instance: vec![7; 16],
        features: Features::offered(Lane::Mux).0,
        required: Features::LANE_MUX.0,
    }
}

/// What a server makes of a Hello, and what its Challenge says.
fn server_hears(hello: &[u8]) -> (Option<CloseCause>, Option<wire::Challenge>) {
    let now = Instant::now();
    let mut server = ServerSession::new(now, server_config(now, &[]), &mut Dice::fresh());
    let mut handshake = full(Role::Initiator, &PREFIX_CONTROL, Seed::draw(&mut Dice::fresh()));
    let mut frame = vec![0; MAX_NOISE_BYTES];
    let length = handshake.write_message(hello, &mut frame).unwrap();
    let header = u16::try_from(length).unwrap().to_be_bytes();
    server.handle_input(now, &[&PREFIX_CONTROL, &header[..], &frame[..length]].concat());
    let cause = server.poll_event().map(|event| match event {
        ServerEvent::Closed(closed) => closed.cause,
        other => panic!("{other:?}"),
    });
    let challenge = server.poll_transmit().map(|answer| {
        let length = handshake.read_message(&answer[2..], &mut frame).unwrap();
        wire::Challenge::decode(&frame[..length]).unwrap()
    });
    (cause, challenge)
}

/// What a client makes of a Challenge.
fn client_hears(challenge: &wire::Challenge) -> CloseCause {
    let now = Instant::now();
    let config = client_config(vec![offer("web", "secret")]);
    let mut client = ClientSession::new(now, config, None, &mut Dice::fresh());
    let flight: Vec<u8> = std::iter::from_fn(|| client.poll_transmit()).flatten().collect();
    let mut handshake = full(Role::Responder, &PREFIX_CONTROL, Seed::draw(&mut Dice::fresh()));
    let mut frame = vec![0; MAX_NOISE_BYTES];
    handshake.read_message(&flight[6..], &mut frame).unwrap();
    let length = handshake.write_message(&challenge.encode_to_vec(), &mut frame).unwrap();
    let header = u16::try_from(length).unwrap().to_be_bytes();
    client.handle_input(now, &[&header[..], &frame[..length]].concat());
    match client.poll_event() {
        Some(ClientEvent::Closed(closed)) => closed.cause,
        other => panic!("{other:?}"),
    }
}

fn challenge() -> wire::Challenge {
    wire::Challenge {
        version: 1,
        features: Features::offered(Lane::Mux).0,
        ..wire::Challenge::default()
    }
}

#[test]
fn a_hello_of_another_version_is_refused_with_a_reason() {
    let (cause, challenge) = server_hears(&wire::Hello { version: 2, ..hello() }.encode_to_vec());
    assert_eq!(cause, Some(CloseCause::Violation(Violation::Version(2))));
    assert_eq!(challenge.unwrap().refused.unwrap().text, "unsupported version 2");
}

#[test]
fn a_required_feature_of_a_later_version_is_refused_by_its_bits() {
    let required = hello().required | 1 << 40;
    let (cause, challenge) = server_hears(&wire::Hello { required, ..hello() }.encode_to_vec());
    assert_eq!(cause, Some(CloseCause::Violation(Violation::RequiredFeatures(1 << 40))));
    assert_eq!(challenge.unwrap().refused.unwrap().features, 1 << 40);
}

#[test]
fn a_hello_that_says_nothing_useful_gets_no_answer() {
    let short = wire::Hello {
        instance: vec![7; 15],
        ..hello()
    }
    .encode_to_vec();
    let cause = |violation| (Some(CloseCause::Violation(violation)), None);
    assert_eq!(server_hears(&short), cause(Violation::Field("instance")));
    assert_eq!(server_hears(&[0xff]), cause(Violation::Malformed));
}

#[test]
fn fields_of_later_versions_in_a_hello_are_skipped() {
    let mut later = hello().encode_to_vec();
    later.extend_from_slice(&[0xa0, 0x06, 0x01]);
    let (cause, challenge) = server_hears(&later);
    assert_eq!(cause, None);
    assert_eq!(challenge.unwrap().features, hello().features);
}

#[test]
fn a_client_takes_only_what_it_has_offered() {
    let features = challenge().features | 1 << 40;
    let heard = client_hears(&wire::Challenge {
        features,
        ..challenge()
    });
    assert_eq!(heard, CloseCause::Violation(Violation::FeaturesNotOffered(1 << 40)));
    let heard = client_hears(&wire::Challenge {
        features: 0,
        ..challenge()
    });
    assert_eq!(
        heard,
        CloseCause::Violation(Violation::RequiredFeatures(Features::LANE_MUX.0))
    );
    let heard = client_hears(&wire::Challenge {
        version: 9,
        ..challenge()
    });
    assert_eq!(heard, CloseCause::Violation(Violation::Version(9)));
}

#[test]
fn the_longest_hello_is_heard_and_a_longer_one_is_not() {
    // The message that bears it begins with a public key of 32 bytes.
    let padded = |length: usize| {
        let mut hello = hello().encode_to_vec();
        let padding = length - 32 - hello.len() - 4;
        // Field 99, of a later version.
        hello.extend_from_slice(&[0x9a, 0x06]);
        prost::encoding::encode_varint(padding as u64, &mut hello);
        hello.resize(hello.len() + padding, 0);
        hello
    };
    let (cause, challenge) = server_hears(&padded(MAX_HELLO_BYTES));
    assert_eq!((cause, challenge.map(|challenge| challenge.version)), (None, Some(1)));
    let (cause, challenge) = server_hears(&padded(MAX_HELLO_BYTES + 1));
    assert_eq!(cause, Some(CloseCause::Violation(Violation::HandshakeTooLong)));
    assert_eq!(challenge, None);
}

#[test]
fn a_refusal_cannot_forge_log_lines() {
    let refused = Some(wire::Refused {
        features: 0,
        text: format!("no\n{}", "é".repeat(300)),
    });
    let CloseCause::Refused(text) = client_hears(&wire::Challenge { refused, ..challenge() }) else {
        panic!("not refused");
    };
    assert!(text.starts_with("no é") && text.len() <= MAX_TEXT_BYTES && text.len() >= MAX_TEXT_BYTES - 1);
}

#[test]
fn an_accept_in_a_full_handshake_is_unexpected() {
    let accept = Some(wire::Accept::default());
    let heard = client_hears(&wire::Challenge { accept, ..challenge() });
    assert_eq!(heard, CloseCause::Violation(Violation::Unexpected("Accept")));
}

#[test]
fn an_accept_with_values_outside_their_bounds_ends_the_session() {
    let good = |pair: &Pair| wire::Accept {
        session: 1,
        epoch: 1,
        carrier_key: vec![1; 32],
        heartbeat_ms: 5000,
        services: vec![wire::Result {
            name: "web".into(),
            outcome: wire::result::Outcome::Ok.into(),
            proof: pair.client.server_proof_for_tests("web", "secret"),
            mux_version: 1,
            ..wire::Result::default()
        }],
        ..wire::Accept::default()
    };
    let hears = |change: fn(&mut wire::Accept)| {
        let now = Instant::now();
        let config = server_config(now, &[("web", "secret")]);
        let mut pair = Pair::with_ticket(now, client_config(vec![offer("web", "secret")]), config, None);
        pair.run();
        let mut accept = good(&pair);
        change(&mut accept);
        pair.client.take_for_tests(now, wire::control::Message::Accept(accept));
        pair.client_closed().map(|closed| closed.cause)
    };
    let field = |name| Some(CloseCause::Violation(Violation::Field(name)));
    assert_eq!(hears(|_| {}), None);
    assert_eq!(hears(|accept| accept.carrier_key.truncate(31)), field("carrier_key"));
    assert_eq!(hears(|accept| accept.heartbeat_ms = 9), field("heartbeat_ms"));
    assert_eq!(hears(|accept| accept.services[0].mux_version = 0), field("mux_version"));
    let twice = |accept: &mut wire::Accept| accept.services.push(accept.services[0].clone());
    assert_eq!(hears(twice), Some(CloseCause::Violation(Violation::DuplicateService)));
    let nothing = |accept: &mut wire::Accept| accept.services.clear();
    assert_eq!(hears(nothing), Some(CloseCause::Violation(Violation::ServerProof)));
}

#[test]
fn a_server_cannot_raise_the_mux_version() {
    let now = Instant::now();
    let mut offered = offer("web", "secret");
    offered.mux_version = crate::model::MuxVersion::V1;
    let config = server_config(now, &[("web", "secret")]);
    let mut pair = Pair::with_ticket(now, client_config(vec![offered]), config, None);
    pair.establish();
    let proof = pair.client.server_proof_for_tests("mail", "secret2");
    let mut mail = offer("mail", "secret2");
    mail.mux_version = crate::model::MuxVersion::V1;
    pair.client.register(now, vec![mail]).unwrap();
    let result = wire::Result {
        name: "mail".into(),
        outcome: wire::result::Outcome::Ok.into(),
        proof,
        mux_version: 2,
        ..wire::Result::default()
    };
    let registered = wire::Registered {
        request: 1,
        services: vec![result],
    };
    pair.client
        .take_for_tests(now, wire::control::Message::Registered(registered));
    assert_eq!(
        pair.client_closed().unwrap().cause,
        CloseCause::Violation(Violation::Field("mux_version"))
    );
}
