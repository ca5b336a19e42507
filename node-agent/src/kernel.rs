// SPDX-License-Identifier: Apache-2.0
//! The gateway port in the kernel, by netlink and sysctl: reads what is there, carries a plan out.

use std::io;
use std::net::{IpAddr, Ipv4Addr};

use futures_util::TryStreamExt as _;
use ipnetwork::IpNetwork;
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::link::{LinkAttribute, LinkFlags};
use rtnetlink::packet_route::neighbour::NeighbourState;
use rtnetlink::packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol,
};
use rtnetlink::{Handle, LinkUnspec, RouteMessageBuilder};

use crate::host::{self, Plan, Present, ROUTE_PROTOCOL, ROUTER_MAC};
use crate::underlay::{UnderlayError, failed, neighbour};

/// Switches of the kernel that packets between Pods and the outside need.
const FORWARDING: [&str; 2] = [
    "/proc/sys/net/ipv4/ip_forward",
    "/proc/sys/net/ipv6/conf/all/forwarding",
];

/// The number of the gateway port in the kernel and what hangs on it, `None` if there is no link of
/// this name.
///
/// # Errors
/// If the kernel cannot be asked.
pub async fn present(handle: &Handle, name: &str) -> Result<Option<(u32, Present)>, UnderlayError> {
    let error = failed("list links");
    let list = handle.link().get().execute();
    let links: Vec<_> = list.try_collect().await.map_err(|cause| error(&cause))?;
    let named = LinkAttribute::IfName(name.to_owned());
    let Some(link) = links.iter().find(|link| link.attributes.contains(&named)) else {
        return Ok(None);
    };
    let index = link.header.index;
    let mut present = Present {
        up: link.header.flags.contains(LinkFlags::Up),
        ..Present::default()
    };
    for family in [AddressFamily::Inet, AddressFamily::Inet6] {
        let error = failed("list neighbours");
        let get = handle.neighbours().get().set_address_family(family);
        let list = get.execute().try_collect::<Vec<_>>();
        for message in list.await.map_err(|cause| error(&cause))? {
            if message.header.ifindex == index && message.header.state == NeighbourState::Permanent
            {
                present.neighbours.extend(neighbour(&message.attributes));
            }
        }
        let error = failed("list routes");
        let mut all = RouteMessageBuilder::<IpAddr>::new().build();
        all.header.address_family = family;
        let list = handle.route().get(all).execute().try_collect::<Vec<_>>();
        for message in list.await.map_err(|cause| error(&cause))? {
            present.routes.extend(our_route(&message, index));
        }
    }
    Ok(Some((index, present)))
}

/// Makes the gateway port so. Goes on after an error, so that one family works without the other;
/// all errors are told.
///
/// `source` is the address that the node's own packets to Pods of its family are sent from.
///
/// # Errors
/// If the kernel refuses any of it.
pub async fn carry_out(
    handle: &Handle,
    index: u32,
    plan: &Plan,
    source: IpAddr,
) -> Result<(), UnderlayError> {
    let mut errors = Vec::new();
    if plan.up {
        let up = LinkUnspec::new_with_index(index).up().build();
        let done = handle.link().set(up).execute().await;
        errors.extend(done.err().map(|cause| format!("take it up: {cause}")));
    }
    for router in &plan.neighbours {
        let neighbour = handle.neighbours().add(index, *router);
        let set = neighbour.link_layer_address(&ROUTER_MAC.bytes()).replace();
        let done = set.execute().await;
        errors.extend(
            done.err()
                .map(|cause| format!("add neighbour {router}: {cause}")),
        );
    }
    for network in &plan.add {
        let add = handle.route().add(route(*network, index, source));
        let done = add.execute().await;
        errors.extend(
            done.err()
                .map(|cause| format!("add the route to {network}: {cause}")),
        );
    }
    for network in &plan.remove {
        let remove = handle.route().del(route(*network, index, source));
        let done = remove.execute().await;
        errors.extend(
            done.err()
                .map(|cause| format!("remove the route to {network}: {cause}")),
        );
    }
    if errors.is_empty() {
        return Ok(());
    }
    Err(failed("set the gateway port up")(&errors.join("; ")))
}

/// Lets the kernel forward packets; a family that the kernel does not have is left out. Whether
/// anything had to be changed.
///
/// # Errors
/// If a switch cannot be read or written.
pub fn allow_forwarding() -> Result<bool, UnderlayError> {
    let mut changed = false;
    for path in FORWARDING {
        let error = |cause: io::Error| failed("allow forwarding")(&format_args!("{path}: {cause}"));
        match std::fs::read_to_string(path) {
            Ok(value) if value.trim() == "0" => {
                std::fs::write(path, "1").map_err(error)?;
                changed = true;
            }
            Ok(_) => {}
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => {}
            Err(cause) => return Err(error(cause)),
        }
    }
    Ok(changed)
}

fn our_route(message: &RouteMessage, index: u32) -> Option<IpNetwork> {
    let header = &message.header;
    if header.table != RouteHeader::RT_TABLE_MAIN
        || header.protocol != RouteProtocol::Other(ROUTE_PROTOCOL)
        || !message.attributes.contains(&RouteAttribute::Oif(index))
    {
        return None;
    }
    let address = message
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            RouteAttribute::Destination(RouteAddress::Inet(found)) => Some(IpAddr::V4(*found)),
            RouteAttribute::Destination(RouteAddress::Inet6(found)) => Some(IpAddr::V6(*found)),
            _ => None,
        })?;
    IpNetwork::new(address, header.destination_prefix_length).ok()
}

fn route(network: IpNetwork, index: u32, source: IpAddr) -> RouteMessage {
    let mut message = match network {
        IpNetwork::V4(network) => RouteMessageBuilder::<Ipv4Addr>::new()
            .destination_prefix(network.network(), network.prefix())
            .gateway(host::ROUTER_IPV4)
            .output_interface(index)
            .onlink()
            .build(),
        IpNetwork::V6(network) => RouteMessageBuilder::<std::net::Ipv6Addr>::new()
            .destination_prefix(network.network(), network.prefix())
            .gateway(host::ROUTER_IPV6)
            .output_interface(index)
            .build(),
    };
    // The source of the other family is for the kernel to choose.
    match (network, source) {
        (IpNetwork::V4(_), IpAddr::V4(source)) => {
            let source = RouteAttribute::PrefSource(RouteAddress::Inet(source));
            message.attributes.push(source);
        }
        (IpNetwork::V6(_), IpAddr::V6(source)) => {
            let source = RouteAttribute::PrefSource(RouteAddress::Inet6(source));
            message.attributes.push(source);
        }
        _ => {}
    }
    message.header.protocol = RouteProtocol::Other(ROUTE_PROTOCOL);
    message
}
