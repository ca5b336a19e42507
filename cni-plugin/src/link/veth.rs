// SPDX-License-Identifier: Apache-2.0
//! The veth pair, and its end on the node.

use nix::libc;
use rtnetlink::packet_route::link::{InfoData, InfoVeth, LinkFlags};
use rtnetlink::{LinkMessageBuilder, LinkUnspec, LinkVeth};

use crate::check::HostLink;
use crate::link::sysctl::{Missing, set_ipv6};
use crate::link::{LinkError, Netns, connect, find, is_errno, link_address};
use crate::spec::MacAddress;

/// A pair to create.
#[derive(Clone, Debug)]
pub struct VethPlan {
    /// The name of the end on the node.
    pub host: String,
    /// The name of the end in the container.
    pub pod: String,
    /// Both ends' MTU in bytes.
    pub mtu: u32,
}

/// Creates a pair with one end in the container, both down, and returns the link-layer address of
/// the end on the node.
///
/// # Errors
/// [`LinkError::Exists`] if either name is in use: nothing was created then.
pub async fn create_veth(plan: &VethPlan, netns: &Netns) -> Result<MacAddress, LinkError> {
    let name = plan.pod.clone();
    let present = netns
        .enter(async move || Ok(find(&connect()?, &name).await?.is_some()))
        .await?;
    if present {
        return Err(LinkError::Exists(plan.pod.clone()));
    }
    let handle = connect()?;
    let peer = LinkMessageBuilder::<LinkUnspec>::new()
        .name(plan.pod.as_str())
        .mtu(plan.mtu)
        .setns_by_fd(netns.as_raw_fd())
        .build();
    let pair = LinkMessageBuilder::<LinkVeth>::new(&plan.host, &plan.pod)
        .mtu(plan.mtu)
        .set_info_data(InfoData::Veth(InfoVeth::Peer(peer)))
        .build();
    handle.link().add(pair).execute().await.map_err(|error| {
        if is_errno(&error, libc::EEXIST) {
            LinkError::Exists(format!("{} or {}", plan.host, plan.pod))
        } else {
            LinkError::netlink(format!("create veth {} - {}", plan.host, plan.pod), error)
        }
    })?;
    let link = find(&handle, &plan.host).await?;
    let mac = link
        .as_ref()
        .and_then(link_address)
        .and_then(|bytes| bytes.try_into().ok());
    mac.map(MacAddress::new)
        .ok_or_else(|| LinkError::NoLink(plan.host.clone()))
}

/// Takes the end on the node up. It belongs to Open vSwitch alone: the node's own IPv6 must not
/// speak on it.
///
/// # Errors
/// If the link does not exist or the kernel refuses.
pub async fn set_up(name: &str) -> Result<(), LinkError> {
    set_ipv6(name, "disable_ipv6", "1", Missing::IsFine)?;
    let handle = connect()?;
    let up = LinkUnspec::new_with_name(name).up().build();
    handle
        .link()
        .set(up)
        .execute()
        .await
        .map_err(|error| LinkError::netlink(format!("set link {name} up"), error))
}

/// Deletes a link, and with it the other end of its pair. A link that does not exist is success.
///
/// # Errors
/// If the kernel refuses.
pub async fn delete_link(name: &str) -> Result<(), LinkError> {
    let handle = connect()?;
    let Some(link) = find(&handle, name).await? else {
        return Ok(());
    };
    match handle.link().del(link.header.index).execute().await {
        Ok(()) => Ok(()),
        Err(error) if is_errno(&error, libc::ENODEV) => Ok(()),
        Err(error) => Err(LinkError::netlink(format!("delete link {name}"), error)),
    }
}

/// The end on the node as it is, `None` if it does not exist.
///
/// # Errors
/// If the kernel refuses.
pub async fn inspect_host(name: &str) -> Result<Option<HostLink>, LinkError> {
    let link = find(&connect()?, name).await?;
    Ok(link.map(|link| HostLink {
        up: link.header.flags.contains(LinkFlags::Up),
    }))
}
