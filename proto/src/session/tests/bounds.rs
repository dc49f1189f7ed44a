//! What is just within a bound is taken, and what is just beyond it is not.

use super::pair::*;
use super::violations::{client_takes, server_takes, violation};
use crate::control::{Voucher, WorkerIndex};
use crate::model::Lane;
use crate::session::noise::{MAX_NOISE_BYTES, TAG_BYTES};
use crate::session::wire::control::Message;
use crate::session::*;
use prost::encoding::encode_varint;
use std::time::{Duration, Instant};

/// A message of a later version, `length` bytes without its own length: from 16 KiB on.
fn later_message(length: usize) -> Vec<u8> {
    let mut plain = Vec::new();
    encode_varint(length as u64, &mut plain);
    // Control with field 99.
    plain.extend_from_slice(&[0x9a, 0x06]);
    encode_varint(length as u64 - 5, &mut plain);
    plain.resize(plain.len() + length - 5, 0);
    plain
}

#[test]
fn the_longest_message_is_taken_and_a_longer_one_is_not() {
    for (length, expected) in [
        (MAX_MESSAGE_BYTES, None),
        (MAX_MESSAGE_BYTES + 1, Some(violation(Violation::MessageTooLong))),
    ] {
        let mut pair = Pair::up();
        for part in later_message(length).chunks(MAX_NOISE_BYTES - TAG_BYTES) {
            let frame = pair.client.seal_for_tests(part);
            pair.server.handle_input(pair.now, &frame);
        }
        assert_eq!(pair.server_closed(), expected, "{length}");
    }
}

#[test]
fn a_message_beyond_the_longest_frame_goes_in_two() {
    let longest = MAX_NOISE_BYTES - TAG_BYTES - 3;
    for (length, second) in [(longest, None), (longest + 1, Some(2 + 1 + TAG_BYTES))] {
        let mut pair = Pair::up();
        let first = pair.client.seal_for_tests(&later_message(length));
        assert_eq!(first.len(), 2 + MAX_NOISE_BYTES);
        let rest = pair.client_sends();
        assert_eq!((!rest.is_empty()).then_some(rest.len()), second);
        pair.server.handle_input(pair.now, &[first, rest].concat());
        pair.client.ping(pair.now).unwrap();
        pair.run();
        assert!(matches!(pair.client_events.last(), Some(ClientEvent::Pong { .. })));
    }
}

#[test]
fn a_want_has_as_many_vouchers_as_its_bound_and_no_more() {
    let mut pair = Pair::up();
    let voucher = Voucher {
        worker: WorkerIndex(1),
        random: [5; 16],
    };
    let web = "web".into();
    let vouchers = [voucher; MAX_VOUCHERS_PER_WANT + 1];
    let wanted = pair.server.want(pair.now, &web, Lane::Mux, &vouchers);
    assert_eq!(wanted, Err(SessionError::Limit));
    let wanted = pair.server.want(pair.now, &web, Lane::Mux, &vouchers[1..]);
    assert_eq!(wanted, Ok(()));
    pair.run();
    let Some(ClientEvent::Want { vouchers, .. }) = pair.client_events.last() else {
        panic!("{:?}", pair.client_events);
    };
    assert_eq!(vouchers.len(), MAX_VOUCHERS_PER_WANT);
}

#[test]
fn more_names_than_services_may_exist_are_not_dropped() {
    let drop = || {
        let services = (0..1025).map(|number| number.to_string()).collect();
        Message::Unregister(wire::Unregister { services })
    };
    assert_eq!(server_takes([drop()]), violation(Violation::TooManyServices));
    assert_eq!(client_takes([drop()]), violation(Violation::TooManyServices));
    let mut pair = Pair::up();
    let services = (0..1024).map(|number| number.to_string()).collect();
    let most = Message::Unregister(wire::Unregister { services });
    pair.server.take_for_tests(pair.now, most);
    assert!(!pair.server.is_closed());
}

#[test]
fn the_longest_text_of_a_close_is_whole_and_a_longer_one_is_cut() {
    for length in [MAX_TEXT_BYTES - 1, MAX_TEXT_BYTES, MAX_TEXT_BYTES + 1] {
        let mut pair = Pair::up();
        let text = "x".repeat(length);
        pair.server.close(pair.now, CloseReason::Normal, Duration::ZERO, &text);
        pair.run();
        let heard = CloseCause::Peer("x".repeat(length.min(MAX_TEXT_BYTES)));
        assert_eq!(pair.client_closed().unwrap().cause, heard);
    }
}

#[test]
fn no_ticket_is_longer_than_its_bound() {
    let now = Instant::now();
    let issuer = TicketIssuer::new(now, &mut Dice(3));
    let seal = |secret: usize| {
        let state = wire::TicketState {
            secret: vec![0; secret],
            ..wire::TicketState::default()
        };
        issuer.seal(now, state, &mut Dice(4)).map(|ticket| ticket.len())
    };
    let fits = 16_000 + MAX_TICKET_BYTES - seal(16_000).unwrap();
    assert_eq!(seal(fits), Some(MAX_TICKET_BYTES));
    assert_eq!(seal(fits + 1), None);
}

#[test]
fn the_longest_ticket_crosses_in_both_directions() {
    let mut pair = Pair::up();
    let ticket = wire::Ticket {
        ticket: vec![0; MAX_TICKET_BYTES],
        secret: vec![0; 32],
        lifetime_s: 1,
    };
    pair.client.take_for_tests(pair.now, Message::Ticket(ticket));
    pair.collect();
    let ticket = pair.ticket();
    assert_eq!(ticket.ticket.len(), MAX_TICKET_BYTES);
    let config = server_config(pair.now, &[("web", "secret")]);
    let client = client_config(vec![offer("web", "secret")]);
    // The server has not sealed it, and asks for a full handshake.
    let (client, _) = Pair::with_ticket(pair.now, client, config, Some(ticket)).establish();
    assert!(!client.resumed);
}
