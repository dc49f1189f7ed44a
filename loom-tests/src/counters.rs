//! One writer, any number of readers: only values that were written, and never an effect without its cause.

use crate::explore;
use crate::sync::counters::Counters;
use loom::sync::Arc;
use loom::thread;

const ACCEPTED: usize = 0;
const OPENED: usize = 1;

#[test]
fn a_reader_sees_only_values_that_were_written_and_never_an_older_one_later() {
    explore(|| {
        let counters = Arc::new(Counters::<1>::default());
        let writer = {
            let counters = counters.clone();
            thread::spawn(move || {
                counters.add(0, 1 << 40);
                counters.add(0, 1);
            })
        };
        let seen = [counters.get(0), counters.get(0)];
        let written = [0, 1 << 40, (1 << 40) + 1];
        assert!(seen.iter().all(|value| written.contains(value)), "{seen:?}");
        assert!(seen[0] <= seen[1], "{seen:?}");
        writer.join().unwrap();
        assert_eq!(counters.get(0), (1 << 40) + 1);
    });
}

#[test]
fn no_reading_shows_an_effect_without_its_cause() {
    explore(|| {
        let counters = Arc::new(Counters::<2>::default());
        let writer = {
            let counters = counters.clone();
            thread::spawn(move || {
                for _ in 0..2 {
                    counters.add(ACCEPTED, 1);
                    counters.add(OPENED, 1);
                }
            })
        };
        let readers: Vec<_> = (0..2)
            .map(|_| {
                let counters = counters.clone();
                thread::spawn(move || counters.read())
            })
            .collect();
        for reader in readers {
            let seen = reader.join().unwrap();
            assert!(seen[OPENED] <= seen[ACCEPTED], "{seen:?}");
        }
        writer.join().unwrap();
        assert_eq!(counters.read(), [2, 2]);
    });
}

#[test]
fn a_gauge_goes_down_no_further_than_nothing() {
    explore(|| {
        let counters = Arc::new(Counters::<1>::default());
        let writer = {
            let counters = counters.clone();
            thread::spawn(move || {
                counters.add(0, 1);
                counters.sub(0, 1);
                counters.sub(0, 1);
                counters.set(0, 7);
            })
        };
        assert!([0, 1, 7].contains(&counters.get(0)));
        writer.join().unwrap();
        assert_eq!(counters.get(0), 7);
    });
}
