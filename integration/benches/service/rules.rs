// SPDX-License-Identifier: Apache-2.0
//! Rules for the Services in the shape that kube-proxy documents for its two modes.

use std::fmt::Write as _;
use std::net::Ipv4Addr;

use crate::services::{self, PORT, TARGET_PORT};

/// Clients outside are masqueraded.
const CLUSTER_CIDR: &str = "10.10.0.0/16";

/// A list of rules that only grows.
struct Text(String);

impl Text {
    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // A String takes everything.
        let _ = self.0.write_fmt(line);
        self.0.push('\n');
    }
}

macro_rules! line {
    ($text:expr, $($word:tt)*) => { $text.line(format_args!($($word)*)) };
}

/// For `iptables-restore`: one rule for each Service in one chain, a chain for each Service whose
/// rules choose at random, a chain for each endpoint.
pub(crate) fn iptables(size: u32, endpoints: &[Ipv4Addr]) -> String {
    let mut text = Text(String::new());
    let separate = |service: u32, at: usize| format!("KUBE-SEP-{service:012}{at:04}");
    line!(text, "*nat");
    for chain in ["SERVICES", "NODEPORTS", "POSTROUTING", "MARK-MASQ"] {
        line!(text, ":KUBE-{chain} - [0:0]");
    }
    for service in 0..size {
        line!(text, ":KUBE-SVC-{service:016} - [0:0]");
        for at in 0..endpoints.len() {
            line!(text, ":{} - [0:0]", separate(service, at));
        }
    }
    let portals = "-m comment --comment \"kubernetes service portals\" -j KUBE-SERVICES";
    line!(text, "-A PREROUTING {portals}\n-A OUTPUT {portals}");
    line!(
        text,
        "-A POSTROUTING -m comment --comment \"kubernetes postrouting rules\" -j KUBE-POSTROUTING"
    );
    line!(
        text,
        "-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN"
    );
    line!(text, "-A KUBE-POSTROUTING -j MARK --xor-mark 0x4000");
    line!(text, "-A KUBE-POSTROUTING -j MASQUERADE --random-fully");
    line!(text, "-A KUBE-MARK-MASQ -j MARK --or-mark 0x4000");
    for service in 0..size {
        let comment =
            |what: &str| format!("-m comment --comment \"shop/service-{service}:http{what}\"");
        let (chain, portal) = (format!("KUBE-SVC-{service:016}"), comment(" cluster IP"));
        let to = format!(
            "-d {}/32 -p tcp -m tcp --dport {PORT}",
            services::address(service)
        );
        line!(text, "-A KUBE-SERVICES {portal} {to} -j {chain}");
        line!(
            text,
            "-A {chain} {portal} ! -s {CLUSTER_CIDR} {to} -j KUBE-MARK-MASQ"
        );
        for (at, endpoint) in endpoints.iter().enumerate() {
            let left = endpoints.len() - at;
            let chosen = match left {
                1 => String::new(),
                _ => format!(
                    "-m statistic --mode random --probability {:.11} ",
                    1.0 / left as f64
                ),
            };
            let arrow = comment(&format!(" -> {endpoint}:{TARGET_PORT}"));
            let (separate, why) = (separate(service, at), comment(""));
            line!(text, "-A {chain} {arrow} {chosen}-j {separate}");
            line!(
                text,
                "-A {separate} {why} -s {endpoint}/32 -j KUBE-MARK-MASQ"
            );
            line!(
                text,
                "-A {separate} {why} -p tcp -m tcp -j DNAT --to-destination {endpoint}:{TARGET_PORT}"
            );
        }
    }
    line!(
        text,
        "-A KUBE-SERVICES -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS"
    );
    line!(text, "COMMIT");
    text.0
}

/// For `nft -f`: a verdict map of all Services, a chain for each Service and for each endpoint.
pub(crate) fn nftables(size: u32, endpoints: &[Ipv4Addr]) -> String {
    let mut text = Text(String::new());
    line!(text, "table ip kube-proxy {{");
    line!(
        text,
        "chain mark-for-masquerade {{ mark set mark or 0x4000; }}"
    );
    line!(
        text,
        "chain masquerading {{ mark and 0x4000 == 0 return; mark set mark xor 0x4000; masquerade fully-random; }}"
    );
    for service in 0..size {
        for (at, endpoint) in endpoints.iter().enumerate() {
            line!(
                text,
                "chain endpoint-{service}-{at} {{ ip saddr {endpoint} jump mark-for-masquerade; \
                 meta l4proto tcp dnat to {endpoint}:{TARGET_PORT}; }}"
            );
        }
        let choices = (0..endpoints.len()).map(|at| format!("{at} : goto endpoint-{service}-{at}"));
        let choices: Vec<_> = choices.collect();
        line!(
            text,
            "chain service-{service} {{ ip daddr {} tcp dport {PORT} ip saddr != {CLUSTER_CIDR} \
             jump mark-for-masquerade; numgen random mod {} vmap {{ {} }}; }}",
            services::address(service),
            endpoints.len(),
            choices.join(", ")
        );
    }
    line!(
        text,
        "map service-ips {{ type ipv4_addr . inet_proto . inet_service : verdict; elements = {{"
    );
    for service in 0..size {
        line!(
            text,
            "{} . tcp . {PORT} : goto service-{service},",
            services::address(service)
        );
    }
    line!(text, "}} }}");
    line!(
        text,
        "chain services {{ ip daddr . meta l4proto . th dport vmap @service-ips; }}"
    );
    for (chain, hook, priority, next) in [
        ("nat-prerouting", "prerouting", "dstnat", "services"),
        ("nat-output", "output", "-100", "services"),
        ("nat-postrouting", "postrouting", "srcnat", "masquerading"),
    ] {
        line!(
            text,
            "chain {chain} {{ type nat hook {hook} priority {priority}; jump {next}; }}"
        );
    }
    line!(text, "}}");
    text.0
}
