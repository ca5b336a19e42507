// SPDX-License-Identifier: Apache-2.0
//! One reading of counters at a time: when to ask, and what the parts of the answer say.

use openflow_codec::Cookie;
use openflow_codec::message::multipart::RequestBody;
use openflow_codec::message::multipart::flow::{FlowFilter, FlowStats};

use crate::config::{Config, Marker};
use crate::event::{CloseReason, Counted, Event};

/// Where a reading stands.
#[derive(Debug, Default)]
pub(crate) enum CounterReader {
    /// Nobody wants one.
    #[default]
    Idle,
    /// It is to be asked for.
    Wanted,
    /// It was asked for, and so many flows were told.
    Reading(usize),
}

impl CounterReader {
    /// A reading is wanted; one that is under way is as good.
    pub(crate) fn want(&mut self) {
        if matches!(self, Self::Idle) {
            *self = Self::Wanted;
        }
    }

    /// What to ask, if it is to be asked now. `OFPMP_FLOW_DESC` (1) tells counters, too; OVS refuses
    /// `OFPMP_FLOW_STATS` (17).
    pub(crate) fn request(&mut self, config: &Config) -> Option<RequestBody> {
        if !matches!(self, Self::Wanted) {
            return None;
        }
        let Some(kind) = config.counted_kind else {
            *self = Self::Idle;
            return None;
        };
        *self = Self::Reading(0);
        let cookie = Cookie(u64::from(kind) << 56);
        let filter = FlowFilter::with_cookie(cookie, Marker::KIND_MASK);
        Some(RequestBody::Flow(filter))
    }

    /// Takes part of the answer.
    pub(crate) fn take(
        &mut self,
        flows: &[FlowStats],
        more: bool,
        config: &Config,
    ) -> Result<Event, CloseReason> {
        let told = match self {
            Self::Reading(told) => told.saturating_add(flows.len()),
            Self::Idle | Self::Wanted => flows.len(),
        };
        let limit = config.limits.max_dumped_flows;
        if told > limit {
            let what = format!("it counts for more than {limit} flows");
            return Err(CloseReason::Limit(what));
        }
        *self = match more {
            true => Self::Reading(told),
            false => Self::Idle,
        };
        let counted = flows.iter().map(|stats| Counted {
            cookie: stats.flow.cookie,
            packets: stats.counters.packets.unwrap_or_default(),
            bytes: stats.counters.bytes.unwrap_or_default(),
        });
        Ok(Event::Counted {
            flows: counted
                .filter(|flow| flow.packets != 0 || flow.bytes != 0)
                .collect(),
            complete: !more,
        })
    }
}
