// SPDX-License-Identifier: Apache-2.0
//! Meters: read at each connection and audit, and set where they are not as the owner wants them.
//!
//! OVS takes no meter in a bundle. They are set before the first one: OVS accepts a flow whose meter is
//! missing, and limits nothing then.

use std::collections::BTreeMap;

use openflow_codec::MeterId;
use openflow_codec::message::meter::{Meter, MeterCommand, MeterMod};
use openflow_codec::message::multipart::RequestBody;

use crate::config::Config;

/// What a switch has of the meters that its owner wants.
#[derive(Debug, Default)]
pub(crate) struct Meters {
    found: BTreeMap<MeterId, Meter>,
    /// The owner knows that the switch has refused one.
    warned: bool,
}

impl Meters {
    /// What to ask, if any meter is wanted. What was found before is forgotten.
    pub(crate) fn question(&mut self, config: &Config) -> Option<RequestBody> {
        self.found.clear();
        (!config.meters.is_empty()).then_some(RequestBody::MeterDesc(MeterId::ALL))
    }

    /// Takes part of the answer. Meters of others are left alone.
    pub(crate) fn take(&mut self, meters: Vec<Meter>, config: &Config) {
        let wanted = |meter: &Meter| config.meters.contains_key(&meter.id);
        let ours = meters.into_iter().filter(wanted);
        self.found.extend(ours.map(|meter| (meter.id, meter)));
    }

    /// What makes the switch's meters those that are wanted, once the answer is complete.
    pub(crate) fn repair(&self, config: &Config) -> Vec<MeterMod> {
        let wanted = config.meters.values();
        let change = |meter: &Meter| {
            let command = match self.found.get(&meter.id) {
                None => MeterCommand::Add,
                Some(found) if found == meter => return None,
                Some(_) => MeterCommand::Modify,
            };
            let meter = meter.clone();
            Some(MeterMod { command, meter })
        };
        wanted.filter_map(change).collect()
    }

    /// What the owner is told when the switch refuses one; the others are refused for the same reason.
    pub(crate) fn refused(&mut self, error: &str) -> Option<String> {
        let warning =
            || format!("the switch refuses meters, so nothing limits what needs them: {error}");
        (!std::mem::replace(&mut self.warned, true)).then(warning)
    }
}
