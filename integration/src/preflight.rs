// SPDX-License-Identifier: Apache-2.0
//! What the machine must offer before a bed is built, each with its cure.

use std::path::Path;

use anyhow::{Result, bail};

/// A program the bed runs, and the Debian package that has it.
const PROGRAMS: [(&str, &str); 10] = [
    ("ip", "iproute2"),
    ("nft", "nftables"),
    ("ethtool", "ethtool"),
    ("ovs-vswitchd", "openvswitch-switch"),
    ("ovsdb-server", "openvswitch-common"),
    ("ovsdb-tool", "openvswitch-common"),
    ("ovs-vsctl", "openvswitch-switch"),
    ("ovs-ofctl", "openvswitch-common"),
    ("setpriv", "util-linux"),
    ("timeout", "coreutils"),
];

/// Fails, naming everything that is missing and how to get it, if a bed cannot be built here.
pub fn check() -> Result<()> {
    let mut faults = Vec::new();
    if !nix::unistd::geteuid().is_root() {
        faults.push("not root: run with sudo (network namespaces need CAP_SYS_ADMIN)".to_owned());
    }
    for (program, package) in PROGRAMS {
        if !on_path(program) {
            faults.push(format!("{program} is missing: apt-get install {package}"));
        }
    }
    if !Path::new("/dev/net/tun").exists() {
        faults.push(
            "/dev/net/tun is missing: modprobe tun (in a container: --device /dev/net/tun)"
                .to_owned(),
        );
    }
    if faults.is_empty() {
        return Ok(());
    }
    bail!(
        "this machine cannot host a test bed:\n  {}",
        faults.join("\n  ")
    )
}

fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .any(|folder| folder.join(program).is_file())
}
