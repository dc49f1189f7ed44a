//! Who may send how much of a carrier that everybody wants.

use super::*;
use std::collections::HashMap;

/// Streams with the given priorities, ready, with SYN sent, in version 1 (no windows in the way).
fn streams(priorities: impl IntoIterator<Item = u8>) -> (End, Vec<StreamId>) {
    let mut end = End::new(
        Role::Dialled,
        Config {
            max_streams: 1000,
            ..kariz(MuxVersion::V1)
        },
    );
    let ids: Vec<_> = priorities
        .into_iter()
        .map(|priority| end.mux.open(priority).unwrap())
        .collect();
    end.control();
    ids.iter().for_each(|id| end.mux.set_ready(*id, true));
    (end, ids)
}

/// Gives `turns` turns to sources that always have `available(id)` bytes; the bytes that each sent.
fn saturate(end: &mut End, turns: usize, available: impl Fn(StreamId) -> usize) -> HashMap<StreamId, usize> {
    let mut sent = HashMap::new();
    for _ in 0..turns {
        let pull = end.mux.next_data(1 << 16).unwrap();
        let length = pull.max_len.min(available(pull.id));
        end.mux.pulled(pull.id, length);
        *sent.entry(pull.id).or_default() += length;
    }
    sent
}

#[test]
fn hundred_small_streams_keep_their_share_beside_a_bulk() {
    let (mut end, ids) = streams([0; 101]);
    // The bulk always fills a frame, the others have little at a time.
    let sent = saturate(&mut end, 400_000, |id| if id == ids[0] { 1 << 20 } else { 1200 });
    let share = sent.values().sum::<usize>() as f64 / 101.0;
    for id in &ids[1..] {
        assert!(sent[id] as f64 >= 0.8 * share, "stream {id}: {} of {share}", sent[id]);
    }
}

#[test]
fn stream_with_little_to_send_waits_for_one_turn_of_each_other_at_most() {
    let (mut end, ids) = streams([0; 101]);
    saturate(&mut end, 1000, |_| 1 << 20);
    let small = ids[50];
    end.mux.set_ready(small, false);
    saturate(&mut end, 1000, |_| 1 << 20);
    end.mux.set_ready(small, true);
    let before = (0..).take_while(|_| end.pull(1 << 20).unwrap().0 != small).count();
    assert!(before <= 200, "{before} frames");
}

#[test]
fn priorities_share_as_8_to_4_to_2_to_1() {
    let (mut end, ids) = streams([0, 1, 2, 3]);
    let sent = saturate(&mut end, 30_000, |_| 1 << 20);
    let unit = sent.values().sum::<usize>() as f64 / 15.0;
    for (id, weight) in ids.iter().zip([8.0, 4.0, 2.0, 1.0]) {
        let ratio = sent[id] as f64 / unit / weight;
        assert!((0.95..1.05).contains(&ratio), "stream {id}: {ratio}");
    }
}

#[test]
fn urgent_and_background_share_as_8_to_1_with_any_frame_length() {
    let (mut end, ids) = streams([0, 3]);
    for length in [100, 1500, 9000, 32768] {
        let sent = saturate(&mut end, 50_000, |id| if id == ids[0] { length } else { 1 << 20 });
        let ratio = sent[&ids[0]] as f64 / sent[&ids[1]] as f64;
        // A frame's header counts as well.
        let expected = 8.0 * length as f64 / (length + 8) as f64;
        assert!((0.95..1.05).contains(&(ratio / expected)), "{length} bytes: {ratio}");
    }
}

#[test]
fn background_stream_alone_has_everything_in_full_frames() {
    let (mut end, ids) = streams([3]);
    assert_eq!(saturate(&mut end, 100, |_| 1 << 20)[&ids[0]], 100 * 32768);
}

#[test]
fn priority_of_an_accepted_stream_can_be_set() {
    let mut end = End::new(Role::Dialled, kariz(MuxVersion::V1));
    for id in [2, 4] {
        end.receive(&frame(1, Command::Syn, id, &[])).unwrap();
        end.mux.set_ready(id, true);
    }
    end.mux.set_priority(4, 3);
    let sent = saturate(&mut end, 9000, |_| 1 << 20);
    assert_eq!(sent[&2] / sent[&4], 8);
}

#[test]
fn stream_that_skips_its_turns_saves_nothing_up() {
    let (mut end, ids) = streams([0, 0]);
    end.mux.set_ready(ids[0], false);
    saturate(&mut end, 1000, |_| 1 << 20);
    end.mux.set_ready(ids[0], true);
    let sent = saturate(&mut end, 8, |_| 1 << 20);
    assert_eq!(sent[&ids[0]], sent[&ids[1]]);
}
