//! Visitors who share one carrier on a path that is narrower than what they have to say.

use crate::harness::netns::Netns;
use crate::harness::process::Setting;
use crate::harness::tunnel::{SERVICE, listening};
use crate::harness::visitor::connect_in;
use crate::harness::*;
use libtest_mimic::Trial;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;

pub fn trials() -> Vec<Trial> {
    Suite::new("fairness")
        .busy()
        .only(
            Lane::Mux,
            "hundred_small_streams_get_their_shares_beside_a_bulk_one",
            shares,
        )
        .only(
            Lane::Mux,
            "most_urgent_stream_gets_eight_times_as_much_as_the_least_urgent_one",
            priorities,
        )
        .done()
}

const SERVER: &str = "10.1.0.1";
const CLIENT: &str = "10.1.0.2";
const CARRIER: &str = "10.1.0.1:4040";
const PUBLIC: &str = "10.2.0.1:8080";
const TARGET: &str = "127.0.0.1:7000";

/// A tunnel with one carrier over 100 Mbit/s, and a target that counts what it gets of whom.
struct Narrow {
    /// Where visitors come from: not loopback, whose packets of 64 KiB leave a socket's buffer empty half of the time.
    outside: Netns,
    server: Kariz,
    config: Config,
    got: Arc<Vec<AtomicU64>>,
    visitors: JoinSet<Result<()>>,
    _client: Kariz,
    _target: Target,
    _places: [Netns; 2],
}

impl Narrow {
    async fn start(scene: &Scene, most: usize) -> Result<Self> {
        let (outside, here, there) = (Netns::new()?, Netns::new()?, Netns::new()?);
        outside.link("10.2.0.2".parse()?, &here, "10.2.0.1".parse()?, "net")?;
        here.link(SERVER.parse()?, &there, CLIENT.parse()?, "path")?;
        here.run("tc", "qdisc add dev path root tbf rate 100mbit burst 16kb latency 30ms")?;
        let got: Arc<Vec<_>> = Arc::new((0..most).map(|_| AtomicU64::new(0)).collect());
        let counts = got.clone();
        let target = Target::serve_at(TARGET.parse()?, Some(&there), move |mut visitor| {
            let counts = counts.clone();
            async move {
                let Ok(number) = visitor.read_u8().await else { return };
                let mut buffer = vec![0; 64 << 10];
                while let Ok(bytes @ 1..) = visitor.read(&mut buffer).await {
                    counts[usize::from(number)].fetch_add(bytes as u64, Ordering::Relaxed);
                }
            }
        })?;
        let mut config = Config::server(scene, CARRIER.parse()?);
        config
            .server_service(SERVICE, PUBLIC.parse()?)
            .set("runtime.workers", 1)
            .set("server.max_carriers", 1)
            .set("server.default_mux_concurrency", 128)
            .set("server.default_mux_recievebuffer", 16 << 20);
        let mut client = Config::client(scene, CARRIER.parse()?);
        client
            .client_service(SERVICE, TARGET.parse()?)
            .set("runtime.workers", 1)
            .set("client.services.web.connection_pool", 1)
            .set("client.services.web.mux_concurrency", 128)
            .set("client.services.web.mux_recievebuffer", 16 << 20);
        let inside = |netns| Setting {
            netns: Some(netns),
            ..Setting::default()
        };
        let server = Kariz::start_with(scene, "server", &config, inside(&here))?;
        let client = Kariz::start_with(scene, "client", &client, inside(&there))?;
        listening(PUBLIC.parse()?, Some(&here), BACK).await?;
        Ok(Self {
            outside,
            server,
            config,
            got,
            visitors: JoinSet::new(),
            _client: client,
            _target: target,
            _places: [here, there],
        })
    }

    /// One more visitor, who says `piece` bytes at a time, as often as he can.
    async fn join(&mut self, piece: usize) -> Result<()> {
        let number = u8::try_from(self.visitors.len())?;
        let mut visitor = connect_in(&self.outside, PUBLIC.parse()?).await?;
        self.visitors.spawn(async move {
            visitor.write_u8(number).await?;
            let piece = vec![number; piece];
            loop {
                visitor.write_all(&piece).await?;
            }
        });
        let heard = || async { (self.look(number.into()) > 0).then_some(()).context("not a byte") };
        eventually(BACK, "the visitor is heard", heard).await.map(drop)
    }

    fn look(&self, number: usize) -> u64 {
        self.got[number].load(Ordering::Relaxed)
    }

    /// What arrives of each within `time`.
    async fn shares(&self, time: Duration) -> Vec<f64> {
        let look = || {
            (0..self.visitors.len())
                .map(|number| self.look(number))
                .collect::<Vec<_>>()
        };
        let before = look();
        tokio::time::sleep(time).await;
        let shares = look().into_iter().zip(before);
        shares.map(|(now, before)| (now - before) as f64).collect()
    }
}

async fn shares(scene: Scene) -> Result<()> {
    let mut narrow = Narrow::start(&scene, 101).await?;
    narrow.join(1 << 20).await?;
    for _ in 0..100 {
        narrow.join(2_000).await?;
    }
    let shares = narrow.shares(secs(8)).await;
    let share = shares.iter().sum::<f64>() / shares.len() as f64;
    let least = shares[1..].iter().copied().fold(f64::MAX, f64::min);
    ensure!(
        least >= 0.8 * share,
        "{least} bytes where {share} are a fair share; the bulk stream had {}",
        shares[0]
    );
    Ok(())
}

async fn priorities(scene: Scene) -> Result<()> {
    let mut narrow = Narrow::start(&scene, 2).await?;
    for priority in [3, 0] {
        // What a service's file says holds for the visitors that come from then on.
        narrow.config.set("server.services.web.priority", priority);
        narrow.config.write_to(narrow.server.file())?;
        narrow.server.signal(Signal::HUP)?;
        tokio::time::sleep(secs(1)).await;
        narrow.join(64 << 10).await?;
    }
    tokio::time::sleep(secs(1)).await;
    let shares = narrow.shares(secs(5)).await;
    let ratio = shares[1] / shares[0];
    ensure!((6.0..=10.0).contains(&ratio), "{ratio:.2} to 1: {shares:?}");
    Ok(())
}
