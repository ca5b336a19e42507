// SPDX-License-Identifier: Apache-2.0
//! ADD: a veth, its addresses, one transaction, and the wait for the ready mark.

use std::net::IpAddr;

use serde_json::Value;

use crate::addresses::host_prefix;
use crate::command::undo::Made;
use crate::contract::gateway;
use crate::database::{Database, DatabaseError};
use crate::link::{self, Netns, PodPlan, VethPlan};
use crate::request::Add;
use crate::spec::{Code, Error, Interface, Ip, Route};

pub(super) async fn run(add: &Add) -> Result<Value, Error> {
    let netns = Netns::open(&add.netns)?;
    let database = Database::connect(&add.conf.ovsdb).await?;
    let mut made = Made::default();
    match attach(add, &netns, &database, &mut made).await {
        Ok(result) => Ok(result),
        Err(mut error) => {
            made.undo(&add.conf.ovsdb, &add.attachment.host_link(), &mut error)
                .await;
            Err(error)
        }
    }
}

async fn attach(
    add: &Add,
    netns: &Netns,
    database: &Database,
    made: &mut Made,
) -> Result<Value, Error> {
    let node = database.node(&add.conf.bridge).await?;
    let veth = VethPlan {
        host: add.attachment.host_link(),
        pod: add.attachment.ifname.clone(),
        mtu: node.mtu,
    };
    let host_mac = link::create_veth(&veth, netns).await?;
    made.link = true;
    link::set_up(&veth.host).await?;

    let attached = database.attach(add, &node).await;
    made.port = match &attached {
        Ok(_) | Err(DatabaseError::Client { .. } | DatabaseError::Silent(_)) => true,
        Err(_) => false,
    };
    let (claim, interface) = attached?;

    let plan = PodPlan {
        ifname: veth.pod.clone(),
        addresses: claim.addresses,
        checksum_in_software: node.userspace,
    };
    link::configure_pod(netns, plan).await?;
    database.wait_until_ready(add, &claim, interface).await?;

    let mut result = add.conf.prev_result.clone().unwrap_or_default();
    result.attach(
        add.conf.version,
        Interface {
            name: veth.host,
            mac: host_mac.to_string(),
            mtu: Some(node.mtu),
            ..Interface::default()
        },
        Interface {
            name: veth.pod,
            mac: claim.addresses.mac().to_string(),
            mtu: Some(node.mtu),
            sandbox: add.netns.display().to_string(),
            ..Interface::default()
        },
        claim.addresses.iter().map(|address| Ip {
            address: format!("{address}/{}", host_prefix(address)),
            gateway: Some(gateway(address).to_string()),
            ..Ip::default()
        }),
        claim.addresses.iter().map(|address| Route {
            dst: everywhere(address).to_owned(),
            gw: Some(gateway(address).to_string()),
            ..Route::default()
        }),
    );
    serde_json::to_value(result).map_err(|error| Error::new(Code::Io, format!("result: {error}")))
}

/// All addresses of a family.
const fn everywhere(address: IpAddr) -> &'static str {
    match address {
        IpAddr::V4(_) => "0.0.0.0/0",
        IpAddr::V6(_) => "::/0",
    }
}
