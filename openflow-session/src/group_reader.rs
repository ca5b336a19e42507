// SPDX-License-Identifier: Apache-2.0
//! Reads groups back without stumbling over those that Open vSwitch cannot describe.
//!
//! OVS lets the 16-bit lengths of a `OFPMP_GROUP_DESC` reply wrap when one group takes more than
//! 64 KB (`ofputil_append_ofp15_group_desc_reply` in `lib/ofp-group.c` does not check), and the
//! stream cannot be cut into messages from there on. So buckets are counted first, with
//! `OFPMP_GROUP_STATS`, and only groups that are sure to fit are asked for.

use std::collections::VecDeque;

use bytes::Bytes;
use openflow_codec::message::multipart::RequestBody;
use openflow_codec::message::multipart::stats::GroupStats;
use openflow_codec::{Group, GroupId};

use crate::config::Config;
use crate::encoded::EncodedGroup;
use crate::event::CloseReason;
use crate::plan::{Findings, Layers};

/// A group of so many buckets fits in a reply unless each takes more than 500 bytes.
const SMALL: usize = 128;
/// A wanted group fits in a reply, which has more around it, if its own messages are not longer.
const FITS: usize = 60_000;
/// Groups asked for one by one without waiting.
const WINDOW: usize = 64;

/// The groups of one comparison.
#[derive(Debug, Default)]
pub(crate) struct GroupReader {
    counts: Vec<(GroupId, usize)>,
    questions: VecDeque<RequestBody>,
    unanswered: usize,
    chosen: bool,
    described: usize,
    counted_foreign: usize,
    described_foreign: usize,
}

impl GroupReader {
    /// The first question: how many buckets has each group?
    pub(crate) fn count_request() -> RequestBody {
        RequestBody::GroupStats(GroupId::ALL)
    }

    /// Takes part of the answer to the first question.
    pub(crate) fn take_counts(
        &mut self,
        groups: &[GroupStats],
        config: &Config,
    ) -> Result<(), CloseReason> {
        let counts = groups
            .iter()
            .map(|stats| (stats.group, stats.buckets.len()));
        self.counts.extend(counts);
        check_limit(self.counts.len(), config)
    }

    /// All buckets are counted: decides what to ask, and judges what cannot be asked.
    pub(crate) fn choose(&mut self, expected: &Layers, found: &mut Findings, config: &Config) {
        let counts = std::mem::take(&mut self.counts);
        self.chosen = true;
        let foreign = counts.iter().filter(|(id, _)| !config.owns_group(*id));
        self.counted_foreign = foreign.count();
        let readable = |(id, buckets): &(GroupId, usize)| match expected.group(*id) {
            Some(group) => fits(group, *buckets),
            None => *buckets <= SMALL,
        };
        if counts.iter().all(readable) {
            self.questions
                .push_back(RequestBody::GroupDesc(GroupId::ALL));
            return;
        }
        for count @ (id, buckets) in counts {
            if !config.owns_group(id) {
                continue;
            }
            if readable(&count) {
                self.questions.push_back(RequestBody::GroupDesc(id));
                continue;
            }
            match expected.group(id) {
                Some(group) if group.group().buckets.len() == buckets => {
                    found.present_groups.push(id);
                }
                Some(_) => {}
                None => found.stale_groups.push(id),
            }
        }
    }

    /// The switch does not count buckets: all that is left is to ask for every group.
    pub(crate) fn choose_blindly(&mut self) {
        self.chosen = true;
        self.questions
            .push_back(RequestBody::GroupDesc(GroupId::ALL));
    }

    /// The next questions that may be asked.
    pub(crate) fn next_questions(&mut self) -> Vec<RequestBody> {
        let room = WINDOW
            .saturating_sub(self.unanswered)
            .min(self.questions.len());
        self.unanswered += room;
        self.questions.drain(..room).collect()
    }

    /// Takes part of an answer to such a question. Each of `expected` is right: the switch answers
    /// while changes go on.
    pub(crate) fn take_groups(
        &mut self,
        groups: &[Group],
        more: bool,
        expected: [&Layers; 2],
        found: &mut Findings,
        config: &Config,
    ) -> Result<(), CloseReason> {
        for group in groups.iter().filter(|group| config.owns_group(group.id)) {
            let wanted = expected.map(|layers| layers.group(group.id));
            if wanted
                .iter()
                .flatten()
                .any(|wanted| wanted.group() == group)
            {
                found.present_groups.push(group.id);
            } else if wanted.iter().all(Option::is_none) {
                found.stale_groups.push(group.id);
            }
        }
        let foreign = groups.iter().filter(|group| !config.owns_group(group.id));
        self.described_foreign += foreign.count();
        self.described += groups.len();
        self.unanswered = self.unanswered.saturating_sub(usize::from(!more));
        check_limit(self.described, config)
    }

    /// How many groups of others there are.
    pub(crate) fn foreign(&self) -> usize {
        // Those that were counted need not be described.
        self.counted_foreign.max(self.described_foreign)
    }

    /// Whether every question is answered.
    pub(crate) fn is_complete(&self) -> bool {
        self.chosen && self.questions.is_empty() && self.unanswered == 0
    }
}

/// Whether so many buckets, which should be those of `group`, are sure to fit in a reply.
fn fits(group: &EncodedGroup, buckets: usize) -> bool {
    let length: usize = group.messages().iter().map(Bytes::len).sum();
    length <= FITS && buckets <= group.group().buckets.len().max(SMALL)
}

fn check_limit(groups: usize, config: &Config) -> Result<(), CloseReason> {
    let limit = config.limits.max_dumped_groups;
    if groups <= limit {
        return Ok(());
    }
    Err(CloseReason::Limit(format!(
        "it has more than {limit} groups"
    )))
}
