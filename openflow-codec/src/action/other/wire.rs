// SPDX-License-Identifier: Apache-2.0
//! The rarer actions as bytes (OVS `lib/ofp-actions.c`).

use super::{BundleAction, Controller, Multipath, OtherAction, Sample};
use crate::action::Subfield;
use crate::action::learn::{put_learn, read_learn};
use crate::action::wire::{
    finish, offset_and_bits, port_from_16, port_to_16, put_actions, put_nicira, put_number,
    read_nested, subfield, subfield_from_16,
};
use crate::context::Context;
use crate::error::DecodeError;
use crate::group::read_property;
use crate::ids::{MeterId, PortNo};
use crate::numbers::{controller2, nxast, ofpat};
use crate::oxm;
use crate::reader::Reader;
use crate::writer::Writer;

/// `NXM_OF_IN_PORT`: the only kind of member that a bundle has.
const MEMBER_TYPE: u32 = 0x0000_0002;
/// `OFPP_NONE` in 16 bits.
const NO_PORT: u16 = 0xffff;

pub(in crate::action) fn put_other(out: &mut Writer<'_>, action: &OtherAction) {
    match action {
        OtherAction::SetNwTtl(ttl) => put_u8(out, ofpat::SET_NW_TTL, *ttl),
        OtherAction::SetMplsTtl(ttl) => put_u8(out, ofpat::SET_MPLS_TTL, *ttl),
        OtherAction::DecMplsTtl => put_number(out, ofpat::DEC_MPLS_TTL, 0),
        OtherAction::PushVlan(ethertype) => put_u16(out, ofpat::PUSH_VLAN, *ethertype),
        OtherAction::PopVlan => put_number(out, ofpat::POP_VLAN, 0),
        OtherAction::PushMpls(ethertype) => put_u16(out, ofpat::PUSH_MPLS, *ethertype),
        OtherAction::PopMpls(ethertype) => put_u16(out, ofpat::POP_MPLS, *ethertype),
        other => put_nx(out, other),
    }
}

fn put_u8(out: &mut Writer<'_>, kind: u16, argument: u8) {
    put_number(out, kind, u32::from(argument) << 24);
}

fn put_u16(out: &mut Writer<'_>, kind: u16, argument: u16) {
    put_number(out, kind, u32::from(argument) << 16);
}

fn put_nx(out: &mut Writer<'_>, action: &OtherAction) {
    let start = put_nicira(out, subtype(action));
    match action {
        OtherAction::DecTtlCntIds(ids) => {
            out.u16(ids.len() as u16);
            out.zeros(4);
            ids.iter().for_each(|id| out.u16(*id));
        }
        OtherAction::Note(bytes) => out.bytes(bytes),
        OtherAction::Multipath(multipath) => put_multipath(out, multipath),
        OtherAction::Bundle(bundle) => put_bundle(out, bundle),
        OtherAction::Learn(learn) => put_learn(out, learn),
        OtherAction::FinTimeout { idle, hard } => {
            out.u16(*idle);
            out.u16(*hard);
        }
        OtherAction::Controller(controller) => put_controller(out, controller),
        OtherAction::StackPush(subfield) | OtherAction::StackPop(subfield) => {
            out.u16(subfield.offset);
            oxm::put_field_id(out, subfield.field);
            out.u16(subfield.bits);
        }
        OtherAction::Sample(sample) => put_sample(out, sample),
        OtherAction::Conjunction {
            id,
            clause,
            n_clauses,
        } => {
            out.u8(*clause);
            out.u8(*n_clauses);
            out.u32(*id);
        }
        OtherAction::OutputTrunc { port, max_len } => {
            out.u16(port_to_16(*port));
            out.u32(*max_len);
        }
        OtherAction::Clone(actions) => {
            out.zeros(6);
            put_actions(out, actions);
        }
        OtherAction::Encap {
            packet_type,
            header_size,
            properties,
        } => {
            out.u16(*header_size);
            out.u32(*packet_type);
            out.bytes(properties);
        }
        OtherAction::Decap(packet_type) => {
            out.zeros(2);
            out.u32(*packet_type);
        }
        OtherAction::CheckPktLarger { length, dst } => {
            out.u16(*length);
            out.u16(dst.offset);
            oxm::put_field_id(out, dst.field);
        }
        OtherAction::DeleteField(field) => {
            oxm::put_field_id(out, *field);
            // Room for the longer header of an experimenter field.
            out.zeros(10);
        }
        _ => out.zeros(6),
    }
    finish(out, start);
}

/// Subtype of an action that is not a standard one.
fn subtype(action: &OtherAction) -> u16 {
    match action {
        OtherAction::PopQueue => nxast::POP_QUEUE,
        OtherAction::Note(_) => nxast::NOTE,
        OtherAction::Multipath(_) => nxast::MULTIPATH,
        OtherAction::Bundle(bundle) if bundle.dst.is_some() => nxast::BUNDLE_LOAD,
        OtherAction::Bundle(_) => nxast::BUNDLE,
        OtherAction::Learn(learn) if learn.needs_learn2() => nxast::LEARN2,
        OtherAction::Learn(_) => nxast::LEARN,
        OtherAction::FinTimeout { .. } => nxast::FIN_TIMEOUT,
        OtherAction::Controller(controller) if is_short(controller) => nxast::CONTROLLER,
        OtherAction::Controller(_) => nxast::CONTROLLER2,
        OtherAction::DecTtlCntIds(_) => nxast::DEC_TTL_CNT_IDS,
        OtherAction::StackPush(_) => nxast::STACK_PUSH,
        OtherAction::StackPop(_) => nxast::STACK_POP,
        OtherAction::Sample(sample) => match (sample.direction, sample.sampling_port) {
            (0, None) => nxast::SAMPLE,
            (0, Some(_)) => nxast::SAMPLE2,
            _ => nxast::SAMPLE3,
        },
        OtherAction::Conjunction { .. } => nxast::CONJUNCTION,
        OtherAction::OutputTrunc { .. } => nxast::OUTPUT_TRUNC,
        OtherAction::Clone(_) => nxast::CLONE,
        OtherAction::Encap { .. } => nxast::ENCAP,
        OtherAction::Decap(_) => nxast::DECAP,
        OtherAction::DecNshTtl => nxast::DEC_NSH_TTL,
        OtherAction::CheckPktLarger { .. } => nxast::CHECK_PKT_LARGER,
        OtherAction::DeleteField(_) => nxast::DELETE_FIELD,
        // The standard ones never come here.
        OtherAction::Exit
        | OtherAction::SetNwTtl(_)
        | OtherAction::PushVlan(_)
        | OtherAction::PopVlan
        | OtherAction::PushMpls(_)
        | OtherAction::PopMpls(_)
        | OtherAction::SetMplsTtl(_)
        | OtherAction::DecMplsTtl => nxast::EXIT,
    }
}

fn put_multipath(out: &mut Writer<'_>, multipath: &Multipath) {
    out.u16(multipath.fields);
    out.u16(multipath.basis);
    out.zeros(2);
    out.u16(multipath.algorithm);
    out.u16(multipath.max_link);
    out.u32(multipath.arg);
    out.zeros(2);
    out.u16(offset_and_bits(multipath.dst));
    oxm::put_field_id(out, multipath.dst.field);
}

fn put_bundle(out: &mut Writer<'_>, bundle: &BundleAction) {
    out.u16(bundle.algorithm);
    out.u16(bundle.fields);
    out.u16(bundle.basis);
    out.u32(MEMBER_TYPE);
    out.u16(bundle.members.len() as u16);
    match bundle.dst {
        Some(dst) => {
            out.u16(offset_and_bits(dst));
            oxm::put_field_id(out, dst.field);
        }
        None => out.zeros(6),
    }
    out.zeros(4);
    for member in &bundle.members {
        out.u16(port_to_16(*member));
    }
}

/// Whether `NXAST_CONTROLLER` can say it.
fn is_short(controller: &Controller) -> bool {
    controller.userdata.is_empty() && !controller.pause && controller.meter.is_none()
}

fn put_controller(out: &mut Writer<'_>, controller: &Controller) {
    if is_short(controller) {
        out.u16(controller.max_len);
        out.u16(controller.controller_id);
        out.u8(controller.reason);
        out.zeros(1);
        return;
    }
    out.zeros(6);
    let default = Controller::default();
    if controller.max_len != default.max_len {
        put_property(out, controller2::MAX_LEN, &controller.max_len.to_be_bytes());
    }
    if controller.controller_id != default.controller_id {
        let id = controller.controller_id.to_be_bytes();
        put_property(out, controller2::CONTROLLER_ID, &id);
    }
    if controller.reason != default.reason {
        put_property(out, controller2::REASON, &[controller.reason]);
    }
    if !controller.userdata.is_empty() {
        put_property(out, controller2::USERDATA, &controller.userdata);
    }
    if controller.pause {
        put_property(out, controller2::PAUSE, &[]);
    }
    if let Some(meter) = controller.meter {
        put_property(out, controller2::METER_ID, &meter.0.to_be_bytes());
    }
}

fn put_property(out: &mut Writer<'_>, kind: u16, contents: &[u8]) {
    let start = out.position();
    out.u16(kind);
    out.u16(0);
    out.bytes(contents);
    out.set_length("property", start.saturating_add(2), start);
    out.pad8(start);
}

fn put_sample(out: &mut Writer<'_>, sample: &Sample) {
    out.u16(sample.probability);
    out.u32(sample.collector_set_id);
    out.u32(sample.obs_domain_id);
    out.u32(sample.obs_point_id);
    if sample.direction != 0 || sample.sampling_port.is_some() {
        out.u16(sample.sampling_port.map_or(NO_PORT, port_to_16));
        out.u8(sample.direction);
    }
}

/// A standard action; `None` if it is none of these.
pub(in crate::action) fn read_standard(
    kind: u16,
    body: &mut Reader<'_>,
) -> Result<Option<OtherAction>, DecodeError> {
    Ok(Some(match kind {
        ofpat::SET_NW_TTL => OtherAction::SetNwTtl(body.u8("TTL")?),
        ofpat::SET_MPLS_TTL => OtherAction::SetMplsTtl(body.u8("TTL")?),
        ofpat::DEC_MPLS_TTL => OtherAction::DecMplsTtl,
        ofpat::PUSH_VLAN => OtherAction::PushVlan(body.u16("Ethertype")?),
        ofpat::POP_VLAN => OtherAction::PopVlan,
        ofpat::PUSH_MPLS => OtherAction::PushMpls(body.u16("Ethertype")?),
        ofpat::POP_MPLS => OtherAction::PopMpls(body.u16("Ethertype")?),
        _ => return Ok(None),
    }))
}

/// A Nicira action, after its subtype; `None` if it is none of these.
pub(in crate::action) fn read_nicira(
    subtype: u16,
    body: &mut Reader<'_>,
    context: &Context,
    depth: usize,
) -> Result<Option<OtherAction>, DecodeError> {
    Ok(Some(match subtype {
        nxast::POP_QUEUE => OtherAction::PopQueue,
        nxast::EXIT => OtherAction::Exit,
        nxast::DEC_NSH_TTL => OtherAction::DecNshTtl,
        nxast::NOTE => OtherAction::Note(body.rest()),
        nxast::DEC_TTL_CNT_IDS => {
            let count = body.u16("number of controllers")?;
            body.skip("padding", 4)?;
            let ids = (0..count).map(|_| body.u16("controller id"));
            OtherAction::DecTtlCntIds(ids.collect::<Result<_, _>>()?)
        }
        nxast::FIN_TIMEOUT => OtherAction::FinTimeout {
            idle: body.u16("idle timeout")?,
            hard: body.u16("hard timeout")?,
        },
        nxast::CONJUNCTION => OtherAction::Conjunction {
            clause: body.u8("clause")?,
            n_clauses: body.u8("number of clauses")?,
            id: body.u32("conjunction id")?,
        },
        nxast::OUTPUT_TRUNC => OtherAction::OutputTrunc {
            port: port_from_16(body.u16("output port")?),
            max_len: body.u32("max_len")?,
        },
        nxast::CLONE => {
            body.skip("padding", 6)?;
            OtherAction::Clone(read_nested(body, context, depth.saturating_add(1))?)
        }
        nxast::SAMPLE | nxast::SAMPLE2 | nxast::SAMPLE3 => {
            OtherAction::Sample(read_sample(subtype, body)?)
        }
        nxast::CONTROLLER => OtherAction::Controller(Controller {
            max_len: body.u16("max_len")?,
            controller_id: body.u16("controller id")?,
            reason: body.u8("reason")?,
            ..Controller::default()
        }),
        nxast::CONTROLLER2 => OtherAction::Controller(read_controller2(body)?),
        nxast::ENCAP => OtherAction::Encap {
            header_size: body.u16("header size")?,
            packet_type: body.u32("packet type")?,
            properties: body.rest(),
        },
        nxast::DECAP => {
            body.skip("padding", 2)?;
            OtherAction::Decap(body.u32("packet type")?)
        }
        nxast::LEARN | nxast::LEARN2 => {
            return Ok(read_learn(subtype == nxast::LEARN2, body)?.map(OtherAction::Learn));
        }
        // OVS 3.4 has it, and OpenFlow 1.5 has an instruction instead of the other.
        nxast::SAMPLE4 | nxast::WRITE_METADATA => return Ok(None),
        _ => return read_with_field(subtype, body),
    }))
}

/// Actions with a field; `None` also if the field is not known.
fn read_with_field(
    subtype: u16,
    body: &mut Reader<'_>,
) -> Result<Option<OtherAction>, DecodeError> {
    Ok(match subtype {
        nxast::STACK_PUSH => read_stack(body)?.map(OtherAction::StackPush),
        nxast::STACK_POP => read_stack(body)?.map(OtherAction::StackPop),
        nxast::CHECK_PKT_LARGER => {
            let length = body.u16("packet length")?;
            let offset = body.u16("bit offset")?;
            let Some(field) = oxm::read_field_id(body)? else {
                return Ok(None);
            };
            let dst = subfield(body, field, offset, 1)?;
            Some(OtherAction::CheckPktLarger { length, dst })
        }
        nxast::DELETE_FIELD => oxm::read_field_id(body)?.map(OtherAction::DeleteField),
        nxast::MULTIPATH => read_multipath(body)?.map(OtherAction::Multipath),
        nxast::BUNDLE | nxast::BUNDLE_LOAD => {
            read_bundle(subtype == nxast::BUNDLE_LOAD, body)?.map(OtherAction::Bundle)
        }
        _ => None,
    })
}

fn read_stack(body: &mut Reader<'_>) -> Result<Option<Subfield>, DecodeError> {
    let offset = body.u16("bit offset")?;
    let Some(field) = oxm::read_field_id(body)? else {
        return Ok(None);
    };
    let bits = body.u16("number of bits")?;
    subfield(body, field, offset, bits).map(Some)
}

fn read_multipath(body: &mut Reader<'_>) -> Result<Option<Multipath>, DecodeError> {
    let fields = body.u16("hash fields")?;
    let basis = body.u16("hash basis")?;
    body.skip("padding", 2)?;
    let algorithm = body.u16("algorithm")?;
    let max_link = body.u16("max_link")?;
    let arg = body.u32("algorithm argument")?;
    body.skip("padding", 2)?;
    let bits = body.u16("destination bits")?;
    let Some(field) = oxm::read_field_id(body)? else {
        return Ok(None);
    };
    Ok(Some(Multipath {
        fields,
        basis,
        algorithm,
        max_link,
        arg,
        dst: subfield_from_16(body, field, bits)?,
    }))
}

fn read_bundle(load: bool, body: &mut Reader<'_>) -> Result<Option<BundleAction>, DecodeError> {
    let algorithm = body.u16("algorithm")?;
    let fields = body.u16("hash fields")?;
    let basis = body.u16("hash basis")?;
    let member_type = body.u32("member type")?;
    let count = body.u16("number of members")?;
    let bits = body.u16("destination bits")?;
    let dst = if load {
        let Some(field) = oxm::read_field_id(body)? else {
            return Ok(None);
        };
        Some(subfield_from_16(body, field, bits)?)
    } else {
        body.skip("destination", 4)?;
        None
    };
    body.skip("padding", 4)?;
    if member_type != MEMBER_TYPE {
        return Ok(None);
    }
    let members: Result<Vec<PortNo>, _> = (0..count)
        .map(|_| body.u16("member").map(port_from_16))
        .collect();
    Ok(Some(BundleAction {
        fields,
        basis,
        algorithm,
        members: members?,
        dst,
    }))
}

fn read_sample(subtype: u16, body: &mut Reader<'_>) -> Result<Sample, DecodeError> {
    let mut sample = Sample {
        probability: body.u16("probability")?,
        collector_set_id: body.u32("collector set")?,
        obs_domain_id: body.u32("observation domain")?,
        obs_point_id: body.u32("observation point")?,
        sampling_port: None,
        direction: 0,
    };
    if subtype != nxast::SAMPLE {
        let port = body.u16("sampling port")?;
        sample.sampling_port = (port != NO_PORT).then(|| port_from_16(port));
    }
    if subtype == nxast::SAMPLE3 {
        sample.direction = body.u8("direction")?;
    }
    Ok(sample)
}

fn read_controller2(body: &mut Reader<'_>) -> Result<Controller, DecodeError> {
    body.skip("padding", 6)?;
    let mut controller = Controller::default();
    while !body.is_empty() {
        let (kind, mut value) = read_property(body)?;
        match kind {
            controller2::MAX_LEN => controller.max_len = value.u16("max_len")?,
            controller2::CONTROLLER_ID => controller.controller_id = value.u16("controller id")?,
            controller2::REASON => controller.reason = value.u8("reason")?,
            controller2::USERDATA => controller.userdata = value.rest(),
            controller2::PAUSE => controller.pause = true,
            controller2::METER_ID => controller.meter = Some(MeterId(value.u32("meter")?)),
            _ => {}
        }
    }
    Ok(controller)
}
