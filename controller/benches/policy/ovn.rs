// SPDX-License-Identifier: Apache-2.0
//! The same workload in OVN, measured by the script that `CULVERT_OVN_BENCH` names.

use std::process::Command;

use crate::workload::Peers;

/// What the script found; nothing without a script.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) flows: Option<f64>,
    pub(crate) add_pod_ms: Option<f64>,
    pub(crate) add_rule_ms: Option<f64>,
    pub(crate) cold_ms: Option<f64>,
    pub(crate) restart_ms: Option<f64>,
    /// Of its two databases, northd and ovn-controller.
    pub(crate) memory_mib: Option<f64>,
}

pub(crate) fn measure(peers: Peers) -> Found {
    let Some(script) = std::env::var_os("CULVERT_OVN_BENCH").filter(|path| !path.is_empty()) else {
        return Found::default();
    };
    let args: &[&str] = match peers {
        Peers::Group => &[],
        // Its nodes each know their own Pods only; the addresses of the others stand in each policy.
        Peers::Everybody => &["-n", "1", "-p", "100", "-x", "900"],
    };
    let output = Command::new("bash").arg(&script).args(args).output();
    let Ok(output) = output else {
        println!("  {} cannot be run", script.display());
        return Found::default();
    };
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        let error = String::from_utf8_lossy(&output.stderr);
        println!(
            "  {} failed: {}",
            script.display(),
            error.lines().last().unwrap_or_default()
        );
    }
    println!("  OVN {}:", args.join(" "));
    for line in text.lines().filter(|line| shown(line)) {
        println!("    {line}");
    }
    let value = |key: &str| number(line(&text, key)?);
    let memory = ["ovsdb-nb", "ovsdb-sb", "ovn-northd", "ovn-controller"];
    let memory = memory.map(|daemon| value(&format!("rss_steady_{daemon}")));
    Found {
        flows: value("openflow_flows"),
        add_pod_ms: line(&text, "addpod_nb_to_ovn_installed_ms").and_then(median),
        add_rule_ms: line(&text, "addacl_nb_to_hv_ms").and_then(median),
        cold_ms: value("cold_total"),
        restart_ms: value("controller_restart_resync"),
        memory_mib: memory.into_iter().sum(),
    }
}

fn shown(line: &str) -> bool {
    let keys = [
        "#",
        "openflow_flows",
        "addpod_",
        "addacl_",
        "cold_total",
        "controller_restart",
        "rss_steady",
    ];
    keys.iter().any(|key| line.starts_with(key))
}

/// What stands after the key in the line that begins with it.
fn line<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix(' '))
}

fn number(text: &str) -> Option<f64> {
    text.split(' ').next()?.parse().ok()
}

fn median(text: &str) -> Option<f64> {
    number(text.split_once("p50=")?.1)
}
