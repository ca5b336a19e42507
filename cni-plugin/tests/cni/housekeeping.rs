// SPDX-License-Identifier: Apache-2.0
//! STATUS and GC against a real node.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixListener;
use std::time::Duration;

use integration::wait;
use serde_json::json;

use crate::controller::Controller;
use crate::node::Node;

const LIMIT: Duration = Duration::from_secs(20);

/// OFPT_HELLO of OpenFlow 1.5 without elements.
const HELLO: [u8; 8] = [0x06, 0, 0, 8, 0, 0, 0, 1];

#[test]
fn status_is_50_until_bridge_cidrs_and_controller_are_there() {
    let node = Node::bare("state");
    let status = || node.call_network("STATUS", &node.conf());
    let message = status().failure(50);
    assert!(
        message.contains("bridge br-int does not exist"),
        "{message}"
    );
    node.vsctl(
        "add-br br-int -- set Bridge br-int datapath_type=netdev fail_mode=secure \
         protocols=OpenFlow15 external_ids:culvert-mtu=1434",
    );
    let message = status().failure(50);
    assert!(message.contains("culvert-pod-cidrs"), "{message}");
    node.vsctl("set Bridge br-int external_ids:culvert-pod-cidrs=10.10.1.0/24");
    let message = status().failure(50);
    assert!(
        message.contains("no connected OpenFlow controller"),
        "{message}"
    );

    let socket = node.bed().dir().join("node1/controller");
    let listener = UnixListener::bind(&socket).unwrap();
    node.vsctl(&format!("set-controller br-int unix:{}", socket.display()));
    let (mut switch, _) = listener.accept().unwrap();
    let mut hello = [0; 8];
    switch.read_exact(&mut hello).unwrap();
    switch.write_all(&HELLO).unwrap();
    wait::until_true("STATUS to succeed", LIMIT, || Ok(status().success)).unwrap();

    drop((switch, listener));
    let message = wait::until("STATUS to fail", LIMIT, || {
        let answer = status();
        Ok((!answer.success).then(|| answer.failure(50)))
    });
    assert!(
        message
            .unwrap()
            .contains("no connected OpenFlow controller")
    );
}

#[test]
fn gc_removes_what_is_not_valid_and_nothing_else() {
    let node = Node::prepared("gc");
    let controller = Controller::start(&node.ovsdb());
    let (keep, stale, gone) = (
        node.container("keep"),
        node.container("stale"),
        node.container("gone"),
    );
    let result = node.add(&keep).result();
    node.add(&stale).result();
    node.add(&gone).result();
    drop(controller);
    // The namespace of one is gone, and its link with it; a foreign port is on the bridge.
    gone.netns.delete().unwrap();
    node.vsctl("add-port br-int foreign -- set Interface foreign type=internal");

    let valid = json!([{"containerID": keep.id, "ifname": "eth0"}]);
    let conf = node.conf_with("cni.dev/valid-attachments", valid);
    node.call_network("GC", &conf).result();
    assert_eq!(node.ports().len(), 1);
    assert_eq!(node.host_links(), node.ports());
    assert!(!stale.has_link("eth0"));
    node.check(&keep, &result).result();
    assert!(node.vsctl("list-ports br-int").contains("foreign"));

    let conf = node.conf_with("cni.dev/valid-attachments", json!([]));
    node.call_network("GC", &conf).result();
    node.assert_empty();
}
