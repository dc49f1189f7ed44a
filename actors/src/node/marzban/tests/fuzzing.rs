//! The fuzz bodies over the committed corpus and seeded mutations of it.

use super::super::fuzz::{fuzz_node_body, fuzz_node_config};
use proptest::prelude::RngExt;
use proptest::test_runner::{RngAlgorithm, TestRng};
use std::path::PathBuf;

const MUTATIONS: u32 = 20_000;
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

/// The files whose names begin with `kind`.
fn corpus(kind: &str) -> Vec<Vec<u8>> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("corpus/node");
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    paths.retain(|path| path.file_name().unwrap().to_str().unwrap().starts_with(kind));
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

#[test]
fn corpus_keeps_the_promises() {
    let corpus = corpus("");
    assert!(corpus.len() >= 9);
    for seed in &corpus {
        fuzz_node_body(seed);
        fuzz_node_config(seed);
    }
}

#[test]
fn mutations_of_bodies_keep_the_promises() {
    mutate("body-", fuzz_node_body);
}

#[test]
fn mutations_of_configurations_keep_the_promises() {
    mutate("config-", fuzz_node_config);
}

fn mutate(kind: &str, body: fn(&[u8])) {
    let (seeds, corpus) = (corpus(kind), corpus(""));
    let mut random = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    for number in 0..MUTATIONS {
        let mut data = seeds[random.random_range(0..seeds.len())].clone();
        for _ in 0..random.random_range(1..=MAX_CHANGES) {
            // Mostly so that it can still be read.
            match random.random_range(0..5) {
                0 => change(&mut data, &corpus, &mut random),
                1 | 2 => insert(b'[', ELEMENTS, &mut data, &mut random),
                _ => insert(b'{', MEMBERS, &mut data, &mut random),
            }
        }
        let outcome = std::panic::catch_unwind(|| body(&data));
        assert!(
            outcome.is_ok(),
            "mutation {number}: {:?}",
            String::from_utf8_lossy(&data)
        );
    }
}

fn insert(behind: u8, what: &[&str], data: &mut Vec<u8>, random: &mut TestRng) {
    let places: Vec<_> = (1..=data.len()).filter(|at| data[at - 1] == behind).collect();
    if !places.is_empty() {
        let at = places[random.random_range(0..places.len())];
        data.splice(at..at, what[random.random_range(0..what.len())].bytes());
    }
}

fn change(data: &mut Vec<u8>, corpus: &[Vec<u8>], random: &mut TestRng) {
    let at = random.random_range(0..=data.len());
    let end = (at + random.random_range(0..20)).min(data.len());
    match random.random_range(0..6) {
        0 if at < data.len() => data[at] ^= 1 << random.random_range(0..8),
        1 => drop(data.drain(at..end)),
        2 => {
            let again = data[at..end].to_vec();
            data.splice(at..at, again);
        }
        3 => {
            let other = &corpus[random.random_range(0..corpus.len())];
            let from = random.random_range(0..=other.len());
            let to = (from + random.random_range(0..100)).min(other.len());
            data.splice(at..end, other[from..to].iter().copied());
        }
        4 => data.truncate(at.max(1)),
        _ => drop(data.splice(at..end, WORDS[random.random_range(0..WORDS.len())].bytes())),
    }
}
