//! No token is lost or taken twice, and no report of demand is lost.

use crate::explore;
use crate::sync::lease::Lease;
use loom::sync::Arc;
use loom::thread;

#[test]
fn no_token_is_lost_or_taken_twice() {
    explore(|| {
        let lease = Arc::new(Lease::default());
        let limiter = {
            let lease = lease.clone();
            thread::spawn(move || {
                lease.grant(10);
                lease.grant(300);
            })
        };
        let taken = [lease.take(), lease.take()];
        limiter.join().unwrap();
        let left = lease.take();
        assert_eq!(taken[0] + taken[1] + left, 310, "{taken:?} and {left}");
        assert_eq!(lease.take(), 0);
    });
}

#[test]
fn every_used_token_is_reported_once() {
    explore(|| {
        let lease = Arc::new(Lease::default());
        let worker = {
            let lease = lease.clone();
            thread::spawn(move || {
                lease.spent(10);
                lease.spent(300);
            })
        };
        let (early, _) = lease.demand();
        worker.join().unwrap();
        let (late, _) = lease.demand();
        assert_eq!(early + late, 310);
    });
}

#[test]
fn a_starved_worker_is_reported_with_what_it_had_used_before() {
    explore(|| {
        let lease = Arc::new(Lease::default());
        let worker = {
            let lease = lease.clone();
            thread::spawn(move || {
                lease.spent(5);
                lease.starve();
            })
        };
        let reports = [lease.demand(), lease.demand()];
        worker.join().unwrap();
        let last = lease.demand();
        let waits = reports.iter().chain([&last]).filter(|(_, waiting)| *waiting).count();
        assert_eq!(waits, 1, "one cry, one report: {reports:?} {last:?}");
        assert_eq!(reports[0].0 + reports[1].0 + last.0, 5);
    });
}

#[test]
fn a_worker_that_starves_again_after_a_report_is_reported_again() {
    explore(|| {
        let lease = Arc::new(Lease::default());
        let worker = {
            let lease = lease.clone();
            thread::spawn(move || {
                lease.starve();
                let taken = lease.take();
                lease.spent(taken);
                lease.starve();
                taken
            })
        };
        let (_, early) = lease.demand();
        if early {
            lease.grant(4);
        }
        let taken = worker.join().unwrap();
        let (_, late) = lease.demand();
        assert!(early || late, "a cry is heard");
        assert!(late || taken == 0, "it starved again after what it was granted");
    });
}
