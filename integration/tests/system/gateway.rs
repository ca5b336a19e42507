// SPDX-License-Identifier: Apache-2.0
//! Pods, the nodes they run on, and the world: real packets through the gateway port.

use std::net::{IpAddr, Ipv4Addr};

use anyhow::Result;
use integration::testbed::OUTSIDE;
use integration::{Netns, Probe, Protocol, wait};

use crate::lab::{LIMIT, Lab};

/// Nobody may reach web but for what the text adds, and web may reach nobody but for that.
fn policy(ingress: &str, egress: &str) -> String {
    format!(
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n\
         metadata: {{namespace: shop, name: gateway}}\n\
         spec:\n  podSelector: {{matchLabels: {{app: web}}}}\n  policyTypes: [Ingress, Egress]\n\
         \x20 ingress: {ingress}\n  egress: {egress}\n"
    )
}

/// A rule for one address.
fn only(side: &str, address: Ipv4Addr) -> String {
    format!("[{{{side}: [{{ipBlock: {{cidr: {address}/32}}}}]}}]")
}

fn tcp(from: &Netns, to: impl Into<IpAddr>) -> Probe {
    Probe::new(from, Protocol::Tcp, to, 8080)
}

/// Waits until each probe is allowed as wanted, in one round of all.
fn expect(lab: &Lab, what: &str, wanted: &[(&str, Probe, bool)]) -> Result<()> {
    let mut wrong = Vec::new();
    wait::until_true(what, LIMIT, || {
        let verdicts = lab.prober.probe_all(wanted.iter().map(|w| w.1.clone()));
        wrong = wanted
            .iter()
            .zip(verdicts)
            .filter(|((_, _, allowed), verdict)| verdict.is_allowed() != *allowed)
            .map(|((name, _, _), verdict)| format!("{name}: {verdict:?}"))
            .collect();
        Ok(wrong.is_empty())
    })
    .map_err(|error| error.context(wrong.join("; ")))
}

#[test]
fn nodes_and_the_world_reach_pods_as_policy_says_and_a_pods_own_node_always_does() {
    let lab = Lab::with_pods("tbgate", &["shop/web", "shop/api-2"]).unwrap();
    let bed = lab.cluster.bed();
    let (home, away) = (lab.node(1).unwrap(), lab.node(2).unwrap());
    let routes = [("10.10.1.0/24", home), ("10.10.2.0/24", away)];
    let world = bed.add_outsider(&routes).unwrap();
    lab.prober
        .serve(&world, &"the/world".parse().unwrap(), &[8080], &[])
        .unwrap();
    for (node, name) in [(home, "the/home-node"), (away, "the/other-node")] {
        lab.prober
            .serve(node.netns(), &name.parse().unwrap(), &[8080], &[])
            .unwrap();
    }
    let web = lab.pod("shop/web").unwrap();
    let probes = |wanted: [bool; 6]| {
        let [own_in, node_in, world_in, own_out, node_out, world_out] = wanted;
        [
            ("own node to web", tcp(home.netns(), web.address), own_in),
            ("other node to web", tcp(away.netns(), web.address), node_in),
            ("world to web", tcp(&world, web.address), world_in),
            (
                "web to own node",
                tcp(web.netns(), home.underlay()),
                own_out,
            ),
            (
                "web to other node",
                tcp(web.netns(), away.underlay()),
                node_out,
            ),
            ("web to world", tcp(web.netns(), OUTSIDE), world_out),
        ]
    };
    let put = |text: &str| lab.cluster.put_manifest("gateway.yaml", text).unwrap();

    // `default-deny` isolates web for ingress.
    let wanted = probes([true, false, false, true, true, true]);
    expect(&lab, "a deny of ingress", &wanted).unwrap();

    put(&policy("[]", "[]"));
    let wanted = probes([true, false, false, false, false, false]);
    expect(&lab, "a deny of both directions", &wanted).unwrap();

    put(&policy(&only("from", OUTSIDE), &only("to", OUTSIDE)));
    let wanted = probes([true, false, true, false, false, true]);
    expect(&lab, "rules for the world", &wanted).unwrap();

    let other = away.underlay();
    put(&policy(&only("from", other), &only("to", other)));
    let wanted = probes([true, true, false, false, true, false]);
    expect(&lab, "rules for the other node", &wanted).unwrap();

    let own = home.underlay();
    put(&policy("[]", &only("to", own)));
    let wanted = probes([true, false, false, true, false, false]);
    expect(&lab, "a rule for the own node", &wanted).unwrap();

    // Every Pod is a peer for nobody but Pods.
    let pods = "[{SIDE: [{namespaceSelector: {}}]}]";
    put(&policy(
        &pods.replace("SIDE", "from"),
        &pods.replace("SIDE", "to"),
    ));
    let wanted = probes([true, false, false, false, false, false]);
    expect(&lab, "rules for every Pod", &wanted).unwrap();
}
