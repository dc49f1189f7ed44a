use super::lease::Lease;
use super::table::{BudgetTable, Scope};
use crate::dataplane::Demand;
use kariz_proto::control::{BudgetId, WorkerIndex};
use kariz_proto::model::{Limits, Rate};
use std::time::{Duration, Instant};

const RATE: Rate = Rate {
    per_second: 1_000_000,
    burst: 1_000_000,
};

fn demand(worker: u16, used: u64, waiting: bool) -> Demand {
    Demand {
        worker: WorkerIndex(worker),
        used,
        waiting,
    }
}

/// Runs a lease for some ticks against workers that use at once whatever they have; returns what each used.
fn greedy(workers: u16, ticks: u32) -> Vec<u64> {
    let start = Instant::now();
    let mut lease = Lease::new(RATE, workers, start);
    let mut have = vec![0; usize::from(workers)];
    let mut used = vec![0; usize::from(workers)];
    for tick in 0..ticks {
        let demands: Vec<Demand> = (0..workers)
            .map(|worker| demand(worker, std::mem::take(&mut have[usize::from(worker)]), true))
            .collect();
        for demand in &demands {
            used[usize::from(demand.worker.0)] += demand.used;
        }
        for (worker, tokens) in lease.divide(&demands, start + Duration::from_millis(20) * tick) {
            have[usize::from(worker.0)] += tokens;
        }
    }
    used
}

#[test]
fn workers_that_wait_share_the_rate_equally_and_never_exceed_it() {
    let used = greedy(4, 501);
    let total: u64 = used.iter().sum();
    assert!(
        (10_900_000..=11_000_000).contains(&total),
        "burst and ten seconds of rate: {total}"
    );
    for share in &used {
        assert!(share.abs_diff(total / 4) < 10, "{used:?}");
    }
}

#[test]
fn one_busy_worker_gets_what_idle_ones_do_not_hold_ready() {
    let start = Instant::now();
    let mut lease = Lease::new(RATE, 4, start);
    let idle = [
        demand(0, 0, false),
        demand(1, 0, false),
        demand(2, 0, false),
        demand(3, 0, false),
    ];
    let ready: u64 = lease.divide(&idle, start).iter().map(|(_, tokens)| tokens).sum();
    assert_eq!(ready, RATE.burst / 4, "a quarter of the burst lies ready");
    assert!(
        lease.divide(&idle, start).is_empty(),
        "what lies ready is not granted again"
    );
    let mut used = RATE.burst / 16;
    let mut total = 0;
    for tick in 1..=500 {
        let demands = [
            demand(0, used, true),
            demand(1, 0, false),
            demand(2, 0, false),
            demand(3, 0, false),
        ];
        let grants = lease.divide(&demands, start + Duration::from_millis(20) * tick);
        assert!(grants.iter().all(|(worker, _)| *worker == WorkerIndex(0)));
        used = grants.iter().map(|(_, tokens)| tokens).sum();
        total += used;
    }
    assert_eq!(total, 10_000_000 + RATE.burst * 3 / 4);
}

#[test]
fn what_a_dead_worker_held_is_not_counted_against_its_successor() {
    let start = Instant::now();
    let mut lease = Lease::new(RATE, 1, start);
    let first = lease.divide(&[demand(0, 0, false)], start);
    assert!(lease.divide(&[demand(0, 0, false)], start).is_empty());
    lease.worker_replaced(WorkerIndex(0));
    assert_eq!(lease.divide(&[demand(0, 0, false)], start), first);
}

#[test]
fn a_changed_rate_keeps_what_was_saved_up() {
    let start = Instant::now();
    let mut lease = Lease::new(RATE, 1, start);
    lease.set_rate(
        Rate {
            per_second: 10,
            burst: 100,
        },
        start,
    );
    assert_eq!(lease.divide(&[demand(0, 0, true)], start), [(WorkerIndex(0), 100)]);
    lease.set_rate(RATE, start);
    assert!(
        lease.divide(&[demand(0, 100, true)], start).is_empty(),
        "an empty budget stays empty"
    );
}

#[test]
fn budgets_open_change_and_close_with_their_limits() {
    let mut table = BudgetTable::default();
    let mut next = 0;
    let mut set = |table: &mut BudgetTable, bytes, messages| {
        let limits = Limits {
            bytes,
            messages,
            visitors: None,
        };
        table.set(Scope::Process, &limits, 2, Instant::now(), || {
            next += 1;
            BudgetId(next)
        })
    };
    assert!(table.is_empty());
    let (ids, change) = set(&mut table, Some(RATE), None);
    assert_eq!((ids.bytes, ids.messages), (Some(BudgetId(1)), None));
    assert_eq!((change.opened, change.closed), (vec![BudgetId(1)], vec![]));
    let (ids, change) = set(&mut table, Some(Rate { burst: 5, ..RATE }), Some(RATE));
    assert_eq!(
        (ids.bytes, ids.messages),
        (Some(BudgetId(1)), Some(BudgetId(2))),
        "a changed rate keeps its id"
    );
    assert_eq!(change.opened, [BudgetId(2)]);
    assert_eq!(table.get(Scope::Process), ids);
    let (_, change) = set(&mut table, None, None);
    assert_eq!(change.closed, [BudgetId(1), BudgetId(2)]);
    assert!(table.is_empty());
}
