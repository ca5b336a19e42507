// SPDX-License-Identifier: Apache-2.0
//! The actions that most flows have, read and written as whole 64-bit words.
//!
//! [`super::wire`] shows the layouts and reads and writes everything else, among it all that is
//! wrong with these.

use std::iter;

use super::wire::{NICIRA, VENDOR, port_from_16, port_to_16};
use super::{Action, Ct, CtZone};
use crate::ids::{PortNo, TableId};
use crate::numbers::{nxast, ofpat};
use crate::oxm;
use crate::reader::Reader;
use crate::writer::Writer;

/// Type and length in front of the words.
const fn head(kind: u16, length: u16) -> u64 {
    (kind as u64) << 48 | (length as u64) << 32
}

const OUTPUT: u64 = head(ofpat::OUTPUT, 16);
const SET_FIELD: u64 = head(ofpat::SET_FIELD, 16);
const NICIRA_16: u64 = head(VENDOR, 16) | NICIRA as u64;
const NICIRA_24: u64 = head(VENDOR, 24) | NICIRA as u64;
const RESUBMIT_TABLE: u64 = nxast::RESUBMIT_TABLE as u64;
const RESUBMIT_TABLE_CT: u64 = nxast::RESUBMIT_TABLE_CT as u64;
const CT: u64 = nxast::CT as u64;

const KIND_AND_LENGTH: u64 = 0xffff_ffff << 32;

/// Writes one of these actions; says whether it is one.
#[inline]
pub(super) fn put(out: &mut Writer<'_>, action: &Action) -> bool {
    match action {
        Action::Output { port, max_len } => {
            out.words([OUTPUT | u64::from(port.0), u64::from(*max_len) << 48]);
        }
        Action::SetField { field, value, mask } => {
            let Some((header, payload)) = oxm::short(*field, *value, *mask) else {
                return false;
            };
            out.words([SET_FIELD | u64::from(header), payload]);
        }
        Action::Resubmit { port, table, ct } => {
            let subtype = if *ct {
                RESUBMIT_TABLE_CT
            } else {
                RESUBMIT_TABLE
            };
            let port = u64::from(port_to_16(*port));
            let table = u64::from(table.0);
            out.words([NICIRA_16, subtype << 48 | port << 32 | table << 24]);
        }
        Action::Ct(ct) => {
            let (CtZone::Immediate(zone), None, []) = (ct.zone, &ct.nat, ct.exec.as_slice()) else {
                return false;
            };
            let table = u64::from(ct.wire_table());
            out.words([
                NICIRA_24,
                CT << 48 | u64::from(ct.wire_flags()) << 32,
                u64::from(zone) << 48 | table << 40 | u64::from(ct.alg),
            ]);
        }
        _ => return false,
    }
    true
}

/// Reads one of these actions; says whether one is there in the form that [`put`] writes. `may_nest`
/// is whether a `ct`, which can hold actions, is allowed here.
#[inline]
pub(super) fn read(actions: &mut Vec<Action>, reader: &mut Reader<'_>, may_nest: bool) -> bool {
    let Some([first, second]) = reader.words() else {
        return false;
    };
    let argument = first as u32;
    if first & KIND_AND_LENGTH == SET_FIELD {
        let Some((field, value, mask)) = oxm::read_short(argument, second) else {
            return false;
        };
        let (value, mask) = (value.into(), mask.map(u128::from));
        push(actions, || Action::SetField { field, value, mask });
    } else if first & KIND_AND_LENGTH == OUTPUT {
        push(actions, || Action::Output {
            port: PortNo(argument),
            max_len: (second >> 48) as u16,
        });
    } else if first == NICIRA_16 && matches!(second >> 48, RESUBMIT_TABLE | RESUBMIT_TABLE_CT) {
        push(actions, || Action::Resubmit {
            port: port_from_16((second >> 32) as u16),
            table: TableId((second >> 24) as u8),
            ct: second >> 48 == RESUBMIT_TABLE_CT,
        });
    } else if may_nest && first == NICIRA_24 && second >> 48 == CT && second as u32 == 0 {
        let Some([_, _, third]) = reader.words() else {
            return false;
        };
        push(actions, || {
            Action::Ct(Ct {
                zone: CtZone::Immediate((third >> 48) as u16),
                alg: third as u16,
                ..Ct::of_wire((second >> 32) as u16, (third >> 40) as u8)
            })
        });
        return reader.skip("ct", 24).is_ok();
    } else {
        return false;
    }
    reader.skip("action", 16).is_ok()
}

/// Appends an action that is made where it stays: to move one that was just written costs more than
/// to write it.
#[inline]
fn push(actions: &mut Vec<Action>, new: impl FnOnce() -> Action) {
    actions.extend(iter::once_with(new));
}

#[cfg(test)]
mod tests {
    use super::super::wire::{put_action, read_action};
    use super::*;
    use crate::context::Context;
    use crate::oxm::{Field, width_mask};

    fn actions() -> Vec<Action> {
        let mut actions = vec![Action::DecNwTtl, Action::CtClear];
        for field in Field::all() {
            for value in [0u128, 1, 0x1234_5678_9abc, u128::MAX] {
                let value = value & width_mask(field);
                actions.push(Action::set(field, value));
                for mask in [0u128, 1, 0xf0f0, u128::MAX] {
                    let mask = mask & width_mask(field);
                    actions.push(Action::set_masked(field, value & mask, mask));
                    actions.push(Action::set_masked(field, value, mask));
                }
            }
        }
        for port in [
            PortNo(1),
            PortNo(0xfeff),
            PortNo::IN_PORT,
            PortNo::CONTROLLER,
        ] {
            actions.push(Action::Output {
                port,
                max_len: 0x1234,
            });
            for ct in [false, true] {
                let table = TableId(port.0 as u8);
                actions.push(Action::Resubmit { port, table, ct });
            }
        }
        for (flags, table) in [(0, 0xff), (1, 7), (2, 0), (3, 0xff)] {
            actions.push(Action::Ct(Ct {
                zone: CtZone::Immediate(0x1234),
                alg: 21,
                ..Ct::of_wire(flags, table)
            }));
        }
        actions
    }

    #[test]
    fn words_and_fields_of_an_action_are_the_same_bytes() {
        let mut count = 0;
        for action in actions() {
            let (mut words, mut fields) = (Vec::new(), Vec::new());
            put_action(&mut Writer::new(&mut fields, &Context::UNMAPPED), &action);
            if put(&mut Writer::new(&mut words, &Context::UNMAPPED), &action) {
                assert_eq!(words, fields, "{action:?}");
                count += 1;
            }
        }
        assert!(count > 1_000, "{count} of {}", actions().len());
    }

    #[test]
    fn words_and_fields_of_bytes_are_the_same_action() {
        let mut count = 0;
        for action in actions() {
            let mut bytes = Vec::new();
            put_action(&mut Writer::new(&mut bytes, &Context::UNMAPPED), &action);
            bytes.extend([0; 16]);
            let mut at_words = Reader::new(&bytes, 0);
            let mut at_fields = at_words;
            let mut words = Vec::new();
            if read(&mut words, &mut at_words, true) {
                let fields = read_action(&mut at_fields, &Context::UNMAPPED, 0);
                assert_eq!(words, [fields.expect("a sound action")]);
                assert_eq!(at_words.remaining(), at_fields.remaining());
                count += 1;
            } else {
                assert_eq!(at_words.remaining(), bytes.len(), "nothing is consumed");
            }
        }
        assert!(count > 500, "{count} of {}", actions().len());
    }

    #[test]
    fn a_ct_too_deep_is_left_to_the_reader_that_says_so() {
        let mut bytes = Vec::new();
        put_action(
            &mut Writer::new(&mut bytes, &Context::UNMAPPED),
            &Action::Ct(Ct::default()),
        );
        assert!(read(&mut Vec::new(), &mut Reader::new(&bytes, 0), true));
        assert!(!read(&mut Vec::new(), &mut Reader::new(&bytes, 0), false));
    }
}
