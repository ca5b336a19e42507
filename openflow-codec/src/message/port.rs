// SPDX-License-Identifier: Apache-2.0
//! Ports and `OFPT_PORT_STATUS` (OpenFlow 1.5.1 sections 7.2.1 and 7.4.3).

use bitflags::bitflags;
use bytes::Bytes;

use crate::error::DecodeError;
use crate::ids::PortNo;
use crate::reader::Reader;
use crate::writer::Writer;

bitflags! {
    /// `ofp_port_config`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct PortConfig: u32 {
        /// Turned off.
        const PORT_DOWN = 1;
        /// Drops what it receives.
        const NO_RECV = 4;
        /// Drops what is sent to it.
        const NO_FWD = 32;
        /// Sends no packet_in.
        const NO_PACKET_IN = 64;
        /// Bits that are not known.
        const _ = !0;
    }
}

bitflags! {
    /// `ofp_port_state`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct PortState: u32 {
        /// No link.
        const LINK_DOWN = 1;
        /// Blocked.
        const BLOCKED = 2;
        /// Live, for fast failover groups.
        const LIVE = 4;
        /// Bits that are not known.
        const _ = !0;
    }
}

/// `ofp_port`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Port {
    /// Number.
    pub number: PortNo,
    /// Link-layer address.
    pub hw_addr: [u8; 6],
    /// Name, at most 15 bytes of the interface's.
    pub name: String,
    /// How it is configured.
    pub config: PortConfig,
    /// How it is.
    pub state: PortState,
    /// Properties (link speed and such), kept byte for byte.
    pub properties: Bytes,
}

impl Port {
    pub(super) fn put(&self, out: &mut Writer<'_>) {
        let start = out.position();
        out.u32(self.number.0);
        out.u16(0);
        out.zeros(2);
        out.bytes(&self.hw_addr);
        out.zeros(2);
        out.string(&self.name, 16);
        out.u32(self.config.bits());
        out.u32(self.state.bits());
        out.bytes(&self.properties);
        out.set_length("port", start.saturating_add(4), start);
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let number = PortNo(reader.u32("port number")?);
        let length = usize::from(reader.u16("port length")?);
        let Some(inside) = length.checked_sub(6) else {
            return Err(reader.bad_length("port", length));
        };
        let mut body = reader.sub("port", inside)?;
        body.skip("padding", 2)?;
        let hw_addr = body.mac("hw_addr")?;
        body.skip("padding", 2)?;
        Ok(Self {
            number,
            hw_addr,
            name: body.string("port name", 16)?,
            config: PortConfig::from_bits_retain(body.u32("port config")?),
            state: PortState::from_bits_retain(body.u32("port state")?),
            properties: body.rest(),
        })
    }
}

/// Why an [`PortStatus`] was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PortReason {
    /// The port is new.
    Add,
    /// The port is gone.
    Delete,
    /// The port is different.
    Modify,
    /// A reason that is not known.
    Unknown(u8),
}

/// `OFPT_PORT_STATUS`: a port has come, gone or changed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PortStatus {
    /// What happened.
    pub reason: PortReason,
    /// To which port.
    pub port: Port,
}

impl PortStatus {
    pub(super) fn put(&self, out: &mut Writer<'_>) {
        out.u8(match self.reason {
            PortReason::Add => 0,
            PortReason::Delete => 1,
            PortReason::Modify => 2,
            PortReason::Unknown(number) => number,
        });
        out.zeros(7);
        self.port.put(out);
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let reason = match reader.u8("port_status reason")? {
            0 => PortReason::Add,
            1 => PortReason::Delete,
            2 => PortReason::Modify,
            number => PortReason::Unknown(number),
        };
        reader.skip("padding", 7)?;
        Ok(Self {
            reason,
            port: Port::read(reader)?,
        })
    }
}

/// `OFPT_PORT_MOD`: configures a port (section 7.3.4.4).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PortMod {
    /// Which port.
    pub port: PortNo,
    /// Its link-layer address, which must be right.
    pub hw_addr: [u8; 6],
    /// New configuration.
    pub config: PortConfig,
    /// Bits of it that change.
    pub mask: PortConfig,
    /// Properties, kept byte for byte.
    pub properties: Bytes,
}

impl PortMod {
    pub(super) fn put(&self, out: &mut Writer<'_>) {
        out.u32(self.port.0);
        out.zeros(4);
        out.bytes(&self.hw_addr);
        out.zeros(2);
        out.u32(self.config.bits());
        out.u32(self.mask.bits());
        out.bytes(&self.properties);
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let port = PortNo(reader.u32("port number")?);
        reader.skip("padding", 4)?;
        let hw_addr = reader.mac("hw_addr")?;
        reader.skip("padding", 2)?;
        Ok(Self {
            port,
            hw_addr,
            config: PortConfig::from_bits_retain(reader.u32("port config")?),
            mask: PortConfig::from_bits_retain(reader.u32("port config mask")?),
            properties: reader.rest(),
        })
    }
}
