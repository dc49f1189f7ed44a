//! Several servers.

use crate::fake::Process;
use crate::net::{Net, Path};
use crate::specs;
use kariz_proto::control::Command;
use kariz_proto::model::Strategy;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};

const ONE: &str = "10.0.0.1:2000";
const TWO: &str = "10.0.0.9:2000";

#[tokio::test(start_paused = true)]
async fn failover_uses_the_next_server_and_returns_to_the_first() {
    let net = Arc::new(Net::default());
    let one = Process::start(&net, ONE, specs::server(&["ssh"])).await;
    let _two = Process::start(&net, TWO, specs::server(&["ssh"])).await;
    let client = Process::start(&net, "10.0.0.2:0", specs::client(&[ONE, TWO], &["ssh"])).await;
    assert_eq!(client.fake.link_up(0).await.remote, ONE.parse().unwrap());
    let (mark, began) = (client.fake.mark(), Instant::now());
    net.close(ONE.parse().unwrap()).unwrap();
    net.set_all(Path::Cut);
    assert_eq!(client.fake.link_up(mark).await.remote, TWO.parse().unwrap());
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    sleep(Duration::from_secs(60)).await;
    let (mark, back) = (client.fake.mark(), Instant::now());
    net.listen(ONE.parse().unwrap(), one.arrivals.clone());
    assert_eq!(client.fake.link_up(mark).await.remote, ONE.parse().unwrap());
    assert!(back.elapsed() <= Duration::from_secs(11), "{:?}", back.elapsed());
    client
        .fake
        .wait(mark, |command| {
            matches!(command, Command::LinkDown { .. }).then_some(())
        })
        .await;
    sleep(Duration::from_secs(60)).await;
    assert_eq!(client.plane.snapshot().links, 1);
}

#[tokio::test(start_paused = true)]
async fn balance_keeps_a_session_with_every_server() {
    let net = Arc::new(Net::default());
    let one = Process::start(&net, ONE, specs::server(&["ssh"])).await;
    let two = Process::start(&net, TWO, specs::server(&["ssh"])).await;
    let mut spec = specs::client(&[ONE, TWO], &["ssh"]);
    spec.client.as_mut().unwrap().strategy = Strategy::Balance;
    let client = Process::start(&net, "10.0.0.2:0", spec).await;
    one.fake.session_up(0).await;
    two.fake.session_up(0).await;
    sleep(Duration::from_secs(1)).await;
    assert_eq!(client.plane.snapshot().links, 2);
    let commands = client.fake.commands();
    let links: BTreeSet<_> = commands
        .iter()
        .filter_map(|command| match command {
            Command::LinkUp(spec) => Some((spec.link, spec.remote)),
            _ => None,
        })
        .collect();
    assert_eq!(links.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn balance_over_two_addresses_of_one_server_does_not_fight_with_itself() {
    let net = Arc::new(Net::default());
    let server = Process::start(&net, ONE, specs::server(&["ssh"])).await;
    net.listen(TWO.parse().unwrap(), server.arrivals.clone());
    let mut spec = specs::client(&[ONE, TWO], &["ssh"]);
    spec.client.as_mut().unwrap().strategy = Strategy::Balance;
    let client = Process::start(&net, "10.0.0.2:0", spec).await;
    sleep(Duration::from_secs(120)).await;
    assert_eq!(net.dials(), 2);
    assert!(
        !client
            .fake
            .commands()
            .iter()
            .any(|command| matches!(command, Command::LinkDown { .. }))
    );
}

#[tokio::test(start_paused = true)]
async fn an_impostor_without_the_token_is_told_nothing_and_the_next_server_is_used() {
    let net = Arc::new(Net::default());
    let mut spec = specs::server(&["ssh"]);
    spec.server
        .as_mut()
        .unwrap()
        .services
        .insert("ssh".into(), specs::server_service(4000, "does not know it"));
    let impostor = Process::start(&net, ONE, spec).await;
    let _two = Process::start(&net, TWO, specs::server(&["ssh"])).await;
    let client = Process::start(&net, "10.0.0.2:0", specs::client(&[ONE, TWO], &["ssh"])).await;
    assert_eq!(client.fake.link_up(0).await.remote, TWO.parse().unwrap());
    sleep(Duration::from_secs(60)).await;
    assert!(
        !client
            .fake
            .commands()
            .iter()
            .any(|command| matches!(command, Command::LinkUp(spec) if spec.remote == ONE.parse().unwrap()))
    );
    assert!(
        !impostor
            .fake
            .commands()
            .iter()
            .any(|command| matches!(command, Command::SessionUp(_)))
    );
}
