//! The fuzz body over the committed corpus and seeded mutations of it.

use crate::smux::fuzz_smux;
use proptest::prelude::RngExt;
use proptest::test_runner::{RngAlgorithm, TestRng};
use std::path::PathBuf;

const MUTATIONS: u32 = 20_000;
const MAX_CHANGES: u32 = 6;

fn corpus() -> Vec<Vec<u8>> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/smux");
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    let corpus: Vec<_> = paths.iter().map(|path| std::fs::read(path).unwrap()).collect();
    assert!(corpus.len() >= 8, "the corpus is there");
    corpus
}

/// Changes, inserts, removes or repeats a few bytes, or joins two seeds.
fn mutate(corpus: &[Vec<u8>], rng: &mut TestRng) -> Vec<u8> {
    let mut data = corpus[rng.random_range(0..corpus.len())].clone();
    for _ in 0..rng.random_range(1..=MAX_CHANGES) {
        let at = rng.random_range(0..=data.len());
        match rng.random_range(0..6u8) {
            0 if at < data.len() => data[at] = rng.random(),
            1 if at < data.len() => data[at] ^= 1 << rng.random_range(0..8u8),
            2 => data.insert(at, rng.random()),
            3 => data.truncate(at),
            4 => {
                let to = rng.random_range(at..=data.len());
                let part = data[at..to].to_vec();
                data.splice(at..at, part);
            }
            _ => {
                let other = &corpus[rng.random_range(0..corpus.len())];
                data.truncate(at);
                data.extend_from_slice(&other[rng.random_range(0..=other.len())..]);
            }
        }
    }
    data
}

#[test]
fn corpus_keeps_the_promises() {
    corpus().iter().for_each(|seed| fuzz_smux(seed));
}

#[test]
fn mutations_of_the_corpus_keep_the_promises() {
    let corpus = corpus();
    let mut rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    for n in 0..MUTATIONS {
        let data = mutate(&corpus, &mut rng);
        if let Err(panic) = std::panic::catch_unwind(|| fuzz_smux(&data)) {
            eprintln!("mutation {n}: {data:02x?}");
            std::panic::resume_unwind(panic);
        }
    }
}
