//! Reads JSON as far as CPython does: `serde_json` first, and what that refuses or would misread again, mended.

mod mend;

use super::python_json::{BOM, Complaint, MAX_DEPTH, Verdict, judge, judge_body};
use serde_json::Value;

/// Why a text was not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unreadable {
    /// It is no JSON; in CPython's words.
    #[error("{0}")]
    Complaint(Complaint),
    /// It is nested too deeply.
    #[error("it is nested more than {MAX_DEPTH} levels deep")]
    TooDeep,
    /// A configuration which only Python would read: the core knows neither `NaN` nor `Infinity`.
    #[error("the configuration has NaN or Infinity, which is no JSON for the core")]
    NotForTheCore,
}

/// Reads the text of a configuration.
///
/// The order of keys stays, of two equal keys the last one wins at the place of the first, and numbers keep their
/// digits; only the spelling of exponents changes (`1E5` becomes `1e+5`). An escape of a lone surrogate becomes
/// U+FFFD, which is what the core makes of it.
///
/// # Errors
///
/// See [`Unreadable`].
pub(super) fn read(text: &str) -> Result<Value, Unreadable> {
    match read_judged(text, || judge(text))? {
        (_, true) => Err(Unreadable::NotForTheCore),
        (value, false) => Ok(value),
    }
}

/// Reads the body of a request; one byte order mark may stand before it.
///
/// `NaN` and its like come out as 0: all that is asked of such a value is whether it is a string.
///
/// # Errors
///
/// See [`Unreadable`]; never [`Unreadable::NotForTheCore`].
pub(super) fn read_body(text: &str) -> Result<Value, Unreadable> {
    let behind_bom = text.strip_prefix(BOM).unwrap_or(text);
    read_judged(behind_bom, || judge_body(text)).map(|(value, _)| value)
}

/// The value, and whether `NaN` or its like are in it.
fn read_judged(text: &str, judge: impl FnOnce() -> Verdict) -> Result<(Value, bool), Unreadable> {
    if !mend::is_misread(text)
        && let Ok(value) = serde_json::from_str(text)
    {
        return Ok((value, false));
    }
    match judge() {
        Verdict::Wrong(complaint) => Err(Unreadable::Complaint(complaint)),
        Verdict::TooDeep => Err(Unreadable::TooDeep),
        Verdict::Valid => {
            let (text, not_numbers) = mend::mend(text);
            // Nothing but depth is known for which it could still be refused.
            let mut value = serde_json::from_str(&text).map_err(|_| Unreadable::TooDeep)?;
            mend::restore(&mut value);
            Ok((value, not_numbers))
        }
    }
}
