// SPDX-License-Identifier: Apache-2.0
//! Buckets and group properties as bytes (OpenFlow 1.5.1 section 7.3.4.3, OVS `lib/ofp-group.c`).

use super::{Bucket, Group, GroupType, SelectionMethod};
use crate::action::{put_actions, read_actions};
use crate::context::Context;
use crate::error::DecodeError;
use crate::ids::{GroupId, PortNo};
use crate::numbers::{bucket_property, group_property, group_type};
use crate::oxm::{self, MatchField};
use crate::reader::Reader;
use crate::writer::Writer;

/// `OFPGPT_EXPERIMENTER`.
const EXPERIMENTER: u16 = 0xffff;
/// Netronome, whose property `selection_method` is.
const NTR: u32 = 0x0000_154d;
const METHOD_NAME: usize = 16;

impl GroupType {
    pub(crate) const fn to_wire(self) -> u8 {
        match self {
            Self::All => group_type::ALL,
            Self::Select => group_type::SELECT,
            Self::Indirect => group_type::INDIRECT,
            Self::FastFailover => group_type::FF,
            Self::Unknown(number) => number,
        }
    }

    pub(crate) const fn from_wire(number: u8) -> Self {
        match number {
            group_type::ALL => Self::All,
            group_type::SELECT => Self::Select,
            group_type::INDIRECT => Self::Indirect,
            group_type::FF => Self::FastFailover,
            number => Self::Unknown(number),
        }
    }
}

/// Buckets, preceded elsewhere by their total length, which is returned.
pub(crate) fn put_buckets(out: &mut Writer<'_>, group_type: GroupType, buckets: &[Bucket]) {
    for bucket in buckets {
        put_bucket(out, group_type, bucket);
    }
}

/// `ofp_bucket`: length, length of actions, id, actions, properties.
fn put_bucket(out: &mut Writer<'_>, group_type: GroupType, bucket: &Bucket) {
    let start = out.position();
    out.u16(0);
    out.u16(0);
    out.u32(bucket.id);
    let actions = out.position();
    put_actions(out, &bucket.actions);
    out.set_length("bucket actions", start.saturating_add(2), actions);
    // OVS refuses a weight in groups that do not choose by weight.
    if group_type == GroupType::Select || bucket.weight != 0 {
        out.u16(bucket_property::WEIGHT);
        out.u16(8);
        out.u16(bucket.weight);
        out.zeros(2);
    }
    if bucket.watch_port != PortNo::ANY {
        out.u16(bucket_property::WATCH_PORT);
        out.u16(8);
        out.u32(bucket.watch_port.0);
    }
    if bucket.watch_group != GroupId::ANY {
        out.u16(bucket_property::WATCH_GROUP);
        out.u16(8);
        out.u32(bucket.watch_group.0);
    }
    out.set_length("bucket", start, start);
}

/// Reads buckets until the end of `reader`.
pub(crate) fn read_buckets(
    reader: &mut Reader<'_>,
    context: &Context,
) -> Result<Vec<Bucket>, DecodeError> {
    let mut buckets = Vec::new();
    while !reader.is_empty() {
        buckets.push(read_bucket(reader, context)?);
    }
    Ok(buckets)
}

fn read_bucket(reader: &mut Reader<'_>, context: &Context) -> Result<Bucket, DecodeError> {
    let length = usize::from(reader.u16("bucket length")?);
    let Some(inside) = length.checked_sub(2) else {
        return Err(reader.bad_length("bucket", length));
    };
    let mut body = reader.sub("bucket", inside)?;
    let actions_length = body.u16("bucket actions length")?;
    let mut bucket = Bucket::new(body.u32("bucket id")?, 0, Vec::new());
    let mut actions = body.sub("bucket actions", usize::from(actions_length))?;
    bucket.actions = read_actions(&mut actions, context)?;
    while !body.is_empty() {
        let (kind, mut value) = read_property(&mut body)?;
        match kind {
            bucket_property::WEIGHT => bucket.weight = value.u16("bucket weight")?,
            bucket_property::WATCH_PORT => bucket.watch_port = PortNo(value.u32("watch port")?),
            bucket_property::WATCH_GROUP => bucket.watch_group = GroupId(value.u32("watch group")?),
            _ => {}
        }
    }
    Ok(bucket)
}

/// A property: type and what is inside it.
pub(crate) fn read_property<'a>(reader: &mut Reader<'a>) -> Result<(u16, Reader<'a>), DecodeError> {
    let kind = reader.u16("property type")?;
    let length = reader.u16("property length")?;
    Ok((kind, reader.element("property", length, 4)?))
}

/// The properties of a group.
pub(crate) fn put_selection(out: &mut Writer<'_>, selection: &SelectionMethod) {
    let start = out.position();
    out.u16(EXPERIMENTER);
    out.u16(0);
    out.u32(NTR);
    out.u32(group_property::SELECTION_METHOD);
    out.zeros(4);
    out.string(&selection.method, METHOD_NAME);
    out.u64(selection.param);
    for (field, mask) in &selection.fields {
        oxm::put_field(out, *field, *mask, None);
    }
    out.set_length("selection method", start.saturating_add(2), start);
    out.pad8(start);
}

/// The selection method among the properties of a group; others are skipped.
pub(crate) fn read_selection(
    reader: &mut Reader<'_>,
    context: &Context,
) -> Result<Option<SelectionMethod>, DecodeError> {
    let mut selection = None;
    while !reader.is_empty() {
        let (kind, mut value) = read_property(reader)?;
        if kind != EXPERIMENTER
            || value.u32("property experimenter")? != NTR
            || value.u32("property subtype")? != group_property::SELECTION_METHOD
        {
            continue;
        }
        value.skip("padding", 4)?;
        let method = value.string("selection method", METHOD_NAME)?;
        let param = value.u64("selection parameter")?;
        // The shortest take 5 bytes.
        let mut fields = Vec::with_capacity(value.remaining() / 5);
        while !value.is_empty() {
            if let MatchField::Known {
                field, value: mask, ..
            } = oxm::read_field(&mut value, context)?
            {
                fields.push((field, mask));
            }
        }
        selection = Some(SelectionMethod {
            method,
            param,
            fields,
        });
    }
    Ok(selection)
}

/// One group of an `OFPMP_GROUP_DESC` reply.
pub(crate) fn put_group_desc(out: &mut Writer<'_>, group: &Group) {
    let start = out.position();
    out.u16(0);
    out.u8(group.group_type.to_wire());
    out.zeros(1);
    out.u32(group.id.0);
    let length = out.position();
    out.u16(0);
    out.zeros(6);
    let buckets = out.position();
    put_buckets(out, group.group_type, &group.buckets);
    out.set_length("buckets", length, buckets);
    if let Some(selection) = &group.selection {
        put_selection(out, selection);
    }
    out.set_length("group", start, start);
}

/// One group of an `OFPMP_GROUP_DESC` reply.
pub(crate) fn read_group_desc(
    reader: &mut Reader<'_>,
    context: &Context,
) -> Result<Group, DecodeError> {
    let length = usize::from(reader.u16("group length")?);
    let Some(inside) = length.checked_sub(2) else {
        return Err(reader.bad_length("group", length));
    };
    let mut body = reader.sub("group", inside)?;
    let group_type = GroupType::from_wire(body.u8("group type")?);
    body.skip("padding", 1)?;
    let id = GroupId(body.u32("group id")?);
    let buckets = body.u16("bucket array length")?;
    body.skip("padding", 6)?;
    let mut buckets = body.sub("buckets", usize::from(buckets))?;
    Ok(Group {
        id,
        group_type,
        buckets: read_buckets(&mut buckets, context)?,
        selection: read_selection(&mut body, context)?,
    })
}
