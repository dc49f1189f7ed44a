//! Who takes part in a measurement.

use serde::{Serialize, Serializer};

/// What stands between visitor and target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Contestant {
    /// Two ends of one program that know each other.
    Tunnel(Tunnel),
    /// Two plain relays in a row.
    Pair(Hop),
    /// One plain relay.
    Relay(Hop),
    /// Nothing: the visitor dials the target.
    Bare,
}

/// Programs with two different ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Tunnel {
    KarizDirect,
    KarizMux,
    /// The lanes of another build of Kariz, for a comparison of before and after.
    BeforeDirect,
    BeforeMux,
    Rathole,
    Frp,
    FrpMux,
    Backhaul,
    BackhaulMux,
    Framing,
}

/// Programs that accept, dial and move bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Hop {
    Kariz,
    Before,
    Haproxy,
    Realm,
    Splice,
    TokioCopy,
    UringCopy,
    MonoioCopy,
    RealmIo,
}

/// One of the processes of a contestant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The one that visitors meet.
    Outer,
    /// The one that meets the target.
    Inner,
}

impl Contestant {
    pub(crate) const DIRECT: Self = Self::Tunnel(Tunnel::KarizDirect);
    pub(crate) const MUX: Self = Self::Tunnel(Tunnel::KarizMux);
    /// Both lanes of Kariz.
    pub(crate) const LANES: [Self; 2] = [Self::DIRECT, Self::MUX];
    /// What both lanes are measured against where no other program takes part.
    pub(crate) const LIMITS: [Self; 2] = [Self::Pair(Hop::Splice), Self::Tunnel(Tunnel::Framing)];

    /// What takes part of another build of Kariz.
    pub(crate) const BEFORE: [Self; 3] = [
        Self::Tunnel(Tunnel::BeforeDirect),
        Self::Tunnel(Tunnel::BeforeMux),
        Self::Relay(Hop::Before),
    ];

    /// Its name in tables and result files.
    pub(crate) fn label(self) -> String {
        match self {
            Self::Tunnel(tunnel) => tunnel.name().into(),
            Self::Pair(hop) => format!("{} pair", hop.name()),
            Self::Relay(hop) => format!("{} relay", hop.name()),
            Self::Bare => "bare TCP".into(),
        }
    }

    /// Its processes, in the order in which visitors' bytes meet them.
    pub(crate) fn ends(self) -> &'static [End] {
        match self {
            Self::Tunnel(_) | Self::Pair(_) => &[End::Outer, End::Inner],
            Self::Relay(_) => &[End::Outer],
            Self::Bare => &[],
        }
    }

    /// Whether the outer process listens where the two meet; otherwise the inner one does.
    pub(crate) fn outer_listens(self) -> bool {
        matches!(self, Self::Tunnel(tunnel) if tunnel != Tunnel::Framing)
    }

    /// Whether it is Kariz.
    pub(crate) fn is_kariz(self) -> bool {
        matches!(
            self,
            Self::DIRECT | Self::MUX | Self::Pair(Hop::Kariz) | Self::Relay(Hop::Kariz)
        )
    }
}

impl Tunnel {
    fn name(self) -> &'static str {
        match self {
            Self::KarizDirect => "kariz direct",
            Self::KarizMux => "kariz mux",
            Self::BeforeDirect => "before direct",
            Self::BeforeMux => "before mux",
            Self::Rathole => "rathole",
            Self::Frp => "frp without mux",
            Self::FrpMux => "frp tcpMux",
            Self::Backhaul => "backhaul tcp",
            Self::BackhaulMux => "backhaul tcpmux",
            Self::Framing => "framing pair",
        }
    }
}

impl Hop {
    /// Whether it is there to show what a runtime costs that copies.
    pub(crate) fn is_copy_loop(self) -> bool {
        matches!(
            self,
            Self::TokioCopy | Self::UringCopy | Self::MonoioCopy | Self::RealmIo
        )
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Kariz => "kariz",
            Self::Before => "before",
            Self::Haproxy => "haproxy",
            Self::Realm => "realm",
            Self::Splice => "splice",
            Self::TokioCopy => "tokio-copy",
            Self::UringCopy => "uring-copy",
            Self::MonoioCopy => "monoio-copy",
            Self::RealmIo => "realm-io",
        }
    }
}

impl Serialize for Contestant {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.label())
    }
}
