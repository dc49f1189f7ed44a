//! The fuzz bodies over the committed corpus and seeded mutations of it.

use super::super::fuzz::{fuzz_node_body, fuzz_node_config};
use crate::mutation::{change, corpus, mutate};
use proptest::prelude::RngExt;
use proptest::test_runner::TestRng;

const MAX_CHANGES: usize = 4;

/// What a blind change of bytes would hardly find.
const WORDS: &[&str] = &[
    "\\",
    "\\u",
    "\\ud83d",
    "\\ude00",
    "\\u0024",
    "\\u00",
    "NaN",
    "-Infinity",
    "null",
    "1E5",
    "\u{feff}",
    "\u{0}",
    "\u{7f}",
    "🇮🇷",
    "{",
    "}",
    "[",
    "]",
    "\"",
    "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
];

/// Members that an object may get at its front.
const MEMBERS: &[&str] = &[
    "\"$serde_json::private::Number\":\"1\",",
    "\"\\u0024serde_json::private::Number\":[],",
    "\"api\":{\"tag\":\"API\"},",
    "\"api\":{\"tag\":\"\\ud800\"},",
    "\"inbounds\":[{\"tag\":\"VLESS\"},{\"tag\":\"🇮🇷\"}],",
    "\"inbounds\":null,",
    "\"routing\":{\"rules\":[{\"outboundTag\":\"API\"},{\"outboundTag\":\"\\udfff\"}]},",
    "\"routing\":{\"balancers\":[]},",
    "\"log\":{\"logLevel\":\"none\"},",
    "\"log\":null,",
    "\"session_id\":\"urn:uuid:3f2504e0-4f89-41d3-9a0c-0305e82c3301\",",
    "\"session_id\":null,",
    "\"config\":\"{\\\"stats\\\":1e999}\",",
    "\"config\":\"NaN\",",
    "\"\\u0000\u{7f}\":NaN,",
];

/// Elements that a list may get at its front.
const ELEMENTS: &[&str] = &[
    "{\"protocol\":\"dokodemo-door\",\"tag\":\"API_INBOUND\"},",
    "{\"outboundTag\":\"API\"},",
    "[\"api\",{}],",
    "\"$serde_json::private::\",",
    "\"\\ud83d\\ude00\\ud83d\",",
    "18446744073709551616,",
    "{},",
];

#[test]
fn corpus_keeps_the_promises() {
    let corpus = corpus("node", "");
    assert!(corpus.len() >= 9);
    for seed in &corpus {
        fuzz_node_body(seed);
        fuzz_node_config(seed);
    }
}

#[test]
fn mutations_of_bodies_keep_the_promises() {
    mutate_kind("body-", fuzz_node_body);
}

#[test]
fn mutations_of_configurations_keep_the_promises() {
    mutate_kind("config-", fuzz_node_config);
}

fn mutate_kind(kind: &str, body: fn(&[u8])) {
    let corpus_of_all = corpus("node", "");
    // Mostly so that it can still be read.
    let change = |data: &mut Vec<u8>, random: &mut TestRng| match random.random_range(0..5) {
        0 => change(data, &corpus_of_all, WORDS, random),
        1 | 2 => insert(b'[', ELEMENTS, data, random),
        _ => insert(b'{', MEMBERS, data, random),
    };
    mutate(&corpus("node", kind), MAX_CHANGES, change, body);
}

fn insert(behind: u8, what: &[&str], data: &mut Vec<u8>, random: &mut TestRng) {
    let places: Vec<_> = (1..=data.len()).filter(|at| data[at - 1] == behind).collect();
    if !places.is_empty() {
        let at = places[random.random_range(0..places.len())];
        data.splice(at..at, what[random.random_range(0..what.len())].bytes());
    }
}
