//! No message is lost or doubled, the bound holds, and no worker sleeps beside a mailbox that is not empty.

use crate::explore;
use crate::sync::mailbox::{Bell, Mailbox};
use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;

/// An eventfd in loom's words: a ring is kept until it is heard, and who hears it silences it.
#[derive(Default)]
struct Eventfd {
    rung: Mutex<bool>,
    changed: Condvar,
}

impl Bell for Eventfd {
    fn ring(&self) {
        *self.rung.lock().unwrap() = true;
        self.changed.notify_one();
    }
}

impl Eventfd {
    /// Waits for a ring and silences the bell. Loom reports a deadlock if it is never rung.
    fn heard(&self) {
        let mut rung = self.rung.lock().unwrap();
        while !*rung {
            rung = self.changed.wait(rung).unwrap();
        }
        *rung = false;
    }
}

fn mailbox(capacity: usize) -> Arc<Mailbox<u32, Eventfd>> {
    Arc::new(Mailbox::new(capacity, Eventfd::default()))
}

#[test]
fn a_worker_that_waits_at_its_bell_gets_every_message_once() {
    explore(|| {
        let mailbox = mailbox(8);
        let posters: Vec<_> = [[1, 2], [11, 12]]
            .into_iter()
            .map(|messages| {
                let mailbox = mailbox.clone();
                thread::spawn(move || messages.into_iter().for_each(|message| mailbox.post(message).unwrap()))
            })
            .collect();
        let mut got = Vec::new();
        while got.len() < 4 {
            mailbox.bell().heard();
            got.extend(mailbox.collect());
        }
        posters.into_iter().for_each(|poster| poster.join().unwrap());
        assert!(mailbox.collect().is_empty());
        let of = |poster: u32| -> Vec<_> { got.iter().copied().filter(|message| message / 10 == poster).collect() };
        assert_eq!(of(0), [1, 2], "each poster's messages in their order");
        assert_eq!(of(1), [11, 12]);
    });
}

#[test]
fn a_full_mailbox_gives_back_and_loses_nothing() {
    explore(|| {
        let mailbox = mailbox(1);
        let posters: Vec<_> = [1, 2]
            .into_iter()
            .map(|message| {
                let mailbox = mailbox.clone();
                thread::spawn(move || mailbox.post(message).err())
            })
            .collect();
        // Everybody who got a message in has rung for it or found it not collected yet: one wait finds some.
        mailbox.bell().heard();
        let mut got: Vec<u32> = mailbox.collect().into();
        assert_eq!(got.len(), 1, "one message is the bound");
        let refused: Vec<u32> = posters
            .into_iter()
            .filter_map(|poster| poster.join().unwrap())
            .collect();
        got.extend(mailbox.collect());
        got.extend(refused);
        got.sort_unstable();
        assert_eq!(got, [1, 2], "collected or given back");
    });
}

#[test]
fn a_message_posted_after_a_collection_rings_again() {
    explore(|| {
        let mailbox = mailbox(8);
        let poster = {
            let mailbox = mailbox.clone();
            thread::spawn(move || (1..=3).for_each(|message| mailbox.post(message).unwrap()))
        };
        let mut got = Vec::new();
        while got.len() < 3 {
            mailbox.bell().heard();
            got.extend(mailbox.collect());
        }
        poster.join().unwrap();
        assert_eq!(got, [1, 2, 3]);
    });
}
