// SPDX-License-Identifier: Apache-2.0
//! `frontend`: by which kind of address a new connection may be to a Service.

use std::net::IpAddr;

use openflow_codec::{Field, PortNo};

use super::{Wanted, family, node, pipeline, set_flags};
use crate::pipeline::{Spec, Table, priority, register};

pub(super) fn fixed() -> Vec<Wanted> {
    let other = Spec::new(Table::Frontend, priority::DEFAULT).goto(Table::Service);
    vec![pipeline(other, "the connection is to no node's address")]
}

/// An address of a node: on every switch, since every node's ports lead to Services.
pub(crate) fn node_address(address: IpAddr) -> Wanted {
    let why = format!("knows {address} for a node's, whose ports may lead to Services");
    node(to_node(address), why)
}

/// The address that the node's kernel translates connections to its node ports to.
pub(super) fn node_ports(port: PortNo, address: IpAddr) -> Wanted {
    let spec = to_node(address).also(|flow_match| flow_match.with(Field::InPort, port.0));
    let why = format!("knows {address} for the address where its own kernel sends node ports");
    node(spec, why)
}

fn to_node(address: IpAddr) -> Spec {
    Spec::new(Table::Frontend, priority::NORMAL)
        .matching(family::to(address))
        .act(set_flags(register::TO_NODE))
        .goto(Table::Service)
}
