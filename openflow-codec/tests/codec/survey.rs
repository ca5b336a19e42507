// SPDX-License-Identifier: Apache-2.0
//! What a message contains, found by its structure alone: types and lengths, without the decoder.
//!
//! It is for messages that the decoder takes; what does not fit the structure is passed over.

use std::collections::BTreeSet;

use openflow_codec::Field;
use openflow_codec::numbers::{
    List, async_property, bucket_property, bundle_control, controller2, ct_flush, ct_tuple,
    flow_event, group_command, group_property, group_type, message_type as of, meter_band,
    meter_command, monitor_command, nicira, nxast, ofpat, ofpit, ofpmp, packet_in2, role,
    tlv_command,
};

/// Something that has a row in `docs/openflow-coverage.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Item {
    /// A number of the list with this title.
    Number(&'static str, u32),
    /// A field that is matched, or says what is known of a packet.
    Matched(Field),
    /// A field that an action reads or writes, or a group hashes.
    Used(Field),
}

impl Item {
    /// A number of `list`.
    pub(crate) const fn of(list: &List, number: u32) -> Self {
        Self::Number(list.title, number)
    }
}

/// A multipart reply, in the list of multipart messages: their requests have the number alone.
pub(crate) const REPLY: u32 = 0x1_0000;

/// Everything in a message.
pub(crate) fn survey(message: &[u8]) -> BTreeSet<Item> {
    let mut survey = Survey(BTreeSet::new());
    survey.message(message);
    survey.0
}

struct Survey(BTreeSet<Item>);

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes
        .get(at..at + 2)
        .map(|two| u16::from_be_bytes([two[0], two[1]]))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from(u16_at(bytes, at)?) << 16 | u32::from(u16_at(bytes, at + 2)?))
}

fn from(bytes: &[u8], at: usize) -> &[u8] {
    bytes.get(at..).unwrap_or_default()
}

/// Elements whose 16-bit length is at `length_at`; `pad` is whether they are padded to 8 bytes.
fn elements(mut bytes: &[u8], length_at: usize, pad: bool) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let length = usize::from(u16_at(bytes, length_at)?);
        let element = bytes.get(..length).filter(|element| !element.is_empty())?;
        let next = if pad {
            length.next_multiple_of(8)
        } else {
            length
        };
        bytes = from(bytes, next);
        Some(element)
    })
}

impl Survey {
    fn add(&mut self, list: &List, number: impl Into<u32>) {
        self.0.insert(Item::of(list, number.into()));
    }

    fn message(&mut self, bytes: &[u8]) {
        let Some(&kind) = bytes.get(1) else {
            return;
        };
        self.add(&of::LIST, kind);
        self.body(kind, bytes);
    }

    fn body(&mut self, kind: u8, bytes: &[u8]) -> Option<()> {
        match kind {
            of::EXPERIMENTER => self.experimenter(bytes)?,
            of::PACKET_IN => self.matched(from(bytes, 24)).map(drop)?,
            of::FLOW_REMOVED => self.matched(from(bytes, 24)).map(drop)?,
            of::PACKET_OUT => {
                let length = usize::from(u16_at(bytes, 12)?);
                let actions = self.matched(from(bytes, 16))?;
                self.actions(actions.get(..length)?);
            }
            of::FLOW_MOD => {
                let instructions = self.matched(from(bytes, 48))?;
                self.instructions(instructions);
            }
            of::GROUP_MOD => {
                self.add(&group_command::LIST, u16_at(bytes, 8)?);
                self.group(*bytes.get(10)?, u16_at(bytes, 16)?, from(bytes, 24))?;
            }
            of::METER_MOD => {
                self.add(&meter_command::LIST, u16_at(bytes, 8)?);
                self.bands(from(bytes, 16));
            }
            of::MULTIPART_REQUEST | of::MULTIPART_REPLY => self.multipart(kind, bytes)?,
            of::ROLE_REQUEST | of::ROLE_REPLY | of::ROLE_STATUS => {
                self.add(&role::LIST, u32_at(bytes, 8)?);
            }
            of::GET_ASYNC_REPLY | of::SET_ASYNC => {
                self.properties(&async_property::LIST, from(bytes, 8));
            }
            of::BUNDLE_CONTROL => self.add(&bundle_control::LIST, u16_at(bytes, 12)?),
            of::BUNDLE_ADD_MESSAGE => self.message(from(bytes, 16)),
            of::REQUESTFORWARD => self.message(from(bytes, 8)),
            _ => {}
        }
        Some(())
    }

    fn experimenter(&mut self, bytes: &[u8]) -> Option<()> {
        if u32_at(bytes, 8)? != 0x2320 {
            return None;
        }
        let subtype = u32_at(bytes, 12)?;
        self.add(&nicira::LIST, subtype);
        let body = from(bytes, 16);
        let is = |name: &str| nicira::LIST.find(subtype).is_some_and(|n| n.name == name);
        if is("NXT_PACKET_IN2") || is("NXT_RESUME") {
            self.properties(&packet_in2::LIST, body);
            for property in elements(body, 2, true).filter(|p| u16_at(p, 0) == Some(6)) {
                self.fields(from(property, 4), Item::Matched);
            }
        } else if is("NXT_CT_FLUSH") {
            self.properties(&ct_flush::LIST, from(body, 8));
            for property in elements(from(body, 8), 2, true) {
                if matches!(u16_at(property, 0), Some(0 | 1)) {
                    self.properties(&ct_tuple::LIST, from(property, 8));
                }
            }
        } else if is("NXT_TLV_TABLE_MOD") {
            self.add(&tlv_command::LIST, u16_at(body, 0)?);
        }
        Some(())
    }

    fn properties(&mut self, list: &List, bytes: &[u8]) {
        for property in elements(bytes, 2, true) {
            if let Some(kind) = u16_at(property, 0) {
                self.add(list, kind);
            }
        }
    }

    fn multipart(&mut self, message: u8, bytes: &[u8]) -> Option<()> {
        let kind = u16_at(bytes, 8)?;
        let reply = message == of::MULTIPART_REPLY;
        self.add(
            &ofpmp::LIST,
            u32::from(kind) | if reply { REPLY } else { 0 },
        );
        let body = from(bytes, 16);
        let name = ofpmp::LIST.find(kind.into())?.name;
        match (name, reply) {
            ("OFPMP_FLOW" | "OFPMP_AGGREGATE", false) => self.matched(from(body, 32)).map(drop)?,
            ("OFPMP_FLOW", true) => {
                for flow in elements(body, 0, false) {
                    let counters = self.matched(from(flow, 24))?;
                    let length = usize::from(u16_at(counters, 2)?).next_multiple_of(8);
                    self.instructions(from(counters, length));
                }
            }
            ("OFPMP_FLOW_MONITOR", false) => {
                let mut rest = body;
                while let Some(&command) = rest.get(15) {
                    self.add(&monitor_command::LIST, command);
                    rest = self.matched(from(rest, 16))?;
                }
            }
            ("OFPMP_FLOW_MONITOR", true) => {
                for update in elements(body, 0, false) {
                    let event = u16_at(update, 2)?;
                    self.add(&flow_event::LIST, event);
                    if event < 4 {
                        let instructions = self.matched(from(update, 24))?;
                        self.instructions(instructions);
                    }
                }
            }
            ("OFPMP_GROUP_DESC", true) => {
                for group in elements(body, 0, false) {
                    self.group(*group.get(2)?, u16_at(group, 8)?, from(group, 16))?;
                }
            }
            ("OFPMP_METER_DESC", true) => {
                for meter in elements(body, 0, false) {
                    self.bands(from(meter, 8));
                }
            }
            _ => {}
        }
        Some(())
    }

    fn group(&mut self, kind: u8, length: u16, buckets: &[u8]) -> Option<()> {
        self.add(&group_type::LIST, kind);
        let (buckets, properties) = buckets.split_at_checked(length.into())?;
        for bucket in elements(buckets, 0, false) {
            let length = usize::from(u16_at(bucket, 2)?);
            let (actions, properties) = from(bucket, 8).split_at_checked(length)?;
            self.actions(actions);
            self.properties(&bucket_property::LIST, properties);
        }
        for property in elements(properties, 2, true) {
            if u16_at(property, 0) == Some(0xffff) && u32_at(property, 4) == Some(0x154d) {
                self.add(&group_property::LIST, u32_at(property, 8)?);
                self.fields(from(property, 40), Item::Used);
            }
        }
        Some(())
    }

    fn bands(&mut self, bytes: &[u8]) {
        self.properties(&meter_band::LIST, bytes);
    }

    fn instructions(&mut self, bytes: &[u8]) {
        for instruction in elements(bytes, 2, false) {
            let Some(kind) = u16_at(instruction, 0) else {
                return;
            };
            self.add(&ofpit::LIST, kind);
            if matches!(kind, 3 | 4) {
                self.actions(from(instruction, 8));
            }
        }
    }

    fn actions(&mut self, bytes: &[u8]) {
        for action in elements(bytes, 2, false) {
            self.action(action);
        }
    }

    fn action(&mut self, action: &[u8]) -> Option<()> {
        let kind = u16_at(action, 0)?;
        if kind != 0xffff {
            self.add(&ofpat::LIST, kind);
            match kind {
                25 => self.fields(from(action, 4), Item::Used),
                28 => {
                    let rest = self.field_id(from(action, 12))?;
                    self.field_id(rest)?;
                }
                _ => {}
            }
            return Some(());
        }
        let subtype = u16_at(action, 8)?;
        self.add(&nxast::LIST, subtype);
        let field_at = match subtype {
            10 => 28,
            13 => 24,
            15 => 12,
            27 | 28 => 12,
            32 | 49 => 14,
            50 => 10,
            _ => 0,
        };
        if field_at != 0 {
            self.field_id(from(action, field_at));
        }
        match subtype {
            35 => {
                if u32_at(action, 12)? != 0 {
                    self.field_id(from(action, 12))?;
                }
                self.actions(from(action, 24));
            }
            37 => self.properties(&controller2::LIST, from(action, 16)),
            42 => self.actions(from(action, 16)),
            _ => {}
        }
        Some(())
    }

    /// An `ofp_match`; gives what comes after it.
    fn matched<'a>(&mut self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        let length = usize::from(u16_at(bytes, 2)?);
        self.fields(bytes.get(4..length)?, Item::Matched);
        Some(from(bytes, length.next_multiple_of(8)))
    }

    /// Fields with values.
    fn fields(&mut self, mut bytes: &[u8], item: fn(Field) -> Item) {
        while bytes.len() > 4 {
            self.0.extend(field(bytes).map(item));
            bytes = from(bytes, 4 + usize::from(bytes[3]));
        }
    }

    /// A field without a value; gives what comes after it.
    fn field_id<'a>(&mut self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        self.0.insert(Item::Used(field(bytes)?));
        Some(from(bytes, 4))
    }
}

/// The field of an OXM header, by its own number and not by another that means the same.
fn field(header: &[u8]) -> Option<Field> {
    let class = u16_at(header, 0)?;
    let number = header.get(2)? >> 1;
    Field::all().find(|field| {
        let info = field.info();
        info.class.number() == class && info.number == number
    })
}
