//! A session comes up, carries wants, and comes back.

use crate::fake::Process;
use crate::net::{Net, Path};
use crate::specs;
use kariz_proto::control::{Command, Epoch, Event, Voucher, WorkerIndex};
use kariz_proto::model::Token;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};

const SERVER: &str = "10.0.0.1:2000";

async fn pair(names: &[&str]) -> (Arc<Net>, Process, Process) {
    let net = Arc::new(Net::default());
    let server = Process::start(&net, SERVER, specs::server(names)).await;
    let client = Process::start(&net, "10.0.0.2:0", specs::client(&[SERVER], names)).await;
    (net, server, client)
}

fn voucher(byte: u8) -> Voucher {
    Voucher {
        worker: WorkerIndex(1),
        random: [byte; 16],
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_opens_its_services_and_both_ends_agree_on_it() {
    let (_net, server, client) = pair(&["ssh", "web"]).await;
    let up = server.fake.session_up(0).await;
    let link = client.fake.link_up(0).await;
    assert_eq!(
        (up.session, up.epoch, &up.carrier_key),
        (link.session, link.epoch, &link.carrier_key)
    );
    assert_eq!((up.epoch, up.services.len(), link.services.len()), (Epoch(1), 2, 2));
    assert_eq!(up.services[0].pool, 8);
    assert_eq!(link.remote, SERVER.parse().unwrap());
    let opened = server.fake.open_service(0, "web").await;
    assert!(up.services.iter().any(|service| service.service == opened.service));
    let order = server.fake.commands();
    let position = |check: fn(&Command) -> bool| order.iter().position(check).unwrap();
    assert!(
        position(|command| matches!(command, Command::OpenService(_)))
            < position(|command| matches!(command, Command::SessionUp(_)))
    );
    assert!(
        order
            .iter()
            .any(|command| matches!(command, Command::ProbeListen { listen } if listen.ports.first() == 4001))
    );
    let targets = client.fake.commands();
    let told = |check: fn(&Command) -> bool| targets.iter().position(check).unwrap();
    assert!(
        told(|command| matches!(command, Command::Target(_))) < told(|command| matches!(command, Command::LinkUp(_)))
    );
    assert_eq!(
        (server.plane.snapshot().sessions, client.plane.snapshot().links),
        (1, 1)
    );
    assert_eq!(server.plane.snapshot().services_open, 2);
}

#[tokio::test(start_paused = true)]
async fn wants_become_dials_and_those_that_come_together_go_together() {
    let (_net, server, client) = pair(&["ssh"]).await;
    let up = server.fake.session_up(0).await;
    let link = client.fake.link_up(0).await;
    let mark = client.fake.mark();
    for byte in 0..10 {
        let (service, vouchers) = (up.services[0].service, vec![voucher(byte)]);
        server
            .event(Event::Want {
                session: up.session,
                epoch: up.epoch,
                service,
                vouchers,
            })
            .await;
    }
    let stale = Event::Want {
        session: up.session,
        epoch: Epoch(7),
        service: up.services[0].service,
        vouchers: vec![voucher(99)],
    };
    server.event(stale).await;
    sleep(Duration::from_secs(1)).await;
    let dials: Vec<_> = client
        .fake
        .since(mark)
        .into_iter()
        .filter_map(|command| match command {
            Command::Dial {
                link: of,
                service,
                vouchers,
            } => {
                assert_eq!((of, service), (link.link, link.services[0].0));
                Some(vouchers)
            }
            _ => None,
        })
        .collect();
    let all: Vec<Voucher> = dials.concat();
    assert_eq!(all, (0..10).map(voucher).collect::<Vec<_>>());
    assert!(dials.len() < 10, "coalesced into {}", dials.len());
}

#[tokio::test(start_paused = true)]
async fn a_lost_control_carrier_is_resumed_with_the_next_epoch_and_open_listeners() {
    let (net, server, client) = pair(&["ssh"]).await;
    let first = server.fake.session_up(0).await;
    client.fake.link_up(0).await;
    let (at_server, at_client) = (server.fake.mark(), client.fake.mark());
    net.set_all(Path::Cut);
    let second = server.fake.session_up(at_server).await;
    assert_eq!((second.session, second.epoch), (first.session, Epoch(2)));
    assert_ne!(second.carrier_key, first.carrier_key);
    assert_eq!(server.plane.snapshot().resumed, 1, "the ticket is used");
    let link = client.fake.link_up(at_client).await;
    assert_eq!((link.epoch, &link.carrier_key), (Epoch(2), &second.carrier_key));
    let lost = server.fake.wait(at_server, |command| match command {
        Command::SessionLost { session, epoch } => Some((*session, *epoch)),
        _ => None,
    });
    assert_eq!(lost.await, (first.session, Epoch(1)));
    client
        .fake
        .wait(at_client, |command| {
            matches!(command, Command::LinkDown { .. }).then_some(())
        })
        .await;
    sleep(Duration::from_secs(120)).await;
    let since = server.fake.since(at_server);
    assert!(
        !since
            .iter()
            .any(|command| matches!(command, Command::CloseService { .. } | Command::SessionDown { .. }))
    );
    assert!(
        !since.iter().any(|command| matches!(command, Command::OpenService(_))),
        "listeners are left alone"
    );
}

#[tokio::test(start_paused = true)]
async fn a_silent_path_is_noticed_at_both_ends_within_three_heartbeats() {
    let (net, server, client) = pair(&["ssh"]).await;
    server.fake.session_up(0).await;
    client.fake.link_up(0).await;
    let (at_server, at_client, cut) = (server.fake.mark(), client.fake.mark(), Instant::now());
    net.set_all(Path::Silent);
    client
        .fake
        .wait(at_client, |command| {
            matches!(command, Command::LinkDown { .. }).then_some(())
        })
        .await;
    assert!(cut.elapsed() <= Duration::from_secs(16), "{:?}", cut.elapsed());
    assert_eq!(server.fake.session_up(at_server).await.epoch, Epoch(2));
    assert!(cut.elapsed() <= Duration::from_secs(30), "{:?}", cut.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_ticket_outlives_dials_that_fail() {
    let (net, server, client) = pair(&["ssh"]).await;
    server.fake.session_up(0).await;
    client.fake.link_up(0).await;
    let (at_server, dials) = (server.fake.mark(), net.dials());
    let arrivals = net.close(SERVER.parse().unwrap()).unwrap();
    net.set_all(Path::Cut);
    sleep(Duration::from_secs(8)).await;
    assert!(net.dials() >= dials + 3, "some dials have failed");
    net.listen(SERVER.parse().unwrap(), arrivals);
    assert_eq!(server.fake.session_up(at_server).await.epoch, Epoch(2));
    assert_eq!(server.plane.snapshot().resumed, 1);
}

#[tokio::test(start_paused = true)]
async fn a_session_without_control_carrier_ends_after_session_timeout_and_its_listeners_close() {
    let (net, server, client) = pair(&["ssh"]).await;
    let up = server.fake.session_up(0).await;
    let (mark, lost) = (server.fake.mark(), Instant::now());
    net.close(SERVER.parse().unwrap()).unwrap();
    net.set_all(Path::Cut);
    let down = server.fake.wait(mark, |command| match command {
        Command::SessionDown { session } => Some(*session),
        _ => None,
    });
    assert_eq!(down.await, up.session);
    assert!(lost.elapsed() >= Duration::from_secs(30));
    server
        .fake
        .wait(mark, |command| match command {
            Command::CloseService { service } => (*service == up.services[0].service).then_some(()),
            _ => None,
        })
        .await;
    assert!(lost.elapsed() <= Duration::from_secs(32), "{:?}", lost.elapsed());
    assert_eq!(
        (server.plane.snapshot().sessions, server.plane.snapshot().services_open),
        (0, 0)
    );
    // The client has never given up, and is back as soon as the server is.
    let mark = server.fake.mark();
    net.listen(SERVER.parse().unwrap(), server.arrivals.clone());
    let again = server.fake.session_up(mark).await;
    assert_eq!(again.epoch, Epoch(1));
    assert_ne!(again.session, up.session);
    drop(client);
}

#[tokio::test(start_paused = true)]
async fn wrong_tokens_and_unknown_services_are_refused_and_tried_again_with_backoff() {
    let net = Arc::new(Net::default());
    let server = Process::start(&net, SERVER, specs::server(&["ssh"])).await;
    let mut spec = specs::client(&[SERVER], &["ssh"]);
    spec.client.as_mut().unwrap().services = BTreeMap::from([
        ("ssh".into(), specs::client_service("another token")),
        ("no".into(), specs::client_service("x")),
    ]);
    let client = Process::start(&net, "10.0.0.2:0", spec.clone()).await;
    sleep(Duration::from_secs(120)).await;
    assert!(
        !server
            .fake
            .commands()
            .iter()
            .any(|command| matches!(command, Command::SessionUp(_)))
    );
    assert!(
        !client
            .fake
            .commands()
            .iter()
            .any(|command| matches!(command, Command::LinkUp(_)))
    );
    let attempts = net.dials();
    assert!((20..=250).contains(&attempts), "{attempts} attempts in two minutes");
    assert_eq!(server.plane.snapshot().handshakes, 0);
    assert!(server.plane.snapshot().handshakes_failed >= 20);
    // The right token, by a reload of the client.
    spec.client
        .as_mut()
        .unwrap()
        .services
        .insert("ssh".into(), specs::client_service(specs::TOKEN));
    client.plane.reload(spec).await;
    assert_eq!(server.fake.session_up(0).await.services.len(), 1);
    assert_eq!(client.fake.link_up(0).await.services.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_refused_service_does_not_keep_the_others_from_working() {
    let net = Arc::new(Net::default());
    let server = Process::start(&net, SERVER, specs::server(&["ssh", "web"])).await;
    let mut spec = specs::client(&[SERVER], &["ssh", "web", "unknown"]);
    spec.client.as_mut().unwrap().services.get_mut("web").unwrap().token = Token::new("not the right one");
    let client = Process::start(&net, "10.0.0.2:0", spec).await;
    assert_eq!(server.fake.session_up(0).await.services.len(), 1);
    assert_eq!(client.fake.link_up(0).await.services.len(), 1);
    sleep(Duration::from_secs(60)).await;
    assert_eq!(net.dials(), 1, "refused services are offered again on the same session");
    assert!(
        !server
            .fake
            .commands()
            .iter()
            .any(|command| matches!(command, Command::OpenService(service) if &*service.name == "web"))
    );
}

#[tokio::test(start_paused = true)]
async fn a_thousand_and_twenty_four_services_fit_into_one_session() {
    let names: Vec<String> = (0..1024).map(|index| format!("service number {index}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let (net, server, client) = pair(&names).await;
    assert_eq!(server.fake.session_up(0).await.services.len(), 1024);
    assert_eq!(client.fake.link_up(0).await.services.len(), 1024);
    let (at_server, at_client) = (server.fake.mark(), client.fake.mark());
    net.set_all(Path::Cut);
    assert_eq!(server.fake.session_up(at_server).await.services.len(), 1024);
    assert_eq!(client.fake.link_up(at_client).await.services.len(), 1024);
    assert_eq!(server.plane.snapshot().services_open, 1024);
}
