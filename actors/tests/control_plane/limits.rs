//! Budgets on their way to the workers.

use crate::fake::Process;
use crate::net::Net;
use crate::specs;
use kariz_proto::control::{BudgetId, Command, Event, WorkerIndex};
use kariz_proto::model::{Limits, Rate};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

const SERVER: &str = "10.0.0.1:2000";
const RATE: Rate = Rate {
    per_second: 100_000,
    burst: 100_000,
};

fn granted(process: &Process, budget: BudgetId, worker: u16) -> u64 {
    let grants = process.fake.grants.lock().unwrap();
    grants
        .iter()
        .filter(|(of, to, _)| *of == budget && to.0 == worker)
        .map(|(_, _, tokens)| tokens)
        .sum()
}

#[tokio::test(start_paused = true)]
async fn a_budget_is_shared_by_the_workers_that_want_it_and_closed_with_its_session() {
    let net = Arc::new(Net::default());
    let mut spec = specs::server(&["ssh"]);
    spec.server.as_mut().unwrap().session_limits = Limits {
        bytes: Some(RATE),
        ..Limits::default()
    };
    let server = Process::start(&net, SERVER, spec).await;
    let client = Process::start(&net, "10.0.0.2:0", specs::client(&[SERVER], &["ssh"])).await;
    let up = server.fake.session_up(0).await;
    let budget = up.budgets.session.0.unwrap();
    let opened =
        |command: &Command| matches!(command, Command::OpenBudget { budget: of } if *of == budget).then_some(());
    server.fake.wait(0, opened).await;
    *server.fake.greedy.lock().unwrap() = vec![true, true];
    sleep(Duration::from_secs(10)).await;
    let (one, two) = (granted(&server, budget, 0), granted(&server, budget, 1));
    assert!((1_050_000..=1_110_000).contains(&(one + two)), "{one} + {two}");
    assert!(one.abs_diff(two) < 50_000, "{one} and {two}");
    // One of them alone gets all of it.
    *server.fake.greedy.lock().unwrap() = vec![true, false];
    let before = granted(&server, budget, 0);
    sleep(Duration::from_secs(10)).await;
    let alone = granted(&server, budget, 0) - before;
    assert!((950_000..=1_010_000).contains(&alone), "{alone}");
    net.close(SERVER.parse().unwrap()).unwrap();
    drop(client);
    net.set_all(crate::net::Path::Cut);
    let closed =
        |command: &Command| matches!(command, Command::CloseBudget { budget: of } if *of == budget).then_some(());
    server.fake.wait(0, closed).await;
    let after = server.fake.grants.lock().unwrap().len();
    sleep(Duration::from_secs(10)).await;
    assert_eq!(
        server.fake.grants.lock().unwrap().len(),
        after,
        "nothing is leased of what does not exist"
    );
}

#[tokio::test(start_paused = true)]
async fn a_replaced_worker_gets_its_share_anew() {
    let net = Arc::new(Net::default());
    let mut spec = specs::relay(&["web"]);
    spec.limits = Limits {
        bytes: Some(RATE),
        ..Limits::default()
    };
    let relay = Process::start(&net, "10.0.0.5:0", spec).await;
    let (process, budget) = relay
        .fake
        .wait(0, |command| match command {
            Command::OpenRelay(service, _) => Some((service.budgets.process, service.budgets.process.0?)),
            _ => None,
        })
        .await;
    assert_eq!(process.1, None);
    sleep(Duration::from_secs(1)).await;
    let before = granted(&relay, budget, 1);
    assert!(before > 0);
    relay
        .event(Event::WorkerReplaced {
            worker: WorkerIndex(1),
            cause: "test".into(),
        })
        .await;
    sleep(Duration::from_secs(1)).await;
    assert_eq!(granted(&relay, budget, 1), 2 * before);
}
