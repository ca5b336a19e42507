// SPDX-License-Identifier: Apache-2.0
//! Golden vectors, recorded by `cargo run -p xtask -- vectors` from real conversations: we understand
//! each as Open vSwitch does, and write it again as it was.

use std::collections::BTreeSet;
use std::path::Path;

use openflow_codec::message::multipart::ReplyBody;
use openflow_codec::{Action, Context, Flow, Frame, Instruction, Message, TlvMapping};

use crate::actions::unhex;
use crate::ovs::Ovs;
use crate::sample;

/// One message that was said.
pub(crate) struct Vector {
    /// Of which file.
    file: String,
    /// Whether it went to the switch.
    pub(crate) to_switch: bool,
    pub(crate) bytes: Vec<u8>,
    /// What ovs-ofctl says of it.
    text: String,
}

/// Files by name.
fn files() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .expect("the vectors")
        .map(|entry| entry.expect("an entry"))
        .map(|entry| {
            let contents = std::fs::read_to_string(entry.path()).expect("a file of vectors");
            (entry.file_name().to_string_lossy().into_owned(), contents)
        })
        .collect();
    files.sort();
    files
}

/// Every vector.
pub(crate) fn all() -> Vec<Vector> {
    let mut vectors = Vec::new();
    for (file, contents) in files() {
        for block in contents.split("\n\n").skip(1) {
            let (first, text) = block.split_once('\n').unwrap_or((block, ""));
            let (arrow, hex) = first.split_once(' ').expect("an arrow and a message");
            vectors.push(Vector {
                file: file.clone(),
                to_switch: arrow == ">",
                bytes: unhex(hex),
                text: text
                    .lines()
                    .map(|line| format!("{}\n", line.trim_start()))
                    .collect(),
            });
        }
    }
    vectors
}

/// The version of Open vSwitch that made them.
pub(crate) fn version() -> String {
    let versions: BTreeSet<String> = files()
        .into_iter()
        .map(|(name, contents)| {
            let first = contents.lines().next().unwrap_or_default();
            let version = first.strip_prefix("# ovs-vswitchd (Open vSwitch) ");
            version
                .unwrap_or_else(|| panic!("{name}: {first}"))
                .to_owned()
        })
        .collect();
    assert_eq!(versions.len(), 1, "{versions:?}");
    versions.into_iter().next().expect("a version")
}

/// The TLV table that the conversation in tunnels.txt has.
fn context(file: &str) -> Context {
    let second = TlvMapping {
        class: 0xffff,
        option_type: 2,
        length: 4,
        index: 1,
    };
    match file {
        "tunnels.txt" => Context::with_tlv_table(&[sample::IDENTITY, second]),
        _ => Context::UNMAPPED,
    }
}

/// What we make of a vector, and the bytes that we make of that.
fn decode(vector: &Vector) -> (Message, Vec<u8>) {
    let context = context(&vector.file);
    let frame = Frame::from_bytes(&vector.bytes).expect("a frame");
    let message = Message::decode(&frame, &context)
        .unwrap_or_else(|error| panic!("{}: {error}: {}", vector.file, vector.text));
    let mut again = Vec::new();
    message
        .encode(frame.header.xid, &context, &mut again)
        .expect("encodes");
    (message, again)
}

#[test]
fn every_vector_is_understood_and_written_again_as_the_same() {
    let ovs = Ovs::start();
    let installed = ovs.run("ovs-ofctl", &["--version"]);
    let same_version = installed.contains(&version());
    let mut different = Vec::new();
    for vector in all() {
        let (message, again) = decode(&vector);
        if again == vector.bytes {
            continue;
        }
        // Open vSwitch has other spellings of some matches and actions; what ours says is the same.
        let frame = Frame::from_bytes(&again).expect("a frame");
        let reread = Message::decode(&frame, &context(&vector.file));
        assert_eq!(reread.as_ref(), Ok(&message));
        let hex: String = again.iter().map(|byte| format!("{byte:02x}")).collect();
        let text: String = ovs
            .ofctl(&["ofp-print", &hex])
            .lines()
            .map(|line| format!("{}\n", line.trim_start()))
            .collect();
        if same_version && text.trim() != vector.text.trim() {
            different.push((vector.text, text));
        }
    }
    assert!(different.is_empty(), "{different:#?}");
}

/// What a message has of things that have a text of ours.
fn texts(message: &Message) -> Vec<String> {
    let of_flow = |flow: &Flow| {
        let text = flow.to_string();
        let (head, actions) = text.split_once("actions=").expect("actions");
        let flow_match = match flow.flow_match.is_any() {
            true => String::new(),
            false => flow.flow_match.to_string(),
        };
        assert!(head.contains(&flow_match));
        [flow_match, format!("actions={actions}")]
    };
    match message {
        Message::FlowMod(flow_mod) if !flow_mod.flow.instructions.is_empty() => {
            of_flow(&flow_mod.flow).to_vec()
        }
        Message::FlowMod(flow_mod) if !flow_mod.flow.flow_match.is_any() => {
            vec![flow_mod.flow.flow_match.to_string()]
        }
        Message::GroupMod(group_mod) if !group_mod.group.buckets.is_empty() => group_mod
            .group
            .buckets
            .iter()
            .flat_map(|bucket| bucket.actions.iter().map(Action::to_string))
            .collect(),
        Message::PacketOut(packet) => {
            let actions: Vec<_> = packet.actions.iter().map(Action::to_string).collect();
            vec![
                packet.metadata.to_string(),
                format!("actions={}", actions.join(",")),
            ]
        }
        Message::FlowRemoved(removed) => vec![removed.flow_match.to_string()],
        Message::PacketIn2(packet) => vec![packet.metadata.to_string()],
        Message::Error(error) => vec![error.code.to_string()],
        Message::MultipartReply(reply) => match &reply.body {
            ReplyBody::Flow(flows) => flows.iter().flat_map(|one| of_flow(&one.flow)).collect(),
            ReplyBody::GroupDesc(groups) => groups.iter().map(ToString::to_string).collect(),
            _ => Vec::new(),
        },
        _ => Vec::new(),
    }
}

#[test]
fn our_text_of_every_vector_is_part_of_what_ovs_ofctl_says() {
    let mut different = Vec::new();
    let mut compared = 0;
    for vector in all() {
        let (message, _) = decode(&vector);
        for text in texts(&message) {
            compared += 1;
            // What is kept byte for byte has no text in OVS's spelling.
            if !text.contains("unknown(") && !vector.text.contains(&text) {
                different.push((text, vector.text.clone()));
            }
        }
    }
    assert!(different.is_empty(), "{different:#?}");
    assert!(compared > 200, "{compared}");
}

#[test]
fn nothing_that_was_said_is_unknown_but_what_is_meant_to_be() {
    for vector in all() {
        let (message, _) = decode(&vector);
        let unknown = match &message {
            Message::Unknown { .. } => true,
            Message::FlowMod(flow_mod) => flow_mod.flow.instructions.iter().any(|one| match one {
                Instruction::ApplyActions(actions) | Instruction::WriteActions(actions) => actions
                    .iter()
                    .any(|action| matches!(action, Action::Unknown(_))),
                other => matches!(other, Instruction::Unknown(_)),
            }),
            _ => false,
        };
        // Fields of NSH are kept byte for byte.
        let meant = vector.file == "errors.txt" || vector.text.contains("->nsh_");
        assert!(!unknown || meant, "{message:?}");
    }
}
