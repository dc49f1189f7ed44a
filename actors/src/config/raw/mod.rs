//! One struct per section with the keys that it takes. They hold what was written and where; defaults and rules
//! between keys come with `build`.

mod client;
mod file;
mod relay;
mod server;

pub(super) use client::{RawClient, RawClientService};
pub(super) use file::{RawFile, RawLimits, RawRuntime};
pub(super) use relay::{RawRelay, RawRelayService};
pub(super) use server::{RawServer, RawServerService};

use super::reader::{Place, Reader};
use toml::Spanned;
use toml::de::DeValue;

/// A table with known keys.
pub(super) trait Section: Sized {
    /// The accepted spellings of each key, the usual one first.
    const KEYS: &'static [&'static [&'static str]];

    /// The section with no key in it.
    fn empty() -> Self;

    /// Reads the value of `key`; `false` if the section does not know the key.
    fn take(&mut self, key: &str, value: &Spanned<DeValue<'_>>, at: &Place, reader: &mut Reader<'_>) -> bool;
}

/// The spellings of a field's key: the given ones, else the field's name.
macro_rules! spellings {
    ($field:ident) => {
        &[stringify!($field)]
    };
    ($field:ident $($spelling:literal)+) => {
        &[$($spelling),+]
    };
}

/// Declares a section: its struct, and how it is read. A field's key is its name, or the spellings in parentheses.
macro_rules! section {
    ($(#[$meta:meta])* $name:ident { $($field:ident $(($($spelling:literal),+))? : $type:ty,)+ }) => {
        $(#[$meta])*
        #[derive(Debug)]
        pub(in super::super) struct $name {
            $(pub(in super::super) $field: Option<$crate::config::reader::Field<$type>>,)+
        }

        impl $crate::config::raw::Section for $name {
            const KEYS: &'static [&'static [&'static str]] =
                &[$($crate::config::raw::spellings!($field $($($spelling)+)?)),+];

            fn empty() -> Self {
                Self { $($field: None),+ }
            }

            fn take(
                &mut self,
                key: &str,
                value: &toml::Spanned<toml::de::DeValue<'_>>,
                at: &$crate::config::reader::Place,
                reader: &mut $crate::config::reader::Reader<'_>,
            ) -> bool {
                $(
                    let spellings: &[&str] = $crate::config::raw::spellings!($field $($($spelling)+)?);
                    if spellings.contains(&key) {
                        reader.fill(&mut self.$field, value, at);
                        return true;
                    }
                )+
                false
            }
        }

        impl $crate::config::reader::FromToml for $name {
            fn from_toml(
                value: &toml::Spanned<toml::de::DeValue<'_>>,
                place: &$crate::config::reader::Place,
                reader: &mut $crate::config::reader::Reader<'_>,
            ) -> Option<Self> {
                reader.section(value, place)
            }

            fn shown(_: &toml::de::DeValue<'_>) -> Option<String> {
                None
            }

            fn paths(path: &str, paths: &mut Vec<String>) {
                $(
                    let spellings: &[&str] = $crate::config::raw::spellings!($field $($($spelling)+)?);
                    for spelling in spellings {
                        let dot = if path.is_empty() { "" } else { "." };
                        <$type as $crate::config::reader::FromToml>::paths(&format!("{path}{dot}{spelling}"), paths);
                    }
                )+
            }
        }
    };
}

use {section, spellings};
