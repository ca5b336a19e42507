// SPDX-License-Identifier: Apache-2.0
//! The switch against a real ovs-vswitchd: random requests, and what both answer and hold then.

use std::time::Duration;

use flow_sim::Switch;
use openflow_codec::message::bundle::{BundleAdd, BundleCommand, BundleControl, BundleFlags};
use openflow_codec::message::flow_mod::{FlowCommand, FlowFlags, FlowMod};
use openflow_codec::message::group_mod::{BucketPosition, GroupCommand, GroupMod};
use openflow_codec::message::hello::Hello;
use openflow_codec::message::multipart::flow::FlowFilter;
use openflow_codec::message::multipart::{ReplyBody, RequestBody};
use openflow_codec::message::tlv_table::{TlvTableCommand, TlvTableMod};
use openflow_codec::{
    Action, Bucket, BundleId, Context, Cookie, DatapathId, Field, Flow, Frame, Framer, Group,
    GroupId, GroupType, Instruction, Match, Message, PortNo, TableId, TlvMapping, Xid,
};
use vswitchd::{Connection, Vswitchd};

use crate::generate::Random;
use crate::number;

const REQUESTS: u64 = 40;
const NOW: Duration = Duration::ZERO;

/// A simulated switch with one connection.
struct Simulated {
    switch: Switch,
    id: flow_sim::ConnectionId,
}

impl Simulated {
    fn new() -> Self {
        let mut switch = Switch::new(DatapathId(1));
        let id = switch.connect(NOW);
        let mut this = Self { switch, id };
        let mut hello = Vec::new();
        Message::Hello(Hello::OURS)
            .encode(Xid(0), &Context::UNMAPPED, &mut hello)
            .expect("it is short");
        this.ask(&[hello]);
        this
    }

    fn ask(&mut self, requests: &[Vec<u8>]) -> Vec<(Xid, Message)> {
        for request in requests {
            self.switch.receive(self.id, request, NOW);
        }
        let mut framer = Framer::new();
        while let Some(bytes) = self.switch.poll_transmit(self.id, NOW) {
            framer.push(&bytes);
        }
        let mut answers = Vec::new();
        while let Some(frame) = framer.next().expect("whole messages") {
            let message = Message::decode(&frame, &Context::UNMAPPED).expect("sound messages");
            answers.push((frame.header.xid, message));
        }
        answers
    }
}

fn ask_real(connection: &mut Connection, requests: &[Vec<u8>]) -> Vec<(Xid, Message)> {
    for request in requests {
        connection.send_bytes(request);
    }
    connection.until_barrier()
}

/// What an answer says, without what differs between any two switches.
fn told(answers: &[(Xid, Message)]) -> Vec<String> {
    let answers = answers.iter().map(|(xid, answer)| match answer {
        Message::Error(error) => format!("{xid}: {} about {:x?}", error.code, &error.data[..]),
        Message::BundleControl(control) => format!("{xid}: {:?}", control.command),
        Message::MultipartReply(reply) => match &reply.body {
            ReplyBody::Flow(flows) => {
                let mut flows: Vec<_> = flows.iter().map(|flow| &flow.flow).collect();
                flows.sort();
                format!("{xid}: {flows:#?}")
            }
            ReplyBody::Aggregate(counters) => format!("{xid}: {:?} flows", counters.flows),
            ReplyBody::GroupDesc(groups) => {
                let mut groups: Vec<_> = groups.iter().collect();
                groups.sort();
                format!("{xid}: {groups:#?}")
            }
            other => panic!("{other:?}"),
        },
        Message::TlvTableReply(table) => format!("{xid}: {:?}", table.mappings),
        other => format!("{xid}: {other:?}"),
    });
    answers.collect()
}

/// Random requests about few flows, groups and bundles, with transaction ids from 1.
fn script(random: &mut Random) -> Vec<Vec<u8>> {
    let requests = (1..=REQUESTS as u32).map(|xid| {
        let message = match random.below(16) {
            0..=3 => flow_mod(random),
            4..=6 => group_mod(random),
            7..=9 => Message::BundleControl(BundleControl {
                bundle: bundle(random),
                command: random.pick(&[
                    BundleCommand::OpenRequest,
                    BundleCommand::OpenRequest,
                    BundleCommand::CloseRequest,
                    BundleCommand::CommitRequest,
                    BundleCommand::CommitRequest,
                    BundleCommand::CommitRequest,
                    BundleCommand::DiscardRequest,
                    BundleCommand::CommitReply,
                ]),
                flags: flags(random),
            }),
            10..=14 => {
                let inner = match random.below(12) {
                    0 => Message::BarrierRequest,
                    1 => tlv_table_mod(random),
                    2..=4 => bundled(group_mod(random)),
                    _ => bundled(flow_mod(random)),
                };
                let bundle = bundle(random);
                let add = BundleAdd::new(bundle, flags(random), &inner, &Context::UNMAPPED);
                Message::BundleAdd(add.expect("it is short"))
            }
            _ => match random.below(4) {
                0 => tlv_table_mod(random),
                1 => Message::TlvTableRequest,
                2 => Message::MultipartRequest(RequestBody::Aggregate(filter(random)).into()),
                _ => Message::MultipartRequest(RequestBody::Flow(filter(random)).into()),
            },
        };
        let mut bytes = Vec::new();
        message
            .encode(Xid(xid), &Context::UNMAPPED, &mut bytes)
            .expect("it is short");
        if random.one_in(30) {
            // A table, a command, or something else that is wrong, but well-formed.
            let at = random.pick(&[24, 25, 30]);
            let mut changed = bytes.clone();
            if let Some(byte) = changed.get_mut(at) {
                *byte ^= 0x81;
            }
            if well_formed(&changed) {
                return changed;
            }
        }
        bytes
    });
    requests.collect()
}

fn well_formed(bytes: &[u8]) -> bool {
    let Ok(frame) = Frame::from_bytes(bytes) else {
        return false;
    };
    match Message::decode(&frame, &Context::UNMAPPED) {
        Ok(Message::BundleAdd(add)) => add.decode_message(&Context::UNMAPPED).is_ok(),
        decoded => decoded.is_ok(),
    }
}

/// Asks for everything that both hold.
fn inventory() -> Vec<Vec<u8>> {
    let requests = [
        RequestBody::Flow(FlowFilter::all()),
        RequestBody::GroupDesc(GroupId::ALL),
    ];
    let requests = requests.into_iter().zip(1000..).map(|(request, xid)| {
        let mut bytes = Vec::new();
        Message::MultipartRequest(request.into())
            .encode(Xid(xid), &Context::UNMAPPED, &mut bytes)
            .expect("it is short");
        bytes
    });
    requests.collect()
}

fn bundle(random: &mut Random) -> BundleId {
    BundleId(random.below(2) as u32)
}

fn flags(random: &mut Random) -> BundleFlags {
    match random.below(12) {
        0 => BundleFlags::ORDERED,
        _ => BundleFlags::ATOMIC | BundleFlags::ORDERED,
    }
}

fn filter(random: &mut Random) -> FlowFilter {
    FlowFilter {
        table: table(random),
        out_port: if random.one_in(4) {
            PortNo(1)
        } else {
            PortNo::ANY
        },
        out_group: if random.one_in(4) {
            GroupId(1)
        } else {
            GroupId::ANY
        },
        // Asked for exactly cookie 0, OVS 3.1 shows the flows of its internal table too.
        cookie: Cookie(random.below(4) + 1),
        cookie_mask: Cookie(random.pick(&[0, 0, 1, u64::MAX])),
        flow_match: flow_match(random),
    }
}

fn table(random: &mut Random) -> TableId {
    TableId(random.pick(&[0, 0, 0, 1, 253, 255]))
}

fn flow_match(random: &mut Random) -> Match {
    let ip = Match::any().with(Field::EthType, 0x0800_u16);
    match random.below(8) {
        0 | 1 => Match::any(),
        2 => Match::any().with(Field::InPort, random.below(2) as u32),
        3 => ip,
        4 => ip.with(Field::Ipv4Dst, 0x0a00_0001_u32),
        5 => ip.with_masked(Field::Ipv4Dst, 0x0a00_0000_u32, 0xff00_0000_u32),
        6 => ip.with_masked(Field::Ipv4Dst, 0x0b00_0000_u32, 0xff00_0000_u32),
        // Lacks a prerequisite.
        _ => Match::any().with(Field::TcpDst, 80_u16),
    }
}

fn flow_mod(random: &mut Random) -> Message {
    let command = random.pick(&[
        FlowCommand::Add,
        FlowCommand::Add,
        FlowCommand::Add,
        FlowCommand::Modify,
        FlowCommand::ModifyStrict,
        FlowCommand::Delete,
        FlowCommand::DeleteStrict,
    ]);
    let adds = command == FlowCommand::Add;
    let actions = match random.below(4) {
        0 | 1 => vec![Action::output(PortNo(random.below(3) as u32 + 1))],
        2 => vec![Action::Group(GroupId(random.below(3) as u32 + 1))],
        // Not for this match.
        _ => vec![Action::set(Field::TcpDst, 1_u16)],
    };
    let instructions = match random.below(4) {
        0 => vec![],
        1 => vec![Instruction::GotoTable(TableId(random.below(3) as u8))],
        _ => vec![Instruction::ApplyActions(actions)],
    };
    let filter = filter(random);
    let overlap = adds && random.one_in(4);
    Message::FlowMod(FlowMod {
        command,
        flow: Flow {
            table: if adds {
                TableId(random.pick(&[0, 0, 1, 253]))
            } else {
                filter.table
            },
            priority: random.below(2) as u16 + 1,
            flow_match: filter.flow_match,
            cookie: filter.cookie,
            idle_timeout: 0,
            hard_timeout: 0,
            instructions,
        },
        cookie_mask: if adds { Cookie(0) } else { filter.cookie_mask },
        out_port: filter.out_port,
        out_group: filter.out_group,
        flags: if overlap {
            FlowFlags::CHECK_OVERLAP
        } else {
            FlowFlags::empty()
        },
        importance: 0,
        buffer_id: u32::MAX,
    })
}

/// The message as it may stand in a bundle of OVS 3.1, which overlooks flows that the same bundle
/// has added unless it finds them by their whole cookie or identity (it publishes new subtables
/// only with the commit), and aborts when a bundle deletes a group and then adds a flow that uses it.
fn bundled(message: Message) -> Message {
    match message {
        Message::FlowMod(mut flow_mod) => {
            flow_mod.flags = FlowFlags::empty();
            if matches!(flow_mod.command, FlowCommand::Modify | FlowCommand::Delete) {
                flow_mod.cookie_mask = Cookie::MASK_EXACT;
            }
            Message::FlowMod(flow_mod)
        }
        Message::GroupMod(mut group_mod) if group_mod.command == GroupCommand::Delete => {
            group_mod.command = GroupCommand::RemoveBucket(BucketPosition::All);
            Message::GroupMod(group_mod)
        }
        other => other,
    }
}

fn group_mod(random: &mut Random) -> Message {
    let position = random.pick(&[
        BucketPosition::First,
        BucketPosition::Last,
        BucketPosition::At(0),
        BucketPosition::At(2),
        BucketPosition::All,
    ]);
    let command = random.pick(&[
        GroupCommand::Add,
        GroupCommand::Add,
        GroupCommand::AddOrModify,
        GroupCommand::Modify,
        GroupCommand::Delete,
        GroupCommand::InsertBucket(position),
        GroupCommand::InsertBucket(position),
        GroupCommand::RemoveBucket(position),
    ]);
    let group_type = random.pick(&[
        GroupType::Select,
        GroupType::Select,
        GroupType::All,
        GroupType::Indirect,
    ]);
    let count = match command {
        GroupCommand::RemoveBucket(_) | GroupCommand::Delete if !random.one_in(8) => 0,
        // Inserting no bucket behind the last one makes vswitchd 3.1 loop for ever.
        GroupCommand::InsertBucket(_) => random.below(2) + 1,
        _ => random.below(3),
    };
    let mut bucket = |_| {
        let weight = if group_type == GroupType::Select {
            100
        } else {
            0
        };
        let actions = vec![Action::output(PortNo(random.below(2) as u32 + 1))];
        Bucket::new(random.below(4) as u32, weight, actions)
    };
    let buckets = (0..count).map(&mut bucket).collect();
    let id = match random.below(16) {
        0 => GroupId::ALL,
        id => GroupId(id as u32 % 3 + 1),
    };
    Message::GroupMod(GroupMod {
        command,
        group: Group {
            id,
            group_type,
            selection: None,
            buckets,
        },
    })
}

fn tlv_table_mod(random: &mut Random) -> Message {
    let command = random.pick(&[
        TlvTableCommand::Add,
        TlvTableCommand::Add,
        TlvTableCommand::Delete,
        TlvTableCommand::Clear,
    ]);
    let mapping = TlvMapping {
        class: random.pick(&[1, 2]),
        option_type: 1,
        length: random.pick(&[4, 8, 0, 128, 5]),
        index: random.pick(&[0, 1, 2, 70]),
    };
    let mappings = if command == TlvTableCommand::Clear {
        vec![]
    } else {
        vec![mapping]
    };
    Message::TlvTableMod(TlvTableMod { command, mappings })
}

/// The first answer that differs, if any, with the requests up to it.
fn disagreement(vswitchd: &Vswitchd, script: &[Vec<u8>]) -> Option<String> {
    let mut real = vswitchd.openflow();
    reset(&mut real);
    let mut simulated = Simulated::new();
    let theirs = told(&ask_real(&mut real, script));
    let ours = told(&simulated.ask(script));
    if ours != theirs {
        return Some(format!("ours {ours:#?}\ntheirs {theirs:#?}"));
    }
    let theirs = told(&ask_real(&mut real, &inventory()));
    let ours = told(&simulated.ask(&inventory()));
    (ours != theirs).then(|| {
        format!(
            "held: ours {}\ntheirs {}",
            ours.join("\n"),
            theirs.join("\n")
        )
    })
}

fn reset(connection: &mut Connection) {
    let mut everything = FlowMod::delete_by_cookie(Cookie(0));
    everything.cookie_mask = Cookie(0);
    let requests = [
        Message::FlowMod(everything),
        Message::GroupMod(GroupMod::delete(GroupId::ALL)),
        Message::TlvTableMod(TlvTableMod {
            command: TlvTableCommand::Clear,
            mappings: vec![],
        }),
    ];
    assert_eq!(connection.ask(&requests), []);
}

#[test]
fn random_requests_get_the_same_answers_from_both() {
    let vswitchd = Vswitchd::start(1..=crate::PORTS);
    let first = number("FLOW_SIM_SEED", 1);
    for seed in first..first + number("FLOW_SIM_CASES", 150) {
        let mut script = script(&mut Random::new(seed));
        let Some(first) = disagreement(&vswitchd, &script) else {
            continue;
        };
        let mut index = 0;
        while index < script.len() {
            let mut smaller = script.clone();
            smaller.remove(index);
            if disagreement(&vswitchd, &smaller).is_some() {
                script = smaller;
            } else {
                index += 1;
            }
        }
        let what = disagreement(&vswitchd, &script).unwrap_or(first);
        let requests: Vec<_> = script
            .iter()
            .map(|bytes| {
                let frame = Frame::from_bytes(bytes).expect("a frame");
                Message::decode(&frame, &Context::UNMAPPED).map(|message| match &message {
                    Message::BundleAdd(add) => {
                        format!("{message:?} {:?}", add.decode_message(&Context::UNMAPPED))
                    }
                    _ => format!("{message:?}"),
                })
            })
            .collect();
        panic!("seed {seed}: {what}\n{requests:#?}");
    }
}
