//! `[runtime]`, `[limits]` and the log level.

use super::super::raw::{RawLimits, RawRuntime};
use super::super::reader::{Field, Reader};
use super::common::value_or;
use kariz_proto::model::{Limits, LogLevel, Rate, RuntimeSpec};

pub(super) fn runtime(raw: Option<&RawRuntime>) -> RuntimeSpec {
    let default = RuntimeSpec::default();
    let Some(raw) = raw else { return default };
    RuntimeSpec {
        workers: raw.workers.as_ref().and_then(|field| u16::try_from(field.value.0).ok()),
        pin: value_or(&raw.pin, default.pin),
        io: value_or(&raw.io, default.io),
        log_format: value_or(&raw.log_format, default.log_format),
        log_level: default.log_level,
        drain_timeout: raw
            .drain_timeout
            .as_ref()
            .map_or(default.drain_timeout, |field| field.value.0),
        max_visitors: raw.max_visitors.as_ref().map(|field| field.value.0),
        max_handshakes: raw
            .max_handshakes
            .as_ref()
            .map_or(default.max_handshakes, |field| field.value.0),
        handshake_timeout: raw
            .handshake_timeout
            .as_ref()
            .map_or(default.handshake_timeout, |field| field.value.0),
    }
}

/// The level that logs most among the sections that are there; a section without the key has the default.
pub(super) fn most_talkative(levels: [Option<&Option<Field<LogLevel>>>; 2]) -> LogLevel {
    let levels = levels.into_iter().flatten();
    levels
        .map(|field| value_or(field, LogLevel::default()))
        .max()
        .unwrap_or_default()
}

pub(super) fn limits(raw: Option<&Field<RawLimits>>, reader: &mut Reader<'_>) -> Limits {
    let Some(Field { value: raw, .. }) = raw else {
        return Limits::default();
    };
    let bytes = raw.bytes_per_second.as_ref().map(|field| field.value.0);
    let messages = raw.messages_per_second.as_ref().map(|field| field.value.0);
    Limits {
        bytes: rate(bytes, &raw.burst_bytes, |burst| burst.0, "bytes_per_second", reader),
        messages: rate(
            messages,
            &raw.burst_messages,
            |burst| burst.0,
            "messages_per_second",
            reader,
        ),
        visitors: raw.visitors.as_ref().map(|field| field.value.0),
    }
}

fn rate<T>(
    per_second: Option<u64>,
    burst: &Option<Field<T>>,
    number: impl Fn(&T) -> u64,
    needs: &str,
    reader: &mut Reader<'_>,
) -> Option<Rate> {
    if let (None, Some(burst)) = (per_second, burst) {
        reader.error(
            &burst.place,
            burst.shown.clone(),
            format!("without effect alone, expected {needs} beside it"),
        );
    }
    let per_second = per_second?;
    let burst = burst.as_ref().map_or(per_second, |burst| number(&burst.value));
    Some(Rate { per_second, burst })
}
