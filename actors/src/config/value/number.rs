//! Whole numbers and sizes with their bounds.

use super::Scalar;
use bytesize::ByteSize;
use kariz_proto::model::MuxVersion;
use toml::de::DeValue;

/// Largest rate or burst per second: 2^40, so that sums of a bucket stay far from overflow.
const MAX_RATE: u64 = 1 << 40;
/// Largest buffer: what `setsockopt` and smux can express.
const MAX_BUFFER: u64 = i32::MAX as u64;

/// A whole number from `MIN` to `MAX`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in super::super) struct Int<const MIN: u32, const MAX: u32>(pub(in super::super) u32);

/// `workers`.
pub(in super::super) type Workers = Int<1, 256>;
/// `mux_concurrency`: streams per carrier.
pub(in super::super) type MuxConcurrency = Int<1, 65_535>;
/// `priority`: 0 is the most urgent.
pub(in super::super) type Priority = Int<0, 3>;
/// `connection_pool`: idle carriers.
pub(in super::super) type ConnectionPool = Int<0, 65_536>;
/// `max_carriers` of a session.
pub(in super::super) type MaxCarriers = Int<1, 65_536>;
/// Visitors or handshakes at a time.
pub(in super::super) type CountU32 = Int<1, { u32::MAX }>;

impl<const MIN: u32, const MAX: u32> Scalar for Int<MIN, MAX> {
    fn scalar(value: &DeValue<'_>) -> Result<Self, String> {
        integer(value)
            .and_then(|number| u32::try_from(number).ok())
            .filter(|number| (MIN..=MAX).contains(number))
            .map(Self)
            .ok_or_else(|| format!("expected a whole number from {MIN} to {MAX}"))
    }
}

/// Bytes from `MIN` to `MAX`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in super::super) struct Size<const MIN: u64, const MAX: u64>(pub(in super::super) u64);

/// `so_rcvbuf`, `so_sndbuf`: 0 leaves it to the kernel.
pub(in super::super) type SocketBuffer = Size<0, MAX_BUFFER>;
/// `mux_framesize`.
pub(in super::super) type FrameSize = Size<1, 65_535>;
/// `mux_recievebuffer`, `mux_streambuffer`.
pub(in super::super) type MuxBuffer = Size<1, MAX_BUFFER>;
/// `bytes_per_second`, `burst_bytes`.
pub(in super::super) type RateBytes = Size<1, MAX_RATE>;

impl<const MIN: u64, const MAX: u64> Scalar for Size<MIN, MAX> {
    fn scalar(value: &DeValue<'_>) -> Result<Self, String> {
        let bytes = match value {
            DeValue::String(text) => text.parse::<ByteSize>().ok().map(|size| size.as_u64()),
            _ => integer(value).and_then(|number| u64::try_from(number).ok()),
        };
        bytes
            .filter(|bytes| (MIN..=MAX).contains(bytes))
            .map(Self)
            .ok_or_else(|| format!("expected bytes as a number or a size such as \"4MiB\", {MIN} to {MAX}"))
    }
}

/// `messages_per_second`, `burst_messages`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in super::super) struct RateMessages(pub(in super::super) u64);

impl Scalar for RateMessages {
    fn scalar(value: &DeValue<'_>) -> Result<Self, String> {
        integer(value)
            .and_then(|number| u64::try_from(number).ok())
            .filter(|number| (1..=MAX_RATE).contains(number))
            .map(Self)
            .ok_or_else(|| format!("expected a whole number from 1 to {MAX_RATE}"))
    }
}

/// `mss`: what the kernel takes for `TCP_MAXSEG`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in super::super) struct Mss(pub(in super::super) Option<u16>);

impl Scalar for Mss {
    fn scalar(value: &DeValue<'_>) -> Result<Self, String> {
        match integer(value).and_then(|number| u16::try_from(number).ok()) {
            Some(0) => Ok(Self(None)),
            Some(mss @ 88..=32_767) => Ok(Self(Some(mss))),
            _ => Err("expected a whole number from 88 to 32767, or 0 to leave it to the kernel".to_owned()),
        }
    }
}

impl Scalar for MuxVersion {
    fn scalar(value: &DeValue<'_>) -> Result<Self, String> {
        match integer(value) {
            Some(1) => Ok(Self::V1),
            Some(2) => Ok(Self::V2),
            _ => Err("expected 1 or 2".to_owned()),
        }
    }
}

/// The value if it is a whole number of 64 bits.
pub(super) fn integer(value: &DeValue<'_>) -> Option<i64> {
    let integer = value.as_integer()?;
    i64::from_str_radix(integer.as_str(), integer.radix()).ok()
}
