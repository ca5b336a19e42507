// SPDX-License-Identifier: Apache-2.0
//! Meters (OpenFlow 1.5.1 sections 5.11, 7.3.4.5 and 7.3.5.13 to 7.3.5.15).

use std::time::Duration;

use bitflags::bitflags;
use bytes::Bytes;

use crate::error::DecodeError;
use crate::ids::MeterId;
use crate::numbers::{meter_band, meter_command};
use crate::reader::Reader;
use crate::writer::Writer;

bitflags! {
    /// `ofp_meter_flags`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct MeterFlags: u16 {
        /// Rates are in kilobits a second.
        const KBPS = 1;
        /// Rates are in packets a second.
        const PKTPS = 2;
        /// Bursts are limited.
        const BURST = 4;
        /// Count what passes.
        const STATS = 8;
        /// Bits that are not known.
        const _ = !0;
    }
}

/// `ofp_meter_mod_command`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MeterCommand {
    /// Adds a meter that must not be there.
    Add,
    /// Changes a meter that must be there.
    Modify,
    /// Deletes a meter, and every flow that refers to it.
    Delete,
}

/// A meter.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Meter {
    /// Number.
    pub id: MeterId,
    /// Flags.
    pub flags: MeterFlags,
    /// Rates and what happens above them.
    pub bands: Vec<MeterBand>,
}

/// What happens above a rate.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MeterBand {
    /// Rate above which it applies, in units of the meter's flags.
    pub rate: u32,
    /// Size of bursts.
    pub burst: u32,
    /// What it does.
    pub kind: MeterBandKind,
}

/// `ofp_meter_band_type`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum MeterBandKind {
    /// Drops the packet.
    Drop,
    /// Raises the drop precedence in the packet's DSCP.
    DscpRemark(u8),
    /// A kind that is not known.
    Unknown {
        /// `OFPMBT_*`.
        kind: u16,
        /// What follows the burst size.
        contents: Bytes,
    },
}

impl MeterBand {
    fn put(&self, out: &mut Writer<'_>) {
        let start = out.position();
        out.u16(match &self.kind {
            MeterBandKind::Drop => meter_band::DROP,
            MeterBandKind::DscpRemark(_) => meter_band::DSCP_REMARK,
            MeterBandKind::Unknown { kind, .. } => *kind,
        });
        out.u16(0);
        out.u32(self.rate);
        out.u32(self.burst);
        match &self.kind {
            MeterBandKind::Drop => out.zeros(4),
            MeterBandKind::DscpRemark(levels) => {
                out.u8(*levels);
                out.zeros(3);
            }
            MeterBandKind::Unknown { contents, .. } => out.bytes(contents),
        }
        out.set_length("meter band", start.saturating_add(2), start);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let kind = reader.u16("meter band type")?;
        let length = usize::from(reader.u16("meter band length")?);
        let Some(inside) = length.checked_sub(4) else {
            return Err(reader.bad_length("meter band", length));
        };
        let mut body = reader.sub("meter band", inside)?;
        Ok(Self {
            rate: body.u32("meter rate")?,
            burst: body.u32("meter burst")?,
            kind: match kind {
                meter_band::DROP => MeterBandKind::Drop,
                meter_band::DSCP_REMARK => MeterBandKind::DscpRemark(body.u8("precedence level")?),
                kind => MeterBandKind::Unknown {
                    kind,
                    contents: body.rest(),
                },
            },
        })
    }
}

fn read_bands(reader: &mut Reader<'_>) -> Result<Vec<MeterBand>, DecodeError> {
    let mut bands = Vec::new();
    while !reader.is_empty() {
        bands.push(MeterBand::read(reader)?);
    }
    Ok(bands)
}

/// `OFPT_METER_MOD`. It cannot be part of a bundle in OVS.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MeterMod {
    /// What to do.
    pub command: MeterCommand,
    /// With which meter; deleting needs its number only.
    pub meter: Meter,
}

impl MeterMod {
    pub(super) fn put(&self, out: &mut Writer<'_>) {
        out.u16(match self.command {
            MeterCommand::Add => meter_command::ADD,
            MeterCommand::Modify => meter_command::MODIFY,
            MeterCommand::Delete => meter_command::DELETE,
        });
        out.u16(self.meter.flags.bits());
        out.u32(self.meter.id.0);
        self.meter.bands.iter().for_each(|band| band.put(out));
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let command = match reader.u16("meter_mod command")? {
            meter_command::ADD => MeterCommand::Add,
            meter_command::MODIFY => MeterCommand::Modify,
            meter_command::DELETE => MeterCommand::Delete,
            other => return Err(reader.bad_value("meter_mod command", other)),
        };
        let flags = MeterFlags::from_bits_retain(reader.u16("meter flags")?);
        let id = MeterId(reader.u32("meter id")?);
        let bands = read_bands(reader)?;
        Ok(Self {
            command,
            meter: Meter { id, flags, bands },
        })
    }
}

impl Meter {
    /// One meter of an `OFPMP_METER_DESC` reply.
    pub(super) fn put(&self, out: &mut Writer<'_>) {
        let start = out.position();
        out.u16(0);
        out.u16(self.flags.bits());
        out.u32(self.id.0);
        self.bands.iter().for_each(|band| band.put(out));
        out.set_length("meter", start, start);
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let length = usize::from(reader.u16("meter length")?);
        let Some(inside) = length.checked_sub(2) else {
            return Err(reader.bad_length("meter", length));
        };
        let mut body = reader.sub("meter", inside)?;
        Ok(Self {
            flags: MeterFlags::from_bits_retain(body.u16("meter flags")?),
            id: MeterId(body.u32("meter id")?),
            bands: read_bands(&mut body)?,
        })
    }
}

/// What a meter has counted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MeterStats {
    /// Which meter.
    pub id: MeterId,
    /// Flows that use it.
    pub flow_count: u32,
    /// Packets that came to it.
    pub packets: u64,
    /// Bytes of those packets.
    pub bytes: u64,
    /// How long it has been there; `None` is not told.
    pub duration: Option<Duration>,
    /// Packets and bytes that each band has taken.
    pub bands: Vec<(u64, u64)>,
}

impl MeterStats {
    pub(super) fn put(&self, out: &mut Writer<'_>) {
        let start = out.position();
        out.u32(self.id.0);
        out.u16(0);
        out.zeros(6);
        out.u32(self.flow_count);
        out.u64(self.packets);
        out.u64(self.bytes);
        out.duration(self.duration);
        for (packets, bytes) in &self.bands {
            out.u64(*packets);
            out.u64(*bytes);
        }
        out.set_length("meter stats", start.saturating_add(4), start);
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let id = MeterId(reader.u32("meter id")?);
        let length = usize::from(reader.u16("meter stats length")?);
        let Some(inside) = length.checked_sub(6) else {
            return Err(reader.bad_length("meter stats", length));
        };
        let mut body = reader.sub("meter stats", inside)?;
        body.skip("padding", 6)?;
        let mut stats = Self {
            id,
            flow_count: body.u32("flow count")?,
            packets: body.u64("packet count")?,
            bytes: body.u64("byte count")?,
            duration: body.duration("duration")?,
            bands: Vec::new(),
        };
        while !body.is_empty() {
            let packets = body.u64("band packet count")?;
            stats.bands.push((packets, body.u64("band byte count")?));
        }
        Ok(stats)
    }
}

/// What meters a switch can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MeterFeatures {
    /// Highest number.
    pub max_meter: u32,
    /// Kinds of band, bit `1 << OFPMBT_*`.
    pub band_types: u32,
    /// [`MeterFlags`] that can be had.
    pub capabilities: u32,
    /// Most bands of a meter.
    pub max_bands: u8,
    /// Most colours.
    pub max_color: u8,
    /// `ofp_meter_feature_flags`; `None` when the switch does not tell.
    pub features: Option<u32>,
}

impl MeterFeatures {
    pub(super) fn put(&self, out: &mut Writer<'_>) {
        out.u32(self.max_meter);
        out.u32(self.band_types);
        out.u32(self.capabilities);
        out.u8(self.max_bands);
        out.u8(self.max_color);
        out.zeros(2);
        if let Some(features) = self.features {
            out.u32(features);
            out.zeros(4);
        }
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let max_meter = reader.u32("max_meter")?;
        let band_types = reader.u32("band types")?;
        let capabilities = reader.u32("meter capabilities")?;
        let max_bands = reader.u8("max_bands")?;
        let max_color = reader.u8("max_color")?;
        reader.skip("padding", 2)?;
        // OVS still sends what OpenFlow 1.3 has.
        let features = if reader.is_empty() {
            None
        } else {
            Some(reader.u32("meter features")?)
        };
        Ok(Self {
            max_meter,
            band_types,
            capabilities,
            max_bands,
            max_color,
            features,
        })
    }
}
