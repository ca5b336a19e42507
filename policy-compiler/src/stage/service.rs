// SPDX-License-Identifier: Apache-2.0
//! `service`: new connections to a Service go to one of its endpoints.

use std::net::{IpAddr, Ipv4Addr};

use openflow_codec::action::{CtZone, NatKind};
use openflow_codec::{Action, Bucket, Ct, Field, Group, GroupId, GroupType, Nat, PortNo};

use super::{Wanted, ipv4, number, pipeline};
use crate::model::{Endpoint, Protocol};
use crate::pipeline::{CT_ZONE, CookieKind, Spec, Table, priority};

/// All buckets weigh the same; OVS sends nothing to a bucket without weight.
const WEIGHT: u16 = 100;

pub(super) fn fixed() -> Vec<Wanted> {
    let other = Spec::new(Table::Service, priority::DEFAULT).goto(Table::Source);
    vec![pipeline(other, "the connection is not to a Service")]
}

/// One cluster address and port of a Service; `group` is `None` when it has no endpoint.
pub(crate) fn frontend(
    address: Ipv4Addr,
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
        ipv4()
            .with(Field::Ipv4Dst, number(address))
            .with(Field::IpProto, protocol.number())
            .with(field, port),
    );
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

/// The endpoints of one port of a Service. IPv4 only; `None` without endpoints.
pub(crate) fn group(id: GroupId, endpoints: &[Endpoint]) -> Option<Group> {
    let buckets: Vec<Bucket> = endpoints
        .iter()
        .filter(|endpoint| endpoint.address.is_ipv4())
        .zip(0..)
        .map(|(endpoint, id)| Bucket {
            id,
            weight: WEIGHT,
            watch_port: PortNo::ANY,
            watch_group: GroupId::ANY,
            actions: vec![translate(endpoint.address, endpoint.port)],
        })
        .collect();
    let group = Group {
        id,
        group_type: GroupType::Select,
        selection: None,
        buckets,
    };
    (!group.buckets.is_empty()).then_some(group)
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
        ..Ct::default()
    })
}
