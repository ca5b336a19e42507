// SPDX-License-Identifier: Apache-2.0
//! The result of ADD (CNI 1.1.0, section 5, "ADD Success").

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::spec::SpecVersion;

/// What an attachment consists of. Members this plugin does not know are kept.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AttachmentResult {
    /// The version the result is written in.
    #[serde(rename = "cniVersion", default)]
    pub version: String,
    /// The links, of the node and of the container.
    #[serde(default)]
    pub interfaces: Vec<Interface>,
    /// The addresses.
    #[serde(default)]
    pub ips: Vec<Ip>,
    /// The routes of the container.
    #[serde(default)]
    pub routes: Vec<Route>,
    /// Name servers and search domains.
    #[serde(default)]
    pub dns: Map<String, Value>,
    /// Everything else.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// One link.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Its link-layer address.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub mac: String,
    /// Its MTU in bytes; 1.1.0 and later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    /// The path of the container's network namespace; absent for a link of the node.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub sandbox: String,
    /// Everything else.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// One address.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Ip {
    /// `4` or `6`; before 1.0.0 only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The address and its prefix length.
    pub address: String,
    /// The gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<String>,
    /// The index of its link in `interfaces`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<usize>,
    /// Everything else.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// One route.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Route {
    /// The destination and its prefix length.
    pub dst: String,
    /// The next hop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gw: Option<String>,
    /// Everything else.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl AttachmentResult {
    /// Adds one container link with its peer on the node, its addresses and its routes to what the
    /// plugins before this one made, in the words of `version`.
    pub fn attach(
        &mut self,
        version: SpecVersion,
        node: Interface,
        container: Interface,
        ips: impl IntoIterator<Item = Ip>,
        routes: impl IntoIterator<Item = Route>,
    ) {
        version.as_str().clone_into(&mut self.version);
        let (has_mtu, names_family) = (
            version >= SpecVersion::V1_1_0,
            version < SpecVersion::V1_0_0,
        );
        for link in [node, container] {
            self.interfaces.push(Interface {
                mtu: link.mtu.filter(|_| has_mtu),
                ..link
            });
        }
        let interface = self.interfaces.len().checked_sub(1);
        let family = |ip: &Ip| if ip.address.contains(':') { "6" } else { "4" };
        self.ips.extend(ips.into_iter().map(|ip| Ip {
            version: names_family.then(|| family(&ip).to_owned()),
            interface,
            ..ip
        }));
        self.routes.extend(routes);
    }
}
