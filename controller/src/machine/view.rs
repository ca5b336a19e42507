// SPDX-License-Identifier: Apache-2.0
//! From the replica of a machine's OVSDB to what the controller needs to know of it.
//!
//! Rows and keys are the contract in ARCHITECTURE.md, section OVSDB.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::str::FromStr;

use openflow_codec::{DatapathId, PortNo};
use ovsdb_client::{MonitorRequest, Replica, Row, RowError, Uuid};
use policy_compiler::model::{Addresses, MacAddr};
use policy_compiler::{Attachment, AttachmentKey, NodeFacts};

/// The database that every ovsdb-server of a switch has.
pub const DATABASE: &str = "Open_vSwitch";

/// Keys of the bridge that say what the machine's own kernel must know of Services: networks, addresses,
/// node ports, and health checks.
pub const SERVICE_KEYS: [&str; 4] = [
    "culvert-service-cidrs",
    "culvert-service-addresses",
    "culvert-node-ports",
    "culvert-health-checks",
];

/// What a machine's OVSDB says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MachineView {
    /// Which Kubernetes Node it says it is.
    pub node: Option<String>,
    /// The bridge, when it exists.
    pub bridge: Option<Bridge>,
    /// OpenFlow port of the tunnel.
    pub tunnel_port: Option<PortNo>,
    /// OpenFlow port of the gateway, behind which the machine's own kernel is.
    pub gateway_port: Option<PortNo>,
    /// Interfaces of the bridge that belong to Pods, by name.
    pub interfaces: BTreeMap<String, PodInterface>,
}

/// What it says of the bridge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bridge {
    /// Its row.
    pub row: Uuid,
    /// Known once vswitchd has made the bridge.
    pub datapath_id: Option<DatapathId>,
    /// Targets of its controller rows.
    pub controllers: BTreeSet<String>,
    /// Version of the agent that keeps the machine.
    pub agent: Option<String>,
    /// Where its tunnels end.
    pub encap: Option<IpAddr>,
    /// `culvert-pod-cidrs`, as it stands there.
    pub pod_cidrs: Option<String>,
    /// `culvert-cluster-cidrs`, as it stands there.
    pub cluster_cidrs: Option<String>,
    /// `culvert-peers`, as it stands there.
    pub peers: Option<String>,
    /// Values of [`SERVICE_KEYS`], as they stand there.
    pub services: [Option<String>; 4],
    /// Peers whose link-layer address the machine knows.
    pub peers_resolved: BTreeSet<IpAddr>,
}

/// An Interface that belongs to a Pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodInterface {
    /// Its row.
    pub row: Uuid,
    /// What it claims to be.
    pub claim: Claim,
    /// `culvert-ready`, as it stands there.
    pub ready: Option<String>,
    /// `culvert-error`, as it stands there.
    pub error: Option<String>,
}

/// What an Interface claims to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// vswitchd has not given it a port yet.
    NoPort,
    /// It cannot be read; the text names key and cure.
    Unreadable(String),
    /// A Pod's.
    Pod {
        /// Namespace of the Pod.
        namespace: String,
        /// Name of the Pod.
        name: String,
        /// UID of the Pod.
        uid: Option<String>,
        /// OpenFlow port.
        port: PortNo,
        /// IP addresses.
        addresses: Addresses,
        /// Link-layer address.
        mac: MacAddr,
    },
}

impl PodInterface {
    /// Whether an earlier controller, or this one, has said that the Pod is ready.
    pub fn is_ready(&self) -> bool {
        self.ready.as_deref() == Some("true")
    }

    /// The attachment, when the Interface can be read.
    pub fn attachment(&self, node: &str, interface: &str) -> Option<Attachment> {
        let Claim::Pod {
            namespace,
            name,
            uid,
            port,
            addresses,
            mac,
        } = &self.claim
        else {
            return None;
        };
        Some(Attachment {
            key: AttachmentKey {
                node: node.to_owned(),
                interface: interface.to_owned(),
            },
            pod_namespace: namespace.clone(),
            pod_name: name.clone(),
            pod_uid: uid.clone(),
            port: *port,
            addresses: *addresses,
            mac: *mac,
            ready: self.is_ready(),
        })
    }
}

impl MachineView {
    /// What the compiler must know of the node.
    pub fn facts(&self) -> NodeFacts {
        NodeFacts {
            tunnel_port: self.tunnel_port,
            gateway_port: self.gateway_port,
        }
    }
}

/// The columns that [`read`] needs.
pub fn monitor_request() -> MonitorRequest {
    MonitorRequest::new()
        .table("Open_vSwitch", ["external_ids"])
        .table(
            "Bridge",
            ["name", "ports", "datapath_id", "controller", "external_ids"],
        )
        .table("Port", ["interfaces"])
        .table("Interface", ["name", "ofport", "external_ids"])
        .table("Controller", ["target"])
}

/// What `replica` says of the bridge with this name, and of the machine.
///
/// # Errors
/// The schema of the server is not the one of Open vSwitch.
pub fn read(replica: &Replica, bridge_name: &str) -> Result<MachineView, RowError> {
    let mut view = MachineView::default();
    if let Some(row) = replica.rows(DATABASE).next() {
        let name = match text(row, "culvert-node")? {
            Some(name) => Some(name),
            None => text(row, "hostname")?,
        };
        view.node = name;
    }
    for bridge in replica.rows("Bridge") {
        if bridge.string("name")? == bridge_name {
            view.bridge = Some(read_bridge(replica, bridge)?);
            for interface in interfaces(replica, bridge)? {
                read_interface(interface, &mut view)?;
            }
        }
    }
    Ok(view)
}

fn read_bridge(replica: &Replica, row: &Row) -> Result<Bridge, RowError> {
    let datapath_id = row.optional_string("datapath_id")?;
    let mut controllers = BTreeSet::new();
    for controller in row.uuid_set("controller")? {
        if let Some(controller) = replica.row("Controller", controller) {
            controllers.insert(controller.string("target")?.to_owned());
        }
    }
    let resolved = text(row, "culvert-peers-resolved")?.unwrap_or_default();
    Ok(Bridge {
        row: row.uuid(),
        datapath_id: datapath_id
            .and_then(|id| u64::from_str_radix(id, 16).ok())
            .map(DatapathId),
        controllers,
        agent: text(row, "culvert-agent")?,
        encap: text(row, "culvert-encap-ip")?.and_then(|encap| encap.parse().ok()),
        pod_cidrs: text(row, "culvert-pod-cidrs")?,
        cluster_cidrs: text(row, "culvert-cluster-cidrs")?,
        peers: text(row, "culvert-peers")?,
        services: read_services(row)?,
        peers_resolved: resolved
            .split(',')
            .filter_map(|peer| peer.trim().parse().ok())
            .collect(),
    })
}

fn read_services(row: &Row) -> Result<[Option<String>; 4], RowError> {
    let [cidrs, addresses, node_ports, health_checks] = SERVICE_KEYS;
    Ok([
        text(row, cidrs)?,
        text(row, addresses)?,
        text(row, node_ports)?,
        text(row, health_checks)?,
    ])
}

fn interfaces<'a>(replica: &'a Replica, bridge: &Row) -> Result<Vec<&'a Row>, RowError> {
    let mut found = Vec::new();
    for port in bridge.uuid_set("ports")? {
        let Some(port) = replica.row("Port", port) else {
            continue;
        };
        for interface in port.uuid_set("interfaces")? {
            found.extend(replica.row("Interface", interface).map(AsRef::as_ref));
        }
    }
    Ok(found)
}

fn read_interface(row: &Row, view: &mut MachineView) -> Result<(), RowError> {
    let port = row.optional_integer("ofport")?;
    let port = port
        .and_then(|port| u32::try_from(port).ok())
        .filter(|port| *port > 0)
        .map(PortNo);
    match row.map_value("external_ids", "culvert-role")? {
        Some("tunnel") => view.tunnel_port = port,
        Some("gateway") => view.gateway_port = port,
        _ => {}
    }
    if let Some(iface_id) = row.map_value("external_ids", "iface-id")? {
        let interface = PodInterface {
            row: row.uuid(),
            claim: read_claim(row, iface_id, port)?,
            ready: text(row, "culvert-ready")?,
            error: text(row, "culvert-error")?,
        };
        view.interfaces
            .insert(row.string("name")?.to_owned(), interface);
    }
    Ok(())
}

fn read_claim(row: &Row, iface_id: &str, port: Option<PortNo>) -> Result<Claim, RowError> {
    let refuse = |reason: String| Ok(Claim::Unreadable(reason));
    let Some((namespace, name)) = split_name(iface_id) else {
        return refuse(format!(
            "external_ids:iface-id is {iface_id:?}; write it as NAMESPACE/NAME of the Pod"
        ));
    };
    let addresses = match read_addresses(row)? {
        Ok(addresses) => addresses,
        Err(reason) => return refuse(reason),
    };
    let Some(mac) = row.map_value("external_ids", "attached-mac")? else {
        return refuse(
            "external_ids:attached-mac is missing; write the link-layer address of the Pod's interface there".to_owned(),
        );
    };
    let mac = match mac.parse() {
        Ok(mac) => mac,
        Err(error) => return refuse(format!("external_ids:attached-mac: {error}")),
    };
    let Some(port) = port else {
        return Ok(Claim::NoPort);
    };
    let uid = text(row, "iface-id-ver")?;
    Ok(Claim::Pod {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        uid,
        port,
        addresses,
        mac,
    })
}

/// The addresses that an Interface claims, or what is wrong with them.
fn read_addresses(row: &Row) -> Result<Result<Addresses, String>, RowError> {
    let v4 = match address(row, "culvert-ip", "an IPv4 address", "10.10.1.2")? {
        Ok(address) => address,
        Err(reason) => return Ok(Err(reason)),
    };
    let v6 = match address(row, "culvert-ip6", "an IPv6 address", "fd00::2")? {
        Ok(address) => address,
        Err(reason) => return Ok(Err(reason)),
    };
    Ok(Addresses::new(v4, v6).ok_or_else(|| {
        "external_ids:culvert-ip is missing, and so is external_ids:culvert-ip6; write the Pod's IPv4 \
         address to the one, or its IPv6 address to the other"
            .to_owned()
    }))
}

fn address<A: FromStr>(
    row: &Row,
    key: &str,
    what: &str,
    example: &str,
) -> Result<Result<Option<A>, String>, RowError> {
    let Some(text) = text(row, key)? else {
        return Ok(Ok(None));
    };
    Ok(text.parse().map(Some).map_err(|_| {
        format!("external_ids:{key} is {text:?}; write {what} without prefix length, as {example}")
    }))
}

fn split_name(iface_id: &str) -> Option<(&str, &str)> {
    let (namespace, name) = iface_id.split_once('/')?;
    (!namespace.is_empty() && !name.is_empty() && !name.contains('/')).then_some((namespace, name))
}

/// A key of `external_ids`; empty text says as little as a missing key.
fn text(row: &Row, key: &str) -> Result<Option<String>, RowError> {
    let value = row.map_value("external_ids", key)?;
    Ok(value.filter(|value| !value.is_empty()).map(str::to_owned))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use ovsdb_client::{Datum, RowChange};
    use std::sync::Arc;

    fn row(replica: &mut Replica, table: &str, id: u128, columns: &[(&str, Datum)]) {
        let uuid = Uuid::from_bits(id);
        let columns = columns
            .iter()
            .map(|(name, datum)| (Arc::from(*name), datum.clone()));
        let row = Row::new(Arc::from(table), uuid, columns.collect());
        let new = Some(Arc::new(row));
        replica.apply(&RowChange {
            table: Arc::from(table),
            uuid,
            old: None,
            new,
        });
    }

    fn uuids(ids: &[u128]) -> Datum {
        Datum::set(ids.iter().map(|id| Uuid::from_bits(*id)))
    }

    fn interface(replica: &mut Replica, id: u128, name: &str, ofport: i64, ids: &[(&str, &str)]) {
        let columns = [
            ("name", Datum::from(name)),
            ("ofport", Datum::from(ofport)),
            ("external_ids", Datum::map(ids.iter().copied())),
        ];
        row(replica, "Interface", id, &columns);
        row(replica, "Port", id + 100, &[("interfaces", uuids(&[id]))]);
    }

    const POD: [(&str, &str); 4] = [
        ("iface-id", "shop/web"),
        ("iface-id-ver", "u1"),
        ("attached-mac", "0a:58:0a:0a:01:02"),
        ("culvert-ip", "10.10.1.2"),
    ];

    fn replica() -> Replica {
        let mut replica = Replica::default();
        let ids = Datum::map([("culvert-node", "node-1"), ("hostname", "host-1")]);
        row(&mut replica, "Open_vSwitch", 1, &[("external_ids", ids)]);
        row(
            &mut replica,
            "Controller",
            9,
            &[("target", Datum::from("tcp:127.0.0.1:6653"))],
        );
        let ids = [
            ("culvert-agent", "0.1.0"),
            ("culvert-peers-resolved", "192.0.2.3,nonsense, 192.0.2.2"),
        ];
        let bridge = |name: &str, ports: &[u128]| {
            [
                ("name", Datum::from(name)),
                ("ports", uuids(ports)),
                ("datapath_id", Datum::from("00000000000000a1")),
                ("controller", uuids(&[9])),
                ("external_ids", Datum::map(ids)),
            ]
        };
        row(
            &mut replica,
            "Bridge",
            2,
            &bridge("br-int", &[110, 111, 112, 114]),
        );
        row(&mut replica, "Bridge", 3, &bridge("br-ex", &[113]));
        interface(&mut replica, 10, "br-int", 65534, &[]);
        interface(
            &mut replica,
            11,
            "culvert-tun",
            1,
            &[("culvert-role", "tunnel")],
        );
        interface(&mut replica, 12, "veth1", 5, &POD);
        interface(&mut replica, 13, "veth2", 6, &POD);
        interface(
            &mut replica,
            14,
            "culvert-gw",
            2,
            &[("culvert-role", "gateway")],
        );
        replica
    }

    #[test]
    fn a_machine_is_read_by_the_contract() {
        let view = read(&replica(), "br-int").unwrap();
        assert_eq!(view.node.as_deref(), Some("node-1"));
        assert_eq!(view.tunnel_port, Some(PortNo(1)));
        assert_eq!(view.gateway_port, Some(PortNo(2)));
        let bridge = view.bridge.unwrap();
        assert_eq!(bridge.datapath_id, Some(DatapathId(0xa1)));
        assert_eq!(bridge.agent.as_deref(), Some("0.1.0"));
        assert_eq!(bridge.controllers.len(), 1);
        assert_eq!(bridge.peers_resolved.len(), 2);
        let names: Vec<&String> = view.interfaces.keys().collect();
        assert_eq!(names, ["veth1"], "the Pod of another bridge is not ours");
        let interface = view.interfaces.get("veth1").unwrap();
        let attachment = interface.attachment("node-1", "veth1").unwrap();
        assert_eq!(attachment.pod_uid.as_deref(), Some("u1"));
        assert_eq!((attachment.port, attachment.ready), (PortNo(5), false));
    }

    #[test]
    fn the_host_name_stands_in_for_a_missing_node_name() {
        let mut replica = replica();
        let ids = Datum::map([("hostname", "host-1")]);
        row(&mut replica, "Open_vSwitch", 1, &[("external_ids", ids)]);
        assert_eq!(
            read(&replica, "br-int").unwrap().node.as_deref(),
            Some("host-1")
        );
    }

    #[test]
    fn a_machine_without_the_bridge_has_none() {
        let view = read(&replica(), "br-other").unwrap();
        assert_eq!((view.bridge, view.interfaces.len()), (None, 0));
    }

    fn claim(ofport: i64, ids: &[(&str, &str)]) -> Claim {
        let mut replica = replica();
        interface(&mut replica, 12, "veth1", ofport, ids);
        let view = read(&replica, "br-int").unwrap();
        view.interfaces.get("veth1").unwrap().claim.clone()
    }

    #[test]
    fn an_interface_without_a_port_is_nobody_yet() {
        assert_eq!(claim(-1, &POD), Claim::NoPort);
    }

    #[test]
    fn an_interface_that_cannot_be_read_says_which_key_is_wrong() {
        for (key, value) in [
            ("iface-id", "web"),
            ("culvert-ip", "10.10.1.2/24"),
            ("culvert-ip", "fd00::2"),
            ("culvert-ip6", "10.10.1.2"),
            ("attached-mac", "x"),
        ] {
            let others = POD.into_iter().filter(|(old, _)| *old != key);
            let ids: Vec<_> = others.chain([(key, value)]).collect();
            let Claim::Unreadable(reason) = claim(5, &ids) else {
                panic!("{key} = {value} was read")
            };
            assert!(reason.contains(&format!("external_ids:{key}")), "{reason}");
        }
        for key in ["culvert-ip", "attached-mac"] {
            let ids: Vec<_> = POD.into_iter().filter(|(name, _)| *name != key).collect();
            let Claim::Unreadable(reason) = claim(5, &ids) else {
                panic!("read without {key}")
            };
            assert!(reason.contains("is missing"), "{reason}");
        }
    }

    #[test]
    fn a_pod_has_an_address_of_either_family_or_of_both() {
        let others = POD.into_iter().filter(|(key, _)| *key != "culvert-ip");
        for (keys, addresses) in [
            (vec![("culvert-ip", "10.10.1.2")], "10.10.1.2"),
            (vec![("culvert-ip6", "fd00::2")], "fd00::2"),
            (
                vec![("culvert-ip", "10.10.1.2"), ("culvert-ip6", "fd00::2")],
                "10.10.1.2,fd00::2",
            ),
        ] {
            let ids: Vec<_> = others.clone().chain(keys).collect();
            let Claim::Pod {
                addresses: read, ..
            } = claim(5, &ids)
            else {
                panic!("{addresses} was not read")
            };
            assert_eq!(read.to_string(), addresses);
        }
    }
}
