//! Sessions that come up, and services that come and go.

use super::pair::*;
use crate::control::{Voucher, WorkerIndex};
use crate::model::{Lane, MuxVersion, ServiceName};
use crate::session::*;
use std::time::{Duration, Instant};

fn registered(pair: &Pair) -> Vec<ServiceStatus> {
    let mut events = pair.client_events.iter().filter_map(|event| match event {
        ClientEvent::Registered { services } => Some(services.clone()),
        _ => None,
    });
    events.next_back().unwrap_or_default()
}

fn status(name: &str, outcome: ServiceOutcome) -> ServiceStatus {
    ServiceStatus {
        name: name.into(),
        outcome,
    }
}

const OK_V1: ServiceOutcome = ServiceOutcome::Ok {
    mux_version: MuxVersion::V1,
};
const VOUCHER: Voucher = Voucher {
    worker: WorkerIndex(1),
    random: [5; 16],
};

#[test]
fn both_ends_agree_on_everything() {
    let now = Instant::now();
    let client = client_config(vec![offer("web", "secret"), offer("mail", "secret2")]);
    let mut pair = Pair::new(client, server_config(now, &[("web", "secret"), ("mail", "secret2")]));
    let (client, server) = pair.establish();
    assert_eq!((client.session, client.epoch), (server.session, server.epoch));
    assert_eq!(client.carrier_key, server.carrier_key);
    assert_eq!(client.features, server.features);
    assert!(client.features.contains(Features::KARIZ_MUX));
    assert_eq!((client.max_carriers, client.max_visitors), (100, Some(1000)));
    // The lower version of both ends, in the order of the offer.
    assert_eq!(client.services, [status("web", OK_V1), status("mail", OK_V1)]);
    assert!(
        server
            .services
            .iter()
            .all(|service| service.mux_version == MuxVersion::V1)
    );
    assert_eq!(pair.auth_request().proven[0].connection_pool, 8);
}

#[test]
fn a_thousand_services_with_the_longest_names_come_up() {
    let names: Vec<String> = (0..1024).map(|number| format!("{number:0>64}")).collect();
    let services: Vec<_> = names.iter().map(|name| (name.as_str(), "secret")).collect();
    let client = client_config(names.iter().map(|name| offer(name, "secret")).collect());
    let mut pair = Pair::new(client, server_config(Instant::now(), &services));
    let (client, server) = pair.establish();
    assert_eq!((client.services.len(), server.services.len()), (1024, 1024));
    assert!(
        !pair
            .client_events
            .iter()
            .any(|event| matches!(event, ClientEvent::Ticket(_)))
    );
    assert_eq!(
        pair.server.send_ticket(pair.now, &mut pair.dice),
        Err(SessionError::NoTicket)
    );
}

#[test]
fn wrong_tokens_and_unknown_names_get_the_same_answer_when_nothing_is_proven() {
    let known = [("web", "secret")];
    for services in [vec![offer("web", "wrong")], vec![offer("nothing", "secret")]] {
        let mut pair = Pair::new(client_config(services), server_config(Instant::now(), &known));
        pair.run();
        assert_eq!(pair.client_closed().unwrap().cause, CloseCause::Rejected);
        assert_eq!(pair.server_closed().unwrap().cause, CloseCause::Rejected);
        assert!(
            !pair
                .client_events
                .iter()
                .any(|event| matches!(event, ClientEvent::Established(_)))
        );
    }
}

#[test]
fn reasons_are_named_to_a_client_that_has_proven_a_service() {
    let client = client_config(vec![
        offer("web", "secret"),
        offer("mail", "wrong"),
        offer("nothing", "secret"),
    ]);
    let mut pair = Pair::new(
        client,
        server_config(Instant::now(), &[("web", "secret"), ("mail", "secret2")]),
    );
    let (client, _) = pair.establish();
    let refused = |name, refusal| status(name, ServiceOutcome::Refused(refusal));
    let expected = [
        status("web", OK_V1),
        refused("mail", Refusal::WrongToken),
        refused("nothing", Refusal::UnknownService),
    ];
    assert_eq!(client.services, expected);
    assert_eq!(pair.auth_request().refused, ["mail".into(), "nothing".into()]);
}

#[test]
fn a_taken_service_is_granted_when_it_comes_free() {
    let client = client_config(vec![offer("web", "secret")]);
    let mut pair = Pair::new(client, server_config(Instant::now(), &[("web", "secret")]));
    pair.run();
    pair.accept(vec![Grant::Taken]);
    let web = "web".into();
    assert_eq!(
        pair.server.want(pair.now, &web, Lane::Mux, &[VOUCHER]),
        Err(SessionError::NotGranted)
    );
    pair.server.grant(pair.now, std::slice::from_ref(&web)).unwrap();
    pair.run();
    assert_eq!(registered(&pair), [status("web", OK_V1)]);
    pair.server.want(pair.now, &web, Lane::Mux, &[VOUCHER]).unwrap();
    pair.run();
    let want = ClientEvent::Want {
        service: web,
        lane: Lane::Mux,
        vouchers: vec![VOUCHER],
    };
    assert_eq!(pair.client_events.last(), Some(&want));
}

#[test]
fn services_are_registered_and_dropped_on_a_live_session() {
    let mut pair = Pair::up();
    pair.client
        .register(pair.now, vec![offer("mail", "secret2"), offer("db", "wrong")])
        .unwrap();
    pair.run();
    let Some(ServerEvent::Registering { request, proven }) = pair.server_events.last().cloned() else {
        panic!("{:?}", pair.server_events);
    };
    assert_eq!(proven.len(), 1);
    pair.server.answer_register(pair.now, request, &[Grant::Ok]).unwrap();
    assert_eq!(
        pair.server.answer_register(pair.now, request, &[]),
        Err(SessionError::NoSuchRequest)
    );
    pair.run();
    let refused = ServiceOutcome::Refused(Refusal::WrongToken);
    assert_eq!(registered(&pair), [status("db", refused), status("mail", OK_V1)]);

    let mail = "mail".into();
    pair.client.unregister(pair.now, std::slice::from_ref(&mail)).unwrap();
    pair.run();
    assert_eq!(
        pair.server_events.last(),
        Some(&ServerEvent::Unregistered {
            services: vec![mail.clone()]
        })
    );
    assert_eq!(
        pair.server.want(pair.now, &mail, Lane::Mux, &[VOUCHER]),
        Err(SessionError::NotGranted)
    );
}

#[test]
fn a_service_that_the_server_drops_can_be_registered_again() {
    let mut pair = Pair::up();
    let web = [ServiceName::from("web")];
    pair.server.unregister(pair.now, &web).unwrap();
    pair.run();
    assert_eq!(
        pair.client_events.last(),
        Some(&ClientEvent::Dropped { services: web.to_vec() })
    );
    pair.client.register(pair.now, vec![offer("web", "secret")]).unwrap();
    pair.run();
    pair.server.answer_register(pair.now, 1, &[Grant::Ok]).unwrap();
    pair.run();
    assert_eq!(registered(&pair), [status("web", OK_V1)]);
}

#[test]
fn a_service_dropped_while_it_is_asked_about_is_given_back() {
    let mut pair = Pair::up();
    let mail = [ServiceName::from("mail")];
    pair.client.register(pair.now, vec![offer("mail", "secret2")]).unwrap();
    pair.client.unregister(pair.now, &mail).unwrap();
    pair.run();
    pair.server.answer_register(pair.now, 1, &[Grant::Ok]).unwrap();
    pair.run();
    assert_eq!(
        pair.server_events.last(),
        Some(&ServerEvent::Unregistered {
            services: mail.to_vec()
        })
    );
    assert_eq!(registered(&pair), []);
    assert!(!pair.client.is_closed());
}

#[test]
fn a_want_that_crosses_an_unregister_is_ignored() {
    let mut pair = Pair::up();
    let web = ServiceName::from("web");
    pair.server.want(pair.now, &web, Lane::Mux, &[VOUCHER]).unwrap();
    pair.client.unregister(pair.now, &[web]).unwrap();
    pair.run();
    assert!(
        !pair
            .client_events
            .iter()
            .any(|event| matches!(event, ClientEvent::Want { .. }))
    );
    assert!(!pair.client.is_closed() && !pair.server.is_closed());
}

#[test]
fn a_session_holds_no_more_services_than_its_bound() {
    let mut pair = Pair::up();
    let names: Vec<String> = (0..1024).map(|number| format!("service-{number}")).collect();
    let too_many = names.iter().map(|name| offer(name, "x")).collect();
    assert_eq!(pair.client.register(pair.now, too_many), Err(SessionError::Limit));
    let most = names[1..].iter().map(|name| offer(name, "x")).collect();
    assert_eq!(pair.client.register(pair.now, most), Ok(()));
    let twice = vec![offer("mail", "x"), offer("mail", "y")];
    assert_eq!(pair.client.register(pair.now, twice), Err(SessionError::Duplicate));
}

#[test]
fn no_more_registers_wait_than_their_bound() {
    let mut pair = Pair::up();
    for _ in 0..MAX_REGISTER_REQUESTS {
        pair.client.register(pair.now, vec![offer("mail", "secret2")]).unwrap();
    }
    assert_eq!(
        pair.client.register(pair.now, vec![offer("db", "secret3")]),
        Err(SessionError::Limit)
    );
    pair.run();
    assert!(!pair.server.is_closed());
}

#[test]
fn round_trip_times_are_measured_in_both_directions() {
    let mut pair = Pair::up();
    pair.pass(HEARTBEAT);
    let rtt = Duration::ZERO;
    assert!(pair.client_events.contains(&ClientEvent::Pong { rtt }));
    assert!(pair.server_events.contains(&ServerEvent::Pong { rtt }));
}

#[test]
fn an_idle_session_lives_for_a_day() {
    let mut pair = Pair::up();
    pair.pass(Duration::from_secs(86400));
    assert!(!pair.client.is_closed() && !pair.server.is_closed());
}

#[test]
fn a_service_that_the_server_drops_while_it_is_asked_about_is_answered_all_the_same() {
    let mut pair = Pair::up();
    let web = [ServiceName::from("web")];
    pair.client.register(pair.now, vec![offer("web", "secret")]).unwrap();
    pair.run();
    pair.server.unregister(pair.now, &web).unwrap();
    pair.server.answer_register(pair.now, 1, &[Grant::Ok]).unwrap();
    pair.run();
    assert_eq!(registered(&pair), [status("web", OK_V1)]);
    assert_eq!(pair.server.want(pair.now, &web[0], Lane::Mux, &[VOUCHER]), Ok(()));
}

#[test]
fn a_service_offered_anew_with_a_wrong_token_is_lost() {
    let mut pair = Pair::up();
    pair.client.register(pair.now, vec![offer("web", "wrong")]).unwrap();
    pair.run();
    let lost = ServerEvent::Unregistered {
        services: vec!["web".into()],
    };
    assert_eq!(pair.server_events.last(), Some(&lost));
    let refused = ServiceOutcome::Refused(Refusal::WrongToken);
    assert_eq!(registered(&pair), [status("web", refused)]);
}

#[test]
fn what_just_finds_room_is_asked_about() {
    let mut pair = Pair::up();
    let names: Vec<String> = (1..1024).map(|number| format!("service-{number}")).collect();
    let services: Vec<_> = names.iter().map(|name| (name.as_str(), "secret")).collect();
    pair.server.set_services(known(&services));
    let offers = names.iter().map(|name| offer(name, "secret")).collect();
    pair.client.register(pair.now, offers).unwrap();
    pair.run();
    let Some(ServerEvent::Registering { proven, .. }) = pair.server_events.last() else {
        panic!("{:?}", pair.server_events);
    };
    assert_eq!(proven.len(), 1023);
}

#[test]
fn what_finds_no_room_is_at_its_limit() {
    let mut pair = Pair::up();
    let names: Vec<String> = (0..1024).map(|number| format!("service-{number}")).collect();
    let services: Vec<_> = names
        .iter()
        .map(|name| (name.as_str(), "secret"))
        .chain([("web", "secret")])
        .collect();
    pair.server.set_services(known(&services));
    // A client that does not keep to the bound of its own end.
    let offers = names.iter().map(|name| wire::Offer {
        name: name.clone(),
        proof: pair.client.proof_for_tests(name, "secret"),
        mux_version: 1,
        ..wire::Offer::default()
    });
    let register = wire::Register {
        request: 1,
        services: offers.collect(),
    };
    pair.server
        .take_for_tests(pair.now, wire::control::Message::Register(register));
    pair.collect();
    assert!(
        !pair
            .server_events
            .iter()
            .any(|event| matches!(event, ServerEvent::Registering { .. }))
    );
    let answer = pair.server_sends();
    let wire::control::Message::Registered(registered) = pair.client.read_for_tests(&answer) else {
        panic!("not an answer");
    };
    let limit = wire::result::Outcome::Limit as i32;
    assert!(registered.services.len() == 1024 && registered.services.iter().all(|result| result.outcome == limit));
}
