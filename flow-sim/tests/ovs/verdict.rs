// SPDX-License-Identifier: Apache-2.0
//! The verdict of a packet's walk, read from `ofproto/trace` and from an [`Execution`].

use std::collections::BTreeMap;
use std::fmt::Write;

use flow_sim::packet::{Payload, Transport};
use flow_sim::{CtState, Event, Execution, Packet};
use openflow_codec::PortNo;

/// What became of a packet in one pass.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pass {
    /// Tables searched with the cookie of the flow found.
    pub(crate) path: Vec<(u8, Option<u64>)>,
    /// Ports it left by, in order.
    pub(crate) ports: Vec<PortNo>,
}

/// Verdicts in an execution, pass by pass; ports that do not exist are left out, as OVS does.
pub(crate) fn of_execution(execution: &Execution, ports: &BTreeMap<u32, PortNo>) -> Vec<Pass> {
    let last = execution
        .walk
        .iter()
        .map(|step| step.pass)
        .max()
        .unwrap_or(0);
    let mut passes = vec![Pass::default(); usize::from(last) + 1];
    for step in &execution.walk {
        if let Event::Lookup { table, found } = &step.event {
            let cookie = found.as_ref().map(|entry| entry.flow.cookie.0);
            passes[usize::from(step.pass)].path.push((table.0, cookie));
        }
    }
    for output in &execution.outputs {
        if ports.values().any(|port| *port == output.port) {
            passes[usize::from(output.pass)].ports.push(output.port);
        }
    }
    passes
}

/// Verdicts in the text of `ofproto/trace`.
pub(crate) fn of_trace(text: &str, ports: &BTreeMap<u32, PortNo>) -> Vec<Pass> {
    let mut passes = vec![Pass::default()];
    for line in text.lines() {
        if line.starts_with("recirc(") {
            passes.push(Pass::default());
        }
        let pass = passes.last_mut().expect("there is a first pass");
        if let Some(lookup) = lookup(line) {
            pass.path.push(lookup);
        } else if let Some(actions) = line.strip_prefix("Datapath actions: ") {
            pass.ports = outputs(actions, ports);
        } else if line.starts_with("Translation failed") {
            pass.ports.clear();
        }
    }
    passes
}

/// Lines such as ` 2. ip,in_port=1, priority 7, cookie 0x3` or ` 4. No match.`
fn lookup(line: &str) -> Option<(u8, Option<u64>)> {
    let (table, rest) = line.trim_start().split_once(". ")?;
    let table = table.parse().ok()?;
    let cookie = rest.rsplit_once(", cookie 0x").map(|(_, cookie)| {
        u64::from_str_radix(cookie.trim(), 16).expect("cookies are hexadecimal")
    });
    assert!(cookie.is_some() || rest.starts_with("No match"), "{line}");
    Some((table, cookie))
}

/// Outputs are plain numbers between the commas of no parenthesis, or inside `clone(...)`.
fn outputs(actions: &str, ports: &BTreeMap<u32, PortNo>) -> Vec<PortNo> {
    let mut found = Vec::new();
    let mut depth = 0;
    let mut start = 0;
    let ends = actions.char_indices().chain([(actions.len(), ',')]);
    for (at, character) in ends {
        match character {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                let action = &actions[start..at];
                start = at + 1;
                if let Ok(port) = action.parse::<u32>() {
                    found.push(
                        *ports
                            .get(&port)
                            .expect("the trace names a port of the bridge"),
                    );
                } else if let Some(inside) = action.strip_prefix("clone(") {
                    found.extend(outputs(inside.trim_end_matches(')'), ports));
                }
            }
            _ => {}
        }
    }
    found
}

/// The packet as `ofproto/trace` reads it.
pub(crate) fn flow_text(packet: &Packet) -> String {
    let mut text = format!(
        "in_port={},dl_src={},dl_dst={}",
        packet.in_port, packet.eth_src, packet.eth_dst
    );
    match &packet.payload {
        Payload::Arp(arp) => add(
            &mut text,
            format_args!(
                "arp,arp_op={},arp_spa={},arp_tpa={},arp_sha={},arp_tha={}",
                arp.op, arp.spa, arp.tpa, arp.sha, arp.tha
            ),
        ),
        Payload::Other(eth_type) => add(&mut text, format_args!("dl_type={eth_type:#x}")),
        Payload::Ip(ip) => {
            let protocol = ip.transport.protocol(ip.src);
            let (eth_type, src, dst) = match ip.src.is_ipv4() {
                true => (0x0800, "nw_src", "nw_dst"),
                false => (0x86dd, "ipv6_src", "ipv6_dst"),
            };
            add(
                &mut text,
                format_args!(
                    "dl_type={eth_type:#x},nw_proto={protocol},{src}={},{dst}={},nw_ttl={}",
                    ip.src, ip.dst, ip.ttl
                ),
            );
            match &ip.transport {
                Transport::Tcp { src, dst, flags } => add(
                    &mut text,
                    format_args!("tcp_src={src},tcp_dst={dst},tcp_flags={flags:#x}"),
                ),
                Transport::Udp { src, dst } => {
                    add(&mut text, format_args!("udp_src={src},udp_dst={dst}"));
                }
                Transport::Sctp { src, dst } => {
                    add(&mut text, format_args!("sctp_src={src},sctp_dst={dst}"));
                }
                Transport::Icmp(icmp) => add(
                    &mut text,
                    format_args!("icmp_type={},icmp_code={}", icmp.kind, icmp.code),
                ),
                Transport::Other(_) => {}
            }
        }
    }
    let tunnel = &packet.tunnel;
    if !tunnel.dst.is_unspecified() {
        add(
            &mut text,
            format_args!(
                "tun_id={},tun_src={},tun_dst={}",
                tunnel.id, tunnel.src, tunnel.dst
            ),
        );
    }
    for (index, value) in &tunnel.options {
        add(&mut text, format_args!("tun_metadata{index}={value:#x}"));
    }
    text
}

/// Arguments of `--ct-next` for these states.
pub(crate) fn ct_next(states: &[CtState]) -> Vec<String> {
    let arguments = states.iter().flat_map(|state| {
        let names = state.to_string().replace('|', ",");
        ["--ct-next".to_string(), names]
    });
    arguments.collect()
}

fn add(text: &mut String, more: std::fmt::Arguments<'_>) {
    write!(text, ",{more}").expect("a string takes it");
}
