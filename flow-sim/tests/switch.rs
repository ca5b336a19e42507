// SPDX-License-Identifier: Apache-2.0
//! The switch's side of the protocol: answers, errors, bundles, roles and faults.

use std::time::Duration;

use bytes::Bytes;
use flow_sim::{CommitFault, CommitOutcome, ConnectionId, Switch};
use openflow_codec::message::bundle::{BundleAdd, BundleCommand, BundleControl, BundleFlags};
use openflow_codec::message::error::ErrorCode;
use openflow_codec::message::flow_mod::{FlowCommand, FlowMod};
use openflow_codec::message::group_mod::{BucketPosition, GroupMod};
use openflow_codec::message::hello::Hello;
use openflow_codec::message::multipart::flow::FlowFilter;
use openflow_codec::message::multipart::table_features::TableFeatures;
use openflow_codec::message::multipart::{ReplyBody, RequestBody};
use openflow_codec::message::port::{Port, PortConfig, PortReason, PortState};
use openflow_codec::message::role::{Role, RoleMessage};
use openflow_codec::message::tlv_table::{TlvTableCommand, TlvTableMod};
use openflow_codec::{
    Action, Bucket, BundleId, Context, Cookie, DatapathId, Field, Flow, Framer, Group, GroupId,
    GroupType, Instruction, Match, Message, PortNo, TableId, TlvMapping, Xid,
};

const NOW: Duration = Duration::ZERO;
const ATOMIC: BundleFlags = BundleFlags::ATOMIC.union(BundleFlags::ORDERED);

/// A switch with one controller that has said HELLO.
struct Peer {
    switch: Switch,
    id: ConnectionId,
    xid: u32,
}

impl Peer {
    fn new() -> Self {
        let mut switch = Switch::new(DatapathId(7));
        let id = switch.connect(NOW);
        let mut peer = Self { switch, id, xid: 0 };
        assert!(matches!(
            peer.ask(&Message::Hello(Hello::OURS))[..],
            [Message::Hello(_)]
        ));
        peer
    }

    fn encode(&mut self, message: &Message) -> Vec<u8> {
        self.xid += 1;
        let mut bytes = Vec::new();
        message
            .encode(Xid(self.xid), &Context::UNMAPPED, &mut bytes)
            .expect("it is short");
        bytes
    }

    fn send(&mut self, message: &Message) {
        let bytes = self.encode(message);
        self.switch.receive(self.id, &bytes, NOW);
    }

    fn heard(&mut self, now: Duration) -> Vec<Message> {
        let mut framer = Framer::new();
        while let Some(bytes) = self.switch.poll_transmit(self.id, now) {
            framer.push(&bytes);
        }
        let mut messages = Vec::new();
        while let Some(frame) = framer.next().expect("the switch sends whole messages") {
            let message = Message::decode(&frame, &Context::UNMAPPED);
            messages.push(message.expect("the switch sends sound messages"));
        }
        messages
    }

    fn ask(&mut self, message: &Message) -> Vec<Message> {
        self.send(message);
        self.heard(NOW)
    }

    fn dump(&mut self, filter: FlowFilter) -> Vec<Flow> {
        let replies = self.ask(&Message::MultipartRequest(RequestBody::Flow(filter).into()));
        let flows = replies.into_iter().flat_map(|reply| match reply {
            Message::MultipartReply(reply) => match reply.body {
                ReplyBody::Flow(flows) => flows,
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        });
        flows.map(|stats| stats.flow).collect()
    }

    fn cookies(&mut self) -> Vec<u64> {
        let mut cookies: Vec<u64> = self
            .dump(FlowFilter::all())
            .iter()
            .map(|f| f.cookie.0)
            .collect();
        cookies.sort_unstable();
        cookies
    }

    fn control(&mut self, command: BundleCommand) -> Vec<Message> {
        let control = BundleControl {
            bundle: BundleId(1),
            command,
            flags: ATOMIC,
        };
        self.ask(&Message::BundleControl(control))
    }

    fn bundle(&mut self, messages: &[Message]) -> Vec<Message> {
        self.control(BundleCommand::OpenRequest);
        for message in messages {
            let add = BundleAdd::new(BundleId(1), ATOMIC, message, &Context::UNMAPPED);
            self.send(&Message::BundleAdd(add.expect("it is short")));
        }
        self.control(BundleCommand::CommitRequest)
    }
}

fn flow(cookie: u64) -> Flow {
    Flow {
        table: TableId(0),
        priority: 10,
        flow_match: Match::any().with(Field::InPort, cookie as u32),
        cookie: Cookie(cookie),
        idle_timeout: 0,
        hard_timeout: 0,
        instructions: vec![Instruction::GotoTable(TableId(1))],
    }
}

fn add(flow: &Flow) -> Message {
    Message::FlowMod(FlowMod::add(flow))
}

fn to_group(cookie: u64, group: u32) -> Flow {
    let actions = vec![Action::Group(GroupId(group))];
    Flow {
        instructions: vec![Instruction::ApplyActions(actions)],
        ..flow(cookie)
    }
}

fn group(id: u32, ports: impl IntoIterator<Item = u32>) -> Group {
    let buckets = ports.into_iter().map(|port| {
        let actions = vec![Action::output(PortNo(port))];
        Bucket::new(port, 1, actions)
    });
    Group {
        id: GroupId(id),
        group_type: GroupType::Select,
        selection: None,
        buckets: buckets.collect(),
    }
}

fn errors(messages: &[Message]) -> Vec<&'static str> {
    let errors = messages.iter().filter_map(|message| match message {
        Message::Error(error) => error.code.name(),
        _ => None,
    });
    errors.collect()
}

fn committed(messages: &[Message]) -> bool {
    messages.iter().any(|message| {
        matches!(message, Message::BundleControl(c) if c.command == BundleCommand::CommitReply)
    })
}

fn port(number: u32) -> Port {
    Port {
        number: PortNo(number),
        hw_addr: [2, 0, 0, 0, 0, 1],
        name: format!("p{number}"),
        config: PortConfig::empty(),
        state: PortState::LIVE,
        properties: Bytes::new(),
    }
}

#[test]
fn a_switch_introduces_itself() {
    let mut peer = Peer::new();
    peer.switch.set_port(port(3), NOW);
    assert!(matches!(peer.heard(NOW)[..], [Message::PortStatus(_)]));
    let Message::FeaturesReply(features) = peer.ask(&Message::FeaturesRequest).remove(0) else {
        panic!("no features");
    };
    assert_eq!(
        (features.datapath_id, features.n_tables),
        (DatapathId(7), 254)
    );
    let ports = peer.ask(&Message::MultipartRequest(
        RequestBody::PortDesc(PortNo::ANY).into(),
    ));
    let Message::MultipartReply(reply) = &ports[0] else {
        panic!("{ports:?}");
    };
    assert_eq!(reply.body, ReplyBody::PortDesc(vec![port(3)]));
}

#[test]
fn a_peer_without_openflow_1_5_is_told_and_disconnected() {
    let mut switch = Switch::new(DatapathId(1));
    let id = switch.connect(NOW);
    let mut peer = Peer { switch, id, xid: 0 };
    let answer = peer.ask(&Message::Hello(Hello { versions: 1 << 4 }));
    assert_eq!(errors(&answer), ["OFPHFC_INCOMPATIBLE"]);
    assert!(!peer.switch.is_connected(id));
}

#[test]
fn flows_are_dumped_as_they_were_added() {
    let mut peer = Peer::new();
    for cookie in 1..=3 {
        assert_eq!(peer.ask(&add(&flow(cookie))), []);
    }
    assert_eq!(peer.dump(FlowFilter::all()).len(), 3);
    let one = FlowFilter::with_cookie(Cookie(2), Cookie::MASK_EXACT);
    assert_eq!(peer.dump(one), [flow(2)]);
}

#[test]
fn a_long_dump_comes_in_parts_and_is_whole() {
    let mut peer = Peer::new();
    for cookie in 1..=2000 {
        peer.send(&add(&flow(cookie)));
    }
    let request = RequestBody::Flow(FlowFilter::all());
    let parts = peer.ask(&Message::MultipartRequest(request.into()));
    assert!(parts.len() > 1);
    let more = parts
        .iter()
        .map(|part| matches!(part, Message::MultipartReply(r) if r.more));
    assert_eq!(more.filter(|more| !more).count(), 1);
    assert_eq!(peer.cookies(), (1..=2000).collect::<Vec<_>>());
}

#[test]
fn an_aggregate_counts_flows() {
    let mut peer = Peer::new();
    peer.send(&add(&flow(1)));
    peer.send(&add(&flow(2)));
    let request = RequestBody::Aggregate(FlowFilter::all());
    let replies = peer.ask(&Message::MultipartRequest(request.into()));
    let Message::MultipartReply(reply) = &replies[0] else {
        panic!("{replies:?}");
    };
    assert!(matches!(reply.body, ReplyBody::Aggregate(counters) if counters.flows == Some(2)));
}

#[test]
fn deletion_by_cookie_takes_exactly_those_flows() {
    let mut peer = Peer::new();
    for cookie in [1, 2, 3] {
        peer.send(&add(&flow(cookie)));
    }
    peer.send(&Message::FlowMod(FlowMod::delete_by_cookie(Cookie(2))));
    assert_eq!(peer.cookies(), [1, 3]);
}

#[test]
fn strict_deletion_leaves_a_flow_of_another_cookie() {
    let mut peer = Peer::new();
    peer.send(&add(&flow(1)));
    let mut other = flow(1);
    other.cookie = Cookie(9);
    peer.send(&Message::FlowMod(FlowMod::delete_strict(&other)));
    assert_eq!(peer.cookies(), [1]);
    peer.send(&Message::FlowMod(FlowMod::delete_strict(&flow(1))));
    assert_eq!(peer.cookies(), []);
}

#[test]
fn modification_keeps_the_cookie() {
    let mut peer = Peer::new();
    peer.send(&add(&flow(1)));
    let mut changed = flow(1);
    changed.cookie = Cookie(9);
    changed.instructions = vec![Instruction::GotoTable(TableId(5))];
    peer.send(&Message::FlowMod(FlowMod::modify_strict(&changed)));
    changed.cookie = Cookie(1);
    assert_eq!(peer.dump(FlowFilter::all()), [changed]);
}

#[test]
fn a_flow_needs_its_group_and_goes_with_it() {
    let mut peer = Peer::new();
    assert_eq!(
        errors(&peer.ask(&add(&to_group(1, 5)))),
        ["OFPBAC_BAD_OUT_GROUP"]
    );
    peer.send(&Message::GroupMod(GroupMod::add(group(5, [1]))));
    assert_eq!(peer.ask(&add(&to_group(1, 5))), []);
    peer.send(&Message::GroupMod(GroupMod::delete(GroupId(5))));
    assert_eq!(peer.cookies(), []);
}

#[test]
fn buckets_are_inserted_and_removed_in_place() {
    let mut peer = Peer::new();
    peer.send(&Message::GroupMod(GroupMod::add(group(5, [1, 2]))));
    let insert = |peer: &mut Peer, port, position| {
        let buckets = group(5, [port]).buckets;
        let insert = GroupMod::insert_buckets(GroupId(5), GroupType::Select, buckets, position);
        peer.ask(&Message::GroupMod(insert))
    };
    assert_eq!(insert(&mut peer, 3, BucketPosition::Last), []);
    assert_eq!(insert(&mut peer, 4, BucketPosition::First), []);
    assert_eq!(insert(&mut peer, 5, BucketPosition::At(1)), []);
    let twice = insert(&mut peer, 5, BucketPosition::Last);
    assert_eq!(errors(&twice), ["OFPGMFC_BUCKET_EXISTS"]);
    let remove = GroupMod::remove_bucket(GroupId(5), BucketPosition::At(2));
    assert_eq!(peer.ask(&Message::GroupMod(remove)), []);
    let held = peer.switch.sim().groups().get(GroupId(5)).unwrap();
    assert_eq!(**held, group(5, [4, 1, 5, 3]));
}

#[test]
fn a_bundle_is_all_or_nothing() {
    let mut peer = Peer::new();
    peer.send(&add(&flow(1)));
    let delete = Message::FlowMod(FlowMod::delete_by_cookie(Cookie(1)));
    let bad = add(&to_group(3, 99));
    let answer = peer.bundle(&[delete.clone(), add(&flow(2)), bad]);
    assert_eq!(
        errors(&answer),
        ["OFPBAC_BAD_OUT_GROUP", "OFPBFC_MSG_FAILED"]
    );
    assert_eq!(peer.cookies(), [1]);
    let answer = peer.bundle(&[delete, add(&flow(2))]);
    assert!(committed(&answer));
    assert_eq!(peer.cookies(), [2]);
}

#[test]
fn a_failed_bundle_gives_back_groups_and_the_flows_that_went_with_them() {
    let mut peer = Peer::new();
    peer.send(&Message::GroupMod(GroupMod::add(group(5, [1]))));
    peer.send(&add(&to_group(1, 5)));
    let delete = Message::GroupMod(GroupMod::delete(GroupId(5)));
    peer.bundle(&[delete, add(&to_group(2, 5))]);
    assert_eq!(peer.cookies(), [1]);
    assert!(peer.switch.sim().groups().get(GroupId(5)).is_some());
}

#[test]
fn a_message_refused_when_added_is_left_out_of_its_bundle() {
    let mut peer = Peer::new();
    let mut backward = flow(2);
    backward.instructions = vec![Instruction::GotoTable(TableId(0))];
    let answer = peer.bundle(&[add(&flow(1)), add(&backward)]);
    assert_eq!(errors(&answer), ["OFPBIC_BAD_TABLE_ID"]);
    assert!(committed(&answer));
    assert_eq!(peer.cookies(), [1]);
}

#[test]
fn bundle_messages_must_agree_on_flags_and_transaction() {
    let mut peer = Peer::new();
    peer.control(BundleCommand::OpenRequest);
    let ordered = BundleFlags::ORDERED;
    let other = BundleAdd::new(BundleId(1), ordered, &add(&flow(1)), &Context::UNMAPPED).unwrap();
    assert_eq!(
        errors(&peer.ask(&Message::BundleAdd(other))),
        ["OFPBFC_BAD_FLAGS"]
    );
    let gone = peer.control(BundleCommand::CommitRequest);
    assert_eq!(errors(&gone), ["OFPBFC_BAD_ID"]);

    let mut inner = Vec::new();
    add(&flow(1))
        .encode(Xid(77), &Context::UNMAPPED, &mut inner)
        .unwrap();
    let wrong = BundleAdd::new(BundleId(1), ATOMIC, &add(&flow(1)), &Context::UNMAPPED).unwrap();
    let mut bytes = peer.encode(&Message::BundleAdd(wrong));
    let at = bytes.len() - inner.len();
    bytes[at..].copy_from_slice(&inner);
    peer.switch.receive(peer.id, &bytes, NOW);
    assert_eq!(errors(&peer.heard(NOW)), ["OFPBFC_MSG_BAD_XID"]);

    let barrier = Message::BarrierRequest;
    let barrier = BundleAdd::new(BundleId(1), ATOMIC, &barrier, &Context::UNMAPPED).unwrap();
    assert_eq!(
        errors(&peer.ask(&Message::BundleAdd(barrier))),
        ["OFPBFC_MSG_UNSUP"]
    );
}

#[test]
fn opening_a_bundle_twice_loses_it() {
    let mut peer = Peer::new();
    peer.control(BundleCommand::OpenRequest);
    assert_eq!(
        errors(&peer.control(BundleCommand::OpenRequest)),
        ["OFPBFC_BAD_ID"]
    );
    assert_eq!(
        errors(&peer.control(BundleCommand::CommitRequest)),
        ["OFPBFC_BAD_ID"]
    );
}

#[test]
fn an_idle_bundle_times_out() {
    let mut peer = Peer::new();
    peer.control(BundleCommand::OpenRequest);
    let late = Duration::from_secs(10);
    assert_eq!(peer.switch.next_timeout(), Some(late));
    assert_eq!(errors(&peer.heard(late)), ["OFPBFC_TIMEOUT"]);
}

#[test]
fn a_slave_may_read_but_not_write() {
    let mut peer = Peer::new();
    let role = |role, generation_id| {
        Message::RoleRequest(RoleMessage {
            role,
            generation_id,
        })
    };
    peer.ask(&role(Role::Master, 5));
    let first = peer.id;
    peer.id = peer.switch.connect(NOW);
    peer.ask(&Message::Hello(Hello::OURS));
    assert_eq!(errors(&peer.ask(&role(Role::Master, 4))), ["OFPRRFC_STALE"]);
    assert!(matches!(
        peer.ask(&role(Role::Master, 6))[..],
        [Message::RoleReply(_)]
    ));

    peer.id = first;
    assert!(matches!(peer.heard(NOW)[..], [Message::RoleStatus(_)]));
    assert_eq!(errors(&peer.ask(&add(&flow(1)))), ["OFPBRC_IS_SECONDARY"]);
    assert_eq!(peer.dump(FlowFilter::all()), []);
}

#[test]
fn a_tunnel_option_must_be_mapped_once_and_before_its_use() {
    let mut peer = Peer::new();
    let option = TlvMapping {
        class: 0xff51,
        option_type: 1,
        length: 12,
        index: 0,
    };
    let change = |command| {
        Message::TlvTableMod(TlvTableMod {
            command,
            mappings: vec![option],
        })
    };
    let mut matching = flow(1);
    matching.flow_match = Match::any().with_masked(Field::TunMetadata0, 1_u128, 1_u128);
    let context = Context::with_tlv_table([&option]);
    let mut bytes = Vec::new();
    add(&matching).encode(Xid(9), &context, &mut bytes).unwrap();

    peer.switch.receive(peer.id, &bytes, NOW);
    assert_eq!(errors(&peer.heard(NOW)), ["NXFMFC_INVALID_TLV_FIELD"]);
    assert_eq!(peer.ask(&change(TlvTableCommand::Add)), []);
    peer.switch.receive(peer.id, &bytes, NOW);
    assert_eq!(peer.heard(NOW), []);
    assert_eq!(
        errors(&peer.ask(&change(TlvTableCommand::Add))),
        ["NXTTMFC_ALREADY_MAPPED"]
    );
    assert_eq!(
        errors(&peer.ask(&change(TlvTableCommand::Delete))),
        ["NXTTMFC_INVALID_TLV_DEL"]
    );
    assert!(matches!(
        &peer.ask(&Message::TlvTableRequest)[..],
        [Message::TlvTableReply(table)] if table.mappings == [option]
    ));
}

#[test]
fn tables_take_names() {
    let mut peer = Peer::new();
    let named = TableFeatures::set_name(TableId(4), "ingress");
    let request = RequestBody::TableFeatures(vec![named]);
    let replies = peer.ask(&Message::MultipartRequest(request.into()));
    assert_eq!(errors(&replies), [""; 0]);
    assert_eq!(peer.switch.table_names()[&TableId(4)], "ingress");
}

#[test]
fn controllers_hear_of_ports() {
    let mut peer = Peer::new();
    peer.switch.set_port(port(1), NOW);
    peer.switch.set_port(port(1), NOW);
    peer.switch.remove_port(PortNo(1), NOW);
    let reasons: Vec<_> = peer
        .heard(NOW)
        .into_iter()
        .map(|message| match message {
            Message::PortStatus(status) => status.reason,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        reasons,
        [PortReason::Add, PortReason::Modify, PortReason::Delete]
    );
}

#[test]
fn malformed_messages_are_refused_and_the_stream_goes_on() {
    let mut peer = Peer::new();
    let mut bytes = peer.encode(&add(&flow(1)));
    bytes[25] = 99; // the command
    peer.switch.receive(peer.id, &bytes, NOW);
    assert_eq!(errors(&peer.heard(NOW)), ["OFPFMFC_BAD_COMMAND"]);
    let echo = Message::EchoRequest(Bytes::from_static(b"still here"));
    assert!(matches!(peer.ask(&echo)[..], [Message::EchoReply(_)]));
}

#[test]
fn a_full_table_refuses_new_flows_only() {
    let mut peer = Peer::new();
    peer.switch.set_max_flows(1);
    assert_eq!(peer.ask(&add(&flow(1))), []);
    assert_eq!(errors(&peer.ask(&add(&flow(2)))), ["OFPFMFC_TABLE_FULL"]);
    assert_eq!(peer.ask(&add(&flow(1))), []);
}

#[test]
fn the_chosen_addition_is_refused() {
    let mut peer = Peer::new();
    let code = ErrorCode::from_name("OFPFMFC_UNKNOWN").unwrap();
    let faults = peer.switch.faults_mut(peer.id).unwrap();
    faults.refuse_addition.insert(2, code);
    let answer = peer.bundle(&[add(&flow(1)), add(&flow(2))]);
    assert_eq!(errors(&answer), ["OFPFMFC_UNKNOWN", "OFPBFC_MSG_FAILED"]);
    assert!(committed(&peer.bundle(&[add(&flow(1)), add(&flow(2))])));
}

#[test]
fn a_connection_closes_after_the_chosen_message() {
    let mut peer = Peer::new();
    peer.switch
        .faults_mut(peer.id)
        .unwrap()
        .close_after_received = Some(2);
    peer.send(&add(&flow(1)));
    peer.send(&add(&flow(2)));
    assert!(!peer.switch.is_connected(peer.id));
    assert_eq!(peer.switch.sim().tables().len(), 1);
}

#[test]
fn a_connection_closes_instead_of_answering() {
    let mut peer = Peer::new();
    peer.switch.faults_mut(peer.id).unwrap().close_after_sent = Some(2);
    assert_eq!(peer.ask(&Message::BarrierRequest), [Message::BarrierReply]);
    assert_eq!(peer.ask(&Message::BarrierRequest), []);
    assert!(!peer.switch.is_connected(peer.id));
}

#[test]
fn a_delayed_answer_comes_when_it_is_due() {
    let mut peer = Peer::new();
    let delay = Duration::from_millis(300);
    peer.switch.faults_mut(peer.id).unwrap().delay = delay;
    assert_eq!(peer.ask(&Message::BarrierRequest), []);
    assert_eq!(peer.switch.next_timeout(), Some(delay));
    assert_eq!(peer.heard(delay), [Message::BarrierReply]);
}

#[test]
fn a_commit_can_be_carried_out_without_an_answer() {
    let outcomes = [
        (CommitOutcome::AppliedThenClosed, 1, false),
        (CommitOutcome::ClosedBefore, 0, false),
        (CommitOutcome::AppliedInSilence, 1, true),
    ];
    for (outcome, flows, connected) in outcomes {
        let mut peer = Peer::new();
        peer.switch.faults_mut(peer.id).unwrap().commit = Some(CommitFault { nth: 1, outcome });
        assert!(!committed(&peer.bundle(&[add(&flow(1))])));
        assert_eq!(peer.switch.sim().tables().len(), flows, "{outcome:?}");
        assert_eq!(peer.switch.is_connected(peer.id), connected, "{outcome:?}");
    }
}

#[test]
fn a_restart_loses_everything_but_the_ports() {
    let mut peer = Peer::new();
    peer.switch.set_port(port(1), NOW);
    peer.send(&add(&flow(1)));
    peer.switch.restart();
    assert!(!peer.switch.is_connected(peer.id));
    assert!(peer.switch.sim().tables().is_empty());
}

#[test]
fn an_overlap_is_refused_when_asked_for() {
    use openflow_codec::message::flow_mod::FlowFlags;
    let mut peer = Peer::new();
    peer.send(&add(&flow(1)));
    let mut wide = flow(2);
    wide.flow_match = Match::any().with(Field::EthType, 0x0800_u16);
    let mut checked = FlowMod::add(&wide);
    checked.flags = FlowFlags::CHECK_OVERLAP;
    assert_eq!(checked.command, FlowCommand::Add);
    assert_eq!(
        errors(&peer.ask(&Message::FlowMod(checked))),
        ["OFPFMFC_OVERLAP"]
    );
    assert_eq!(peer.ask(&add(&wide)), []);
}
