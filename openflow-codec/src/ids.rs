// SPDX-License-Identifier: Apache-2.0
//! Newtypes for the numbers of OpenFlow, so that none can stand in for another.

use std::fmt;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident($inner:ty), $format:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, $format, self.0)
            }
        }

        impl From<$inner> for $name {
            fn from(value: $inner) -> Self {
                Self(value)
            }
        }
    };
}

id!(
    /// Transaction id of a message (OpenFlow 1.5.1 section 7.1).
    Xid(u32), "0x{:x}"
);
id!(
    /// Datapath id of a switch (section 7.3.1).
    DatapathId(u64), "{:016x}"
);
id!(
    /// Number of a flow table; OVS has tables 0..=253.
    TableId(u8), "{}"
);
id!(
    /// OpenFlow port number (section 7.2.1).
    PortNo(u32), "{}"
);
id!(
    /// Group number (section 5.10).
    GroupId(u32), "{}"
);
id!(
    /// Meter number (section 5.11).
    MeterId(u32), "{}"
);
id!(
    /// Opaque number a controller attaches to a flow (section 6.4).
    Cookie(u64), "0x{:x}"
);
id!(
    /// Bundle number, unique per connection (section 7.3.9).
    BundleId(u32), "{}"
);

impl TableId {
    /// `OFPTT_ALL`: every table, in requests that delete or read.
    pub const ALL: Self = Self(0xff);
}

impl PortNo {
    /// `OFPP_IN_PORT`: send back where the packet came from.
    pub const IN_PORT: Self = Self(0xffff_fff8);
    /// `OFPP_CONTROLLER`.
    pub const CONTROLLER: Self = Self(0xffff_fffd);
    /// `OFPP_LOCAL`: the bridge's own port.
    pub const LOCAL: Self = Self(0xffff_fffe);
    /// `OFPP_ANY`: no port given.
    pub const ANY: Self = Self(0xffff_ffff);
}

impl GroupId {
    /// `OFPG_ALL`: every group, in requests that delete or read.
    pub const ALL: Self = Self(0xffff_fffc);
    /// `OFPG_ANY`: no group given.
    pub const ANY: Self = Self(0xffff_ffff);
}

impl MeterId {
    /// `OFPM_ALL`: every meter, in requests that delete or read.
    pub const ALL: Self = Self(0xffff_ffff);
}

impl Cookie {
    /// Mask that compares every bit.
    pub const MASK_EXACT: Self = Self(u64::MAX);
}
