//! Violations of a server on a live session: wants, grants and tickets that are not its to give.

use super::pair::*;
use super::violations::{client_takes, server_takes, violation, want};
use crate::model::Lane;
use crate::session::wire::control::Message;
use crate::session::*;
use std::time::Instant;

#[test]
fn wants_that_break_the_rules() {
    let voucher = || vec![0; 18];
    let too_many = vec![voucher(); MAX_VOUCHERS_PER_WANT + 1];
    assert_eq!(
        client_takes([want("web", Lane::Mux, too_many)]),
        violation(Violation::TooManyVouchers)
    );
    assert_eq!(
        client_takes([want("web", Lane::Direct, vec![voucher()])]),
        violation(Violation::WrongLane)
    );
    assert_eq!(
        client_takes([want("web", Lane::Mux, vec![vec![0; 17]])]),
        violation(Violation::Field("vouchers"))
    );
    assert_eq!(
        client_takes([want("", Lane::Mux, vec![])]),
        violation(Violation::Field("service"))
    );
}

#[test]
fn a_want_for_a_service_that_the_server_did_not_prove() {
    let now = Instant::now();
    let config = server_config(now, &[("web", "secret"), ("mail", "secret2")]);
    let services = vec![offer("web", "secret"), offer("mail", "other")];
    let mut pair = Pair::with_ticket(now, client_config(services), config, None);
    let (client, _) = pair.establish();
    assert_eq!(client.services[1].outcome, ServiceOutcome::Refused(Refusal::WrongToken));
    pair.client
        .take_for_tests(now, want("mail", Lane::Mux, vec![vec![0; 18]]));
    assert_eq!(pair.client_closed(), Some(violation(Violation::UnprovenService)));
}

#[test]
fn a_service_granted_without_proof_is_not_acted_on() {
    let mut pair = Pair::up();
    pair.client.register(pair.now, vec![offer("mail", "secret2")]).unwrap();
    let lie = wire::Result {
        name: "mail".into(),
        outcome: wire::result::Outcome::Ok.into(),
        proof: vec![0; 32],
        mux_version: 1,
        ..wire::Result::default()
    };
    let registered = wire::Registered {
        request: 1,
        services: vec![lie],
    };
    pair.client.take_for_tests(pair.now, Message::Registered(registered));
    pair.collect();
    let status = ServiceStatus {
        name: "mail".into(),
        outcome: ServiceOutcome::ServerUnproven,
    };
    assert_eq!(
        pair.client_events.last(),
        Some(&ClientEvent::Registered { services: vec![status] })
    );
    pair.client
        .take_for_tests(pair.now, want("mail", Lane::Mux, vec![vec![0; 18]]));
    assert_eq!(pair.client_closed(), Some(violation(Violation::UnprovenService)));
}

#[test]
fn values_of_the_server_outside_their_bounds() {
    let ticket = |ticket: usize, secret: usize| {
        Message::Ticket(wire::Ticket {
            ticket: vec![0; ticket],
            secret: vec![0; secret],
            lifetime_s: 1,
        })
    };
    assert_eq!(client_takes([ticket(5, 31)]), violation(Violation::Field("secret")));
    assert_eq!(
        client_takes([ticket(MAX_TICKET_BYTES + 1, 32)]),
        violation(Violation::Field("ticket"))
    );
    let names = Message::Unregister(wire::Unregister {
        services: vec![String::new()],
    });
    assert_eq!(client_takes([names]), violation(Violation::Field("service")));
    let results = vec![wire::Result::default(); 2];
    let registered = Message::Registered(wire::Registered {
        request: 0,
        services: results,
    });
    assert_eq!(client_takes([registered]), violation(Violation::DuplicateService));
    let results = (0..1025).map(|number| wire::Result {
        name: number.to_string(),
        ..wire::Result::default()
    });
    let registered = Message::Registered(wire::Registered {
        request: 0,
        services: results.collect(),
    });
    assert_eq!(client_takes([registered]), violation(Violation::TooManyServices));
}

#[test]
fn an_answer_without_a_question() {
    let registered = Message::Registered(wire::Registered {
        request: 9,
        services: vec![],
    });
    assert_eq!(client_takes([registered]), violation(Violation::UnknownRequest));
    let pong = || Message::Pong(wire::Pong::default());
    assert_eq!(client_takes([pong()]), violation(Violation::UnsolicitedPong));
    assert_eq!(server_takes([pong()]), violation(Violation::UnsolicitedPong));
}
