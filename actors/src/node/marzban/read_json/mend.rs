//! Rewrites a text that CPython takes as JSON, so that `serde_json` takes it and reads the same in it.

use serde_json::Value;

/// How the keys begin by which `serde_json` tells itself that an object is really a number. From outside such a key
/// is a key like any other.
const PRIVATE: &str = "$serde_json::private::";

/// Whether `serde_json` might take a string of this text for one of its own: it has the beginning of such a string,
/// or a character of that beginning as an escape.
pub(super) fn is_misread(text: &str) -> bool {
    let is_of_private = |at: usize| {
        let unit = text.get(at..).and_then(code_unit);
        unit.and_then(|(unit, _)| char::from_u32(unit))
            .is_some_and(|c| PRIVATE.contains(c))
    };
    text.contains(PRIVATE) || text.match_indices("\\u00").any(|(at, _)| is_of_private(at))
}

/// The mended text, and whether it had `NaN`, `Infinity` or `-Infinity` in it, which are 0 now.
///
/// Escapes of lone surrogates are escapes of U+FFFD now. Strings that begin as the private keys do begin so twice,
/// until [`restore`].
///
/// `text` is one that CPython takes.
pub(super) fn mend(text: &str) -> (String, bool) {
    let mut mended = String::with_capacity(text.len() + PRIVATE.len());
    let mut not_numbers = false;
    let mut rest = text;
    // Outside of strings these letters begin nothing else.
    while let Some(at) = rest.find(['"', 'N', 'I']) {
        let (plain, found) = rest.split_at(at);
        mended.push_str(plain);
        if let Some(contents) = found.strip_prefix('"') {
            let (contents, behind) = contents.split_at(string_length(contents));
            mended.push('"');
            mend_string(contents, &mut mended);
            rest = behind;
        } else {
            mended.push('0');
            not_numbers = true;
            rest = found.trim_start_matches(|c: char| c.is_ascii_alphabetic());
        }
    }
    mended.push_str(rest);
    (mended, not_numbers)
}

/// Takes back what [`mend`] did to strings that begin as the private keys do.
pub(super) fn restore(value: &mut Value) {
    match value {
        Value::String(text) => strip(text),
        Value::Array(elements) => elements.iter_mut().for_each(restore),
        Value::Object(members) => {
            let stripped = std::mem::take(members).into_iter().map(|(mut key, mut value)| {
                strip(&mut key);
                restore(&mut value);
                (key, value)
            });
            *members = stripped.collect();
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn strip(text: &mut String) {
    if text.starts_with(PRIVATE) {
        text.drain(..PRIVATE.len());
    }
}

/// Bytes of a string behind its opening quote, closing quote included.
fn string_length(contents: &str) -> usize {
    let mut bytes = contents.bytes().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'"' => return at + 1,
            b'\\' => {
                bytes.next();
            }
            _ => {}
        }
    }
    contents.len()
}

fn mend_string(contents: &str, mended: &mut String) {
    if is_private(contents) {
        mended.push_str(PRIVATE);
    }
    let mut rest = contents;
    while let Some(at) = rest.find('\\') {
        let (plain, escape) = rest.split_at(at);
        mended.push_str(plain);
        let kept = match code_unit(escape) {
            None => 2,
            Some((0xd800..=0xdbff, behind)) if matches!(code_unit(behind), Some((0xdc00..=0xdfff, _))) => 12,
            Some((0xd800..=0xdfff, behind)) => {
                mended.push_str("\\ufffd");
                rest = behind;
                continue;
            }
            Some(_) => 6,
        };
        let (escape, behind) = escape.split_at(kept);
        mended.push_str(escape);
        rest = behind;
    }
    mended.push_str(rest);
}

/// Whether a string begins as the private keys do, however it is spelt.
fn is_private(contents: &str) -> bool {
    let mut rest = contents;
    PRIVATE.chars().all(|expected| {
        let escaped = || code_unit(rest).filter(|(unit, _)| *unit == u32::from(expected));
        let behind = rest
            .strip_prefix(expected)
            .or_else(|| escaped().map(|(_, behind)| behind));
        behind.map(|behind| rest = behind).is_some()
    })
}

/// The code unit of the `\uXXXX` that `text` begins with, and what is behind it.
fn code_unit(text: &str) -> Option<(u32, &str)> {
    let (digits, behind) = text.strip_prefix("\\u")?.split_at_checked(4)?;
    Some((u32::from_str_radix(digits, 16).ok()?, behind))
}
