// SPDX-License-Identifier: Apache-2.0
//! Every number that the installed ovs-ofctl knows is in our lists, or stands here with the reason
//! why it is not.

use openflow_codec::Field;
use openflow_codec::numbers::{List, message_type, nicira, nxast, ofpat, ofpmp};

use crate::actions::hex;
use crate::ovs::Ovs;

/// `OFPAT_*` of OpenFlow 1.1 that OVS still reads: `set_field` does what they do.
const OLD_ACTIONS: &[u32] = &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 13, 14];
/// `set_tunnel` and `set_tunnel64`: `set_field` does what they do.
const OLD_NICIRA_ACTIONS: &[u32] = &[2, 9];
/// Messages of Nicira for OpenFlow 1.0, which OVS reads in 1.5 too: roles, flow_mod, flow_removed,
/// flow_mod_table_id, packet_in, flow_age and asynchronous messages.
const OLD_MESSAGES: &[u32] = &[10, 11, 13, 14, 15, 17, 18, 19];

/// `ip_dscp` as two bits more on its right, which OVS itself never writes: kept byte for byte.
const KEPT_FIELD: &str = "NXM_OF_IP_TOS";

/// Numbers of `0..count` that ovs-ofctl knows, and neither `list` nor `old` has.
fn missing(list: &List, old: &[u32], known: impl Fn(u32) -> bool, count: u32) -> Vec<u32> {
    (0..count)
        .filter(|number| known(*number))
        .filter(|number| list.find(*number).is_none() && !old.contains(number))
        .collect()
}

#[test]
fn every_action_that_ovs_ofctl_knows_is_in_a_list() {
    let ovs = Ovs::start();
    let is_known = |action: Vec<u8>| {
        let input = hex(&action) + "\n";
        let text = ovs.ofctl_with_input(&["parse-actions", "OpenFlow15"], input.as_bytes());
        !text.contains("OFPBAC_BAD_TYPE") && !text.contains("OFPBAC_BAD_VENDOR_TYPE")
    };
    let standard = |number: u32| {
        let mut action = vec![0, number as u8, 0, 16];
        action.resize(16, 0);
        is_known(action)
    };
    assert_eq!(missing(&ofpat::LIST, OLD_ACTIONS, standard, 40), []);
    let nicira = |number: u32| {
        let mut action = vec![0xff, 0xff, 0, 16, 0, 0, 0x23, 0x20, 0, number as u8];
        action.resize(16, 0);
        is_known(action)
    };
    assert_eq!(missing(&nxast::LIST, OLD_NICIRA_ACTIONS, nicira, 64), []);
}

/// Whether ovs-ofctl knows the type of a message.
fn is_message(ovs: &Ovs, message: &[u8]) -> bool {
    let text = ovs.ofctl(&["ofp-print", &hex(message)]);
    !["OFPBRC_BAD_TYPE", "OFPBRC_BAD_SUBTYPE", "OFPBRC_BAD_STAT"]
        .iter()
        .any(|error| text.contains(error))
}

#[test]
fn every_message_that_ovs_ofctl_knows_is_in_a_list() {
    let ovs = Ovs::start();
    let standard = |number: u32| is_message(&ovs, &[6, number as u8, 0, 8, 0, 0, 0, 1]);
    assert_eq!(missing(&message_type::LIST, &[], standard, 48), []);
    let vendor = |number: u32| {
        let header = [6, 4, 0, 16, 0, 0, 0, 1];
        let body = [0, 0, 0x23, 0x20, 0, 0, 0, number as u8];
        is_message(&ovs, &[header, body].concat())
    };
    assert_eq!(missing(&nicira::LIST, OLD_MESSAGES, vendor, 48), []);
    for kind in [
        message_type::MULTIPART_REQUEST,
        message_type::MULTIPART_REPLY,
    ] {
        let multipart = |number: u32| {
            let header = [6, kind, 0, 16, 0, 0, 0, 1];
            is_message(
                &ovs,
                &[header, [0, number as u8, 0, 0, 0, 0, 0, 0]].concat(),
            )
        };
        assert_eq!(missing(&ofpmp::LIST, &[], multipart, 32), []);
    }
}

#[test]
fn every_field_that_ovs_ofctl_knows_is_in_the_registry() {
    let ovs = Ovs::start();
    // A move from a field, of every number and width that we do not know.
    let mut moves = Vec::new();
    for class in [0x0000u16, 0x0001, 0x8000, 0x8001] {
        for number in (0..128u8).filter(|number| Field::from_wire(class, *number).is_none()) {
            for width in [1, 2, 3, 4, 6, 8, 16] {
                let [high, low] = class.to_be_bytes();
                let field = [high, low, number << 1, width];
                let head = [0, 28, 0, 24, 0, 1, 0, 0, 0, 0, 0, 0];
                let register = [0, 1, 0, 4, 0, 0, 0, 0];
                moves.push(hex(&[head.as_slice(), &field, &register].concat()) + "\n");
            }
        }
    }
    // And one that both know, so that silence is not taken for an answer.
    moves.push("001c00180001000000000000000100040001000400000000\n".into());
    let text = ovs.ofctl_with_input(&["parse-actions", "OpenFlow15"], moves.concat().as_bytes());
    let known: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("actions=") && !line.contains(KEPT_FIELD))
        .collect();
    assert_eq!(known, ["actions=move:NXM_NX_REG0[0]->NXM_NX_REG0[0]"]);
}
