// SPDX-License-Identifier: Apache-2.0
//! Generated flows and groups: what Open vSwitch stores, dumps and prints is what we wrote.

use std::collections::BTreeMap;

use openflow_codec::message::flow_mod::FlowMod;
use openflow_codec::message::group_mod::GroupMod;
use openflow_codec::{Bucket, Cookie, Flow, Group, GroupId, GroupType, Message, Xid};

use crate::generate::{self, GROUP, METER};
use crate::ovs::{Connection, Ovs};
use crate::{sample, stored};

const FLOWS: usize = 1500;
const GROUPS: usize = 200;

/// A bridge with the TLV table, the group and the meter that generated flows refer to.
fn bridge() -> (Ovs, Connection) {
    let ovs = Ovs::start();
    let mut switch = ovs.connect();
    stored::map_identity(&mut switch);
    let group = Group {
        id: GROUP,
        group_type: GroupType::All,
        selection: None,
        buckets: vec![Bucket::new(0, 0, vec![])],
    };
    switch.apply(&[Message::GroupMod(GroupMod::add(group))]);
    let meter = format!("meter={METER},kbps,band=type=drop,rate=1000");
    ovs.ofctl(&["add-meter", &ovs.bridge(), &meter]);
    (ovs, switch)
}

/// Adds every flow; panics with the ones that were refused.
fn install(switch: &mut Connection, flows: &[Flow]) {
    let messages: Vec<_> = flows
        .iter()
        .map(|flow| Message::FlowMod(FlowMod::add(flow)))
        .collect();
    let refused: Vec<_> = switch
        .transact(&messages)
        .into_iter()
        .filter_map(|(_, answer)| match answer {
            Message::Error(error) => Some(error),
            _ => None,
        })
        .map(|error| {
            let cookie = error.data.get(8..16).expect("a cookie");
            let cookie = u64::from_be_bytes(cookie.try_into().expect("8 bytes"));
            let flow = flows.iter().find(|flow| flow.cookie == Cookie(cookie));
            format!("{error}: {}\n", flow.expect("one of ours"))
        })
        .collect();
    assert!(refused.is_empty(), "{}", refused.concat());
}

fn by_cookie(flows: impl IntoIterator<Item = Flow>) -> BTreeMap<Cookie, Flow> {
    flows.into_iter().map(|flow| (flow.cookie, flow)).collect()
}

#[test]
fn every_generated_flow_reads_back_as_it_was_written() {
    let (ovs, mut switch) = bridge();
    let flows = generate::flows(FLOWS);
    install(&mut switch, &flows);
    let stored = by_cookie(stored::dump(&mut switch));
    for flow in &flows {
        assert_eq!(stored.get(&flow.cookie), Some(flow), "{flow}");
    }
    assert_eq!(stored.len(), flows.len());

    // The same as text.
    let text = ovs.ofctl(&["--no-names", "--no-stats", "dump-flows", &ovs.bridge()]);
    let printed: BTreeMap<Cookie, &str> = text
        .lines()
        .map(str::trim)
        .filter(|line| line.starts_with("cookie="))
        .map(|line| {
            (
                line.parse::<Flow>()
                    .unwrap_or_else(|error| panic!("{error}: {line}")),
                line,
            )
        })
        .map(|(flow, line)| {
            assert_eq!(stored.get(&flow.cookie), Some(&flow), "{line}");
            (flow.cookie, line)
        })
        .collect();
    for flow in &flows {
        assert_eq!(
            printed.get(&flow.cookie).copied(),
            Some(flow.to_string().as_str())
        );
    }
}

#[test]
fn ovs_ofctl_reads_our_text_as_the_flow_it_is() {
    let (ovs, mut switch) = bridge();
    let flows = generate::flows(FLOWS / 3);
    let text: String = flows.iter().map(|flow| format!("{flow}\n")).collect();
    ovs.ofctl_with_input(
        &["--bundle", "add-flows", &ovs.bridge(), "-"],
        text.as_bytes(),
    );
    let stored = by_cookie(stored::dump(&mut switch));
    for flow in &flows {
        assert_eq!(stored.get(&flow.cookie), Some(flow), "{flow}");
    }
}

#[test]
fn ovs_ofctl_prints_our_bytes_without_complaint() {
    let ovs = Ovs::start();
    let context = sample::context();
    let mut bytes = Vec::new();
    let flows = generate::flows(FLOWS);
    for flow in &flows {
        flow.encode_add(Xid(1), &context, &mut bytes).unwrap();
    }
    for group in generate::groups(GROUPS) {
        let message = Message::GroupMod(GroupMod::add_or_modify(group));
        message.encode(Xid(2), &context, &mut bytes).unwrap();
    }
    let text = ovs.ofctl_with_input(&["ofp-parse", "-"], &bytes);
    let complaints: Vec<_> = text.lines().filter(|line| line.contains("***")).collect();
    assert!(complaints.is_empty(), "{complaints:#?}");
    assert_eq!(text.matches("OFPT_FLOW_MOD").count(), FLOWS);
    assert_eq!(text.matches("OFPT_GROUP_MOD").count(), GROUPS);
}

#[test]
fn every_generated_group_reads_back_as_it_was_written() {
    let (ovs, mut switch) = bridge();
    let groups = generate::groups(GROUPS);
    let messages: Vec<_> = groups
        .iter()
        .map(|group| Message::GroupMod(GroupMod::add(group.clone())))
        .collect();
    switch.apply(&messages);
    let stored: BTreeMap<GroupId, Group> = stored::dump_groups(&mut switch)
        .into_iter()
        .map(|group| (group.id, group))
        .collect();
    for group in &groups {
        assert_eq!(stored.get(&group.id), Some(group), "{group}");
    }
    let text = ovs.ofctl(&["--no-names", "dump-groups", &ovs.bridge()]);
    let printed: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|line| line.starts_with("group_id="))
        .collect();
    for line in &printed {
        let group: Group = line
            .parse()
            .unwrap_or_else(|error| panic!("{error}: {line}"));
        assert_eq!(stored.get(&group.id), Some(&group), "{line}");
        assert_eq!(*line, group.to_string());
    }
    assert_eq!(printed.len(), groups.len() + 1);
}
