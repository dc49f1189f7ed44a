//! Who serves a service when several want to.

use crate::fake::{Fake, Process};
use crate::net::{Net, Path};
use crate::specs;
use kariz_proto::control::{Command, Epoch, SessionId};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};

const SERVER: &str = "10.0.0.1:2000";

/// The sessions that the workers were told to serve something, in order, without repetitions.
fn owners(fake: &Fake) -> Vec<SessionId> {
    let mut owners: Vec<SessionId> = fake
        .commands()
        .iter()
        .filter_map(|command| match command {
            Command::SessionUp(spec) if !spec.services.is_empty() => Some(spec.session),
            _ => None,
        })
        .collect();
    owners.dedup();
    owners
}

async fn two_clients(net: &Arc<Net>) -> (Process, Process, Process) {
    let server = Process::start(net, SERVER, specs::server(&["ssh"])).await;
    let first = Process::start(net, "10.0.0.2:0", specs::client(&[SERVER], &["ssh"])).await;
    first.fake.link_up(0).await;
    let second = Process::start(net, "10.0.0.3:0", specs::client(&[SERVER], &["ssh"])).await;
    (server, first, second)
}

#[tokio::test(start_paused = true)]
async fn the_same_instance_takes_over_at_once() {
    let net = Arc::new(Net::default());
    let server = Process::start(&net, SERVER, specs::server(&["ssh"])).await;
    let client = Process::start(&net, "10.0.0.2:0", specs::client(&[SERVER], &["ssh"])).await;
    let before = server.fake.session_up(0).await;
    client.fake.link_up(0).await;
    let (mark, cut) = (server.fake.mark(), Instant::now());
    // The server does not notice that the old connection is dead.
    net.set_all(Path::HalfOpen);
    let after = server.fake.session_up(mark).await;
    assert!(cut.elapsed() < Duration::from_secs(2), "{:?}", cut.elapsed());
    assert_eq!((after.session, after.epoch), (before.session, Epoch(2)));
    sleep(Duration::from_secs(60)).await;
    assert_eq!(owners(&server.fake), [before.session]);
    assert_eq!(server.plane.snapshot().sessions, 1);
}

#[tokio::test(start_paused = true)]
async fn a_second_client_does_not_take_a_service_from_a_living_one() {
    let net = Arc::new(Net::default());
    let (server, first, second) = two_clients(&net).await;
    sleep(Duration::from_secs(300)).await;
    assert_eq!(owners(&server.fake).len(), 1, "no flapping");
    assert!(second.fake.commands().iter().all(|command| match command {
        Command::LinkUp(spec) => spec.services.is_empty(),
        _ => true,
    }));
    assert!(
        !first
            .fake
            .commands()
            .iter()
            .any(|command| matches!(command, Command::LinkDown { .. }))
    );
    assert_eq!(net.dials(), 2, "both sessions stay up");
}

#[tokio::test(start_paused = true)]
async fn a_second_client_has_the_service_soon_after_the_first_falls_silent() {
    let net = Arc::new(Net::default());
    let (server, first, second) = two_clients(&net).await;
    sleep(Duration::from_secs(60)).await;
    let (at_server, silent) = (server.fake.mark(), Instant::now());
    net.set("10.0.0.2:0".parse().unwrap(), Path::Silent);
    // It must not come back either.
    drop(first);
    second
        .fake
        .wait(0, |command| match command {
            Command::LinkUp(spec) => (!spec.services.is_empty()).then_some(()),
            _ => None,
        })
        .await;
    assert!(silent.elapsed() <= Duration::from_secs(15), "{:?}", silent.elapsed());
    assert_eq!(owners(&server.fake).len(), 2);
    sleep(Duration::from_secs(60)).await;
    let since = server.fake.since(at_server);
    assert!(
        !since
            .iter()
            .any(|command| matches!(command, Command::CloseService { .. } | Command::OpenService(_))),
        "listeners stay open through a take-over: {since:#?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_second_client_has_the_service_when_the_first_is_over() {
    let net = Arc::new(Net::default());
    let (server, first, second) = two_clients(&net).await;
    sleep(Duration::from_secs(10)).await;
    drop(first);
    net.set("10.0.0.2:0".parse().unwrap(), Path::Cut);
    second
        .fake
        .wait(0, |command| match command {
            Command::LinkUp(spec) => (!spec.services.is_empty()).then_some(()),
            _ => None,
        })
        .await;
    assert_eq!(owners(&server.fake).len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_flaps_changes_nothing_for_the_one_that_serves() {
    let net = Arc::new(Net::default());
    let (server, first, second) = two_clients(&net).await;
    drop(second);
    for _ in 0..20 {
        let flapping = Process::start(&net, "10.0.0.4:0", specs::client(&[SERVER], &["ssh"])).await;
        sleep(Duration::from_millis(700)).await;
        drop(flapping);
        net.set("10.0.0.4:0".parse().unwrap(), Path::Cut);
    }
    assert_eq!(owners(&server.fake).len(), 1);
    assert!(
        !first
            .fake
            .commands()
            .iter()
            .any(|command| matches!(command, Command::LinkDown { .. }))
    );
    sleep(Duration::from_secs(40)).await;
    assert_eq!(server.plane.snapshot().sessions, 1, "what has flapped is gone");
}

#[tokio::test(start_paused = true)]
async fn a_thousand_contested_services_change_hands_together() {
    let net = Arc::new(Net::default());
    let names: Vec<String> = (0..1024).map(|index| format!("service number {index}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let server = Process::start(&net, SERVER, specs::server(&names)).await;
    let first = Process::start(&net, "10.0.0.2:0", specs::client(&[SERVER], &names)).await;
    first.fake.link_up(0).await;
    let second = Process::start(&net, "10.0.0.3:0", specs::client(&[SERVER], &names)).await;
    sleep(Duration::from_secs(60)).await;
    assert_eq!(owners(&server.fake).len(), 1);
    assert_eq!(
        server.plane.snapshot().sessions,
        2,
        "nobody is killed for not keeping up"
    );
    let (mark, silent) = (server.fake.mark(), Instant::now());
    drop(first);
    net.set("10.0.0.2:0".parse().unwrap(), Path::Silent);
    second
        .fake
        .wait(0, |command| match command {
            Command::LinkUp(spec) => (spec.services.len() == 1024).then_some(()),
            _ => None,
        })
        .await;
    assert!(silent.elapsed() <= Duration::from_secs(15), "{:?}", silent.elapsed());
    sleep(Duration::from_secs(60)).await;
    let since = server.fake.since(mark);
    let told = since
        .iter()
        .filter(|command| matches!(command, Command::SessionUp(_)))
        .count();
    assert!(told < 200, "the workers were told {told} times");
    assert!(
        !since
            .iter()
            .any(|command| matches!(command, Command::CloseService { .. } | Command::OpenService(_)))
    );
}
