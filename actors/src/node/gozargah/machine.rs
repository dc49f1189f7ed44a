//! What the machine is doing: memory, CPU, bandwidth (`spec/node-panel.md`, 3.3 and 4.5).

use super::live::Live;
use kariz_proto::panel::SystemStatsResponse;
use std::time::Duration;
use sysinfo::{NetworkData, Networks, System};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

/// Time between two looks.
const PERIOD: Duration = Duration::from_millis(1_500);

/// The interface of the machine with itself: what crosses it is no traffic.
const LOOPBACK: &str = "lo";

/// Looks at the machine as long as there is a backend. Clones share the looks.
#[derive(Debug, Clone)]
pub(super) struct Machine {
    latest: watch::Receiver<SystemStatsResponse>,
    live: Live,
}

impl Machine {
    /// Begins to look, on the runtime that this is called on.
    pub(super) fn watch(live: Live) -> Self {
        let (looks, latest) = watch::channel(SystemStatsResponse::default());
        tokio::spawn(look(live.clone(), looks));
        Self { latest, live }
    }

    /// The last look; everything is 0 before the first one.
    pub(super) fn latest(&self) -> SystemStatsResponse {
        SystemStatsResponse {
            uptime: self.live.uptime().unwrap_or_default().as_secs(),
            ..*self.latest.borrow()
        }
    }
}

/// Looks until nobody wants to know any more.
async fn look(live: Live, looks: watch::Sender<SystemStatsResponse>) {
    while !looks.is_closed() {
        live.exists().await;
        let (mut system, mut networks) = (System::new(), Networks::new_with_refreshed_list());
        system.refresh_cpu_usage();
        let mut before = Instant::now();
        while live.is_there() && !looks.is_closed() {
            sleep(PERIOD).await;
            system.refresh_memory();
            system.refresh_cpu_usage();
            networks.refresh(true);
            let seconds = std::mem::replace(&mut before, Instant::now()).elapsed().as_secs_f64();
            // Whoever wants to know may have gone.
            let _ = looks.send(seen(&system, &networks, seconds));
        }
    }
}

/// What has crossed interfaces to the world, of all that has crossed these.
fn outer<'a>(crossed: impl IntoIterator<Item = (&'a str, u64)>) -> u64 {
    let outer = crossed.into_iter().filter(|(name, _)| *name != LOOPBACK);
    outer.map(|(_, bytes)| bytes).sum()
}

fn seen(system: &System, networks: &Networks, seconds: f64) -> SystemStatsResponse {
    let outer =
        |bytes: fn(&NetworkData) -> u64| outer(networks.iter().map(|(name, data)| (name.as_str(), bytes(data))));
    let a_second = |bytes: u64| (bytes as f64 / seconds) as u64;
    SystemStatsResponse {
        mem_total: system.total_memory(),
        mem_used: system.used_memory(),
        cpu_cores: system.cpus().len() as u64,
        cpu_usage: system.global_cpu_usage().into(),
        incoming_bandwidth_speed: a_second(outer(NetworkData::received)),
        outgoing_bandwidth_speed: a_second(outer(NetworkData::transmitted)),
        uptime: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_machine_tells_itself_is_no_traffic() {
        assert_eq!(outer([("lo", 1_000), ("eth0", 5), ("wg0", 7)]), 12);
        assert_eq!(outer([("eth0", 5), ("lo", 1_000)]), 5);
        assert_eq!(outer([("lo", 1_000)]), 0);
        assert_eq!(outer([("lo0", 3), ("enlo", 4)]), 7, "they are others");
        assert_eq!(outer([]), 0);
    }
}
