//! Durations: seconds as numbers, or strings with units.

use super::Scalar;
use std::time::Duration;
use toml::de::DeValue;

const MIN_POSITIVE: Duration = Duration::from_millis(10);
const MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// The kernel's limit for `TCP_KEEPIDLE` and `TCP_KEEPINTVL`.
const MAX_KEEP_ALIVE: Duration = Duration::from_secs(32_767);
const MIN_KEEP_ALIVE: Duration = Duration::from_secs(1);

/// 10 milliseconds to a day.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in super::super) struct PositiveDuration(pub(in super::super) Duration);

impl Scalar for PositiveDuration {
    fn scalar(value: &DeValue<'_>) -> Result<Self, String> {
        read(value)
            .filter(|duration| (MIN_POSITIVE..=MAX).contains(duration))
            .map(Self)
            .ok_or_else(|| format!("{SYNTAX}, 10 ms to 24 hours"))
    }
}

/// Up to a day.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in super::super) struct DurationOrZero(pub(in super::super) Duration);

impl Scalar for DurationOrZero {
    fn scalar(value: &DeValue<'_>) -> Result<Self, String> {
        read(value)
            .filter(|duration| *duration <= MAX)
            .map(Self)
            .ok_or_else(|| format!("{SYNTAX}, at most 24 hours"))
    }
}

/// TCP keep-alive: whole seconds, or 0 to switch it off.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in super::super) struct KeepAlive(pub(in super::super) Option<Duration>);

impl Scalar for KeepAlive {
    fn scalar(value: &DeValue<'_>) -> Result<Self, String> {
        match read(value) {
            Some(Duration::ZERO) => Ok(Self(None)),
            Some(period) if (MIN_KEEP_ALIVE..=MAX_KEEP_ALIVE).contains(&period) && period.subsec_nanos() == 0 => {
                Ok(Self(Some(period)))
            }
            _ => Err(format!(
                "{SYNTAX}, whole seconds from 1 to 32767, or 0 for no keep-alive"
            )),
        }
    }
}

const SYNTAX: &str = "expected seconds as a number or a duration such as \"1m30s\"";

fn read(value: &DeValue<'_>) -> Option<Duration> {
    match value {
        DeValue::Integer(_) => super::number::integer(value)
            .and_then(|s| u64::try_from(s).ok())
            .map(Duration::from_secs),
        DeValue::Float(seconds) => Duration::try_from_secs_f64(seconds.as_str().parse().ok()?).ok(),
        DeValue::String(text) => humantime::parse_duration(text).ok(),
        _ => None,
    }
}
