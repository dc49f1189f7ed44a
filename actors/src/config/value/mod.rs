//! What a single value may be.

mod address;
mod collection;
mod duration;
mod inet_aton;
mod number;
mod secret;
mod word;

pub(super) use address::{CarrierListen, EdgeAddr, PublicListen, Remote, SourceAddr, Target};
pub(super) use collection::{List, Services};
pub(super) use duration::{DurationOrZero, KeepAlive, PositiveDuration};
pub(super) use number::{
    ConnectionPool, CountU32, FrameSize, MaxCarriers, Mss, MuxBuffer, MuxConcurrency, Priority, RateBytes,
    RateMessages, SocketBuffer, Workers,
};
pub(super) use secret::{Secret, Sources};
pub(super) use word::ServiceType;

use super::reader::{FromToml, Place, Reader, show};
use toml::Spanned;
use toml::de::DeValue;

/// A value whose reading needs nothing but the value.
trait Scalar: Sized {
    /// Reads the value; what was expected if it is something else.
    fn scalar(value: &DeValue<'_>) -> Result<Self, String>;
}

impl<T: Scalar> FromToml for T {
    fn from_toml(value: &Spanned<DeValue<'_>>, place: &Place, reader: &mut Reader<'_>) -> Option<Self> {
        match T::scalar(value.get_ref()) {
            Ok(read) => Some(read),
            Err(expected) => {
                reader.error(place, show(value.get_ref()), expected);
                None
            }
        }
    }
}

impl Scalar for bool {
    fn scalar(value: &DeValue<'_>) -> Result<Self, String> {
        value.as_bool().ok_or_else(|| "expected true or false".to_owned())
    }
}
