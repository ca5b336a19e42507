// SPDX-License-Identifier: Apache-2.0
//! THE table of tables: number, name, what a table may match, write and go on to.

use openflow_codec::{Field, TableId};

/// A table; the number is its place on the switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Table {
    /// Which kind of port a packet came in by.
    Classify = 0,
    /// A Pod sends only from its own addresses.
    SpoofGuard = 10,
    /// Answers ARP and neighbour solicitations for the gateway.
    Neighbour = 20,
    /// Makes a neighbour advertisement of the solicitation that it answers.
    Advertise = 25,
    /// Sends every IP packet through conntrack, once.
    Conntrack = 30,
    /// Takes answers to masqueraded connections on to their other conntrack zone.
    Unmasquerade = 35,
    /// Sorts packets by what conntrack says.
    ConntrackState = 40,
    /// Tells by which kind of address a new connection may be to a Service.
    Frontend = 45,
    /// Translates new connections to Services.
    Service = 50,
    /// Hands what no endpoint takes to the node's agent, which refuses it.
    Reject = 55,
    /// Looks up who sends.
    Source = 60,
    /// Looks up where the destination is.
    Route = 70,
    /// Writes the identity into the tunnel header and sends.
    TunnelOut = 80,
    /// Lets answers to allowed connections pass.
    Reply = 90,
    /// Denies Pods that this switch does not know, where policies deny by who sends.
    Known = 95,
    /// Egress rules of the Admin tier.
    AdminEgress = 100,
    /// `NetworkPolicy` egress rules of the sender.
    Egress = 110,
    /// Egress rules of the Baseline tier.
    BaselineEgress = 120,
    /// Ingress rules of the Admin tier.
    AdminIngress = 130,
    /// `NetworkPolicy` ingress rules of the receiver.
    Ingress = 140,
    /// Ingress rules of the Baseline tier.
    BaselineIngress = 150,
    /// Ends what policy denies.
    Denied = 160,
    /// Commits connections that policy allowed.
    Commit = 170,
    /// Delivers to the port.
    Output = 180,
    /// Counts what staged egress rules of the Admin tier would do.
    StagedAdminEgress = 200,
    /// Counts what staged `NetworkPolicies` of the sender would do.
    StagedEgress = 205,
    /// Counts what staged egress rules of the Baseline tier would do.
    StagedBaselineEgress = 210,
    /// Counts what staged ingress rules of the Admin tier would do.
    StagedAdminIngress = 215,
    /// Counts what staged `NetworkPolicies` of the receiver would do.
    StagedIngress = 220,
    /// Counts what staged ingress rules of the Baseline tier would do.
    StagedBaselineIngress = 225,
    /// Holds the marker flows; no packet comes here.
    Marker = 250,
}

/// What a table promises.
#[derive(Clone, Copy, Debug)]
pub struct Declaration {
    /// The table.
    pub table: Table,
    /// Name on the switch, in metrics, file names and documents.
    pub name: &'static str,
    /// What it does, one sentence.
    pub purpose: &'static str,
    /// Fields its flows may match.
    pub matches: &'static [Field],
    /// Fields its actions may write.
    pub writes: &'static [Field],
    /// Tables it may go on to (`goto_table`, or `ct(table=...)`).
    pub next: &'static [Table],
}

use Field::{
    ArpOp, ArpSha, ArpSpa, ArpTha, ArpTpa, CtMark, CtState, EthDst, EthSrc, EthType, Icmpv6Type,
    InPort, IpFrag, IpProto, Ipv4Dst, Ipv4Src, Ipv6Dst, Ipv6Src, NdOptionsType, NdReserved, NdSll,
    NdTarget, NdTll, Reg0, Reg1, SctpDst, TcpDst, TunDst, TunId, TunIpv6Dst, TunMetadata0, UdpDst,
    Xxreg1, Xxreg2,
};

/// What egress rules match.
const EGRESS: &[Field] = &[
    EthType, IpProto, TcpDst, UdpDst, SctpDst, Ipv4Dst, Ipv6Dst, Reg1, Xxreg1, Xxreg2,
];

/// What ingress rules match.
const INGRESS: &[Field] = &[
    EthType, IpProto, TcpDst, UdpDst, SctpDst, Ipv4Src, Ipv6Src, Reg1, Xxreg1, Xxreg2,
];

/// Every table, in the order in which a packet can meet them.
#[rustfmt::skip]
static DECLARATIONS: [Declaration; 31] = [
    Declaration { table: Table::Classify, name: "classify",
        purpose: "Which kind of port a packet came in by; a Pod's flow here is added last, so a Pod is isolated before it is reachable.",
        matches: &[InPort, TunId, TunMetadata0], writes: &[Xxreg1], next: &[Table::SpoofGuard, Table::Conntrack] },
    Declaration { table: Table::SpoofGuard, name: "spoof_guard",
        purpose: "A Pod sends only from its own addresses. Stands before conntrack: a forged reset must not touch another Pod's connection.",
        matches: &[InPort, EthSrc, EthType, Ipv4Src, Ipv6Src, IpProto, Icmpv6Type, NdSll, ArpSpa, ArpSha], writes: &[],
        next: &[Table::Neighbour, Table::Conntrack] },
    Declaration { table: Table::Neighbour, name: "neighbour",
        purpose: "Answers ARP requests and neighbour solicitations for the gateway.",
        matches: &[EthType, ArpOp, ArpTpa, IpProto, Icmpv6Type, NdTarget],
        writes: &[EthDst, EthSrc, ArpOp, ArpTha, ArpTpa, ArpSha, ArpSpa, Ipv6Src, Ipv6Dst, Icmpv6Type, NdOptionsType, NdReserved],
        next: &[Table::Advertise] },
    Declaration { table: Table::Advertise, name: "advertise",
        purpose: "Completes a neighbour advertisement: OVS lets its link-layer address be written only where it was matched as one.",
        matches: &[EthType, IpProto, Icmpv6Type], writes: &[NdTll], next: &[] },
    Declaration { table: Table::Conntrack, name: "conntrack",
        purpose: "Sends every IP packet through conntrack once, with all registers zero, and applies the translation of its connection; answers to the masquerade address get their client back before.",
        matches: &[EthType, Ipv4Dst, Ipv6Dst], writes: &[], next: &[Table::Unmasquerade, Table::ConntrackState] },
    Declaration { table: Table::Unmasquerade, name: "unmasquerade",
        purpose: "Sends answers to masqueraded connections, which have their client back, through conntrack like all others.",
        matches: &[EthType], writes: &[], next: &[Table::ConntrackState] },
    Declaration { table: Table::ConntrackState, name: "conntrack_state",
        purpose: "Drops invalid packets, marks answers to allowed connections, sends new connections of local Pods and of the kernel to the Services.",
        matches: &[InPort, EthType, Ipv4Src, Ipv6Src, CtState, CtMark], writes: &[Reg1, Xxreg1], next: &[Table::Frontend, Table::Source] },
    Declaration { table: Table::Frontend, name: "frontend",
        purpose: "Knows the addresses of nodes, whose ports may be Services'.",
        matches: &[InPort, EthType, Ipv4Dst, Ipv6Dst], writes: &[Reg1], next: &[Table::Service] },
    Declaration { table: Table::Service, name: "service",
        purpose: "New connections to a Service go to one of its endpoints.",
        matches: &[EthType, Ipv4Src, Ipv6Src, Ipv4Dst, Ipv6Dst, IpProto, TcpDst, UdpDst, SctpDst, Reg1], writes: &[Reg1, CtMark], next: &[Table::Reject, Table::Source] },
    Declaration { table: Table::Reject, name: "reject",
        purpose: "Hands connections that no endpoint takes to the node's agent, which refuses them; each port has its own share of what the agent does.",
        matches: &[InPort, EthType, IpProto], writes: &[], next: &[] },
    Declaration { table: Table::Source, name: "source",
        purpose: "Looks up who sends: the Pod of the port, the node's own kernel or the world behind it, or the identity in the tunnel header.",
        matches: &[InPort, EthType, Ipv4Src, Ipv6Src, TunMetadata0], writes: &[Xxreg1], next: &[Table::Route] },
    Declaration { table: Table::Route, name: "route",
        purpose: "Looks up where the destination is: a Pod of this node, the node itself, another node, or the world.",
        matches: &[InPort, EthType, CtState, Ipv4Dst, Ipv6Dst, IpProto, UdpDst], writes: &[EthDst, EthSrc, Reg0, Reg1, Xxreg2, TunDst, TunIpv6Dst], next: &[Table::Reply, Table::TunnelOut] },
    Declaration { table: Table::TunnelOut, name: "tunnel_out",
        purpose: "Writes the sender's identity into the tunnel header and sends to the other node, which decides.",
        matches: &[EthType, CtState, Reg1], writes: &[TunId, TunMetadata0], next: &[] },
    Declaration { table: Table::Reply, name: "reply",
        purpose: "Lets answers to allowed connections pass (conntrack of this node and, across nodes, of the sender's node say so), and what a Pod's own node sends.",
        matches: &[EthType, IpFrag, CtState, Xxreg1], writes: &[], next: &[Table::Output, Table::Known, Table::AdminEgress, Table::Commit] },
    Declaration { table: Table::Known, name: "known",
        purpose: "Denies Pods whose identity this switch does not know; asked only where policies deny by who sends.",
        matches: &[Xxreg1], writes: &[], next: &[Table::AdminEgress, Table::Denied] },
    Declaration { table: Table::AdminEgress, name: "admin_egress",
        purpose: "ClusterNetworkPolicy egress rules of the Admin tier; what none decides is left to NetworkPolicy.",
        matches: EGRESS, writes: &[Reg1], next: &[Table::Egress, Table::AdminIngress, Table::Denied, Table::StagedAdminEgress] },
    Declaration { table: Table::Egress, name: "egress",
        purpose: "NetworkPolicy egress rules of the sender; what an isolated sender is not allowed is denied.",
        matches: EGRESS, writes: &[Reg1], next: &[Table::BaselineEgress, Table::AdminIngress, Table::Denied, Table::StagedEgress] },
    Declaration { table: Table::BaselineEgress, name: "baseline_egress",
        purpose: "ClusterNetworkPolicy egress rules of the Baseline tier, for senders that no NetworkPolicy isolates.",
        matches: EGRESS, writes: &[Reg1], next: &[Table::AdminIngress, Table::Denied, Table::StagedBaselineEgress] },
    Declaration { table: Table::AdminIngress, name: "admin_ingress",
        purpose: "ClusterNetworkPolicy ingress rules of the Admin tier; what none decides is left to NetworkPolicy.",
        matches: INGRESS, writes: &[Reg1], next: &[Table::Ingress, Table::Commit, Table::Denied, Table::StagedAdminIngress] },
    Declaration { table: Table::Ingress, name: "ingress",
        purpose: "NetworkPolicy ingress rules of the receiver; what an isolated receiver does not allow is denied.",
        matches: INGRESS, writes: &[Reg1], next: &[Table::BaselineIngress, Table::Commit, Table::Denied, Table::StagedIngress] },
    Declaration { table: Table::BaselineIngress, name: "baseline_ingress",
        purpose: "ClusterNetworkPolicy ingress rules of the Baseline tier, for receivers that no NetworkPolicy isolates.",
        matches: INGRESS, writes: &[Reg1], next: &[Table::Commit, Table::Denied, Table::StagedBaselineIngress] },
    Declaration { table: Table::Denied, name: "denied",
        purpose: "Drops what policy denies; an established connection loses its mark, so that its answers stop, too.",
        matches: &[EthType, IpFrag, CtState], writes: &[CtMark], next: &[] },
    Declaration { table: Table::Commit, name: "commit",
        purpose: "Commits connections that policy allowed and marks them, so that their answers pass.",
        matches: &[EthType, IpFrag, CtState, CtMark, Reg1], writes: &[CtMark], next: &[Table::Output] },
    Declaration { table: Table::Output, name: "output",
        purpose: "Delivers to the destination's port; a masqueraded connection gets its source before.",
        matches: &[EthType, Reg1], writes: &[], next: &[] },
    Declaration { table: Table::StagedAdminEgress, name: "staged_admin_egress",
        purpose: "Counts what staged policies would do in admin_egress; asked only where there are some.",
        matches: EGRESS, writes: &[], next: &[] },
    Declaration { table: Table::StagedEgress, name: "staged_egress",
        purpose: "Counts what staged policies would do in egress; asked only where there are some.",
        matches: EGRESS, writes: &[], next: &[] },
    Declaration { table: Table::StagedBaselineEgress, name: "staged_baseline_egress",
        purpose: "Counts what staged policies would do in baseline_egress; asked only where there are some.",
        matches: EGRESS, writes: &[], next: &[] },
    Declaration { table: Table::StagedAdminIngress, name: "staged_admin_ingress",
        purpose: "Counts what staged policies would do in admin_ingress; asked only where there are some.",
        matches: INGRESS, writes: &[], next: &[] },
    Declaration { table: Table::StagedIngress, name: "staged_ingress",
        purpose: "Counts what staged policies would do in ingress; asked only where there are some.",
        matches: INGRESS, writes: &[], next: &[] },
    Declaration { table: Table::StagedBaselineIngress, name: "staged_baseline_ingress",
        purpose: "Counts what staged policies would do in baseline_ingress; asked only where there are some.",
        matches: INGRESS, writes: &[], next: &[] },
    Declaration { table: Table::Marker, name: "marker",
        purpose: "Holds one flow per layer whose cookie is the layer's digest; no packet comes here.",
        matches: &[], writes: &[], next: &[] },
];

impl Table {
    /// Every table, in packet order.
    pub fn all() -> impl Iterator<Item = Self> {
        DECLARATIONS.iter().map(|declaration| declaration.table)
    }

    /// The table with this number.
    pub fn from_id(id: TableId) -> Option<Self> {
        Self::all().find(|table| table.id() == id)
    }

    /// Number on the switch.
    pub const fn id(self) -> TableId {
        TableId(self as u8)
    }

    /// Name on the switch.
    pub fn name(self) -> &'static str {
        self.declaration().name
    }

    /// What the table promises.
    pub fn declaration(self) -> &'static Declaration {
        let mut rest = DECLARATIONS.as_slice();
        while let [first, more @ ..] = rest {
            if first.table == self {
                return first;
            }
            rest = more;
        }
        unreachable!("a test checks that every table is declared")
    }
}

/// Number and name of every table, to be set on the switch.
pub fn table_names() -> impl Iterator<Item = (TableId, &'static str)> {
    DECLARATIONS
        .iter()
        .map(|declaration| (declaration.table.id(), declaration.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_is_declared_and_only_goes_forward() {
        for table in Table::all() {
            let declaration = table.declaration();
            assert_eq!(declaration.table, table);
            for next in declaration.next {
                assert!(*next > table, "{table:?} goes back to {next:?}");
                assert_ne!(*next, Table::Marker);
            }
        }
    }
}
