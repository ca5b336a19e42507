// SPDX-License-Identifier: Apache-2.0
//! The end in the container: address, routes and neighbour.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use futures_util::TryStreamExt as _;
use ipnetwork::Ipv4Network;
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::address::AddressAttribute;
use rtnetlink::packet_route::link::LinkFlags;
use rtnetlink::packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState,
};
use rtnetlink::packet_route::route::{RouteAddress, RouteAttribute, RouteMessage, RouteScope};
use rtnetlink::{Handle, LinkUnspec, RouteMessageBuilder};

use crate::check::PodLink;
use crate::contract::{GATEWAY, GATEWAY_MAC};
use crate::link::offload::disable_transmit_checksum;
use crate::link::{LinkError, Netns, connect, find, link_address};
use crate::spec::MacAddress;

/// What the end in the container shall be.
#[derive(Clone, Debug)]
pub struct PodPlan {
    /// Its name.
    pub ifname: String,
    /// Its address; the link-layer address follows from it.
    pub address: Ipv4Addr,
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
    let mac = MacAddress::of_pod(plan.address).bytes().to_vec();
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
    handle
        .address()
        .add(index, IpAddr::V4(plan.address), 32)
        .execute()
        .await
        .map_err(failed("add the address"))?;
    handle
        .neighbours()
        .add(index, IpAddr::V4(GATEWAY))
        .link_layer_address(&GATEWAY_MAC.bytes())
        .execute()
        .await
        .map_err(failed("add the neighbour"))?;
    let on_link = RouteMessageBuilder::<Ipv4Addr>::new()
        .destination_prefix(GATEWAY, 32)
        .output_interface(index)
        .scope(RouteScope::Link)
        .build();
    handle
        .route()
        .add(on_link)
        .execute()
        .await
        .map_err(failed("add the route to the gateway"))?;
    let default = RouteMessageBuilder::<Ipv4Addr>::new()
        .gateway(GATEWAY)
        .output_interface(index)
        .build();
    handle
        .route()
        .add(default)
        .execute()
        .await
        .map_err(failed("add the default route"))
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

async fn addresses(handle: &Handle, index: u32) -> Result<BTreeSet<Ipv4Network>, LinkError> {
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
        for attribute in message.attributes {
            if let AddressAttribute::Local(IpAddr::V4(address)) = attribute {
                addresses.extend(Ipv4Network::new(address, message.header.prefix_len));
            }
        }
    }
    Ok(addresses)
}

async fn routes(
    handle: &Handle,
    index: u32,
) -> Result<BTreeSet<(Ipv4Network, Option<Ipv4Addr>)>, LinkError> {
    let all = RouteMessageBuilder::<Ipv4Addr>::new().build();
    let list = handle.route().get(all).execute();
    let messages: Vec<_> = list
        .try_collect()
        .await
        .map_err(|error| LinkError::netlink("list routes", error))?;
    Ok(messages
        .iter()
        .filter_map(|message| route_through(message, index))
        .collect())
}

fn route_through(message: &RouteMessage, index: u32) -> Option<(Ipv4Network, Option<Ipv4Addr>)> {
    let (mut through, mut destination, mut gateway) = (false, Ipv4Addr::UNSPECIFIED, None);
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Oif(oif) => through = *oif == index,
            RouteAttribute::Destination(RouteAddress::Inet(address)) => destination = *address,
            RouteAttribute::Gateway(RouteAddress::Inet(address)) => gateway = Some(*address),
            _ => {}
        }
    }
    let network = Ipv4Network::new(destination, message.header.destination_prefix_length).ok()?;
    through.then_some((network, gateway))
}

async fn neighbours(
    handle: &Handle,
    index: u32,
) -> Result<BTreeSet<(Ipv4Addr, MacAddress)>, LinkError> {
    let list = handle
        .neighbours()
        .get()
        .set_address_family(AddressFamily::Inet)
        .execute();
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

fn neighbour(message: &NeighbourMessage) -> Option<(Ipv4Addr, MacAddress)> {
    let (mut address, mut mac) = (None, None);
    for attribute in &message.attributes {
        match attribute {
            NeighbourAttribute::Destination(NeighbourAddress::Inet(found)) => {
                address = Some(*found);
            }
            NeighbourAttribute::LinkLayerAddress(bytes) => {
                mac = bytes.as_slice().try_into().ok().map(MacAddress::new);
            }
            _ => {}
        }
    }
    address.zip(mac)
}
