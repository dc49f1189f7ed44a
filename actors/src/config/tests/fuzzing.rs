//! The fuzz body over the committed corpus and seeded mutations of it.

use super::super::fuzz::fuzz_config;
use proptest::prelude::RngExt;
use proptest::test_runner::{RngAlgorithm, TestRng};
use std::path::PathBuf;

const MUTATIONS: u32 = 20_000;
const MAX_CHANGES: usize = 6;

/// What a blind change of bytes would hardly find.
const WORDS: &[&str] = &[
    "\n[server]\n",
    "\n[client]\n",
    "\n[relay]\n",
    "[server.services.x]\n",
    "token = ",
    "{ env = \"TOKEN\" }",
    "{ file = \"/x\" }",
    "\"\"\"",
    "'''",
    "= ",
    "\n",
    "\"",
    "[",
    "]",
    "{",
    "}",
    ".",
    ",",
    "-",
    "0x",
    "1e999",
    "nan",
    "-0",
    "18446744073709551616",
    "\":1-65535\"",
    "\"[::]:1\"",
    "\"0:0\"",
    "\"9e99GiB\"",
    "\"584554049254y\"",
    "\u{feff}",
    "\u{0}",
    "\u{202e}",
    "\\u0000",
    "true",
];

fn corpus() -> Vec<Vec<u8>> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("corpus/config");
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

#[test]
fn corpus_keeps_the_promises() {
    let corpus = corpus();
    assert!(corpus.len() >= 6);
    corpus.iter().for_each(|seed| fuzz_config(seed));
}

#[test]
fn mutations_of_the_corpus_keep_the_promises() {
    let corpus = corpus();
    let mut random = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    for number in 0..MUTATIONS {
        let mut data = corpus[random.random_range(0..corpus.len())].clone();
        for _ in 0..random.random_range(1..=MAX_CHANGES) {
            change(&mut data, &corpus, &mut random);
        }
        let outcome = std::panic::catch_unwind(|| fuzz_config(&data));
        assert!(
            outcome.is_ok(),
            "mutation {number}: {:?}",
            String::from_utf8_lossy(&data)
        );
    }
}

fn change(data: &mut Vec<u8>, corpus: &[Vec<u8>], random: &mut TestRng) {
    let at = random.random_range(0..=data.len());
    let end = (at + random.random_range(0..40)).min(data.len());
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
            let to = (from + random.random_range(0..200)).min(other.len());
            data.splice(at..end, other[from..to].iter().copied());
        }
        4 => data.truncate(at.max(1)),
        _ => drop(data.splice(at..end, WORDS[random.random_range(0..WORDS.len())].bytes())),
    }
}
