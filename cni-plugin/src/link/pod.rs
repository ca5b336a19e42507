// SPDX-License-Identifier: Apache-2.0
//! The end in the container: addresses, routes and neighbours.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use futures_util::TryStreamExt as _;
use ipnetwork::IpNetwork;
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::address::{AddressAttribute, AddressHeaderFlags};
use rtnetlink::packet_route::link::LinkFlags;
use rtnetlink::packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState,
};
use rtnetlink::packet_route::route::{RouteAddress, RouteAttribute, RouteMessage, RouteScope};
use rtnetlink::{Handle, LinkUnspec, RouteMessageBuilder};

use crate::addresses::{PodAddresses, host_prefix};
use crate::check::PodLink;
use crate::contract::{GATEWAY_MAC, gateway};
use crate::link::offload::disable_transmit_checksum;
use crate::link::sysctl::{Missing, set_ipv6};
use crate::link::{LinkError, Netns, connect, find, link_address};
use crate::spec::MacAddress;

/// What the end in the container shall be.
#[derive(Clone, Debug)]
pub struct PodPlan {
    /// Its name.
    pub ifname: String,
    /// Its addresses; the link-layer address follows from them.
    pub addresses: PodAddresses,
    /// Whether the sender must fill in checksums itself.
    pub checksum_in_software: bool,
}

/// Gives the end in the container its addresses, takes it up and adds the routes.
///
/// # Errors
/// If the kernel refuses any of it.
pub async fn configure_pod(netns: &Netns, plan: PodPlan) -> Result<(), LinkError> {
    netns
        .enter(async move || configure(&connect()?, &plan).await)
        .await
}

/// The end in the container as it is, `None` if it does not exist.
///
/// # Errors
/// If the kernel refuses.
pub async fn inspect_pod(netns: &Netns, ifname: &str) -> Result<Option<PodLink>, LinkError> {
    let ifname = ifname.to_owned();
    netns
        .enter(async move || inspect(&connect()?, &ifname).await)
        .await
}

async fn configure(handle: &Handle, plan: &PodPlan) -> Result<(), LinkError> {
    let ifname = plan.ifname.as_str();
    let failed = |action: &str| {
        let action = format!("{action} of link {ifname} in the container");
        move |error| LinkError::netlink(action, error)
    };
    let link = find(handle, ifname)
        .await?
        .ok_or_else(|| LinkError::NoLink(ifname.to_owned()))?;
    let index = link.header.index;
    if plan.checksum_in_software {
        disable_transmit_checksum(ifname)?;
    }
    for address in plan.addresses.iter() {
        if address.is_ipv6() {
            prepare_ipv6(ifname)?;
        }
    }
    let mac = plan.addresses.mac().bytes().to_vec();
    let set_mac = LinkUnspec::new_with_index(index).address(mac).build();
    handle
        .link()
        .set(set_mac)
        .execute()
        .await
        .map_err(failed("set the link-layer address"))?;
    let set_up = LinkUnspec::new_with_index(index).up().build();
    handle
        .link()
        .set(set_up)
        .execute()
        .await
        .map_err(failed("set the state"))?;
    for address in plan.addresses.iter() {
        add_address(handle, index, address)
            .await
            .map_err(failed("add an address"))?;
        add_routes(handle, index, gateway(address))
            .await
            .map_err(failed("add the routes"))?;
    }
    Ok(())
}

/// A link that asks nobody: its addresses are unique by the transaction that claimed them, and its
/// only router is known.
fn prepare_ipv6(ifname: &str) -> Result<(), LinkError> {
    for (key, value) in [
        ("disable_ipv6", "0"),
        ("accept_dad", "0"),
        ("dad_transmits", "0"),
        ("accept_ra", "0"),
        ("router_solicitations", "0"),
    ] {
        set_ipv6(ifname, key, value, Missing::IsAnError)?;
    }
    Ok(())
}

async fn add_address(handle: &Handle, index: u32, address: IpAddr) -> Result<(), rtnetlink::Error> {
    let mut request = handle.address().add(index, address, host_prefix(address));
    if address.is_ipv6() {
        request.message_mut().header.flags |= AddressHeaderFlags::Nodad;
    }
    request.execute().await
}

/// The gateway as a permanent neighbour, and everything else behind it.
async fn add_routes(handle: &Handle, index: u32, gateway: IpAddr) -> Result<(), rtnetlink::Error> {
    handle
        .neighbours()
        .add(index, gateway)
        .link_layer_address(&GATEWAY_MAC.bytes())
        .execute()
        .await?;
    match gateway {
        IpAddr::V4(gateway) => {
            let on_link = RouteMessageBuilder::<Ipv4Addr>::new()
                .destination_prefix(gateway, 32)
                .output_interface(index)
                .scope(RouteScope::Link)
                .build();
            handle.route().add(on_link).execute().await?;
            let default = RouteMessageBuilder::<Ipv4Addr>::new()
                .gateway(gateway)
                .output_interface(index)
                .build();
            handle.route().add(default).execute().await
        }
        // A link-local gateway is on the link as it is.
        IpAddr::V6(gateway) => {
            let default = RouteMessageBuilder::<Ipv6Addr>::new()
                .gateway(gateway)
                .output_interface(index)
                .build();
            handle.route().add(default).execute().await
        }
    }
}

async fn inspect(handle: &Handle, ifname: &str) -> Result<Option<PodLink>, LinkError> {
    let Some(link) = find(handle, ifname).await? else {
        return Ok(None);
    };
    let index = link.header.index;
    Ok(Some(PodLink {
        up: link.header.flags.contains(LinkFlags::Up),
        mac: link_address(&link)
            .and_then(|bytes| bytes.try_into().ok())
            .map(MacAddress::new),
        addresses: addresses(handle, index).await?,
        routes: routes(handle, index).await?,
        neighbours: neighbours(handle, index).await?,
    }))
}

async fn addresses(handle: &Handle, index: u32) -> Result<BTreeSet<IpNetwork>, LinkError> {
    let list = handle
        .address()
        .get()
        .set_link_index_filter(index)
        .execute();
    let messages: Vec<_> = list
        .try_collect()
        .await
        .map_err(|error| LinkError::netlink("list addresses", error))?;
    let mut addresses = BTreeSet::new();
    for message in messages {
        // IPv6 addresses without a peer stand in the one attribute, IPv4 addresses in both.
        for attribute in message.attributes {
            if let AddressAttribute::Local(address) | AddressAttribute::Address(address) = attribute
            {
                addresses.extend(IpNetwork::new(address, message.header.prefix_len));
            }
        }
    }
    Ok(addresses)
}

async fn routes(
    handle: &Handle,
    index: u32,
) -> Result<BTreeSet<(IpNetwork, Option<IpAddr>)>, LinkError> {
    let mut routes = BTreeSet::new();
    for all in [
        RouteMessageBuilder::<Ipv4Addr>::new().build(),
        RouteMessageBuilder::<Ipv6Addr>::new().build(),
    ] {
        let list = handle.route().get(all).execute();
        let messages: Vec<_> = list
            .try_collect()
            .await
            .map_err(|error| LinkError::netlink("list routes", error))?;
        routes.extend(messages.iter().filter_map(|one| route_through(one, index)));
    }
    Ok(routes)
}

fn route_through(message: &RouteMessage, index: u32) -> Option<(IpNetwork, Option<IpAddr>)> {
    let address = |address: &RouteAddress| match address {
        RouteAddress::Inet(v4) => Some(IpAddr::V4(*v4)),
        RouteAddress::Inet6(v6) => Some(IpAddr::V6(*v6)),
        _ => None,
    };
    let everywhere = match message.header.address_family {
        AddressFamily::Inet6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        _ => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
    };
    let (mut through, mut destination, mut gateway) = (false, everywhere, None);
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Oif(oif) => through = *oif == index,
            RouteAttribute::Destination(found) => destination = address(found)?,
            RouteAttribute::Gateway(found) => gateway = Some(address(found)?),
            _ => {}
        }
    }
    let network = IpNetwork::new(destination, message.header.destination_prefix_length).ok()?;
    through.then_some((network, gateway))
}

async fn neighbours(
    handle: &Handle,
    index: u32,
) -> Result<BTreeSet<(IpAddr, MacAddress)>, LinkError> {
    let list = handle.neighbours().get().execute();
    let messages: Vec<_> = list
        .try_collect()
        .await
        .map_err(|error| LinkError::netlink("list neighbours", error))?;
    Ok(messages
        .iter()
        .filter(|message| {
            message.header.ifindex == index && message.header.state == NeighbourState::Permanent
        })
        .filter_map(neighbour)
        .collect())
}

fn neighbour(message: &NeighbourMessage) -> Option<(IpAddr, MacAddress)> {
    let (mut address, mut mac) = (None, None);
    for attribute in &message.attributes {
        match attribute {
            NeighbourAttribute::Destination(NeighbourAddress::Inet(found)) => {
                address = Some(IpAddr::V4(*found));
            }
            NeighbourAttribute::Destination(NeighbourAddress::Inet6(found)) => {
                address = Some(IpAddr::V6(*found));
            }
            NeighbourAttribute::LinkLayerAddress(bytes) => {
                mac = bytes.as_slice().try_into().ok().map(MacAddress::new);
            }
            _ => {}
        }
    }
    address.zip(mac)
}
