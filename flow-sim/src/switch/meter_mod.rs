// SPDX-License-Identifier: Apache-2.0
//! METER_MOD, and the meters that are asked for (OVS `handle_meter_mod` in `ofproto/ofproto.c`).

use openflow_codec::MeterId;
use openflow_codec::message::error::ErrorCode;
use openflow_codec::message::meter::{Meter, MeterCommand, MeterMod};

use super::{Switch, error};

impl Switch {
    pub(super) fn apply_meter_mod(&mut self, meter_mod: MeterMod) -> Result<(), ErrorCode> {
        let MeterMod { command, meter } = meter_mod;
        let exists = self.meters.contains_key(&meter.id);
        match command {
            MeterCommand::Add if exists => return Err(error("OFPMMFC_METER_EXISTS")),
            MeterCommand::Modify if !exists => return Err(error("OFPMMFC_UNKNOWN_METER")),
            MeterCommand::Delete if meter.id == MeterId::ALL => self.meters.clear(),
            MeterCommand::Delete => drop(self.meters.remove(&meter.id)),
            MeterCommand::Add | MeterCommand::Modify => {
                self.meters.insert(meter.id, meter);
            }
        }
        Ok(())
    }

    /// This meter, or all of them.
    pub(super) fn asked_meters(&self, id: MeterId) -> Result<Vec<Meter>, ErrorCode> {
        match self.meters.get(&id) {
            _ if id == MeterId::ALL => Ok(self.meters.values().cloned().collect()),
            Some(meter) => Ok(vec![meter.clone()]),
            None => Err(error("OFPMMFC_UNKNOWN_METER")),
        }
    }
}
