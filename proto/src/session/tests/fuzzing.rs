//! The fuzz bodies over their corpus and over mutations of it.

use super::pair::Dice;
use crate::session::fuzz::*;
use std::path::Path;

const MUTATIONS: u64 = 20_000;

/// Runs a body over `fuzz/corpus/<name>` and over seeded mutations; prints the input that fails.
fn run(name: &str, body: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let corpus: Vec<Vec<u8>> = files.iter().map(|file| std::fs::read(file).unwrap()).collect();
    assert!(!corpus.is_empty(), "{folder:?} is empty");
    for input in &corpus {
        body(input);
    }
    let mut dice = Dice(1);
    for number in 0..MUTATIONS {
        let input = mutate(&corpus, &mut dice);
        if std::panic::catch_unwind(|| body(&input)).is_err() {
            panic!("{name}, mutation {number}: {input:02x?}");
        }
    }
}

fn mutate(corpus: &[Vec<u8>], dice: &mut Dice) -> Vec<u8> {
    let pick = |dice: &mut Dice| corpus[dice.below(corpus.len() as u64) as usize].clone();
    let mut input = pick(dice);
    for _ in 0..=dice.below(4) {
        let at = dice.below(input.len() as u64 + 1) as usize;
        match dice.below(5) {
            0 => input.truncate(at),
            1 => input.insert(at, dice.next() as u8),
            2 => input.splice(at.., pick(dice)).for_each(drop),
            _ => {
                if let Some(byte) = input.get_mut(at) {
                    *byte ^= 1 << dice.below(8);
                }
            }
        }
    }
    input
}

#[test]
fn first_bytes_survive_mutations() {
    run("session_first", fuzz_session_first);
}

#[test]
fn open_and_ready_survive_mutations() {
    run("session_open_ready", fuzz_session_open_ready);
}

#[test]
fn handshakes_survive_mutations() {
    run("session_handshake", fuzz_session_handshake);
}

#[test]
fn control_messages_survive_mutations() {
    run("session_control", fuzz_session_control);
}
