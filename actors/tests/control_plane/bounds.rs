//! A session that does not keep up.

use crate::fake::Process;
use crate::net::Net;
use crate::specs;
use kariz_proto::control::{Command, Event, SessionSpec, Voucher, WorkerIndex};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

const SERVER: &str = "10.0.0.1:2000";
const MOMENT: Duration = Duration::from_millis(10);

/// A server whose only session hangs while it tells the workers what it serves, and its client.
async fn hanging() -> (Process, Process, Arc<SessionSpec>) {
    let net = Arc::new(Net::default());
    let server = Process::start(&net, SERVER, specs::server(&["ssh"])).await;
    let client = Process::start(&net, "10.0.0.2:0", specs::client(&[SERVER], &["ssh"])).await;
    client.fake.link_up(0).await;
    let up = server.fake.session_up(0).await;
    *server.fake.stall_on.lock().unwrap() = Some(Box::new(|command| matches!(command, Command::SessionUp(_))));
    let mark = server.fake.mark();
    server.plane.reload(specs::server(&["ssh"])).await;
    server.fake.session_up(mark).await;
    (server, client, up)
}

async fn want(server: &Process, up: &SessionSpec, vouchers: usize) {
    let voucher = Voucher {
        worker: WorkerIndex(0),
        random: [7; 16],
    };
    let want = Event::Want {
        session: up.session,
        epoch: up.epoch,
        service: up.services[0].service,
        vouchers: vec![voucher; vouchers],
    };
    server.event(want).await;
}

/// Vouchers that the client was given so far.
fn dialled(client: &Process) -> usize {
    let commands = client.fake.commands();
    let vouchers = commands.iter().map(|command| match command {
        Command::Dial { vouchers, .. } => vouchers.len(),
        _ => 0,
    });
    vouchers.sum()
}

#[tokio::test(start_paused = true)]
async fn wants_take_half_of_a_mailbox_and_a_session_whose_mailbox_is_full_is_killed() {
    let (server, client, up) = hanging().await;
    for _ in 0..256 {
        want(&server, &up, 1).await;
    }
    sleep(MOMENT).await;
    assert_eq!(server.plane.snapshot().events_dropped, 0);
    want(&server, &up, 1).await;
    sleep(MOMENT).await;
    assert_eq!(server.plane.snapshot().events_dropped, 1);
    // The other half is for what it has to know.
    let (at_server, at_client) = (server.fake.mark(), client.fake.mark());
    let is_down = |command: &Command| matches!(command, Command::SessionDown { session } if *session == up.session);
    for _ in 0..256 {
        server.plane.reload(specs::server(&["ssh"])).await;
    }
    sleep(MOMENT).await;
    assert!(!server.fake.since(at_server).iter().any(is_down));
    server.plane.reload(specs::server(&["ssh"])).await;
    sleep(MOMENT).await;
    assert!(server.fake.since(at_server).iter().any(is_down));
    client.fake.link_up(at_client).await;
    assert_eq!(server.plane.snapshot().sessions, 1);
}

#[tokio::test(start_paused = true)]
async fn vouchers_beyond_the_bound_are_dropped_and_later_ones_are_not() {
    let (server, client, up) = hanging().await;
    for _ in 0..128 {
        want(&server, &up, 64).await;
    }
    want(&server, &up, 1).await;
    sleep(MOMENT).await;
    server.fake.let_go.notify_one();
    sleep(Duration::from_secs(1)).await;
    assert_eq!(dialled(&client), 8192);
    assert_eq!(server.plane.snapshot().events_dropped, 0);
    want(&server, &up, 1).await;
    sleep(Duration::from_secs(1)).await;
    assert_eq!(dialled(&client), 8193);
}
