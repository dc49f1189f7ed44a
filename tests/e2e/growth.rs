//! Nothing is left behind: after ten thousand short connections a process is what it was before.

use crate::harness::stats::pools_full;
use crate::harness::tunnel::{SERVICE, listening};
use crate::harness::visitor::{connect_from, visit_on};
use crate::harness::*;
use libtest_mimic::Trial;
use tokio::task::JoinSet;

pub fn trials() -> Vec<Trial> {
    Suite::new("growth")
        .busy()
        .faults("ten_thousand_short_connections_leave_nothing", tunnel)
        .drivers("ten_thousand_short_connections_leave_nothing_in_a_relay", relay)
        .done()
}

const WARM_UP: u64 = 2_000;
const CONNECTIONS: u64 = 10_000;
/// At a time; the same in the warm-up, which is what the pools grow to.
const TOGETHER: usize = 50;

async fn tunnel(scene: Scene) -> Result<()> {
    let target = Target::echo(&scene)?;
    let tunnel = Tunnel::start(&scene, target.address()).await?;
    grows_not(&scene, tunnel.public, &[&tunnel.server, &tunnel.client]).await
}

async fn relay(scene: Scene) -> Result<()> {
    let target = Target::echo(&scene)?;
    let public = scene.address();
    let mut config = Config::new(&scene);
    config.relay_service(SERVICE, public, target.address());
    let relay = Kariz::start(&scene, "relay", &config)?;
    listening(public, None, SOON).await?;
    grows_not(&scene, public, &[&relay]).await
}

async fn grows_not(scene: &Scene, public: SocketAddr, processes: &[&Kariz]) -> Result<()> {
    let mut descriptors = Vec::new();
    for process in processes {
        descriptors.push(at_rest(process).await?);
    }
    // An allocator gives memory back when it likes: the warm-up's largest sample is what the rest is held against,
    // and of the rest the smaller one of two samples counts. A leak rises above both.
    let warm = samples(scene, public, processes, &descriptors, &[WARM_UP; 3]).await?;
    let then = samples(scene, public, processes, &descriptors, &[CONNECTIONS / 2; 2]).await?;
    for (number, process) in processes.iter().enumerate() {
        let before = warm.iter().map(|sample| sample[number]).max().unwrap_or(0);
        let after = then.iter().map(|sample| sample[number]).min().unwrap_or(0);
        ensure!(
            after * 100 <= before * 105,
            "resident memory was {before} KiB and is {after} KiB"
        );
        let counters = process.counters().await?;
        ensure!(counters["panics"] == 0, "a connection panicked");
    }
    Ok(())
}

/// Resident memory of each process in KiB after each batch of visits, with everything given back.
async fn samples(
    scene: &Scene,
    public: SocketAddr,
    processes: &[&Kariz],
    descriptors: &[usize],
    batches: &[u64],
) -> Result<Vec<Vec<u64>>> {
    let mut samples = Vec::new();
    for batch in batches {
        visits(scene, public, *batch).await?;
        let mut sample = Vec::new();
        for (process, before) in processes.iter().zip(descriptors) {
            quiet(process, *before).await?;
            sample.push(process.resident_kib()?);
        }
        samples.push(sample);
    }
    Ok(samples)
}

/// Descriptors of a process that has been started and left alone, once their number stays the same for a while.
async fn at_rest(process: &Kariz) -> Result<usize> {
    let look = || async {
        let first = process.descriptors()?;
        tokio::time::sleep(secs(2)).await;
        let then = process.descriptors()?;
        ensure!(first == then, "{first} descriptors, then {then}");
        Ok(then)
    };
    Ok(eventually(BACK, "the process is at rest", look).await?.0)
}

/// Waits until nothing is borrowed, and no more descriptors are open than `before`.
async fn quiet(process: &Kariz, before: usize) -> Result<()> {
    let look = || async {
        pools_full(&process.counters().await?)?;
        let now = process.descriptors()?;
        ensure!(now <= before, "{before} descriptors before, {now} now");
        Ok(())
    };
    eventually(secs(60), "everything is given back", look).await.map(drop)
}

async fn visits(scene: &Scene, public: SocketAddr, count: u64) -> Result<()> {
    let mut running = JoinSet::new();
    for number in 0..count {
        // From many addresses, so that ports in TIME_WAIT do not run out.
        let source = scene.ip(2 + (number % 100) as u8);
        running.spawn(async move {
            let mut stream = connect_from(source, public).await?;
            within(SOON, "a short visit", visit_on(&mut stream)).await?
        });
        if running.len() >= TOGETHER {
            running.join_next().await.context("visits are running")???;
        }
    }
    while let Some(done) = running.join_next().await {
        done??;
    }
    Ok(())
}
