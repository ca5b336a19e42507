// SPDX-License-Identifier: Apache-2.0
//! What Culvert promises, seen from outside: by packets, captures and `ovs-ofctl`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use api_types::Pods;
use integration::capture::{Capture, Geneve};
use integration::demo::{self, Options};
use integration::{Probe, Protocol, Verdict, wait};

use crate::lab::{LIMIT, Lab};

/// Interruption that a busy test machine may cause by itself.
const HICCUP: Duration = Duration::from_millis(700);

#[test]
fn the_demo_sees_every_verdict_that_its_yaml_says() {
    let options = Options {
        name: "tbcheck".to_owned(),
        check: true,
        json: false,
        manifests: demo::examples(),
    };
    assert!(
        demo::run(&options).unwrap(),
        "see the lines that begin with `wrong` above"
    );
}

#[test]
fn every_packet_on_the_underlay_tunnel_carries_a_valid_identity() {
    let lab = Lab::with_pods("tbident", &["shop/web", "shop/api-2", "team-b/monitor"]).unwrap();
    let capture = Capture::start(lab.cluster.bed()).unwrap();
    let names = ["shop/web", "shop/api-2", "team-b/monitor"];
    let pairs = names.iter().flat_map(|from| names.map(|to| (*from, to)));
    let probes = pairs
        .filter(|(from, to)| from != to)
        .flat_map(|(from, to)| {
            [Protocol::Tcp, Protocol::Udp].map(|protocol| lab.probe(from, to, protocol).unwrap())
        });
    let probes: Vec<Probe> = probes.collect();
    assert!(
        lab.prober
            .probe_all(probes)
            .iter()
            .any(|verdict| verdict.is_allowed())
    );

    let frames = capture.finish();
    let packets: Vec<_> = frames
        .iter()
        .filter_map(|frame| Geneve::decode(&frame.bytes))
        .collect();
    assert!(
        packets.len() >= 8,
        "only {} tunnel packets were seen",
        packets.len()
    );
    for packet in &packets {
        assert_eq!(packet.vni, 0xc1, "{packet:?}");
        assert!(!packet.critical, "{packet:?}");
        let option = packet.option(0xff51, 0x01);
        assert!(
            option.is_some_and(|value| value.len() == 12 && value[0] & 0x80 != 0),
            "{packet:?}"
        );
    }
    // It is the identity that the controller computed for the sender, answers included.
    let identities = identities(&lab).unwrap();
    let mut answers = 0;
    for packet in &packets {
        let inner = packet.inner().expect("only IP is tunnelled");
        let value = packet.option(0xff51, 1).unwrap();
        let hexadecimal: String = value[1..].iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(
            Some(&hexadecimal),
            identities.get(&inner.source.ip()),
            "{packet:?}"
        );
        answers += usize::from(value[0] & 0x40 != 0);
    }
    assert!(answers > 0, "no packet said that it answers");
}

/// Identities as `culvert pods` tells them, 22 digits, by the address of the Pod.
fn identities(lab: &Lab) -> Result<BTreeMap<IpAddr, String>> {
    let answer = lab.cluster.culvert(&["-o", "json", "pods"])?;
    let answer: Pods = serde_json::from_str(&answer)?;
    let of_pod = |pod: api_types::Pod| {
        let address = pod.address.context("a Pod without address")?.parse()?;
        let identity = pod.identity.context("a Pod without identity")?;
        Ok((address, identity.replace('.', "")))
    };
    answer.pods.into_iter().map(of_pod).collect()
}

#[test]
fn a_pod_sends_nothing_from_an_address_that_is_not_its_own() {
    let lab = Lab::with_pods("tbspoof", &["shop/web", "shop/api-1", "shop/api-2"]).unwrap();
    let web = lab.pod("shop/web").unwrap();
    let nobodys = IpAddr::from([10, 10, 1, 200]);
    let neighbours = lab.pod("shop/api-1").unwrap().address;
    let capture = Capture::start(lab.cluster.bed()).unwrap();
    for forged in [nobodys, neighbours] {
        web.netns()
            .ip(&format!("address add {forged}/32 dev lo"))
            .unwrap();
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            let mut probe = lab.probe("shop/web", "shop/api-2", protocol).unwrap();
            probe.source = Some(forged);
            assert_eq!(lab.prober.probe(probe), Verdict::Denied);
        }
    }
    // What it sends from its own address afterwards is seen, so what was forged would have been.
    assert!(
        lab.verdict("shop/web", "shop/api-2", Protocol::Tcp)
            .unwrap()
            .is_allowed()
    );
    let frames = capture.finish();
    let packets = frames
        .iter()
        .filter_map(|frame| Geneve::decode(&frame.bytes));
    let sources: BTreeSet<_> = packets
        .filter_map(|packet| packet.inner())
        .map(|inner| inner.source.ip())
        .collect();
    let api = lab.pod("shop/api-2").unwrap().address;
    assert_eq!(sources, BTreeSet::from([web.address, api]));
}

#[test]
fn a_service_spreads_over_its_pods_and_forgets_one_that_goes() {
    let mut lab = Lab::with_pods("tbspread", &["shop/web", "shop/api-1", "shop/api-2"]).unwrap();
    let service = Ipv4Addr::new(10, 96, 0, 10);
    let ask = |lab: &Lab| {
        let from = lab.pod("shop/web").unwrap().netns();
        let probes = (0..32).map(|_| Probe::new(from, Protocol::Tcp, service, 80));
        let verdicts = lab.prober.probe_all(probes);
        let names = verdicts
            .iter()
            .map(|verdict| verdict.answered_by().map(str::to_owned));
        names.collect::<BTreeSet<_>>()
    };
    let name = |pod: &str| Some(pod.to_owned());
    // A Pod serves only after its port is open, which is when CNI ADD returns.
    wait::until_true("the Service to lead to both Pods", LIMIT, || {
        Ok(ask(&lab) == BTreeSet::from([name("shop/api-1"), name("shop/api-2")]))
    })
    .unwrap();

    lab.remove("shop/api-1").unwrap();
    wait::until_true("the Service to forget the Pod that went", LIMIT, || {
        Ok(ask(&lab) == BTreeSet::from([name("shop/api-2")]))
    })
    .unwrap();
}

#[test]
fn killing_the_controller_disturbs_nothing_and_its_return_changes_nothing() {
    let lab = Lab::with_pods("tbctl", &["shop/web", "shop/api-1", "shop/api-2"]).unwrap();
    let streams = [
        lab.stream("shop/web", "shop/api-1").unwrap(),
        lab.stream("shop/web", "shop/api-2").unwrap(),
    ];
    for stream in &streams {
        stream.expect_progress(640, LIMIT).unwrap();
        stream.forget_silence();
    }
    let before = [lab.flows(1).unwrap(), lab.flows(2).unwrap()];
    let counted = [lab.counters(1).unwrap(), lab.counters(2).unwrap()];
    let start = Instant::now();
    lab.cluster.kill_controller().unwrap();
    for stream in &streams {
        stream.expect_progress(6400, LIMIT).unwrap();
    }
    // New connections are judged as before.
    assert!(
        lab.verdict("shop/web", "shop/api-2", Protocol::Tcp)
            .unwrap()
            .is_allowed()
    );
    assert!(
        !lab.verdict("shop/api-1", "shop/web", Protocol::Tcp)
            .unwrap()
            .is_allowed()
    );

    lab.cluster.start_controller().unwrap();
    lab.cluster.wait_for_nodes().unwrap();
    for stream in &streams {
        stream.expect_progress(6400, LIMIT).unwrap();
        assert!(
            stream.longest_silence() < HICCUP,
            "{:?}",
            stream.longest_silence()
        );
    }
    assert_eq!(before, [lab.flows(1).unwrap(), lab.flows(2).unwrap()]);
    for node in [1, 2] {
        let age = lab.youngest_flow(node).unwrap();
        assert!(
            age + Duration::from_secs(1) >= start.elapsed(),
            "node {node}: added {age:?} ago"
        );
        // No flow began to count anew.
        let after = lab.counters(node).unwrap();
        for (flow, packets) in &counted[node - 1] {
            assert!(after.get(flow) >= Some(packets), "{flow}: {packets}");
        }
    }
}

#[test]
fn killing_an_agent_disturbs_nothing_and_its_return_changes_nothing() {
    let lab = Lab::with_pods("tbagent", &["shop/web", "shop/api-2"]).unwrap();
    let stream = lab.stream("shop/web", "shop/api-2").unwrap();
    stream.expect_progress(640, LIMIT).unwrap();
    stream.forget_silence();
    let before = lab.flows(1).unwrap();
    let node = lab.node(1).unwrap();
    lab.cluster.kill_agent(node).unwrap();
    stream.expect_progress(6400, LIMIT).unwrap();
    lab.cluster.start_agent(node).unwrap();
    lab.cluster.wait_for_nodes().unwrap();
    stream.expect_progress(6400, LIMIT).unwrap();
    assert!(
        stream.longest_silence() < HICCUP,
        "{:?}",
        stream.longest_silence()
    );
    assert_eq!(before, lab.flows(1).unwrap());
}

#[test]
fn after_vswitchd_restarts_the_node_is_programmed_again_and_never_open() {
    let lab = Lab::with_pods("tbvswd", &["shop/web", "shop/api-1", "shop/api-2"]).unwrap();
    let before = lab.flows(1).unwrap();
    let node = lab.node(1).unwrap();
    node.ovs().kill_vswitchd().unwrap();
    node.ovs().start_vswitchd().unwrap();
    node.address_underlay().unwrap();

    // Until it is allowed again, and after, what is denied stays denied.
    wait::until_true("web to reach both api Pods again", LIMIT, || {
        let verdicts = lab.prober.probe_all([
            lab.probe("shop/web", "shop/api-1", Protocol::Tcp)?,
            lab.probe("shop/web", "shop/api-2", Protocol::Tcp)?,
            lab.probe("shop/api-1", "shop/web", Protocol::Tcp)?,
            lab.probe("shop/api-2", "shop/api-1", Protocol::Udp)?,
        ]);
        assert!(
            !verdicts[2].is_allowed() && !verdicts[3].is_allowed(),
            "opened: {verdicts:?}"
        );
        Ok(verdicts[0].is_allowed() && verdicts[1].is_allowed())
    })
    .unwrap();
    assert_eq!(before, lab.flows(1).unwrap());
}

#[test]
fn a_pod_whose_labels_are_known_changes_no_flow_on_other_nodes() {
    let mut lab = Lab::with_pods("tbchurn", &["shop/web", "shop/api-1", "shop/api-2"]).unwrap();
    let copy = "apiVersion: v1\nkind: Pod\nmetadata: {namespace: shop, name: web-2, \
                uid: 00000000-0000-4000-8000-000000000022, labels: {app: web}}\n\
                spec: {nodeName: node-1}\n";
    lab.put_pods("pod-web-2.yaml", copy).unwrap();
    let (near, far) = (lab.flows(1).unwrap(), lab.flows(2).unwrap());
    lab.add("shop/web-2").unwrap();
    assert!(
        lab.verdict("shop/web-2", "shop/api-2", Protocol::Tcp)
            .unwrap()
            .is_allowed()
    );
    assert_eq!(far, lab.flows(2).unwrap());

    // Its going leaves no trace on its own node either.
    lab.remove("shop/web-2").unwrap();
    wait::until_true("the flows of the removed Pod to go", LIMIT, || {
        Ok(lab.flows(1)? == near)
    })
    .unwrap();
    assert_eq!(far, lab.flows(2).unwrap());
}

#[test]
fn a_policy_edit_cuts_an_established_connection_and_taking_it_back_restores_access() {
    let lab = Lab::with_pods("tbedit", &["shop/web", "shop/api-2"]).unwrap();
    let stream = lab.stream("shop/web", "shop/api-2").unwrap();
    stream.expect_progress(640, LIMIT).unwrap();

    let file = "policy-shop-api.yaml";
    let old = std::fs::read_to_string(demo::examples().join(file)).unwrap();
    lab.cluster
        .put_manifest(file, &old.replace("app: web", "app: nobody"))
        .unwrap();
    stream
        .expect_stall(Duration::from_millis(400), LIMIT)
        .unwrap();
    lab.await_verdict("shop/web", "shop/api-2", Protocol::Tcp, false)
        .unwrap();

    lab.cluster.put_manifest(file, &old).unwrap();
    lab.await_verdict("shop/web", "shop/api-2", Protocol::Tcp, true)
        .unwrap();
    stream.expect_progress(64, LIMIT).unwrap();
}

#[test]
fn removing_the_last_policy_opens_a_pod_and_adding_it_back_closes_it() {
    let lab = Lab::with_pods("tbopen", &["shop/api-2", "shop/web"]).unwrap();
    let file = "policy-shop-default-deny.yaml";
    let text = std::fs::read_to_string(demo::examples().join(file)).unwrap();
    assert!(
        !lab.verdict("shop/api-2", "shop/web", Protocol::Udp)
            .unwrap()
            .is_allowed()
    );
    lab.cluster.remove_manifest(file).unwrap();
    lab.await_verdict("shop/api-2", "shop/web", Protocol::Udp, true)
        .unwrap();
    lab.cluster.put_manifest(file, &text).unwrap();
    lab.await_verdict("shop/api-2", "shop/web", Protocol::Udp, false)
        .unwrap();
}

#[test]
fn the_operator_can_go_from_a_pod_to_its_flows_and_from_a_flow_to_its_reason() {
    let lab = Lab::with_pods("tbwhy", &["shop/web", "shop/api-1"]).unwrap();
    let flows = lab
        .cluster
        .culvert(&["flows", "--object", "networkpolicy/shop/api"])
        .unwrap();
    let cookie = flows
        .split(|c: char| !c.is_ascii_alphanumeric())
        .find(|word| word.starts_with("0x") && word.len() > 8)
        .expect("the flows of the policy have cookies");
    let dump = lab.node(1).unwrap().ovs().dump_flows("br-int").unwrap();
    assert!(
        dump.contains(&format!("cookie={cookie}")),
        "{cookie} is not on the switch:\n{dump}"
    );
    let reason = lab.cluster.culvert(&["explain", cookie]).unwrap();
    assert!(reason.contains("shop/api"), "{reason}");
    let of_pod = lab
        .cluster
        .culvert(&["flows", "--pod", "shop/web"])
        .unwrap();
    assert!(
        of_pod.contains(&lab.pod("shop/web").unwrap().address.to_string()),
        "{of_pod}"
    );
}

#[test]
fn tables_have_names_and_every_cookie_explains_itself() {
    let lab = Lab::with_pods("tbnames", &["shop/web", "shop/api-2"]).unwrap();
    for node in [1, 2] {
        let dump = lab.node(node).unwrap().ovs().dump_flows("br-int").unwrap();
        for name in ["classify", "conntrack", "egress", "ingress", "output"] {
            assert!(dump.contains(&format!("table={name},")), "{name}:\n{dump}");
        }
        let cookies: BTreeSet<&str> = dump
            .split("cookie=")
            .skip(1)
            .filter_map(|rest| rest.split(',').next())
            .collect();
        assert!(cookies.len() > 30, "{cookies:?}");
        for cookie in cookies {
            match lab.cluster.culvert(&["explain", cookie]) {
                Ok(reason) => assert!(reason.contains(cookie), "{cookie}: {reason}"),
                // That of a marker flow changes with its layer.
                Err(error) => {
                    let now = lab.node(node).unwrap().ovs().dump_flows("br-int").unwrap();
                    assert!(!now.contains(cookie), "{error:#}");
                }
            }
        }
    }
}
