//! Bulk traffic both ways, every byte checked.

use kariz_bench::visitor::{self, TrafficError};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Streams in each direction.
const STREAMS: u64 = 2;

/// One transfer; each stream makes as many as fit into the time.
const TRANSFER_BYTES: u64 = 64 << 20;

const PROGRESS_INTERVAL: Duration = Duration::from_millis(200);

/// What was moved.
pub(super) struct Bulk {
    pub(super) bytes: u64,
    pub(super) elapsed: Duration,
}

/// Uploads and downloads side by side for about `duration`; tells its rate in Gbit/s as it goes.
pub(super) fn bulk(public: SocketAddr, duration: Duration, mut progress: impl FnMut(f64)) -> anyhow::Result<Bulk> {
    let moved = AtomicU64::new(0);
    let start = Instant::now();
    thread::scope(|scope| {
        let streams: Vec<_> = (0..STREAMS * 2)
            .map(|seed| {
                let moved = &moved;
                scope.spawn(move || stream(public, seed, start + duration, moved))
            })
            .collect();
        while !streams.iter().all(|stream| stream.is_finished()) {
            thread::sleep(PROGRESS_INTERVAL);
            progress(moved.load(Ordering::Relaxed) as f64 * 8.0 / 1e9 / start.elapsed().as_secs_f64());
        }
        streams.into_iter().try_for_each(|stream| match stream.join() {
            Ok(outcome) => outcome,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    })?;
    Ok(Bulk {
        bytes: moved.into_inner(),
        elapsed: start.elapsed(),
    })
}

fn stream(public: SocketAddr, seed: u64, until: Instant, moved: &AtomicU64) -> anyhow::Result<()> {
    let transfer: fn(&TcpStream, u64, u64) -> Result<(), TrafficError> = if seed.is_multiple_of(2) {
        visitor::upload
    } else {
        visitor::download
    };
    while Instant::now() < until {
        transfer(&TcpStream::connect(public)?, seed, TRANSFER_BYTES)?;
        moved.fetch_add(TRANSFER_BYTES, Ordering::Relaxed);
    }
    Ok(())
}
