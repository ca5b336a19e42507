// SPDX-License-Identifier: Apache-2.0
//! `service`: new connections to a Service go to one of its endpoints.

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use openflow_codec::action::{CtZone, NatKind};
use openflow_codec::{Action, Bucket, Ct, Field, Group, GroupId, GroupType, Match, Nat, PortNo};

use super::{Wanted, family, pipeline};
use crate::model::{Endpoint, Family, Protocol};
use crate::pipeline::{CT_ZONE, CookieKind, Spec, Table, priority, register};

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

/// One address and port of a Service; `group` is `None` when it has no endpoint. Who connects to an
/// address that is not a cluster address is always masqueraded.
pub(crate) fn frontend(
    address: IpAddr,
    external: bool,
    protocol: Protocol,
    port: u16,
    group: Option<GroupId>,
) -> Wanted {
    let field = match protocol {
        Protocol::Tcp => Field::TcpDst,
        Protocol::Udp => Field::UdpDst,
        Protocol::Sctp => Field::SctpDst,
    };
    let spec = Spec::new(Table::Service, priority::NORMAL).matching(
        family::to(address)
            .with(Field::IpProto, protocol.number())
            .with(field, port),
    );
    let masquerade = Action::set_masked(
        register::DESTINATION_FLAGS,
        register::MASQUERADE,
        register::MASQUERADE,
    );
    let spec = if external && group.is_some() {
        spec.act(masquerade)
    } else {
        spec
    };
    let (spec, why) = match group {
        Some(group) => (
            spec.act(Action::Group(group)),
            format!("{address} {protocol}/{port} goes to one of its endpoints"),
        ),
        None => (
            spec,
            format!("drops {address} {protocol}/{port}: it has no ready endpoint"),
        ),
    };
    Wanted {
        kind: CookieKind::Service,
        spec,
        why: why.into(),
    }
}

/// The same, for clients of these networks only.
pub(crate) fn frontend_for(
    ranges: &[IpNetwork],
    address: IpAddr,
    protocol: Protocol,
    port: u16,
    group: Option<GroupId>,
) -> Vec<Wanted> {
    let family = Family::of(address);
    let ranges = ranges
        .iter()
        .filter(|range| Family::of_network(**range) == family);
    let allowed = ranges.map(|range| {
        let Wanted { kind, spec, .. } = frontend(address, true, protocol, port, group);
        let spec = spec
            .also(|flow_match| family::within(flow_match, family.src(), *range))
            .at(priority::SOURCE_RANGE);
        let why = format!("{address} {protocol}/{port} serves clients in {range}");
        Wanted {
            kind,
            spec,
            why: why.into(),
        }
    });
    let Wanted { kind, spec, .. } = frontend(address, true, protocol, port, None);
    let why =
        format!("drops {address} {protocol}/{port} from clients outside loadBalancerSourceRanges");
    let others = Wanted {
        kind,
        spec,
        why: why.into(),
    };
    allowed.chain([others]).collect()
}

/// What is for a cluster address and none of its Service's ports: nobody's, not the world's.
pub(crate) fn undefined_port(address: IpAddr) -> Wanted {
    let spec = Spec::new(Table::Service, priority::UNDEFINED_PORT).matching(family::to(address));
    Wanted {
        kind: CookieKind::Service,
        spec,
        why: format!("drops what is for {address} and no port of the Service").into(),
    }
}

/// Cluster addresses that no Service has: nobody's, not the world's.
pub(crate) fn unallocated(cidr: IpNetwork) -> Wanted {
    let field = Family::of_network(cidr).dst();
    let spec = Spec::new(Table::Service, priority::UNALLOCATED).matching(family::within(
        Match::any(),
        field,
        cidr,
    ));
    Wanted {
        kind: CookieKind::Service,
        spec,
        why: format!("drops what is for addresses in {cidr} that no Service has").into(),
    }
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
    Action::Ct(Ct {
        commit: true,
        zone: CtZone::Immediate(CT_ZONE),
        table: Some(Table::Source.id()),
        nat: Some(Nat {
            kind: Some(NatKind::Dst),
            addresses: Some((address, address)),
            ports: Some((port, port)),
            ..Nat::default()
        }),
        exec: vec![Action::CopyField {
            src: register::MASQUERADE_FLAG,
            dst: register::CT_MARK_MASQUERADED_FLAG,
        }],
        ..Ct::default()
    })
}
