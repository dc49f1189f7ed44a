//! What CPython's `json` says of a text that is not JSON (`spec/node-marzban.md`, 1.3): message and place, as panels
//! and their operators know them.
//!
//! `serde_json` does the parsing; a text is judged here only after it was refused. The words are those of CPython up
//! to 3.12, which the original's image runs; 3.13 has a message of its own for a comma before a closing bracket.
//! Two things that CPython knows are left out: it refuses integers of more than 4,300 digits, which are read here, and
//! it guesses UTF-16 and UTF-32, which are no UTF-8 here.

mod scanner;

use scanner::{Stop, scan};
use std::fmt;

/// Containers in each other that `serde_json` reads.
pub(super) const MAX_DEPTH: usize = 127;

/// A byte order mark.
pub(super) const BOM: char = '\u{feff}';

/// What CPython makes of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is JSON for CPython, which also knows `NaN`, `Infinity`, `-Infinity` and escapes of lone surrogates.
    Valid,
    /// It is nested more deeply than this program (or CPython itself) goes.
    TooDeep,
    /// It is no JSON.
    Wrong(Complaint),
}

/// The first thing that CPython complains about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Complaint {
    message: &'static str,
    /// Characters before the place.
    pub(super) at: usize,
    /// Counted from 1, as the column.
    line: usize,
    column: usize,
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            message,
            at,
            line,
            column,
        } = self;
        write!(f, "{message}: line {line} column {column} (char {at})")
    }
}

impl Complaint {
    /// One about the byte `at` of `text`.
    fn new(message: &'static str, text: &str, at: usize) -> Self {
        let before = text.as_bytes().get(..at).unwrap_or(text.as_bytes());
        let line_start = before
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |newline| newline + 1);
        let (lines, line) = before.split_at(line_start);
        let column = characters(line);
        Self {
            message,
            at: characters(lines) + column,
            line: 1 + lines.iter().filter(|byte| **byte == b'\n').count(),
            column: column + 1,
        }
    }
}

/// Judges the text of a configuration, in which a byte order mark is a mistake.
pub(super) fn judge(text: &str) -> Verdict {
    if text.starts_with(BOM) {
        return Verdict::Wrong(Complaint::new("Unexpected UTF-8 BOM (decode using utf-8-sig)", text, 0));
    }
    judge_behind_bom(text)
}

/// Judges the body of a request. One byte order mark before it is no mistake, and places are counted from behind it.
pub(super) fn judge_body(text: &str) -> Verdict {
    judge_behind_bom(text.strip_prefix(BOM).unwrap_or(text))
}

fn judge_behind_bom(text: &str) -> Verdict {
    match scan(text) {
        Ok(depth) if depth <= MAX_DEPTH => Verdict::Valid,
        Ok(_) | Err(Stop::TooDeep) => Verdict::TooDeep,
        Err(Stop::At(at, message)) => Verdict::Wrong(Complaint::new(message, text, at)),
    }
}

/// Characters in a piece of UTF-8.
fn characters(utf8: &[u8]) -> usize {
    utf8.iter().filter(|byte| **byte & 0xc0 != 0x80).count()
}
