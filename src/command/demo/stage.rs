//! One way through Kariz: set up, loaded, measured, taken down.

use super::cost;
use super::traffic;
use crate::stack::Stack;
use anyhow::Context;
use kariz_actors::config;
use kariz_bench::load::visits::{Pace, Plan};
use kariz_bench::load::{self, free_port, wait_until_up};
use kariz_bench::stats::{self, Quantiles};
use kariz_bench::target::Target;
use kariz_bench::{process, visitor};
use std::io::{IsTerminal, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;
use tokio::runtime::Runtime;

const UP_TIMEOUT: Duration = Duration::from_secs(10);
const BULK: Duration = Duration::from_millis(1800);
const PINGS: Duration = Duration::from_millis(600);
const VISITS: Duration = Duration::from_millis(600);

/// Visitors at a time while connections are counted.
const VISITORS: usize = 16;

/// A way through Kariz.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Direct,
    Mux,
    Relay,
}

/// What was measured of a stage.
pub(super) struct Measured {
    pub(super) name: &'static str,
    pub(super) gbit_per_second: f64,
    pub(super) gbit_per_cpu_second: f64,
    pub(super) connections_per_second: f64,
    /// In microseconds.
    pub(super) round_trip: Quantiles,
    pub(super) checked_bytes: u64,
    pub(super) memory_bytes: u64,
}

impl Stage {
    pub(super) fn measure(self, runtime: &Runtime, target: &Target) -> anyhow::Result<Measured> {
        let public = SocketAddr::from(([127, 0, 0, 1], free_port()?));
        let text = self.configuration(public, target.address())?;
        let spec = config::parse(&text, config::Options::default())?.spec;
        let stack = runtime.block_on(Stack::start(spec))?;
        let outcome = self.load(public);
        runtime.block_on(stack.stop());
        outcome.with_context(|| self.name())
    }

    fn load(self, public: SocketAddr) -> anyhow::Result<Measured> {
        self.progress("connecting");
        wait_until_up(public, UP_TIMEOUT)?;
        let before = cost::workers()?;
        let bulk = traffic::bulk(public, BULK, |gbit| self.progress(&format!("bulk {gbit:.1} Gbit/s")))?;
        let cpu = cost::workers()? - before;

        self.progress("round trips");
        let mut trips = stats::recorder();
        let stream = TcpStream::connect(public)?;
        visitor::ping_pong(&stream, 1, PINGS, |time| stats::record(&mut trips, time))?;
        drop(stream);

        self.progress("connections");
        let plan = Plan {
            address: public,
            pace: Pace::AtOnce(VISITORS),
            duration: VISITS,
            most: u64::MAX,
            stay: false,
        };
        let visits = load::visits::run(plan)?;
        anyhow::ensure!(
            visits.failed == 0,
            "a visit failed: {}",
            visits.first_failure.unwrap_or_default()
        );
        let memory = process::memory(std::process::id())?;
        self.progress("done");
        println!();
        let gbit = bulk.bytes as f64 * 8.0 / 1e9;
        Ok(Measured {
            name: self.name(),
            gbit_per_second: gbit / bulk.elapsed.as_secs_f64(),
            gbit_per_cpu_second: gbit / cpu.as_secs_f64(),
            connections_per_second: visits.done as f64 / visits.elapsed.as_secs_f64(),
            round_trip: stats::quantiles(&trips, false),
            checked_bytes: bulk.bytes,
            memory_bytes: memory.rss,
        })
    }

    fn name(self) -> &'static str {
        match self {
            Self::Direct => "tunnel, tcp",
            Self::Mux => "tunnel, tcpmux",
            Self::Relay => "relay",
        }
    }

    fn configuration(self, public: SocketAddr, target: SocketAddr) -> anyhow::Result<String> {
        let transport = match self {
            Self::Relay => {
                return Ok(format!(
                    "[relay.services.demo]\nbind_addr = \"{public}\"\nremote_addr = \"{target}\"\n"
                ));
            }
            Self::Direct => "tcp",
            Self::Mux => "tcpmux",
        };
        let carrier = free_port()?;
        let token = crate::command::token::make()?;
        Ok(format!(
            r#"
            [server]
            bind_addr = "127.0.0.1:{carrier}"
            transport = "{transport}"
            default_token = "{token}"
            [server.services.demo]
            bind_addr = "{public}"
            [client]
            remote_addr = "127.0.0.1:{carrier}"
            transport = "{transport}"
            default_token = "{token}"
            [client.services.demo]
            local_addr = "{target}"
            "#
        ))
    }

    /// One live line on a terminal; elsewhere only the end is told.
    fn progress(self, doing: &str) {
        let mut out = std::io::stdout();
        if out.is_terminal() {
            // A terminal that went away needs no progress.
            let _ = write!(out, "\r\x1b[2K{:<18} {doing}", self.name()).and_then(|()| out.flush());
        } else if doing == "done" {
            let _ = write!(out, "{:<18} {doing}", self.name());
        }
    }
}
