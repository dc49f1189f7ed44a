//! How many small questions a node answers in a row, and how many anybody could.

use super::place::loopback;
use anyhow::Result;
use hdrhistogram::Histogram;
use kariz_bench::target::Target;
use kariz_bench::{stats, visitor};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Questions that warm up both ends.
const WARM_UP: u32 = 500;

/// Questions a second that are enough anywhere.
const ENOUGH_PER_S: f64 = 15_000.0;

/// Where even a bare echo does not come to that, this share of it: on two cores every wake of a thread takes its time.
const SHARE_OF_ECHO: f64 = 0.75;

/// Question after question on one connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rate {
    pub(super) per_s: f64,
    /// How long 99 % of them take at most, in us.
    pub(super) p99_us: f64,
}

impl Rate {
    /// Asks for this long.
    pub(super) fn of(duration: Duration, mut ask: impl FnMut() -> Result<()>) -> Result<Self> {
        (0..WARM_UP).try_for_each(|_| ask())?;
        let mut times = stats::recorder();
        let begin = Instant::now();
        while begin.elapsed() < duration {
            let sent = Instant::now();
            ask()?;
            stats::record(&mut times, sent.elapsed());
        }
        Ok(Self::new(&times, begin.elapsed()))
    }

    /// The limit: the same, with the kit's own target that sends 64 bytes back.
    pub(super) fn of_bare_echo(duration: Duration) -> Result<Self> {
        let target = Target::start(loopback()?)?;
        let stream = TcpStream::connect(target.address())?;
        let mut times = stats::recorder();
        visitor::ping_pong(&stream, 1, duration, |time| stats::record(&mut times, time))?;
        Ok(Self::new(&times, duration))
    }

    fn new(times: &Histogram<u64>, duration: Duration) -> Self {
        Self {
            per_s: times.len() as f64 / duration.as_secs_f64(),
            p99_us: stats::quantiles(times, true).p99,
        }
    }
}

/// How many a second are enough where a bare echo comes to `echo`.
pub(super) fn enough(echo: Option<f64>) -> f64 {
    echo.map_or(ENOUGH_PER_S, |echo| ENOUGH_PER_S.min(echo * SHARE_OF_ECHO))
}
