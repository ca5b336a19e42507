// SPDX-License-Identifier: Apache-2.0
//! Makes a message the same each time it is recorded: transaction ids, times and the bridge's random
//! id become zero, groups are in order, and a reply about 254 tables ends after the first.

use openflow_codec::message::message_type as of;

const XID: std::ops::Range<usize> = 4..8;
/// `OFPMP_*` of replies with times, or with a part for every table.
mod multipart {
    pub(super) const FLOW: u16 = 1;
    pub(super) const TABLE: u16 = 3;
    pub(super) const PORT: u16 = 4;
    pub(super) const QUEUE: u16 = 5;
    pub(super) const GROUP: u16 = 6;
    pub(super) const GROUP_DESC: u16 = 7;
    pub(super) const METER: u16 = 9;
    pub(super) const TABLE_FEATURES: u16 = 12;
    pub(super) const TABLE_DESC: u16 = 14;
    pub(super) const FLOW_MONITOR: u16 = 16;
}

/// Settles a message.
pub(crate) fn settle(bytes: &mut Vec<u8>) {
    clear(bytes, XID);
    match bytes.get(1).copied() {
        // A copy of the message that was wrong.
        Some(of::ERROR) => clear(bytes, 16..20),
        Some(of::BUNDLE_ADD_MESSAGE) => clear(bytes, 20..24),
        Some(of::REQUESTFORWARD) => clear(bytes, 12..16),
        Some(of::FLOW_REMOVED) => clear_times(bytes, 24),
        Some(of::MULTIPART_REPLY) => settle_reply(bytes),
        Some(of::EXPERIMENTER) => settle_continuation(bytes),
        _ => {}
    }
}

fn clear(bytes: &mut [u8], range: std::ops::Range<usize>) {
    if let Some(slot) = bytes.get_mut(range) {
        slot.fill(0);
    }
}

fn number(bytes: &[u8], at: usize) -> usize {
    match bytes.get(at..at.saturating_add(2)) {
        Some(&[high, low]) => usize::from(u16::from_be_bytes([high, low])),
        _ => 0,
    }
}

fn settle_reply(bytes: &mut Vec<u8>) {
    let kind = number(bytes, 8) as u16;
    // Where an element has its length, and where its duration.
    let (length_at, duration) = match kind {
        multipart::FLOW | multipart::FLOW_MONITOR => (0, None),
        multipart::PORT => (0, Some(8)),
        multipart::QUEUE => (0, Some(40)),
        multipart::GROUP => (0, Some(32)),
        multipart::METER => (4, Some(32)),
        multipart::TABLE => return cut(bytes, 24),
        multipart::GROUP_DESC => return sort(bytes),
        multipart::TABLE_FEATURES | multipart::TABLE_DESC => {
            let first = number(bytes, 16);
            return cut(bytes, first);
        }
        _ => return,
    };
    let mut at = 16;
    while number(bytes, at + length_at) > 0 {
        let next = at + number(bytes, at + length_at);
        match (kind, duration) {
            (_, Some(duration)) => clear(bytes, at + duration..at + duration + 8),
            (multipart::FLOW, None) => clear_times(bytes, at + 24),
            // The transaction id of an abbreviated change.
            _ if number(bytes, at + 2) == 4 => clear(bytes, at + 4..at + 8),
            _ => {}
        }
        at = next;
    }
    if kind == multipart::GROUP {
        sort(bytes);
    }
}

/// Puts the elements of a reply, each of which begins with its length, in order of their bytes.
fn sort(bytes: &mut Vec<u8>) {
    let mut rest = bytes.split_off(16.min(bytes.len()));
    let mut elements = Vec::new();
    while number(&rest, 0) > 0 {
        let next = rest.split_off(number(&rest, 0).min(rest.len()));
        elements.push(std::mem::replace(&mut rest, next));
    }
    elements.sort();
    bytes.extend(elements.concat());
}

/// Whether a message goes on with a reply whose beginning [`settle`] has cut.
pub(crate) fn is_cut_off(bytes: &[u8]) -> bool {
    let cut = [
        multipart::TABLE,
        multipart::TABLE_FEATURES,
        multipart::TABLE_DESC,
    ];
    let first_table = match number(bytes, 8) as u16 {
        multipart::TABLE => bytes.get(16),
        _ => bytes.get(18),
    };
    bytes.get(1) == Some(&of::MULTIPART_REPLY)
        && cut.contains(&(number(bytes, 8) as u16))
        && first_table != Some(&0)
}

/// Leaves the first element of a reply, and says that no more of it comes.
fn cut(bytes: &mut Vec<u8>, element: usize) {
    bytes.truncate(16 + element);
    clear(bytes, 10..12);
    let length = bytes.len() as u16;
    if let Some(slot) = bytes.get_mut(2..4) {
        slot.copy_from_slice(&length.to_be_bytes());
    }
}

/// The duration and the idle time (0 and 1 of OXS) in the counters after the match at `at`.
fn clear_times(bytes: &mut [u8], at: usize) {
    let counters = at + number(bytes, at + 2).next_multiple_of(8);
    let end = counters + number(bytes, counters + 2);
    let mut at = counters + 4;
    while at + 4 <= end {
        let length = usize::from(bytes.get(at + 3).copied().unwrap_or_default());
        if matches!(bytes.get(at + 2).map(|field| field >> 1), Some(0 | 1)) {
            clear(bytes, at + 4..at + 4 + length);
        }
        at += 4 + length;
    }
}

/// The id of the bridge in the continuation of a packet that waits.
fn settle_continuation(bytes: &mut [u8]) {
    const CONTINUATION: usize = 8;
    const BRIDGE: usize = 0x8000;
    if !matches!(bytes.get(8..16), Some([0, 0, 0x23, 0x20, 0, 0, 0, 28 | 30])) {
        return;
    }
    let mut at = 16;
    while number(bytes, at + 2) >= 4 {
        let length = number(bytes, at + 2);
        if number(bytes, at) == CONTINUATION && number(bytes, at + 8) == BRIDGE {
            clear(bytes, at + 12..at + 28);
        }
        at += length.next_multiple_of(8);
    }
}
