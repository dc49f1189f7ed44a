//! What several sections share: sockets, mux parameters, tokens, lists of addresses.

use super::super::raw::{RawClient, RawClientService, RawServer, RawServerService};
use super::super::reader::{Field, Place, Reader};
use super::super::value::{FrameSize, KeepAlive, List, Mss, MuxBuffer, MuxConcurrency, Secret, SocketBuffer};
use kariz_proto::model::{Lane, MuxParams, MuxVersion, SocketOptions, Token, Transport};

/// The value that was written, or `default`.
pub(super) fn value_or<T: Copy>(field: &Option<Field<T>>, default: T) -> T {
    field.as_ref().map_or(default, |field| field.value)
}

/// The values of a key for one and a key for several, in that order, each once.
pub(super) fn union<'a, T: PartialEq>(
    one: &'a Option<Field<T>>,
    several: &'a Option<Field<List<T>>>,
) -> Vec<&'a Field<T>> {
    let several = several.iter().flat_map(|list| &list.value.0);
    let mut union: Vec<&Field<T>> = Vec::new();
    for field in one.iter().chain(several) {
        if !union.iter().any(|earlier| earlier.value == field.value) {
            union.push(field);
        }
    }
    union
}

/// `default_token` of a section.
pub(super) struct DefaultToken {
    token: Option<Token>,
    /// A refused one was reported already: services without a token need not be.
    refused: bool,
}

impl DefaultToken {
    pub(super) fn of(raw: &Option<Field<Secret>>, section: &Place, reader: &Reader<'_>) -> Self {
        Self {
            token: raw.as_ref().map(|secret| secret.value.0.clone()),
            refused: reader.is_refused(section, "default_token"),
        }
    }

    /// The token of a service: its own, or this one. Without either a problem is reported.
    pub(super) fn or(&self, own: &Option<Field<Secret>>, service: &Place, reader: &mut Reader<'_>) -> Option<Token> {
        let token = own.as_ref().map(|secret| &secret.value.0).or(self.token.as_ref());
        if token.is_none() && !self.refused {
            reader.missing(service, &["token"], "a token here or a default_token for all services");
        }
        token.cloned()
    }
}

/// The keys that make the options of visitors' and targets' sockets.
pub(super) fn stream_socket(
    keep_alive: &Option<Field<KeepAlive>>,
    disable_nodelay: &Option<Field<bool>>,
    default: SocketOptions,
) -> SocketOptions {
    SocketOptions {
        keep_alive: keep_alive.as_ref().map_or(default.keep_alive, |field| field.value.0),
        no_delay: !value_or(disable_nodelay, !default.no_delay),
        ..default
    }
}

/// The keys that make the options of carrier sockets.
pub(super) struct CarrierKeys<'a> {
    pub(super) so_rcvbuf: &'a Option<Field<SocketBuffer>>,
    pub(super) so_sndbuf: &'a Option<Field<SocketBuffer>>,
    pub(super) mss: &'a Option<Field<Mss>>,
    pub(super) keep_alive: &'a Option<Field<KeepAlive>>,
    pub(super) disable_nodelay: &'a Option<Field<bool>>,
}

impl CarrierKeys<'_> {
    pub(super) fn options(&self) -> SocketOptions {
        let buffer = |field: &Option<Field<SocketBuffer>>| {
            field
                .as_ref()
                .and_then(|field| u32::try_from(field.value.0).ok())
                .filter(|bytes| *bytes > 0)
        };
        SocketOptions {
            receive_buffer: buffer(self.so_rcvbuf),
            send_buffer: buffer(self.so_sndbuf),
            mss: self.mss.as_ref().and_then(|field| field.value.0),
            ..stream_socket(self.keep_alive, self.disable_nodelay, SocketOptions::default())
        }
    }
}

/// The mux keys of a section or a service.
pub(super) struct MuxKeys<'a> {
    concurrency: &'a Option<Field<MuxConcurrency>>,
    version: &'a Option<Field<MuxVersion>>,
    frame_size: &'a Option<Field<FrameSize>>,
    receive_buffer: &'a Option<Field<MuxBuffer>>,
    stream_buffer: &'a Option<Field<MuxBuffer>>,
}

macro_rules! mux_keys {
    ($raw:ty: $concurrency:ident, $version:ident, $frame_size:ident, $receive_buffer:ident, $stream_buffer:ident) => {
        impl<'a> From<&'a $raw> for MuxKeys<'a> {
            fn from(raw: &'a $raw) -> Self {
                Self {
                    concurrency: &raw.$concurrency,
                    version: &raw.$version,
                    frame_size: &raw.$frame_size,
                    receive_buffer: &raw.$receive_buffer,
                    stream_buffer: &raw.$stream_buffer,
                }
            }
        }
    };
    (default $raw:ty) => {
        mux_keys!($raw: default_mux_concurrency, default_mux_version, default_mux_framesize,
            default_mux_receivebuffer, default_mux_streambuffer);
    };
    (service $raw:ty) => {
        mux_keys!($raw: mux_concurrency, mux_version, mux_framesize, mux_receivebuffer, mux_streambuffer);
    };
}

mux_keys!(default RawServer);
mux_keys!(default RawClient);
mux_keys!(service RawServerService);
mux_keys!(service RawClientService);

impl MuxKeys<'_> {
    /// `base` with the keys that were written.
    pub(super) fn over(&self, base: MuxParams, reader: &mut Reader<'_>) -> MuxParams {
        let buffer = |field: &Option<Field<MuxBuffer>>, base: u32| {
            field
                .as_ref()
                .and_then(|field| u32::try_from(field.value.0).ok())
                .unwrap_or(base)
        };
        let small =
            |number: Option<u64>, base: u16| number.and_then(|number| u16::try_from(number).ok()).unwrap_or(base);
        let params = MuxParams {
            version: value_or(self.version, base.version),
            frame_size: small(self.frame_size.as_ref().map(|field| field.value.0), base.frame_size),
            receive_buffer: buffer(self.receive_buffer, base.receive_buffer),
            stream_buffer: buffer(self.stream_buffer, base.stream_buffer),
            concurrency: small(
                self.concurrency.as_ref().map(|field| field.value.0.into()),
                base.concurrency,
            ),
        };
        let written = self.stream_buffer.as_ref().or(self.receive_buffer.as_ref());
        if let Some(written) = written.filter(|_| params.stream_buffer > params.receive_buffer) {
            let expected = format!(
                "expected a stream buffer ({} bytes) that is not above the receive buffer ({} bytes)",
                params.stream_buffer, params.receive_buffer
            );
            reader.error(&written.place, written.shown.clone(), expected);
        }
        let usable = params.usable_concurrency();
        if let Some(written) = self.concurrency.as_ref().filter(|_| usable < params.concurrency) {
            let expected = format!(
                "more streams than a receive buffer of {} bytes has room for, {usable} are used: expected a larger \
                 mux_recievebuffer (128 KiB for each stream)",
                params.receive_buffer
            );
            reader.warning(&written.place, written.shown.clone(), expected);
        }
        params
    }

    /// Warns about keys of a service that its transport does not use.
    pub(super) fn warn_without_mux(&self, transport: Option<Transport>, reader: &mut Reader<'_>) {
        if transport.is_none_or(|transport| transport.lane() == Lane::Mux) {
            return;
        }
        let mut warn = |field: Option<(&Place, &Option<String>)>| {
            if let Some((place, shown)) = field {
                reader.warning(
                    place,
                    shown.clone(),
                    "without effect, expected only with a mux transport such as \"tcpmux\"",
                );
            }
        };
        warn(self.concurrency.as_ref().map(|field| (&field.place, &field.shown)));
        warn(self.version.as_ref().map(|field| (&field.place, &field.shown)));
        warn(self.frame_size.as_ref().map(|field| (&field.place, &field.shown)));
        warn(self.receive_buffer.as_ref().map(|field| (&field.place, &field.shown)));
        warn(self.stream_buffer.as_ref().map(|field| (&field.place, &field.shown)));
    }
}
