// SPDX-License-Identifier: Apache-2.0
//! The network between nodes as the kernel sees it, by netlink.

mod routes;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use futures_util::TryStreamExt as _;
use ipnetwork::IpNetwork;
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::address::AddressAttribute;
use rtnetlink::packet_route::link::LinkAttribute;
use rtnetlink::packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState,
};
use rtnetlink::packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteType,
};
use rtnetlink::{Handle, RouteMessageBuilder};
use tokio::net::UdpSocket;

pub use routes::Routes;

/// The discard service (RFC 863): what arrives there is thrown away, or answered with an ICMP
/// error; either way the sender's address has been resolved.
const DISCARD_PORT: u16 = 9;

/// An EUI-48 address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MacAddress([u8; 6]);

/// A link of the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its number in the kernel.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Its MTU in bytes.
    pub mtu: u32,
}

/// The kernel could not be asked.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action}: {reason}")]
pub struct UnderlayError {
    action: &'static str,
    reason: String,
}

/// A netlink connection of the node's network namespace.
#[derive(Clone, Debug)]
pub struct Underlay {
    handle: Handle,
}

impl MacAddress {
    /// The address with these bytes.
    pub const fn new(bytes: [u8; 6]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub const fn bytes(self) -> [u8; 6] {
        self.0
    }

    /// Reads six hexadecimal numbers with colons between them.
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 6];
        let mut words = text.split(':');
        for byte in &mut bytes {
            let word = words.next().filter(|word| (1..=2).contains(&word.len()))?;
            *byte = u8::from_str_radix(word, 16).ok()?;
        }
        words.next().is_none().then_some(Self(bytes))
    }
}

/// `02:00:0a:62:00:0b`
impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl Underlay {
    /// Opens the connection. Must be called in a tokio runtime.
    ///
    /// # Errors
    /// If there is no netlink.
    pub fn open() -> Result<Self, UnderlayError> {
        let (connection, handle, _) =
            rtnetlink::new_connection().map_err(|error| failed("open a netlink socket")(&error))?;
        tokio::spawn(connection);
        Ok(Self { handle })
    }

    /// The connection itself.
    pub const fn handle(&self) -> &Handle {
        &self.handle
    }

    /// The link that has an address, `None` if none has it.
    ///
    /// # Errors
    /// If the kernel cannot be asked.
    pub async fn link_with(&self, address: IpAddr) -> Result<Option<Link>, UnderlayError> {
        let error = failed("list addresses");
        let list = self.handle.address().get().execute();
        let messages: Vec<_> = list.try_collect().await.map_err(|cause| error(&cause))?;
        // IPv6 addresses without a peer stand in another attribute than IPv4 addresses.
        let local = match address {
            IpAddr::V4(_) => AddressAttribute::Local(address),
            IpAddr::V6(_) => AddressAttribute::Address(address),
        };
        let Some(index) = messages
            .iter()
            .find(|message| message.attributes.contains(&local))
            .map(|message| message.header.index)
        else {
            return Ok(None);
        };
        let error = failed("read a link");
        let mut links = self.handle.link().get().match_index(index).execute();
        let Some(message) = links.try_next().await.map_err(|cause| error(&cause))? else {
            return Ok(None);
        };
        let (mut name, mut mtu) = (None, None);
        for attribute in message.attributes {
            match attribute {
                LinkAttribute::IfName(found) => name = Some(found),
                LinkAttribute::Mtu(found) => mtu = Some(found),
                _ => {}
            }
        }
        Ok(name.zip(mtu).map(|(name, mtu)| Link { index, name, mtu }))
    }

    /// All addresses of this node.
    ///
    /// # Errors
    /// If the kernel cannot be asked.
    pub async fn addresses(&self) -> Result<BTreeSet<IpAddr>, UnderlayError> {
        let error = failed("list addresses");
        let list = self.handle.address().get().execute();
        let messages: Vec<_> = list.try_collect().await.map_err(|cause| error(&cause))?;
        let attributes = messages.iter().flat_map(|message| &message.attributes);
        Ok(attributes
            .filter_map(|attribute| match attribute {
                // With a peer the one, without it the other.
                AddressAttribute::Local(address) | AddressAttribute::Address(address) => {
                    Some(*address)
                }
                _ => None,
            })
            .collect())
    }

    /// The routes of the main table, of all links or of one.
    ///
    /// # Errors
    /// If the kernel cannot be asked.
    pub async fn routes(&self, link: Option<u32>) -> Result<Routes, UnderlayError> {
        let error = failed("list routes");
        let mut routes = Routes::default();
        for family in [
            RouteMessageBuilder::<Ipv4Addr>::new().build(),
            RouteMessageBuilder::<Ipv6Addr>::new().build(),
        ] {
            let list = self.handle.route().get(family).execute();
            let messages: Vec<_> = list.try_collect().await.map_err(|cause| error(&cause))?;
            let found = messages.iter();
            for (network, gateway) in found.filter_map(|message| main_route(message, link)) {
                routes.add(network, gateway);
            }
        }
        Ok(routes)
    }

    /// The neighbours with a usable link-layer address, of all links or of one.
    ///
    /// # Errors
    /// If the kernel cannot be asked.
    pub async fn neighbours(
        &self,
        link: Option<u32>,
    ) -> Result<BTreeMap<IpAddr, MacAddress>, UnderlayError> {
        let error = failed("list neighbours");
        let list = self.handle.neighbours().get().execute();
        let messages: Vec<_> = list.try_collect().await.map_err(|cause| error(&cause))?;
        Ok(messages
            .iter()
            .filter_map(|message| usable_neighbour(message, link))
            .collect())
    }

    /// Makes the kernel resolve neighbours of a link, by sending them an empty datagram. That the neighbour is
    /// not there yet, or refuses, is no error.
    ///
    /// # Errors
    /// If nothing can be sent from `from`.
    pub async fn probe(
        &self,
        from: IpAddr,
        link: u32,
        neighbours: impl IntoIterator<Item = IpAddr>,
    ) -> Result<(), UnderlayError> {
        let error = failed("send from the tunnel endpoint address");
        let socket = UdpSocket::bind(SocketAddr::new(from, 0))
            .await
            .map_err(|cause| error(&cause))?;
        for neighbour in neighbours {
            let target = match neighbour {
                // A router may have no other address than one of its link.
                IpAddr::V6(v6) if v6.is_unicast_link_local() => {
                    SocketAddrV6::new(v6, DISCARD_PORT, 0, link).into()
                }
                other => SocketAddr::new(other, DISCARD_PORT),
            };
            match socket.send_to(&[], target).await {
                Ok(_) => {}
                Err(cause) if is_answer_of_neighbour(&cause) => {}
                Err(cause) => return Err(error(&cause)),
            }
        }
        Ok(())
    }
}

/// Whether sending failed because of what became of an earlier datagram.
fn is_answer_of_neighbour(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
    )
}

fn main_route(message: &RouteMessage, link: Option<u32>) -> Option<(IpNetwork, Option<IpAddr>)> {
    if message.header.table != RouteHeader::RT_TABLE_MAIN
        || message.header.kind != RouteType::Unicast
    {
        return None;
    }
    let address = |address: &RouteAddress| match address {
        RouteAddress::Inet(v4) => Some(IpAddr::V4(*v4)),
        RouteAddress::Inet6(v6) => Some(IpAddr::V6(*v6)),
        _ => None,
    };
    let everywhere = match message.header.address_family {
        AddressFamily::Inet6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        _ => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
    };
    let (mut through, mut destination, mut gateway) = (None, everywhere, None);
    let mut attributes: Vec<_> = message.attributes.iter().collect();
    for attribute in &message.attributes {
        // Of several next hops the first will do: OVS knows no multipath either.
        if let RouteAttribute::MultiPath(hops) = attribute
            && let Some(hop) = hops.first()
        {
            through = Some(hop.interface_index);
            attributes.extend(&hop.attributes);
        }
    }
    for attribute in attributes {
        match attribute {
            RouteAttribute::Oif(index) => through = Some(*index),
            RouteAttribute::Destination(found) => destination = address(found)?,
            RouteAttribute::Gateway(found) => gateway = Some(address(found)?),
            _ => {}
        }
    }
    if link.is_some() && through != link {
        return None;
    }
    let network = IpNetwork::new(destination, message.header.destination_prefix_length).ok()?;
    Some((network, gateway))
}

fn usable_neighbour(message: &NeighbourMessage, link: Option<u32>) -> Option<(IpAddr, MacAddress)> {
    use NeighbourState::{Delay, Permanent, Probe, Reachable, Stale};
    if link.is_some_and(|index| message.header.ifindex != index)
        || !matches!(
            message.header.state,
            Reachable | Stale | Delay | Probe | Permanent
        )
    {
        return None;
    }
    neighbour(&message.attributes)
}

/// A neighbour's address and link-layer address.
pub(crate) fn neighbour(attributes: &[NeighbourAttribute]) -> Option<(IpAddr, MacAddress)> {
    let (mut address, mut mac) = (None, None);
    for attribute in attributes {
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

/// Makes an error of a reason.
pub(crate) fn failed(action: &'static str) -> impl Fn(&dyn fmt::Display) -> UnderlayError {
    move |reason| UnderlayError {
        action,
        reason: reason.to_string(),
    }
}
