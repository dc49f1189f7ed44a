//! What one program does in one round for a Marzban panel.

use super::config::{PanelConfig, USERS_OF_A_TEST};
use super::figure::Figure;
use super::panel::Panel;
use super::place::{Core, Place, loopback};
use super::program::Program;
use super::rate::Rate;
use super::table::Figures;
use super::units::{mib, millis};
use anyhow::{Context, Result};
use kariz_bench::load::wait_until_listening;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long a node rests before its memory is read.
const REST: Duration = Duration::from_secs(1);

/// The same after a big configuration.
const LONG_REST: Duration = Duration::from_secs(10);

/// How long a core may take until it accepts users.
const CORE_LIMIT: Duration = Duration::from_secs(30);

/// One program's turn.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    pub(super) place: &'a Place,
    pub(super) program: &'a Program,
    /// The real core.
    pub(super) core: &'a Path,
    pub(super) ping_for: Duration,
}

impl Turn<'_> {
    pub(super) fn take(&self) -> Result<Figures<Figure>> {
        let mut figures = self.with_real_core()?;
        figures.extend(self.with_instant_core()?);
        Ok(figures)
    }

    fn with_real_core(&self) -> Result<Figures<Figure>> {
        let node = self.place.start(self.program, Core::Real(self.core))?;
        let mut panel = node.connect()?;
        std::thread::sleep(REST);
        let idle = node.process.memory()?.rss;
        let ping = panel.ping_request();
        let pings = Rate::of(self.ping_for, || panel.ask(&ping).map(drop))?;
        let small = start(&mut panel, 1)?;
        panel.tell("/stop")?;
        // The original does not wait for a core's end; and it ends connections that rest.
        std::thread::sleep(REST);
        let big = start(&mut node.connect()?, USERS_OF_A_TEST)?;
        std::thread::sleep(LONG_REST);
        let loaded = node.process.memory()?.rss;
        Ok([
            (Figure::ListeningMs, millis(node.listening_after)),
            (Figure::IdleMib, mib(idle)),
            (Figure::PingsPerS, pings.per_s),
            (Figure::PingP99Us, pings.p99_us),
            (Figure::StartMs, small.millis),
            (Figure::LateMs, small.late_millis),
            (Figure::LateWithUsersMs, big.late_millis),
            (Figure::PeakMib, mib(node.process.peak_rss()?)),
            (Figure::LoadedMib, mib(loaded)),
        ]
        .into())
    }

    fn with_instant_core(&self) -> Result<Figures<Figure>> {
        let node = self.place.start(self.program, Core::Instant)?;
        let mut panel = node.connect()?;
        let inbounds = [loopback()?, loopback()?, loopback()?];
        let config = PanelConfig {
            users: USERS_OF_A_TEST,
            inbounds: &inbounds,
        }
        .text();
        let request = panel.run_request("/start", &config);
        let begin = Instant::now();
        panel.run(&request)?;
        Ok([(Figure::UsersMs, millis(begin.elapsed()))].into())
    }
}

/// How a `/start` went.
#[derive(Debug, Clone, Copy)]
struct Start {
    millis: f64,
    /// After the last inbound was open; less than 0 if the answer was faster.
    late_millis: f64,
}

/// Starts a core with `users` in each of three inbounds, on a node whose panel has just connected.
fn start(panel: &mut Panel, users: u32) -> Result<Start> {
    let inbounds = [loopback()?, loopback()?, loopback()?];
    let config = PanelConfig {
        users,
        inbounds: &inbounds,
    }
    .text();
    let request = panel.run_request("/start", &config);
    let begin = Instant::now();
    let door = std::thread::spawn({
        let [.., last] = inbounds;
        move || open_at(last)
    });
    panel.run(&request)?;
    let answered = Instant::now();
    let open = door.join().ok().context("the thread at the door ends")??;
    let late_millis = if answered >= open {
        millis(answered - open)
    } else {
        -millis(open - answered)
    };
    Ok(Start {
        millis: millis(answered - begin),
        late_millis,
    })
}

/// When somebody listens there.
fn open_at(address: SocketAddr) -> Result<Instant> {
    wait_until_listening(address, CORE_LIMIT).context("the core opens no inbound")?;
    Ok(Instant::now())
}
