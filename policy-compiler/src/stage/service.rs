// SPDX-License-Identifier: Apache-2.0
//! `service`: new connections to a Service go to one of its endpoints.

use std::fmt;
use std::net::IpAddr;

use ipnetwork::IpNetwork;
use openflow_codec::action::NatKind;
use openflow_codec::{Action, Bucket, Ct, Field, Group, GroupId, GroupType, Match, Nat, PortNo};

use super::{Wanted, committing, family, pipeline, service, set_masquerade, with_flags};
use crate::model::{Endpoint, Family, Protocol};
use crate::pipeline::{Spec, Table, priority, register};

/// All buckets weigh the same; OVS sends nothing to a bucket without weight.
const WEIGHT: u16 = 100;

pub(super) fn fixed() -> Vec<Wanted> {
    let other = Spec::new(Table::Service, priority::DEFAULT)
        .act(clear_masquerade())
        .goto(Table::Source);
    vec![pipeline(other, "the connection is not to a Service")]
}

/// What becomes of connections by one way to one port of a Service. Where it serves these networks only, it
/// drops what others send.
pub(crate) struct Frontend<'a> {
    pub(crate) to: Door,
    pub(crate) protocol: Protocol,
    pub(crate) port: u16,
    pub(crate) senders: Senders,
    pub(crate) outcome: Outcome,
    pub(crate) masquerade: Masquerade,
    /// Whom it serves; none of its family: everybody.
    pub(crate) source_ranges: &'a [IpNetwork],
}

/// Whose connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Senders {
    /// Everybody's of whom nothing else is said.
    All,
    /// Those from outside the cluster, and from other nodes.
    World,
}

/// What becomes of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// They go to one of these endpoints.
    Sent(GroupId, EndpointSet),
    /// They are refused: there is no endpoint anywhere.
    Refused,
    /// They are dropped: other nodes have endpoints, and this one has not.
    Dropped,
}

/// Which endpoints of a Service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum EndpointSet {
    /// Those that every node uses of which nothing else is said.
    Everywhere,
    /// Those that are best for a node.
    Near,
    /// Those on a node.
    Local,
}

impl fmt::Display for EndpointSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Everywhere => "everywhere",
            Self::Near => "near",
            Self::Local => "local",
        })
    }
}

/// Whether endpoints see the node's masquerade address in place of the client's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Masquerade {
    /// As the client is: the kernel's clients are masqueraded, Pods are not.
    ByClient,
    /// Whoever the client is.
    Always,
    /// Never.
    Never,
}

/// Where a Service is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Door {
    /// At an address.
    Address(IpAddr),
    /// At every address of this family of every node.
    Nodes(Family),
}

impl Door {
    pub(crate) const fn family(self) -> Family {
        match self {
            Self::Address(address) => Family::of(address),
            Self::Nodes(family) => family,
        }
    }
}

impl fmt::Display for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Nodes(family) => write!(f, "every node's {family}"),
        }
    }
}

impl Frontend<'_> {
    pub(crate) fn flows(&self) -> Vec<Wanted> {
        let name = format!("{} {}/{}", self.to, self.protocol, self.port);
        let family = self.to.family();
        let ranges = self.source_ranges.iter();
        let mut of_family = ranges
            .filter(|range| Family::of_network(**range) == family)
            .peekable();
        if of_family.peek().is_none() {
            return vec![service(self.serve(self.priority()), self.why(&name))];
        }
        let served = of_family.map(|range| {
            let spec = self
                .serve(priority::SOURCE_RANGE)
                .also(|flow_match| family::within(flow_match, family.src(), *range));
            service(spec, format!("{}, from {range}", self.why(&name)))
        });
        let mut flows: Vec<Wanted> = served.collect();
        if self.level() == 0 {
            let why = format!("drops {name} from clients outside loadBalancerSourceRanges");
            flows.push(service(self.spec(self.priority()), why));
        }
        flows
    }

    fn why(&self, name: &str) -> String {
        let what = match self.outcome {
            Outcome::Sent(_, EndpointSet::Everywhere) => "goes to one of its endpoints",
            Outcome::Sent(_, EndpointSet::Near) => "goes to one of the endpoints near this node",
            Outcome::Sent(_, EndpointSet::Local) => "goes to one of its endpoints on this node",
            Outcome::Refused => "has no endpoint and is refused",
            Outcome::Dropped => "has no endpoint on this node and is dropped",
        };
        match self.senders {
            Senders::All => format!("{name} {what}"),
            Senders::World => format!("{name} from outside the cluster {what}"),
        }
    }

    fn serve(&self, priority: u16) -> Spec {
        let spec = self.spec(priority + self.level());
        let group = match self.outcome {
            Outcome::Sent(group, _) => group,
            Outcome::Refused => return spec.goto(Table::Reject),
            Outcome::Dropped => return spec,
        };
        let spec = match self.masquerade {
            Masquerade::ByClient => spec,
            Masquerade::Always => spec.act(set_masquerade()),
            Masquerade::Never => spec.act(clear_masquerade()),
        };
        spec.act(Action::Group(group))
    }

    /// By how much it comes before what is said of everybody on every node.
    fn level(&self) -> u16 {
        let of_node = match self.outcome {
            Outcome::Sent(_, EndpointSet::Near | EndpointSet::Local) => priority::OF_NODE,
            _ => 0,
        };
        match self.senders {
            Senders::All => of_node,
            Senders::World => of_node + priority::OF_WORLD,
        }
    }

    fn priority(&self) -> u16 {
        match self.to {
            Door::Address(_) => priority::NORMAL,
            Door::Nodes(_) => priority::NODE_PORT,
        }
    }

    fn spec(&self, priority: u16) -> Spec {
        let field = match self.protocol {
            Protocol::Tcp => Field::TcpDst,
            Protocol::Udp => Field::UdpDst,
            Protocol::Sctp => Field::SctpDst,
        };
        let (to, to_node) = match self.to {
            Door::Address(address) => (family::to(address), 0),
            Door::Nodes(family) => (family.packets(), register::TO_NODE),
        };
        let flags = match self.senders {
            Senders::All => to_node,
            Senders::World => to_node | register::FROM_WORLD,
        };
        let to = match flags {
            0 => to,
            flags => with_flags(to, flags),
        };
        Spec::new(Table::Service, priority).matching(
            to.with(Field::IpProto, self.protocol.number())
                .with(field, self.port),
        )
    }
}

fn clear_masquerade() -> Action {
    Action::set_masked(register::DESTINATION_FLAGS, 0_u8, register::MASQUERADE)
}

/// What is for a cluster address and none of its Service's ports: nobody's, not the world's.
pub(crate) fn undefined_port(address: IpAddr) -> Wanted {
    let spec = Spec::new(Table::Service, priority::UNDEFINED_PORT)
        .matching(family::to(address))
        .goto(Table::Reject);
    let why = format!("refuses what is for {address} and no port of the Service");
    service(spec, why)
}

/// Cluster addresses that no Service has: nobody's, not the world's.
pub(crate) fn unallocated(cidr: IpNetwork) -> Wanted {
    let field = Family::of_network(cidr).dst();
    let spec = Spec::new(Table::Service, priority::UNALLOCATED).matching(family::within(
        Match::any(),
        field,
        cidr,
    ));
    let why = format!("drops what is for addresses in {cidr} that no Service has");
    service(spec, why)
}

/// The endpoints, all of one family, of one port of a Service; there is at least one.
pub(crate) fn group<'a>(id: GroupId, endpoints: impl Iterator<Item = &'a Endpoint>) -> Group {
    let bucket = |(endpoint, id): (&Endpoint, u32)| Bucket {
        id,
        weight: WEIGHT,
        watch_port: PortNo::ANY,
        watch_group: GroupId::ANY,
        actions: vec![translate(endpoint.address, endpoint.port)],
    };
    Group {
        id,
        group_type: GroupType::Select,
        selection: None,
        buckets: endpoints.zip(0..).map(bucket).collect(),
    }
}

fn translate(address: IpAddr, port: u16) -> Action {
    let remember = Action::CopyField {
        src: register::MASQUERADE_FLAG,
        dst: register::CT_MARK_MASQUERADED_FLAG,
    };
    Action::Ct(Ct {
        table: Some(Table::Source.id()),
        nat: Some(Nat {
            kind: Some(NatKind::Dst),
            addresses: Some((address, address)),
            ports: Some((port, port)),
            ..Nat::default()
        }),
        ..committing(vec![remember])
    })
}
