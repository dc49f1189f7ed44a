//! Going away in each role.

use crate::fake::Process;
use crate::net::Net;
use crate::specs;
use kariz_proto::control::{Command, Event};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};

const ONE: &str = "10.0.0.1:2000";
const TWO: &str = "10.0.0.9:2000";

fn is_drain(command: &Command) -> Option<Duration> {
    match command {
        Command::Drain { deadline } => Some(*deadline),
        _ => None,
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_of_a_draining_server_goes_to_the_next_one_at_once() {
    let net = Arc::new(Net::default());
    let one = Process::start(&net, ONE, specs::server(&["ssh"])).await;
    let two = Process::start(&net, TWO, specs::server(&["ssh"])).await;
    let client = Process::start(&net, "10.0.0.2:0", specs::client(&[ONE, TWO], &["ssh"])).await;
    assert_eq!(client.fake.link_up(0).await.remote, ONE.parse().unwrap());
    let (mark, began) = (client.fake.mark(), Instant::now());
    let drain = tokio::spawn(async move {
        let ended = one.plane.drain(Duration::from_secs(30)).await;
        (one, ended)
    });
    assert_eq!(client.fake.link_up(mark).await.remote, TWO.parse().unwrap());
    assert!(began.elapsed() < Duration::from_millis(500), "{:?}", began.elapsed());
    client
        .fake
        .wait(mark, |command| {
            matches!(command, Command::LinkDown { .. }).then_some(())
        })
        .await;
    assert_eq!(two.fake.session_up(0).await.services.len(), 1);
    let (one, ended) = drain.await.unwrap();
    assert!(!ended, "nobody said that the visitors have ended");
    assert_eq!(began.elapsed().as_secs(), 30);
    assert_eq!(one.fake.wait(0, is_drain).await, Duration::from_secs(30));
    assert!(one.plane.snapshot().handshakes_refused == 0 || one.plane.snapshot().handshakes == 0);
}

#[tokio::test(start_paused = true)]
async fn a_draining_client_leaves_its_services_to_another() {
    let net = Arc::new(Net::default());
    let server = Process::start(&net, ONE, specs::server(&["ssh"])).await;
    let first = Process::start(&net, "10.0.0.2:0", specs::client(&[ONE], &["ssh"])).await;
    let lost = server.fake.session_up(0).await;
    let second = Process::start(&net, "10.0.0.3:0", specs::client(&[ONE], &["ssh"])).await;
    sleep(Duration::from_secs(10)).await;
    let began = Instant::now();
    let drain = tokio::spawn(async move { first.plane.drain(Duration::from_secs(30)).await });
    second
        .fake
        .wait(0, |command| match command {
            Command::LinkUp(spec) => (!spec.services.is_empty()).then_some(()),
            _ => None,
        })
        .await;
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    server
        .fake
        .wait(0, |command| match command {
            Command::SessionLost { session, .. } => (*session == lost.session).then_some(()),
            _ => None,
        })
        .await;
    drain.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_drain_is_over_when_the_visitors_are() {
    let net = Arc::new(Net::default());
    let relay = Process::start(&net, "10.0.0.5:0", specs::relay(&["web"])).await;
    let began = Instant::now();
    let arrivals = relay.arrivals.clone();
    tokio::spawn(async move {
        sleep(Duration::from_secs(3)).await;
        arrivals
            .send(kariz_actors::dataplane::Arrival::Event(Event::Drained))
            .await
            .unwrap();
    });
    assert!(relay.plane.drain(Duration::from_secs(30)).await);
    assert_eq!(began.elapsed().as_secs(), 3);
    assert_eq!(relay.fake.wait(0, is_drain).await, Duration::from_secs(30));
}

#[tokio::test(start_paused = true)]
async fn a_draining_server_takes_no_new_client_and_a_draining_client_dials_no_more() {
    let net = Arc::new(Net::default());
    let server = Process::start(&net, ONE, specs::server(&["ssh"])).await;
    let client = Process::start(&net, "10.0.0.2:0", specs::client(&[ONE], &["ssh"])).await;
    client.fake.link_up(0).await;
    let plane = tokio::spawn(async move {
        client.plane.drain(Duration::from_secs(10)).await;
        sleep(Duration::from_secs(60)).await;
    });
    sleep(Duration::from_secs(60)).await;
    assert_eq!(net.dials(), 1);
    server.plane.drain(Duration::from_secs(1)).await;
    let mark = server.fake.mark();
    let late = Process::start(&net, "10.0.0.3:0", specs::client(&[ONE], &["ssh"])).await;
    sleep(Duration::from_secs(30)).await;
    assert!(server.plane.snapshot().handshakes_refused > 0);
    assert!(
        !server
            .fake
            .since(mark)
            .iter()
            .any(|command| matches!(command, Command::SessionUp(_)))
    );
    drop(late);
    plane.abort();
}
