//! `/` and `/ping` answer within 100 ms whatever else happens, asserted with twice that.

use super::rest::large_config;
use crate::harness::fake_core::{FakeCore, NORMAL};
use crate::harness::https::{Https, Login};
use crate::harness::logs::Logs;
use crate::harness::node::{Node, Setup};
use crate::harness::panel::{CONFIG, Panel, request};
use crate::harness::*;
use libtest_mimic::Trial;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub fn trials() -> Vec<Trial> {
    Suite::new("node::liveness")
        .busy()
        .once("during_a_start", during_a_start)
        .once("during_a_30_mb_upload", during_an_upload)
        .once("during_10000_lines_a_second", during_a_flood)
        .once("during_hellos_without_end", during_hellos)
        .done()
}

/// Twice the 100 ms of the contract.
const BOUND: Duration = millis(200);

const PINGS: usize = 50;

/// Pings and asks `/`, one after the other, [`PINGS`] times each with `pause` between; fails if an answer was late.
///
/// The machine runs many tests on few cores: what the node and this thread had to wait for a core does not count.
async fn answers_in_time(node: &Node, panel: &Panel, pause: Duration) -> Result<()> {
    let mut asking = panel.beside();
    asking.ping().await?;
    for number in 0..PINGS {
        let before = (waited(node)?, Instant::now());
        asking.ping().await?;
        in_time(node, before, &format!("ping {number}"))?;
        let before = (waited(node)?, Instant::now());
        asking.started().await?;
        in_time(node, before, &format!("question {number}"))?;
        tokio::time::sleep(pause).await;
    }
    Ok(())
}

fn in_time(node: &Node, (waited_before, begin): (Duration, Instant), what: &str) -> Result<()> {
    let took = begin.elapsed();
    let waited = waited(node)?.saturating_sub(waited_before);
    ensure!(
        took < BOUND + waited,
        "{what} took {took:?}; for {waited:?} of it there was no core free"
    );
    Ok(())
}

/// How long the node's first thread, which serves, and this one have waited for a core so far.
fn waited(node: &Node) -> Result<Duration> {
    let pid = node.process.pid();
    let mut sum = Duration::ZERO;
    for thread in [
        format!("/proc/{pid}/task/{pid}/schedstat"),
        "/proc/thread-self/schedstat".to_owned(),
    ] {
        // Time on a core, time of waiting for one, number of turns. A kernel without it excuses nothing.
        let text = std::fs::read_to_string(thread).unwrap_or_default();
        let nanoseconds = text.split_whitespace().nth(1).unwrap_or("0");
        sum += Duration::from_nanos(nanoseconds.parse()?);
    }
    Ok(sum)
}

async fn during_a_start(scene: Scene) -> Result<()> {
    let (node, core) = Node::start(&scene, "sleep:60000").await?;
    let panel = Panel::connect(&node).await?;
    let mut starting = panel.beside();
    let start = tokio::spawn(async move { starting.start(CONFIG).await });
    core.life(1).await?;
    answers_in_time(&node, &panel, millis(20)).await?;
    start.await??.expect(200)?;
    // A restart waits for the old core, too.
    core.script("ignore-term;sleep:60000")?;
    for _ in 0..2 {
        let mut restarting = panel.beside();
        let restart = tokio::spawn(async move { restarting.restart(CONFIG).await });
        answers_in_time(&node, &panel, millis(20)).await?;
        restart.await??.expect(200)?;
    }
    Ok(())
}

async fn during_an_upload(scene: Scene) -> Result<()> {
    let (node, core) = Node::start(&scene, "ready;sleep:60000").await?;
    let panel = Panel::connect(&node).await?;
    let body = json!({ "session_id": panel.session, "config": large_config() }).to_string();
    let upload = request("/restart", body.as_bytes());
    let mut connection = Https::open(node.address, panel.login()).await?;
    // On a thread of its own: what this test computes for the upload is not the node's delay.
    let uploading = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            for _ in 0..2 {
                connection.ask(&upload).await?.expect(200)?;
            }
            anyhow::Ok(())
        })
    });
    ensure!(!uploading.is_finished(), "the uploads were over before anybody asked");
    while !uploading.is_finished() {
        answers_in_time(&node, &panel, millis(5)).await?;
    }
    let joined = tokio::task::spawn_blocking(move || uploading.join()).await?;
    joined.map_err(|_| anyhow::anyhow!("the upload panicked"))??;
    ensure!(core.lives()?.len() == 2, "{} starts", core.lives()?.len());
    Ok(())
}

/// Clients that only say hello, to a node whose every answer takes a signature with a key of 4096 bits.
async fn during_hellos(scene: Scene) -> Result<()> {
    const AT_A_TIME: usize = 60;
    let core = FakeCore::new(&scene, NORMAL)?;
    let mut setup = Setup::new(&scene, &core.executable())?;
    setup.show("node-original.pem", "node-original.key")?;
    let node = setup.start().await?;
    let panel = Panel::connect(&node).await?;
    let hello = Login::panel()?.hello()?;
    let address = node.address;
    let flood = tokio::spawn(async move {
        loop {
            let mut clients = Vec::with_capacity(AT_A_TIME);
            for _ in 0..AT_A_TIME {
                let mut client = TcpStream::connect(address).await?;
                client.write_all(&hello).await?;
                clients.push(client);
            }
            // They are answered, or reset.
            for mut client in clients {
                let _ = client.read(&mut [0; 16]).await;
            }
        }
        #[allow(unreachable_code)]
        anyhow::Ok(())
    });
    answers_in_time(&node, &panel, millis(10)).await?;
    ensure!(!flood.is_finished(), "the flood ended: {:?}", flood.await);
    flood.abort();
    Ok(())
}

async fn during_a_flood(scene: Scene) -> Result<()> {
    let (node, _core) = Node::start(&scene, "ready;lines:10000").await?;
    let mut panel = Panel::connect(&node).await?;
    panel.start(CONFIG).await?.expect(200)?;
    let mut readers = [
        Logs::open(&node, &panel, "").await?,
        Logs::open(&node, &panel, "&interval=0.7").await?,
    ];
    answers_in_time(&node, &panel, millis(20)).await?;
    for logs in &mut readers {
        let text = logs.text(SOON).await?;
        ensure!(!text.is_empty(), "an empty message");
    }
    // What it has written since then is not kept anywhere.
    let memory = node.process.resident_kib()?;
    tokio::time::sleep(secs(3)).await;
    let grown = node.process.resident_kib()?.saturating_sub(memory);
    ensure!(
        grown < 8 << 10,
        "it grew by {grown} KiB in 3 s of lines that nobody reads"
    );
    Ok(())
}
