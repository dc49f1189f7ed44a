//! Sessions that come back with a ticket.

use super::pair::*;
use crate::control::InstanceId;
use crate::model::{Lane, ServiceName};
use crate::session::*;
use std::time::{Duration, Instant};

const SERVICES: [(&str, &str); 2] = [("web", "secret"), ("mail", "secret2")];

fn offers() -> Vec<ServiceOffer> {
    SERVICES.iter().map(|(name, token)| offer(name, token)).collect()
}

/// A ticket, and the server that gave it.
fn first_visit() -> (Instant, ServerConfig, ResumptionTicket) {
    let now = Instant::now();
    let server = server_config(now, &SERVICES);
    let mut pair = Pair::with_ticket(now, client_config(offers()), server.clone(), None);
    pair.establish();
    (now, server, pair.ticket())
}

fn return_with(now: Instant, client: ClientConfig, server: &ServerConfig, ticket: &ResumptionTicket) -> Pair {
    Pair::with_ticket(now, client, server.clone(), Some(ticket.clone()))
}

#[test]
fn a_client_comes_back_in_one_round_trip() {
    let (now, server, ticket) = first_visit();
    let mut pair = return_with(now, client_config(offers()), &server, &ticket);
    let hello = pair.client_sends();
    pair.server.handle_input(now, &hello);
    pair.collect();
    assert!(pair.auth_request().resumed);
    pair.server
        .accept(now, decision(vec![Grant::Ok; 2]), &mut pair.dice)
        .unwrap();
    let answer = pair.server_sends();
    pair.client.handle_input(now, &answer);
    pair.collect();
    let Some(ClientEvent::Established(client)) = pair.client_events.first().cloned() else {
        panic!("{:?}", pair.client_events);
    };
    assert!(client.resumed);
    assert_eq!(client.services.len(), 2);
    // Nothing has changed at the server before the client's first transport message.
    assert!(
        !pair
            .server_events
            .iter()
            .any(|event| matches!(event, ServerEvent::Established(_)))
    );
    pair.run();
    let Some(ServerEvent::Established(server)) = pair.server_events.get(1).cloned() else {
        panic!("{:?}", pair.server_events);
    };
    assert!(server.resumed);
    assert_eq!(server.carrier_key, client.carrier_key);
    assert_eq!(server.services.len(), 2);
}

#[test]
fn every_resumption_brings_the_next_ticket() {
    let (now, server, mut ticket) = first_visit();
    for _ in 0..5 {
        let mut pair = return_with(now, client_config(offers()), &server, &ticket);
        let (client, _) = pair.establish();
        assert!(client.resumed);
        ticket = pair.ticket();
    }
    assert_eq!(server.tickets.used(), 5);
}

#[test]
fn carrier_keys_differ_between_epochs() {
    let (now, server, ticket) = first_visit();
    let mut pair = return_with(now, client_config(offers()), &server, &ticket);
    let (first, _) = pair.establish();
    let ticket = pair.ticket();
    let mut pair = return_with(now, client_config(offers()), &server, &ticket);
    let (second, _) = pair.establish();
    assert_ne!(first.carrier_key, second.carrier_key);
}

#[test]
fn a_used_ticket_leads_to_a_full_handshake_on_the_same_connection() {
    let (now, server, ticket) = first_visit();
    return_with(now, client_config(offers()), &server, &ticket).establish();
    let (client, established) = return_with(now, client_config(offers()), &server, &ticket).establish();
    assert!(!client.resumed && !established.resumed);
    assert_eq!(client.services.len(), 2);
}

#[test]
fn an_expired_ticket_leads_to_a_full_handshake() {
    let (now, server, ticket) = first_visit();
    assert!(ticket.is_valid(now + TICKET_LIFETIME - Duration::from_millis(1)));
    let later = now + TICKET_LIFETIME;
    assert!(!ticket.is_valid(later));
    // A client whose clock runs behind brings it all the same.
    let mut late = ticket.clone();
    late.expires = later + Duration::from_secs(60);
    for ticket in [ticket, late] {
        assert!(
            !return_with(later, client_config(offers()), &server, &ticket)
                .establish()
                .0
                .resumed
        );
    }
}

#[test]
fn tickets_survive_the_rotation_of_keys_until_they_expire() {
    let (now, server, _) = first_visit();
    let mut at = now + TICKET_LIFETIME - Duration::from_secs(1);
    let mut pair = Pair::with_ticket(at, client_config(offers()), server.clone(), None);
    pair.establish();
    let ticket = pair.ticket();
    at += Duration::from_secs(1800);
    // Somebody else's ticket rotates the key.
    Pair::with_ticket(at, client_config(offers()), server.clone(), None).establish();
    assert!(
        return_with(at, client_config(offers()), &server, &ticket)
            .establish()
            .0
            .resumed
    );
}

#[test]
fn a_ticket_of_another_server_leads_to_a_full_handshake() {
    let (now, _, ticket) = first_visit();
    let mut other = server_config(now, &SERVICES);
    other.tickets = std::sync::Arc::new(TicketIssuer::new(now, &mut Dice(1)));
    assert!(
        !return_with(now, client_config(offers()), &other, &ticket)
            .establish()
            .0
            .resumed
    );
}

#[test]
fn a_changed_token_or_a_removed_service_makes_a_ticket_void() {
    for services in [
        [("web", "other"), ("mail", "secret2")],
        [("web", "secret"), ("post", "secret2")],
    ] {
        let (now, mut server, ticket) = first_visit();
        server.services = known(&services);
        let mut pair = return_with(now, client_config(offers()), &server, &ticket);
        pair.run();
        assert!(!pair.auth_request().resumed);
        assert_eq!(pair.auth_request().proven.len(), 1);
    }
}

#[test]
fn a_client_uses_no_ticket_for_services_that_it_offers_differently() {
    let (now, server, ticket) = first_visit();
    let mut changed = offers();
    changed[0].connection_pool += 1;
    assert!(
        !return_with(now, client_config(changed), &server, &ticket)
            .establish()
            .0
            .resumed
    );
    assert!(
        !return_with(now, client_config(offers()[..1].to_vec()), &server, &ticket)
            .establish()
            .0
            .resumed
    );
}

#[test]
fn services_beyond_the_ticket_are_registered_at_once() {
    let (now, mut server, ticket) = first_visit();
    server.services = known(&[("web", "secret"), ("mail", "secret2"), ("db", "secret3")]);
    let mut services = offers();
    services.push(offer("db", "secret3"));
    let mut pair = return_with(now, client_config(services), &server, &ticket);
    let (client, _) = pair.establish();
    assert!(client.resumed);
    assert_eq!(client.services.len(), 2);
    let proven = pair.server_events.iter().find_map(|event| match event {
        ServerEvent::Registering { proven, .. } => Some(proven[0].name.clone()),
        _ => None,
    });
    assert_eq!(proven, Some(ServiceName::from("db")));
}

#[test]
fn a_ticket_of_another_instance_is_a_violation() {
    let (now, server, ticket) = first_visit();
    let mut thief = client_config(offers());
    thief.instance = InstanceId([8; 16]);
    let mut pair = return_with(now, thief, &server, &ticket);
    pair.run();
    assert_eq!(
        pair.server_closed().unwrap().cause,
        CloseCause::Violation(Violation::ForeignTicket)
    );
    assert_eq!(server.tickets.used(), 0);
}

#[test]
fn a_service_that_was_taken_meanwhile_is_not_part_of_the_resumed_session() {
    let (now, server, ticket) = first_visit();
    let mut pair = return_with(now, client_config(offers()), &server, &ticket);
    pair.run();
    let names: Vec<_> = pair
        .auth_request()
        .proven
        .into_iter()
        .map(|service| service.name)
        .collect();
    pair.accept(
        names
            .iter()
            .map(|name| if **name == *"web" { Grant::Taken } else { Grant::Ok })
            .collect(),
    );
    let wanted = pair.server.want(pair.now, &"web".into(), Lane::Mux, &[]);
    assert_eq!(wanted, Err(SessionError::NotGranted));
    pair.server.grant(pair.now, &["web".into()]).unwrap();
    pair.run();
    assert!(matches!(
        pair.client_events.last(),
        Some(ClientEvent::Registered { .. })
    ));
}

#[test]
fn a_full_cache_of_used_tickets_accepts_none_until_some_expire() {
    let now = Instant::now();
    let issuer = TicketIssuer::new(now, &mut Dice(3));
    let used = |number: u64, expires_ms| wire::TicketState {
        id: [number.to_be_bytes(), [0; 8]].concat(),
        expires_ms,
        ..wire::TicketState::default()
    };
    for number in 0..MAX_USED_TICKETS as u64 {
        assert!(issuer.redeem(now, &used(number, 1000)));
    }
    assert_eq!(issuer.used(), MAX_USED_TICKETS);
    assert!(!issuer.redeem(now, &used(u64::MAX, 9000)));
    assert!(issuer.redeem(now + Duration::from_secs(1), &used(u64::MAX, 9000)));
    assert!(!issuer.redeem(now + Duration::from_secs(1), &used(u64::MAX, 9000)));
    assert_eq!(issuer.used(), 1);
}
