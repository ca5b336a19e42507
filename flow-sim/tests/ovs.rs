// SPDX-License-Identifier: Apache-2.0
//! The simulator against a real ovs-vswitchd: what it accepts and what it does with packets.
//!
//! `FLOW_SIM_CASES` sets the number of random pipelines, `FLOW_SIM_SEED` the first one's seed.

#[path = "ovs/conntrack.rs"]
mod conntrack;
#[path = "ovs/frame.rs"]
mod frame;
#[path = "ovs/generate.rs"]
mod generate;
#[path = "ovs/protocol.rs"]
mod protocol;
#[path = "ovs/verdict.rs"]
mod verdict;

use std::collections::BTreeMap;

use flow_sim::{FaultKind, Sim};
use openflow_codec::message::flow_mod::FlowMod;
use openflow_codec::message::group_mod::GroupMod;
use openflow_codec::{Message, TlvMapping, Xid};
use vswitchd::{Connection, Vswitchd};

use generate::{Case, Random};
use verdict::{ct_next, of_execution};

/// Ports of the bridge, 1 to this.
const PORTS: u32 = 4;
const OPTION: TlvMapping = TlvMapping {
    class: 0xff51,
    option_type: 1,
    length: 12,
    index: 0,
};

fn number(variable: &str, default: u64) -> u64 {
    match std::env::var(variable) {
        Ok(text) => text.parse().expect("a number"),
        Err(_) => default,
    }
}

/// Names of errors, by position of what was refused.
type Errors = BTreeMap<usize, &'static str>;

/// A real switch and the connection that programs it.
struct Oracle {
    vswitchd: Vswitchd,
    connection: Connection,
}

impl Oracle {
    fn start() -> Self {
        let vswitchd = Vswitchd::start(1..=PORTS);
        let mut connection = vswitchd.openflow();
        connection.map(OPTION);
        Self {
            vswitchd,
            connection,
        }
    }

    /// Replaces flows and groups; gives the errors by position in groups and flows.
    fn load(&mut self, case: &Case) -> (Errors, Errors) {
        self.connection.clear();
        let groups = case.groups.iter().cloned();
        let groups = groups.map(|group| Message::GroupMod(GroupMod::add(group)));
        let flows = case
            .flows
            .iter()
            .map(|flow| Message::FlowMod(FlowMod::add(flow)));
        (
            self.errors(&groups.collect::<Vec<_>>()),
            self.errors(&flows.collect::<Vec<_>>()),
        )
    }

    fn errors(&mut self, messages: &[Message]) -> Errors {
        let answers = self.connection.ask(messages);
        let errors = answers.into_iter().map(|(Xid(xid), answer)| match answer {
            Message::Error(error) => (xid as usize - 1, error.code.name().expect("a known error")),
            other => panic!("{other:?}"),
        });
        errors.collect()
    }

    /// The first disagreement about `case`, in words.
    fn disagreement(&mut self, case: &Case, checked: &mut Checked) -> Option<String> {
        let (bad_groups, bad_flows) = self.load(case);
        let mut sim = Sim::new();
        for (index, group) in case.groups.iter().enumerate() {
            let ours = sim.set_group(group.clone()).err().map(|error| error.name());
            let theirs = bad_groups.get(&index).copied();
            if ours != theirs {
                return Some(format!("ours {ours:?}, theirs {theirs:?}: {group:#?}"));
            }
        }
        for (index, flow) in case.flows.iter().enumerate() {
            let theirs = bad_flows.get(&index).copied();
            if theirs == Some("OFPBAC_BAD_OUT_GROUP") && !bad_groups.is_empty() {
                continue;
            }
            let ours = sim.add_flow(flow.clone()).err().map(|error| error.name());
            if ours != theirs {
                return Some(format!("ours {ours:?}, theirs {theirs:?}: {flow:#?}"));
            }
        }
        checked.refused += bad_flows.len() + bad_groups.len();
        for (packet, states) in &case.packets {
            let execution = sim.trace(packet.clone(), states.iter().copied());
            if execution.faults.iter().any(|fault| undefined(&fault.kind)) {
                checked.undefined += 1;
                continue;
            }
            let ours = of_execution(&execution, &self.vswitchd.ports);
            let flow = packet.to_string();
            let mut arguments = ct_next(states);
            arguments.extend(["br0".into(), flow.clone()]);
            let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
            let (theirs, text) = self.vswitchd.trace(&arguments);
            if ours != theirs {
                return Some(format!(
                    "{arguments:?}\nours {ours:?}\ntheirs {theirs:?}\n{text}"
                ));
            }
            checked.packets += 1;
            checked.lookups += ours.iter().map(|pass| pass.path.len()).sum::<usize>();
            checked.outputs += ours.iter().map(|pass| pass.ports.len()).sum::<usize>();
            checked.recirculations += ours.len() - 1;
        }
        None
    }

    /// Leaves out all that the disagreement does not need.
    fn smallest(&mut self, mut case: Case) -> Case {
        for packet in case.packets.clone() {
            let mut smaller = case.clone();
            smaller.packets = vec![packet];
            if self
                .disagreement(&smaller, &mut Checked::default())
                .is_some()
            {
                case = smaller;
                break;
            }
        }
        let mut index = 0;
        while index < case.flows.len() {
            let mut smaller = case.clone();
            smaller.flows.remove(index);
            if self
                .disagreement(&smaller, &mut Checked::default())
                .is_some()
            {
                case = smaller;
            } else {
                index += 1;
            }
        }
        case
    }
}

/// How much was compared.
#[derive(Debug, Default)]
struct Checked {
    packets: usize,
    lookups: usize,
    outputs: usize,
    recirculations: usize,
    refused: usize,
    undefined: usize,
}

/// What OVS itself does is not defined, or `ofproto/trace` shows it wrongly.
fn undefined(fault: &FaultKind) -> bool {
    matches!(
        fault,
        FaultKind::AbsentField(_) | FaultKind::UnprovedOption(_) | FaultKind::TooManyRecirculations
    )
}

#[test]
fn random_pipelines_do_the_same_in_both() {
    let mut oracle = Oracle::start();
    let seed = number("FLOW_SIM_SEED", 1);
    let mut checked = Checked::default();
    for seed in seed..seed + number("FLOW_SIM_CASES", 150) {
        let case = Random::new(seed).case();
        if oracle.disagreement(&case, &mut checked).is_some() {
            let case = oracle.smallest(case);
            let what = oracle.disagreement(&case, &mut checked);
            panic!(
                "seed {seed}: {}\n{:#?}",
                what.unwrap_or_default(),
                case.flows
            );
        }
    }
    println!("{checked:?}");
    assert!(
        checked.outputs > 100 && checked.recirculations > 100,
        "{checked:?}"
    );
}
