//! Another specification comes into force.

use crate::fake::Process;
use crate::net::Net;
use crate::specs;
use kariz_proto::control::Command;
use kariz_proto::model::{Limits, Rate, Spec, Strategy, Token};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

const SERVER: &str = "10.0.0.1:2000";

async fn pair(names: &[&str]) -> (Arc<Net>, Process, Process) {
    let net = Arc::new(Net::default());
    let server = Process::start(&net, SERVER, specs::server(names)).await;
    let client = Process::start(&net, "10.0.0.2:0", specs::client(&[SERVER], names)).await;
    server.fake.session_up(0).await;
    client.fake.link_up(0).await;
    (net, server, client)
}

/// Names of the services that the newest `SessionUp` or `LinkUp` has.
fn served(process: &Process) -> usize {
    let commands = process.fake.commands();
    let mut counts = commands.iter().filter_map(|command| match command {
        Command::SessionUp(spec) => Some(spec.services.len()),
        Command::LinkUp(spec) => Some(spec.services.len()),
        _ => None,
    });
    counts.next_back().unwrap_or(0)
}

#[tokio::test(start_paused = true)]
async fn services_come_and_go_without_touching_the_others() {
    let (net, server, client) = pair(&["ssh", "web"]).await;
    let ssh = server.fake.open_service(0, "ssh").await.service;
    let web = server.fake.open_service(0, "web").await.service;
    let (at_server, at_client) = (server.fake.mark(), client.fake.mark());
    let mut spec = specs::server(&["ssh", "web", "mail"]);
    spec.server.as_mut().unwrap().services.remove("web");
    server.plane.reload(spec).await;
    let report = client.plane.reload(specs::client(&[SERVER], &["ssh", "mail"])).await;
    assert!(report.needs_restart.is_empty());
    let mail = server.fake.open_service(at_server, "mail").await.service;
    sleep(Duration::from_secs(20)).await;
    let since = server.fake.since(at_server);
    let closed: Vec<_> = since
        .iter()
        .filter_map(|command| match command {
            Command::CloseService { service } => Some(*service),
            _ => None,
        })
        .collect();
    assert_eq!(closed, [web]);
    assert!(
        !since
            .iter()
            .any(|command| matches!(command, Command::OpenService(service) if service.service == ssh))
    );
    assert!(mail != ssh && mail != web, "ids are not used again");
    assert!(since.iter().all(|command| match command {
        Command::SessionUp(spec) => spec.services.iter().any(|service| service.service == ssh),
        Command::SessionLost { .. } | Command::SessionDown { .. } => false,
        _ => true,
    }));
    assert!(
        client
            .fake
            .since(at_client)
            .iter()
            .any(|command| matches!(command, Command::TargetGone { .. }))
    );
    assert!(
        !client
            .fake
            .since(at_client)
            .iter()
            .any(|command| matches!(command, Command::LinkDown { .. }))
    );
    assert_eq!((served(&server), served(&client), net.dials()), (2, 2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_service_added_at_the_server_alone_is_found_by_the_waiting_client() {
    let net = Arc::new(Net::default());
    let server = Process::start(&net, SERVER, specs::server(&["ssh"])).await;
    let client = Process::start(&net, "10.0.0.2:0", specs::client(&[SERVER], &["ssh", "web"])).await;
    client.fake.link_up(0).await;
    sleep(Duration::from_secs(30)).await;
    assert_eq!(served(&client), 1);
    server.plane.reload(specs::server(&["ssh", "web"])).await;
    sleep(Duration::from_secs(6)).await;
    assert_eq!((served(&server), served(&client)), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn a_changed_token_is_asked_for_anew() {
    let (net, server, client) = pair(&["ssh", "web"]).await;
    let mut spec = specs::server(&["ssh", "web"]);
    spec.server.as_mut().unwrap().services.get_mut("web").unwrap().token = Token::new("the token of tomorrow");
    server.plane.reload(spec).await;
    sleep(Duration::from_secs(20)).await;
    assert_eq!((served(&server), served(&client)), (1, 1));
    let mut spec = specs::client(&[SERVER], &["ssh", "web"]);
    spec.client.as_mut().unwrap().services.get_mut("web").unwrap().token = Token::new("the token of tomorrow");
    client.plane.reload(spec).await;
    sleep(Duration::from_secs(20)).await;
    assert_eq!((served(&server), served(&client), net.dials()), (2, 2, 1));
}

#[tokio::test(start_paused = true)]
async fn another_public_address_is_opened_in_place_of_the_old_one() {
    let (_net, server, _client) = pair(&["ssh"]).await;
    let before = server.fake.open_service(0, "ssh").await;
    let mark = server.fake.mark();
    let mut spec = specs::server(&["ssh"]);
    spec.server.as_mut().unwrap().services.get_mut("ssh").unwrap().listen = specs::listen(4444);
    server.plane.reload(spec).await;
    let after = server.fake.open_service(mark, "ssh").await;
    assert_eq!((after.service, after.listen), (before.service, specs::listen(4444)));
    assert_eq!(closed(&server, mark), 0, "the old one is kept until there is a new one");
}

/// Services that were closed.
fn closed(process: &Process, mark: usize) -> usize {
    let commands = process.fake.since(mark);
    let closed = |command: &&Command| matches!(command, Command::CloseService { .. });
    commands.iter().filter(closed).count()
}

fn moved(name: &str, port: u16) -> Spec {
    let mut spec = specs::server(&[name]);
    spec.server.as_mut().unwrap().services.get_mut(name).unwrap().listen = specs::listen(port);
    spec
}

#[tokio::test(start_paused = true)]
async fn a_service_whose_new_address_is_taken_keeps_the_old_one_and_moves_later() {
    let (_net, server, _client) = pair(&["ssh"]).await;
    server.fake.open_service(0, "ssh").await;
    *server.fake.occupied.lock().unwrap() = Some(4444);
    let mark = server.fake.mark();
    server.plane.reload(moved("ssh", 4444)).await;
    sleep(Duration::from_secs(12)).await;
    let tries = server.fake.since(mark).len();
    assert!((2..=4).contains(&tries), "{tries} tries in 12 s");
    assert_eq!(closed(&server, mark), 0);
    *server.fake.occupied.lock().unwrap() = None;
    sleep(Duration::from_secs(12)).await;
    assert_eq!(
        server.fake.since(mark).len(),
        tries + 1,
        "it has moved, and is left alone"
    );
}

#[tokio::test(start_paused = true)]
async fn services_that_change_places_let_go_first() {
    let (_net, server, _client) = pair(&["ssh", "web"]).await;
    let (ssh, web) = (
        server.fake.open_service(0, "ssh").await.listen,
        server.fake.open_service(0, "web").await.listen,
    );
    let mark = server.fake.mark();
    let mut spec = specs::server(&["ssh", "web"]);
    let services = &mut spec.server.as_mut().unwrap().services;
    services.get_mut("ssh").unwrap().listen = web;
    services.get_mut("web").unwrap().listen = ssh;
    server.plane.reload(spec).await;
    assert_eq!(closed(&server, mark), 2);
    assert_eq!(server.fake.open_service(mark, "ssh").await.listen, web);
    assert_eq!(server.fake.open_service(mark, "web").await.listen, ssh);
}

#[tokio::test(start_paused = true)]
async fn a_relay_that_cannot_move_goes_on_where_it_was_and_one_that_cannot_open_tries_again() {
    let net = Arc::new(Net::default());
    let relay = Process::start(&net, "10.0.0.5:0", specs::relay(&["web"])).await;
    *relay.fake.occupied.lock().unwrap() = Some(4444);
    let mark = relay.fake.mark();
    let mut spec = specs::relay(&["web"]);
    spec.relay.as_mut().unwrap().services.get_mut("web").unwrap().listen = specs::listen(4444);
    relay.plane.reload(spec).await;
    sleep(Duration::from_secs(12)).await;
    let tries = relay.fake.since(mark).len();
    assert!((2..=4).contains(&tries), "{tries} tries in 12 s");
    assert_eq!(closed(&relay, mark), 0);
    *relay.fake.occupied.lock().unwrap() = None;
    sleep(Duration::from_secs(12)).await;
    assert_eq!(relay.fake.since(mark).len(), tries + 1);
}

#[tokio::test(start_paused = true)]
async fn limits_change_and_what_needs_a_restart_is_named_and_left_alone() {
    let (_net, server, client) = pair(&["ssh"]).await;
    let mark = server.fake.mark();
    let mut spec = specs::server(&["ssh"]);
    let rate = Some(Rate {
        per_second: 1000,
        burst: 1000,
    });
    spec.limits = Limits {
        bytes: rate,
        ..Limits::default()
    };
    let changed = spec.server.as_mut().unwrap();
    changed.session_limits = Limits {
        messages: rate,
        visitors: Some(7),
        ..Limits::default()
    };
    changed.listen = vec![specs::listen(2222)];
    let report = server.plane.reload(spec).await;
    assert_eq!(report.needs_restart, ["server.bind_addrs"]);
    sleep(Duration::from_secs(1)).await;
    let service = server.fake.open_service(mark, "ssh").await;
    assert!(service.budgets.process.0.is_some());
    let up = server.fake.session_up(mark).await;
    assert!(up.budgets.session.1.is_some());
    assert_eq!(up.max_visitors, Some(7));
    assert!(
        !server
            .fake
            .since(mark)
            .iter()
            .any(|command| matches!(command, Command::ListenCarriers { .. }))
    );
    let mut spec = specs::client(&[SERVER], &["ssh"]);
    spec.client.as_mut().unwrap().strategy = Strategy::Balance;
    assert_eq!(client.plane.reload(spec).await.needs_restart, ["client.strategy"]);
}

#[tokio::test(start_paused = true)]
async fn a_relay_opens_and_closes_what_changed() {
    let net = Arc::new(Net::default());
    let relay = Process::start(&net, "10.0.0.5:0", specs::relay(&["web", "mail"])).await;
    let opened = |mark: usize| {
        let commands = relay.fake.since(mark);
        let names = commands.iter().filter_map(|command| match command {
            Command::OpenRelay(service, remote) => {
                assert_eq!(remote.remotes.len(), 2);
                assert!(remote.remotes.iter().all(|(_, addresses)| addresses.len() == 1));
                Some(service.name.to_string())
            }
            _ => None,
        });
        names.collect::<Vec<_>>()
    };
    assert_eq!(opened(0), ["mail", "web"]);
    let mark = relay.fake.mark();
    let mut spec = specs::relay(&["web", "mail", "dns"]);
    spec.relay.as_mut().unwrap().services.remove("mail");
    relay.plane.reload(spec).await;
    assert_eq!(opened(mark), ["dns"]);
    let since = relay.fake.since(mark);
    assert_eq!(
        since
            .iter()
            .filter(|command| matches!(command, Command::CloseService { .. }))
            .count(),
        1
    );
}
