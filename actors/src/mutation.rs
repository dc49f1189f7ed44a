//! What the tests of the fuzz bodies have in common: a committed corpus, and seeded changes of it.

use proptest::prelude::RngExt;
use proptest::test_runner::{RngAlgorithm, TestRng};
use std::path::PathBuf;

/// Mutated inputs that each body gets.
pub(crate) const MUTATIONS: u32 = 20_000;

/// The files of `corpus/FOLDER` whose names begin with `kind`.
pub(crate) fn corpus(folder: &str, kind: &str) -> Vec<Vec<u8>> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("corpus").join(folder);
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    paths.retain(|path| path.file_name().unwrap().to_str().unwrap().starts_with(kind));
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

/// Gives `body` [`MUTATIONS`] inputs: `seeds`, each with one to `most` times what `change` does.
pub(crate) fn mutate(
    seeds: &[Vec<u8>],
    most: usize,
    mut change: impl FnMut(&mut Vec<u8>, &mut TestRng),
    body: fn(&[u8]),
) {
    let mut random = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    for number in 0..MUTATIONS {
        let mut data = seeds[random.random_range(0..seeds.len())].clone();
        for _ in 0..random.random_range(1..=most) {
            change(&mut data, &mut random);
        }
        let outcome = std::panic::catch_unwind(|| body(&data));
        assert!(
            outcome.is_ok(),
            "mutation {number}: {:?}",
            String::from_utf8_lossy(&data)
        );
    }
}

/// One blind change: a bit, a hole, a repetition, a piece of another input, an early end, or one of `words`, which such
/// changes would hardly find.
pub(crate) fn change(data: &mut Vec<u8>, corpus: &[Vec<u8>], words: &[&str], random: &mut TestRng) {
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
        _ => drop(data.splice(at..end, words[random.random_range(0..words.len())].bytes())),
    }
}
