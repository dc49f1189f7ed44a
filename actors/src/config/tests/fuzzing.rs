//! The fuzz body over the committed corpus and seeded mutations of it.

use super::super::fuzz::fuzz_config;
use crate::mutation::{change, corpus, mutate};
use proptest::test_runner::TestRng;

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

#[test]
fn corpus_keeps_the_promises() {
    let corpus = corpus("config", "");
    assert!(corpus.len() >= 6);
    corpus.iter().for_each(|seed| fuzz_config(seed));
}

#[test]
fn mutations_of_the_corpus_keep_the_promises() {
    let corpus = corpus("config", "");
    let blindly = |data: &mut Vec<u8>, random: &mut TestRng| change(data, &corpus, WORDS, random);
    mutate(&corpus, MAX_CHANGES, blindly, fuzz_config);
}
