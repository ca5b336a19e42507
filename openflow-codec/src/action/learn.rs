// SPDX-License-Identifier: Apache-2.0
//! `learn`: a flow that adds flows (`NXAST_LEARN` and `NXAST_LEARN2` in OVS `lib/ofp-actions.c`).

use bitflags::bitflags;

use super::Subfield;
use super::wire::subfield;
use crate::error::DecodeError;
use crate::ids::{Cookie, TableId};
use crate::oxm;
use crate::reader::Reader;
use crate::writer::Writer;

bitflags! {
    /// `nx_learn_flags`, but for the one that says that [`Learn::result`] is there.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub struct LearnFlags: u16 {
        /// Tell the controller when the learned flow is removed.
        const SEND_FLOW_REM = 1;
        /// Remove learned flows together with the one that learned them.
        const DELETE_LEARNED = 2;
        /// Bits that are not known.
        const _ = !0;
    }
}

const WRITE_RESULT: u16 = 4;

/// The flow to add.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Learn {
    /// Its table.
    pub table: TableId,
    /// Its idle timeout in seconds.
    pub idle_timeout: u16,
    /// Its hard timeout in seconds.
    pub hard_timeout: u16,
    /// Its idle timeout once a TCP connection ends.
    pub fin_idle_timeout: u16,
    /// Its hard timeout once a TCP connection ends.
    pub fin_hard_timeout: u16,
    /// Its priority.
    pub priority: u16,
    /// Its cookie.
    pub cookie: Cookie,
    /// Flags.
    pub flags: LearnFlags,
    /// Most flows that may be learned; 0 is no limit.
    pub limit: u32,
    /// The bit that says whether a flow was learned.
    pub result: Option<Subfield>,
    /// Its match and its actions.
    pub specs: Vec<LearnSpec>,
}

/// A part of the flow to add.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LearnSpec {
    /// Matches these bits.
    Match {
        /// What they must be.
        src: LearnSource,
        /// Which bits.
        dst: Subfield,
    },
    /// Writes these bits.
    Load {
        /// What they become.
        src: LearnSource,
        /// Which bits.
        dst: Subfield,
    },
    /// Outputs to the port that these bits are now.
    Output(Subfield),
}

/// Where the bits of a learned flow come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LearnSource {
    /// From the packet: as many bits as the destination has.
    Field(Subfield),
    /// This value.
    Value(u128),
}

impl Learn {
    /// Whether `NXAST_LEARN` cannot say it.
    pub(super) const fn needs_learn2(&self) -> bool {
        self.limit != 0 || self.result.is_some()
    }
}

/// Header bits of a spec: source in bit 13, destination in bits 11 and 12, width below.
mod spec {
    pub(super) const SRC_VALUE: u16 = 1 << 13;
    pub(super) const DST: u16 = 3 << 11;
    pub(super) const DST_MATCH: u16 = 0;
    pub(super) const DST_LOAD: u16 = 1 << 11;
    pub(super) const DST_OUTPUT: u16 = 2 << 11;
    pub(super) const BITS: u16 = 0x7ff;
}

pub(super) fn put_learn(out: &mut Writer<'_>, learn: &Learn) {
    out.u16(learn.idle_timeout);
    out.u16(learn.hard_timeout);
    out.u16(learn.priority);
    out.u64(learn.cookie.0);
    let result = if learn.result.is_some() {
        WRITE_RESULT
    } else {
        0
    };
    out.u16(learn.flags.bits() | result);
    out.u8(learn.table.0);
    out.zeros(1);
    out.u16(learn.fin_idle_timeout);
    out.u16(learn.fin_hard_timeout);
    if learn.needs_learn2() {
        out.u32(learn.limit);
        out.u16(learn.result.map_or(0, |result| result.offset));
        out.zeros(2);
        if let Some(result) = learn.result {
            oxm::put_field_id(out, result.field);
        }
    }
    for spec in &learn.specs {
        put_spec(out, spec);
    }
}

fn put_spec(out: &mut Writer<'_>, spec: &LearnSpec) {
    match spec {
        LearnSpec::Match { src, dst } => put_pair(out, spec::DST_MATCH, *src, *dst),
        LearnSpec::Load { src, dst } => put_pair(out, spec::DST_LOAD, *src, *dst),
        LearnSpec::Output(src) => {
            out.u16(spec::DST_OUTPUT | src.bits & spec::BITS);
            put_bits(out, *src);
        }
    }
}

fn put_pair(out: &mut Writer<'_>, kind: u16, src: LearnSource, dst: Subfield) {
    let bits = dst.bits & spec::BITS;
    match src {
        LearnSource::Field(src) => {
            out.u16(kind | bits);
            put_bits(out, src);
        }
        LearnSource::Value(value) => {
            out.u16(kind | spec::SRC_VALUE | bits);
            out.number(value, value_bytes(bits));
        }
    }
    put_bits(out, dst);
}

/// A value takes whole 16-bit words.
fn value_bytes(bits: u16) -> usize {
    usize::from(bits.div_ceil(16)).saturating_mul(2)
}

fn put_bits(out: &mut Writer<'_>, subfield: Subfield) {
    oxm::put_field_id(out, subfield.field);
    out.u16(subfield.offset);
}

/// Reads what follows the subtype; `None` if it has a field that is not known or a value wider than
/// 128 bits.
pub(super) fn read_learn(
    learn2: bool,
    body: &mut Reader<'_>,
) -> Result<Option<Learn>, DecodeError> {
    let idle_timeout = body.u16("idle timeout")?;
    let hard_timeout = body.u16("hard timeout")?;
    let priority = body.u16("priority")?;
    let cookie = Cookie(body.u64("cookie")?);
    let flags = body.u16("learn flags")?;
    let table = TableId(body.u8("table")?);
    body.skip("padding", 1)?;
    let fin_idle_timeout = body.u16("idle timeout")?;
    let fin_hard_timeout = body.u16("hard timeout")?;
    let (mut limit, mut result) = (0, None);
    if learn2 {
        limit = body.u32("learn limit")?;
        let offset = body.u16("result offset")?;
        body.skip("padding", 2)?;
        if flags & WRITE_RESULT != 0 {
            let Some(field) = oxm::read_field_id(body)? else {
                return Ok(None);
            };
            result = Some(subfield(body, field, offset, 1)?);
        }
    }
    let mut specs = Vec::new();
    while body.remaining() >= 2 {
        let header = body.u16("learn spec")?;
        if header == 0 {
            break;
        }
        let Some(spec) = read_spec(header, body)? else {
            return Ok(None);
        };
        specs.push(spec);
    }
    Ok(Some(Learn {
        table,
        idle_timeout,
        hard_timeout,
        fin_idle_timeout,
        fin_hard_timeout,
        priority,
        cookie,
        flags: LearnFlags::from_bits_retain(flags & !WRITE_RESULT),
        limit,
        result,
        specs,
    }))
}

fn read_spec(header: u16, body: &mut Reader<'_>) -> Result<Option<LearnSpec>, DecodeError> {
    let bits = header & spec::BITS;
    let src = if header & spec::SRC_VALUE != 0 {
        let count = value_bytes(bits);
        if count > 16 {
            return Ok(None);
        }
        let value = body.number("learned value", count)?;
        if bits < 128 && value >> bits != 0 {
            return Err(body.bad_value("learned value", (value >> 64) as u64 | value as u64));
        }
        LearnSource::Value(value)
    } else {
        match read_bits(body, bits)? {
            Some(src) => LearnSource::Field(src),
            None => return Ok(None),
        }
    };
    match (header & spec::DST, src) {
        (spec::DST_MATCH, src) => {
            Ok(read_bits(body, bits)?.map(|dst| LearnSpec::Match { src, dst }))
        }
        (spec::DST_LOAD, src) => Ok(read_bits(body, bits)?.map(|dst| LearnSpec::Load { src, dst })),
        (spec::DST_OUTPUT, LearnSource::Field(src)) => Ok(Some(LearnSpec::Output(src))),
        _ => Err(body.bad_value("learn spec", header)),
    }
}

fn read_bits(body: &mut Reader<'_>, bits: u16) -> Result<Option<Subfield>, DecodeError> {
    let field = oxm::read_field_id(body)?;
    let offset = body.u16("bit offset")?;
    match field {
        Some(field) => subfield(body, field, offset, bits).map(Some),
        None => Ok(None),
    }
}
