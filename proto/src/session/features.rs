//! What both ends of a session may agree on.

use crate::model::Lane;
use std::fmt;
use std::ops::{BitAnd, BitOr};

/// A set of features, one bit each. Bits of later versions are kept, so that they can be named in a refusal.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Features(pub u64);

impl Features {
    /// Visitors on carriers of their own.
    pub const LANE_DIRECT: Self = Self(1);
    /// Visitors on smux streams.
    pub const LANE_MUX: Self = Self(1 << 1);
    /// smux version 1.
    pub const MUX_V1: Self = Self(1 << 2);
    /// smux version 2.
    pub const MUX_V2: Self = Self(1 << 3);
    /// Exact half-close on smux streams.
    pub const HALF_CLOSE: Self = Self(1 << 4);
    /// Reset of smux streams, and window updates before half of the window is used.
    pub const RESET: Self = Self(1 << 5);
    /// Compression of visitors' data. Reserved.
    pub const COMPRESSION: Self = Self(1 << 6);
    /// Obfuscation of visitors' data (obfuscation, not encryption). Reserved.
    pub const OBFUSCATION: Self = Self(1 << 7);

    /// Both ends are Kariz and know smux RST, exact half-close and early UPD: `kariz_mux` of the data plane.
    pub const KARIZ_MUX: Self = Self(Self::HALF_CLOSE.0 | Self::RESET.0);

    /// What this build offers on a lane.
    pub fn offered(lane: Lane) -> Self {
        Self::of_lane(lane) | Self::MUX_V1 | Self::MUX_V2 | Self::KARIZ_MUX
    }

    /// The lane's own bit, which both ends have to have.
    pub fn of_lane(lane: Lane) -> Self {
        match lane {
            Lane::Direct => Self::LANE_DIRECT,
            Lane::Mux => Self::LANE_MUX,
        }
    }

    /// Whether every feature of `other` is in this set.
    pub fn contains(self, other: Self) -> bool {
        self & other == other
    }

    /// The features that `other` lacks.
    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether the set is empty.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl BitOr for Features {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitAnd for Features {
    type Output = Self;
    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl fmt::Debug for Features {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Features({:#x})", self.0)
    }
}
