//! Actors that panic, peers that stall, workers that die.

use crate::fake::Process;
use crate::net::{Net, Path};
use crate::specs;
use kariz_actors::dataplane::ControlStream;
use kariz_proto::control::{Command, Event, WorkerIndex};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};

const SERVER: &str = "10.0.0.1:2000";

#[tokio::test(start_paused = true)]
async fn a_session_that_panics_ends_alone_and_its_client_comes_back() {
    let net = Arc::new(Net::default());
    let server = Process::start(&net, SERVER, specs::server(&["ssh", "web"])).await;
    let first = Process::start(&net, "10.0.0.2:0", specs::client(&[SERVER], &["ssh"])).await;
    let doomed = server.fake.session_up(0).await.session;
    let mark = server.fake.mark();
    let second = Process::start(&net, "10.0.0.3:0", specs::client(&[SERVER], &["web"])).await;
    let other = server.fake.session_up(mark).await.session;
    let (at_server, at_first, at_second) = (server.fake.mark(), first.fake.mark(), second.fake.mark());
    let check = move |command: &Command| matches!(command, Command::SessionLost { session, .. } if *session == doomed);
    *server.fake.panic_on.lock().unwrap() = Some(Box::new(check));
    net.set("10.0.0.2:0".parse().unwrap(), Path::Cut);
    let again = server.fake.session_up(at_server).await;
    assert_ne!(again.session, doomed);
    first.fake.link_up(at_first).await;
    sleep(Duration::from_secs(60)).await;
    let since = server.fake.since(at_server);
    assert!(
        since
            .iter()
            .any(|command| matches!(command, Command::SessionDown { session } if *session == doomed))
    );
    assert!(
        !since
            .iter()
            .any(|command| matches!(command, Command::SessionDown { session } if *session == other))
    );
    assert!(
        !since
            .iter()
            .any(|command| matches!(command, Command::CloseService { .. })),
        "{since:#?}"
    );
    assert!(
        !second
            .fake
            .since(at_second)
            .iter()
            .any(|command| matches!(command, Command::LinkDown { .. }))
    );
    assert_eq!(server.plane.snapshot().sessions, 2);
}

#[tokio::test(start_paused = true)]
async fn the_server_role_comes_back_after_a_panic_and_so_do_its_clients() {
    let net = Arc::new(Net::default());
    let server = Process::start(&net, SERVER, specs::server(&["ssh", "web"])).await;
    let client = Process::start(&net, "10.0.0.2:0", specs::client(&[SERVER], &["ssh"])).await;
    let before = server.fake.session_up(0).await.session;
    client.fake.link_up(0).await;
    *server.fake.panic_on.lock().unwrap() = Some(Box::new(|command| matches!(command, Command::OpenService(_))));
    let mark = server.fake.mark();
    let second = Process::start(&net, "10.0.0.3:0", specs::client(&[SERVER], &["web"])).await;
    second
        .fake
        .wait(0, |command| match command {
            Command::LinkUp(spec) => (!spec.services.is_empty()).then_some(()),
            _ => None,
        })
        .await;
    sleep(Duration::from_secs(60)).await;
    let since = server.fake.since(mark);
    assert!(
        since
            .iter()
            .any(|command| matches!(command, Command::SessionDown { session } if *session == before))
    );
    let snapshot = server.plane.snapshot();
    assert_eq!((snapshot.sessions, snapshot.services_open), (2, 2));
    assert!(
        !since
            .iter()
            .any(|command| matches!(command, Command::CloseService { .. })),
        "{since:#?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_link_that_panics_is_replaced() {
    let net = Arc::new(Net::default());
    let _server = Process::start(&net, SERVER, specs::server(&["ssh"])).await;
    let client = Process::start(&net, "10.0.0.2:0", specs::client(&[SERVER], &["ssh"])).await;
    client.fake.link_up(0).await;
    *client.fake.panic_on.lock().unwrap() = Some(Box::new(|command| matches!(command, Command::LinkUp(_))));
    net.set_all(Path::Cut);
    let mark = client.fake.mark();
    client.fake.link_up(mark).await;
    sleep(Duration::from_secs(10)).await;
    assert_eq!(client.plane.snapshot().links, 1);
}

#[tokio::test(start_paused = true)]
async fn a_control_plane_that_breaks_down_again_and_again_says_so() {
    let net = Arc::new(Net::default());
    let relay = Process::start(&net, "10.0.0.5:0", specs::relay(&["web"])).await;
    for breakdown in 1..=6 {
        *relay.fake.panic_on.lock().unwrap() = Some(Box::new(|command| matches!(command, Command::OpenRelay(..))));
        let mut spec = specs::relay(&["web"]);
        let service = spec.relay.as_mut().unwrap().services.get_mut("web").unwrap();
        service.dial_timeout = Duration::from_secs(relay.fake.mark() as u64 + 20);
        relay.plane.reload(spec).await;
        let failed = tokio::time::timeout(Duration::from_millis(500), relay.plane.failed()).await;
        assert_eq!(failed.is_ok(), breakdown == 6, "after {breakdown}");
    }
}

/// A stranger who begins a handshake and then says nothing. Dropping it closes it.
async fn silent(net: &Net, from: &str) -> Box<dyn ControlStream> {
    let mut stream = net
        .connect(from.parse().unwrap(), SERVER.parse().unwrap())
        .await
        .unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut stream, b"K").await.unwrap();
    stream
}

#[tokio::test(start_paused = true)]
async fn silent_connections_are_bounded_and_a_real_client_still_gets_in() {
    let net = Arc::new(Net::default());
    let server = Process::start(&net, SERVER, specs::with_handshakes(specs::server(&["ssh"]), 8)).await;
    let mut strangers = Vec::new();
    for _ in 0..50 {
        strangers.push(silent(&net, "10.6.6.6:0").await);
    }
    sleep(Duration::from_millis(100)).await;
    let snapshot = server.plane.snapshot();
    assert_eq!(
        (snapshot.handshakes, snapshot.handshakes_failed),
        (8, 42),
        "{snapshot:?}"
    );
    let began = Instant::now();
    let client = Process::start(&net, "10.0.0.2:0", specs::client(&[SERVER], &["ssh"])).await;
    client.fake.link_up(0).await;
    assert!(began.elapsed() <= Duration::from_secs(10), "{:?}", began.elapsed());
    sleep(Duration::from_secs(10)).await;
    assert_eq!(server.plane.snapshot().handshakes, 0);
}

#[tokio::test(start_paused = true)]
async fn strangers_who_never_stop_coming_do_not_keep_a_client_out() {
    let net = Arc::new(Net::default());
    let server = Process::start(&net, SERVER, specs::with_handshakes(specs::server(&["ssh"]), 8)).await;
    let crowd = net.clone();
    let coming = tokio::spawn(async move {
        let mut strangers = Vec::new();
        for number in 0..2000 {
            // Each of them has an address of its own, and is never barred.
            strangers.push(silent(&crowd, &format!("10.6.{}.{}:0", number / 250, number % 250)).await);
            sleep(Duration::from_millis(20)).await;
        }
    });
    sleep(Duration::from_secs(2)).await;
    let began = Instant::now();
    let client = Process::start(&net, "10.0.0.2:0", specs::client(&[SERVER], &["ssh"])).await;
    client.fake.link_up(0).await;
    assert!(began.elapsed() <= Duration::from_secs(1), "{:?}", began.elapsed());
    assert!(server.plane.snapshot().handshakes <= 8);
    coming.abort();
}

#[tokio::test(start_paused = true)]
async fn source_that_fails_too_often_is_not_listened_to() {
    let net = Arc::new(Net::default());
    let server = Process::start(&net, SERVER, specs::server(&["ssh"])).await;
    for _ in 0..100 {
        drop(silent(&net, "10.6.6.6:0").await);
    }
    sleep(Duration::from_millis(100)).await;
    let _late = silent(&net, "10.6.6.6:0").await;
    sleep(Duration::from_millis(10)).await;
    let snapshot = server.plane.snapshot();
    assert!(snapshot.handshakes_failed <= 100, "{snapshot:?}");
    assert!(snapshot.handshakes_refused >= 1, "{snapshot:?}");
    let client = Process::start(&net, "10.0.0.2:0", specs::client(&[SERVER], &["ssh"])).await;
    client.fake.link_up(0).await;
}

#[tokio::test(start_paused = true)]
async fn dead_workers_are_counted() {
    let net = Arc::new(Net::default());
    let server = Process::start(&net, SERVER, specs::server(&["ssh"])).await;
    server
        .event(Event::WorkerReplaced {
            worker: WorkerIndex(1),
            cause: "test".into(),
        })
        .await;
    sleep(Duration::from_millis(10)).await;
    assert_eq!(server.plane.snapshot().workers_replaced, 1);
}
