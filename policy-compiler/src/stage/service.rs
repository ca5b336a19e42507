// SPDX-License-Identifier: Apache-2.0
//! `service`: new connections to a Service go to one of its endpoints.

use std::fmt;
use std::net::IpAddr;

use ipnetwork::IpNetwork;
use openflow_codec::action::NatKind;
use openflow_codec::{Action, Bucket, Ct, Field, Group, GroupId, GroupType, Match, Nat, PortNo};

use super::{Wanted, committing, family, pipeline, service, set_masquerade};
use crate::model::{Endpoint, Family, Protocol};
use crate::pipeline::{Spec, Table, priority, register};

/// All buckets weigh the same; OVS sends nothing to a bucket without weight.
const WEIGHT: u16 = 100;

pub(super) fn fixed() -> Vec<Wanted> {
    let other = Spec::new(Table::Service, priority::DEFAULT)
        .act(Action::set_masked(
            register::DESTINATION_FLAGS,
            0_u8,
            register::MASQUERADE,
        ))
        .goto(Table::Source);
    vec![pipeline(other, "the connection is not to a Service")]
}

/// One way to one port of a Service. Where it serves these networks only, it drops what others send.
pub(crate) struct Frontend<'a> {
    pub(crate) to: Door,
    /// Its clients are masqueraded, whoever they are.
    pub(crate) masquerade: bool,
    pub(crate) protocol: Protocol,
    pub(crate) port: u16,
    /// `None` when it has no endpoint.
    pub(crate) group: Option<GroupId>,
    /// Whom it serves; none of its family: everybody.
    pub(crate) source_ranges: &'a [IpNetwork],
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
            let why = match self.group {
                Some(_) => format!("{name} goes to one of its endpoints"),
                None => format!("refuses {name}: it has no endpoint"),
            };
            return vec![service(self.serve(), why)];
        }
        let served = of_family.map(|range| {
            let spec = self
                .serve()
                .also(|flow_match| family::within(flow_match, family.src(), *range))
                .at(priority::SOURCE_RANGE);
            service(spec, format!("{name} serves clients in {range}"))
        });
        let why = format!("drops {name} from clients outside loadBalancerSourceRanges");
        served.chain([service(self.spec(), why)]).collect()
    }

    fn serve(&self) -> Spec {
        let spec = self.spec();
        match self.group {
            Some(group) if self.masquerade => spec.act(set_masquerade()).act(Action::Group(group)),
            Some(group) => spec.act(Action::Group(group)),
            None => spec.goto(Table::Reject),
        }
    }

    fn spec(&self) -> Spec {
        let field = match self.protocol {
            Protocol::Tcp => Field::TcpDst,
            Protocol::Udp => Field::UdpDst,
            Protocol::Sctp => Field::SctpDst,
        };
        let (to, priority) = match self.to {
            Door::Address(address) => (family::to(address), priority::NORMAL),
            Door::Nodes(family) => (to_node(family), priority::NODE_PORT),
        };
        Spec::new(Table::Service, priority).matching(
            to.with(Field::IpProto, self.protocol.number())
                .with(field, self.port),
        )
    }
}

fn to_node(family: Family) -> Match {
    family.packets().with_masked(
        register::DESTINATION_FLAGS,
        register::TO_NODE,
        register::TO_NODE,
    )
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
