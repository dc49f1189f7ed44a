//! What one program does in one round for a panel that has its key.

use super::config::Config;
use super::figure::Figure;
use super::grpc::Caller;
use super::panel::{Call, Panel};
use super::users::{Someone, USERS};
use super::visitor::{self, Visitor};
use crate::kit::node::environment::Protocol;
use crate::kit::node::loopback;
use crate::kit::node::place::{Node, Place};
use crate::kit::node::program::Program;
use crate::kit::node::rate::Rate;
use crate::kit::node::table::Figures;
use crate::kit::node::units::{mib, middle, millis};
use anyhow::{Context, Result, ensure};
use kariz_bench::load::wait_until_listening;
use kariz_bench::target::Target;
use kariz_proto::panel::User;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long a node rests before its memory is read.
pub(super) const REST: Duration = Duration::from_secs(1);

/// The same after a big configuration.
const LONG_REST: Duration = Duration::from_secs(10);

/// How long a core that was restarted may take until it accepts users.
const RESTART_LIMIT: Duration = Duration::from_secs(10);

/// Users who change in one go.
const CHANGED: u32 = 10;

/// Further calls of SyncUsers.
const MORE_SYNCS: usize = 10;

/// Questions for all counters, of which the middle one counts.
pub(super) const LOOKS: usize = 5;

/// One program's turn.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    pub(crate) place: &'a Place,
    pub(crate) program: &'a Program,
    /// The real core.
    pub(crate) core: &'a Path,
    /// How long this core takes to start without a node, in ms.
    pub(crate) core_alone_ms: f64,
    /// How long calls are counted.
    pub(crate) ask_for: Duration,
}

impl Turn<'_> {
    pub(crate) fn take(&self) -> Result<Figures<Figure>> {
        let node = self.place.start_keyed(self.program, self.core, Protocol::Rest)?;
        let mut panel = Panel::connect(&node)?;
        std::thread::sleep(REST);
        let idle = node.process.memory()?.rss;
        let info = Call::info();
        let calls = Rate::of(self.ask_for, || panel.ask(&info).map(drop))?;
        let mut figures: Figures<Figure> = [
            (Figure::ListeningMs, millis(node.listening_after)),
            (Figure::IdleMib, mib(idle)),
            (Figure::CallsPerS, calls.per_s),
            (Figure::CallP99Us, calls.p99_us),
            (Figure::GrpcCallsPerS, self.over_grpc()?),
        ]
        .into();
        figures.extend(
            self.with_users(&node, &mut panel)
                .with_context(|| node.process.obituary())?,
        );
        figures.insert(Figure::PeakMib, mib(node.process.peak_rss()?));
        Ok(figures)
    }

    /// Calls a second over gRPC, which the Go node speaks only when it does not speak REST.
    fn over_grpc(&self) -> Result<f64> {
        let node = self.place.start_keyed(self.program, self.core, Protocol::Grpc)?;
        let mut caller = Caller::connect(&node)?;
        Ok(Rate::of(self.ask_for, || caller.base_info().map(drop))?.per_s)
    }

    fn with_users(&self, node: &Node<'_>, panel: &mut Panel) -> Result<Figures<Figure>> {
        let config = Config::new()?;
        let start = panel.start(&Call::start(config.of_panel(), messages(0)))?;
        let rests = Instant::now();
        visitor::all_once(0, config.vless())?;
        std::thread::sleep(LONG_REST.saturating_sub(rests.elapsed()));
        let mut figures: Figures<Figure> = [
            (Figure::StartMs, millis(start)),
            (Figure::OwnStartMs, millis(start) - self.core_alone_ms),
            (Figure::LoadedMib, mib(node.process.memory()?.rss)),
            (Figure::StatsMs, millis(stats(panel)?)),
        ]
        .into();
        figures.extend(few_change(panel)?);
        figures.extend(self.all_sync(node, panel, config)?);
        sync_again(panel)?;
        std::thread::sleep(REST);
        figures.insert(Figure::SyncedMib, mib(node.process.memory()?.rss));
        Ok(figures)
    }

    /// SyncUsers, and what the core and a user of it notice.
    fn all_sync(&self, node: &Node<'_>, panel: &mut Panel, config: Config) -> Result<Figures<Figure>> {
        let target = Target::start(loopback()?)?;
        let old = Someone {
            number: USERS - 1,
            is_new: false,
        };
        let mut visitor = Visitor::come(old, config.vless(), target.address()).context("before the change")?;
        let core = node.core()?;
        let (time, _) = panel.time(&Call::sync_users(messages(3 * CHANGED)))?;
        let stays = node.core()? == core;
        let mut figures: Figures<Figure> = [
            (Figure::CoreStays, answer(stays)),
            (Figure::VisitorStays, answer(visitor.is_there())),
        ]
        .into();
        // How fast Kariz is with a restart is not what was asked.
        if stays || !matches!(self.program, Program::Kariz(_)) {
            figures.insert(Figure::SyncUsersMs, millis(time));
        }
        let [old, new] = [false, true].map(|is_new| Someone {
            number: 3 * CHANGED - 1,
            is_new,
        });
        // The API of a core that was restarted may answer first.
        wait_until_listening(config.vless(), RESTART_LIMIT).context("after a restart of the core")?;
        Visitor::come(new, config.vless(), target.address()).context("with new credentials")?;
        let refused = Visitor::come(old, config.vless(), target.address()).is_err();
        ensure!(refused, "credentials that are gone still let a user in");
        Ok(figures)
    }
}

/// All users; those with a number below `new` have new credentials.
fn messages(new: u32) -> Vec<User> {
    Someone::all(new).map(Someone::message).collect()
}

/// The first users get new credentials one by one, the next ones in one go.
fn few_change(panel: &mut Panel) -> Result<Figures<Figure>> {
    let all: Vec<User> = Someone::all(2 * CHANGED)
        .take(2 * CHANGED as usize)
        .map(Someone::message)
        .collect();
    let (first, next) = all.split_at(CHANGED as usize);
    let calls: Vec<Call> = first.iter().map(Call::sync_user).collect();
    let begin = Instant::now();
    calls.iter().try_for_each(|call| panel.ask(call).map(drop))?;
    let one_by_one = begin.elapsed();
    let (chunks, _) = panel.time(&Call::sync_chunks(next))?;
    Ok([
        (Figure::SyncUserMs, millis(one_by_one)),
        (Figure::SyncChunksMs, millis(chunks)),
    ]
    .into())
}

/// SyncUsers again and again; each time a few users get their old credentials back, or the new ones.
fn sync_again(panel: &mut Panel) -> Result<()> {
    let calls = [2 * CHANGED, 3 * CHANGED].map(|new| Call::sync_users(messages(new)));
    let mut again = calls.iter().cycle().take(MORE_SYNCS);
    again.try_for_each(|call| panel.ask(call).map(drop))
}

/// How long the question for all users' counters takes.
fn stats(panel: &mut Panel) -> Result<Duration> {
    let call = Call::users_stats();
    middle::<LOOKS>(|| {
        let (time, counters) = panel.stats(&call)?;
        check_counters(counters)?;
        Ok(time)
    })
}

/// Whether every user has been counted in both directions.
pub(super) fn check_counters(count: usize) -> Result<()> {
    ensure!(count == 2 * USERS as usize, "{count} counters");
    Ok(())
}

/// Yes or no as a figure.
fn answer(yes: bool) -> f64 {
    f64::from(u8::from(yes))
}
