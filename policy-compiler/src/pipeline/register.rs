// SPDX-License-Identifier: Apache-2.0
//! Every bit of every register, of `ct_mark` and of the identity as it is on the wire.

use openflow_codec::{Field, Subfield};

/// Sender: identity and flags in the low 96 bits, laid out as on the wire.
pub const SOURCE: Field = Field::Xxreg1;

/// Receiver: identity and flags in the low 96 bits, laid out as on the wire.
pub const DESTINATION: Field = Field::Xxreg2;

/// Port that the receiver is plugged into.
pub const OUT_PORT: Field = Field::Reg0;

/// Flags of the receiver and of the way to it; see [`DESTINATION_ISOLATED`], [`MASQUERADE`] and what
/// is known of a new connection before it is translated: [`FROM_KERNEL`], [`FROM_WORLD`], [`TO_NODE`].
pub const DESTINATION_FLAGS: Field = Field::Reg1;

/// In [`DESTINATION_FLAGS`]: a `NetworkPolicy` isolates the receiver for ingress.
pub const DESTINATION_ISOLATED: u128 = 1;

/// In [`DESTINATION_FLAGS`]: the receiver shall see the node's masquerade address as the source.
pub const MASQUERADE: u128 = 1 << MASQUERADE_BIT;

const MASQUERADE_BIT: u16 = 1;

/// [`MASQUERADE`] alone.
pub const MASQUERADE_FLAG: Subfield = Subfield {
    field: DESTINATION_FLAGS,
    offset: MASQUERADE_BIT,
    bits: 1,
};

/// In [`DESTINATION_FLAGS`]: the node's own kernel sends a new connection, for itself or for the world.
pub const FROM_KERNEL: u128 = 1 << 2;

/// In [`DESTINATION_FLAGS`]: besides [`FROM_KERNEL`], and not for itself.
pub const FROM_WORLD: u128 = 1 << 3;

/// In [`DESTINATION_FLAGS`]: a new connection is to a node's address, so its port may be a node port.
pub const TO_NODE: u128 = 1 << 4;

/// In [`DESTINATION_FLAGS`]: the staged table of the tier and direction with this number, 0 to 5, was
/// asked.
pub const fn staged_asked(number: u32) -> u128 {
    0x100 << number
}

/// In `ct_mark`: policy allowed the connection.
pub const CT_MARK_ALLOWED: u128 = 1;

/// In `ct_mark`: packets from the client are masqueraded.
pub const CT_MARK_MASQUERADED: u128 = 1 << CT_MARK_MASQUERADED_BIT;

const CT_MARK_MASQUERADED_BIT: u16 = 1;

/// [`CT_MARK_MASQUERADED`] alone.
pub const CT_MARK_MASQUERADED_FLAG: Subfield = Subfield {
    field: Field::CtMark,
    offset: CT_MARK_MASQUERADED_BIT,
    bits: 1,
};

/// Bits of the label part of an identity.
pub const LABEL_BITS: u32 = 48;

/// Bits of the namespace part of an identity.
pub const NAMESPACE_BITS: u32 = 40;

/// Where the flags byte begins.
pub const FLAGS_SHIFT: u32 = LABEL_BITS + NAMESPACE_BITS;

/// Both parts of the identity.
pub const IDENTITY_MASK: u128 = (1 << FLAGS_SHIFT) - 1;

/// The namespace part of the identity.
pub const NAMESPACE_MASK: u128 = ((1 << NAMESPACE_BITS) - 1) << LABEL_BITS;

/// In the namespace part: the identity is a Pod's. Without it the namespace part is zero, and the
/// label part says who it is.
pub const POD: u128 = 1 << (FLAGS_SHIFT - 1);

/// Label part of everything outside the cluster.
pub const WORLD: u128 = 1;

/// Label part of the node's own kernel, on the node itself.
pub const HOST: u128 = 2;

/// Label part of another node's kernel.
pub const REMOTE_NODE: u128 = 3;

/// Identity and flags.
pub const WIRE_MASK: u128 = (1 << (FLAGS_SHIFT + 8)) - 1;

/// Flag: there is an identity. Always set on the wire.
pub const VALID: u128 = 0x80 << FLAGS_SHIFT;

/// Flag: the sender's conntrack says that this answers a connection its node allowed.
pub const REPLY: u128 = 0x40 << FLAGS_SHIFT;

/// Flag: a `NetworkPolicy` isolates the sender for egress.
pub const EGRESS_ISOLATED: u128 = 0x20 << FLAGS_SHIFT;

/// The 96 bits of [`SOURCE`].
pub const SOURCE_WIRE: Subfield = Subfield {
    field: SOURCE,
    offset: 0,
    bits: 96,
};

/// The 96 bits of the Geneve option.
pub const TUNNEL_WIRE: Subfield = Subfield {
    field: Field::TunMetadata0,
    offset: 0,
    bits: 96,
};

/// `ct_state` bits (ovs-fields(7)).
pub mod ct_state {
    /// A new connection.
    pub const NEW: u128 = 0x01;
    /// Traffic has been seen in both directions.
    pub const EST: u128 = 0x02;
    /// Related to a connection: an ICMP error.
    pub const REL: u128 = 0x04;
    /// In the direction of the answers.
    pub const RPL: u128 = 0x08;
    /// Belongs to no connection and cannot begin one.
    pub const INV: u128 = 0x10;
    /// Went through conntrack.
    pub const TRK: u128 = 0x20;
    /// The source was translated.
    pub const SNAT: u128 = 0x40;
    /// The destination was translated.
    pub const DNAT: u128 = 0x80;
}
