// SPDX-License-Identifier: Apache-2.0
//! The rarer actions in text (ovs-actions(7)).

use std::fmt;

use super::action::{arrow, field, parse_actions, parse_subfield, spell_actions, spell_subfield};
use super::learn::{parse_learn, spell_learn};
use super::token::{Token, bytes, pieces, small, tokens};
use super::value::{Hex, parse_port, spell_port};
use super::{Names, TextError};
use crate::action::other::{BundleAction, Controller, HASH_FIELDS, Multipath, OtherAction, Sample};
use crate::ids::{MeterId, PortNo};

const MULTIPATH_ALGORITHMS: [&str; 4] = ["modulo_n", "hash_threshold", "hrw", "iter_hash"];
const BUNDLE_ALGORITHMS: [&str; 2] = ["active_backup", "hrw"];
const REASONS: [&str; 6] = [
    "no_match",
    "action",
    "invalid_ttl",
    "action_set",
    "group",
    "packet_out",
];
const PACKET_TYPES: [(u32, &str); 4] = [
    (0, "ethernet"),
    (0x0001_894f, "nsh"),
    (0x0001_8847, "mpls"),
    (0x0001_8848, "mpls_mc"),
];
/// `decap` to what the header says is inside.
const NEXT_PROTOCOL: u32 = 0xfffe;

pub(super) fn spell_other(
    f: &mut fmt::Formatter<'_>,
    action: &OtherAction,
    names: &Names,
) -> fmt::Result {
    match action {
        OtherAction::SetNwTtl(ttl) => write!(f, "mod_nw_ttl:{ttl}"),
        OtherAction::PushVlan(ethertype) => write!(f, "push_vlan:{}", Hex((*ethertype).into())),
        OtherAction::PopVlan => f.write_str("pop_vlan"),
        OtherAction::PushMpls(ethertype) => write!(f, "push_mpls:0x{ethertype:04x}"),
        OtherAction::PopMpls(ethertype) => write!(f, "pop_mpls:0x{ethertype:04x}"),
        OtherAction::SetMplsTtl(ttl) => write!(f, "set_mpls_ttl({ttl})"),
        OtherAction::DecMplsTtl => f.write_str("dec_mpls_ttl"),
        OtherAction::DecTtlCntIds(ids) => {
            f.write_str("dec_ttl(")?;
            for (index, id) in ids.iter().enumerate() {
                let comma = if index == 0 { "" } else { "," };
                write!(f, "{comma}{id}")?;
            }
            f.write_str(")")
        }
        OtherAction::PopQueue => f.write_str("pop_queue"),
        OtherAction::Note(bytes) => {
            f.write_str("note:")?;
            spell_bytes(f, bytes)
        }
        OtherAction::Multipath(multipath) => spell_multipath(f, multipath),
        OtherAction::Bundle(bundle) => spell_bundle(f, bundle, names),
        OtherAction::Learn(learn) => spell_learn(f, learn, names),
        OtherAction::Exit => f.write_str("exit"),
        OtherAction::FinTimeout { idle, hard } => {
            let mut arguments = Arguments::open(f, "fin_timeout")?;
            arguments.unless(*idle == 0, format_args!("idle_timeout={idle}"))?;
            arguments.unless(*hard == 0, format_args!("hard_timeout={hard}"))?;
            arguments.close()
        }
        OtherAction::Controller(controller) => spell_controller(f, controller),
        OtherAction::StackPush(subfield) => {
            f.write_str("push:")?;
            spell_subfield(f, *subfield)
        }
        OtherAction::StackPop(subfield) => {
            f.write_str("pop:")?;
            spell_subfield(f, *subfield)
        }
        OtherAction::Sample(sample) => spell_sample(f, sample, names),
        OtherAction::Conjunction {
            id,
            clause,
            n_clauses,
        } => write!(
            f,
            "conjunction({id},{}/{n_clauses})",
            u16::from(*clause).saturating_add(1)
        ),
        OtherAction::OutputTrunc { port, max_len } => {
            f.write_str("output(port=")?;
            spell_port(f, *port, names)?;
            write!(f, ",max_len={max_len})")
        }
        OtherAction::Clone(actions) => {
            f.write_str("clone(")?;
            spell_actions(f, actions, names)?;
            f.write_str(")")
        }
        OtherAction::Encap {
            packet_type,
            properties,
            ..
        } => spell_encap(f, *packet_type, properties),
        OtherAction::Decap(NEXT_PROTOCOL) => f.write_str("decap()"),
        OtherAction::Decap(packet_type) => {
            let (namespace, kind) = (packet_type >> 16, packet_type & 0xffff);
            write!(
                f,
                "decap(packet_type(ns={namespace},type={}))",
                Hex(kind.into())
            )
        }
        OtherAction::DecNshTtl => f.write_str("dec_nsh_ttl"),
        OtherAction::CheckPktLarger { length, dst } => {
            write!(f, "check_pkt_larger({length})->")?;
            spell_subfield(f, *dst)
        }
        OtherAction::DeleteField(field) => write!(f, "delete_field:{}", field.info().name),
    }
}

/// `00.11.22`.
fn spell_bytes(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    for (index, byte) in bytes.iter().enumerate() {
        let point = if index == 0 { "" } else { "." };
        write!(f, "{point}{byte:02x}")?;
    }
    Ok(())
}

/// Arguments in parentheses, with commas between them.
struct Arguments<'a, 'b> {
    f: &'a mut fmt::Formatter<'b>,
    first: bool,
}

impl<'a, 'b> Arguments<'a, 'b> {
    fn open(f: &'a mut fmt::Formatter<'b>, name: &str) -> Result<Self, fmt::Error> {
        write!(f, "{name}(")?;
        Ok(Self { f, first: true })
    }

    fn unless(&mut self, default: bool, argument: fmt::Arguments<'_>) -> fmt::Result {
        if default {
            return Ok(());
        }
        if !std::mem::take(&mut self.first) {
            self.f.write_str(",")?;
        }
        self.f.write_fmt(argument)
    }

    fn close(self) -> fmt::Result {
        self.f.write_str(")")
    }
}

/// `bytes` as [`spell_bytes`] writes them.
struct Dotted<'a>(&'a [u8]);

impl fmt::Display for Dotted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        spell_bytes(f, self.0)
    }
}

fn spell_controller(f: &mut fmt::Formatter<'_>, controller: &Controller) -> fmt::Result {
    let default = Controller::default();
    let plain = Controller {
        max_len: default.max_len,
        ..controller.clone()
    };
    if plain == default {
        return write!(f, "CONTROLLER:{}", controller.max_len);
    }
    let Controller {
        max_len,
        controller_id,
        reason,
        userdata,
        pause,
        meter,
    } = controller;
    let mut arguments = Arguments::open(f, "controller")?;
    let is_default = *reason == default.reason;
    match REASONS.get(usize::from(*reason)) {
        Some(name) => arguments.unless(is_default, format_args!("reason={name}"))?,
        None => arguments.unless(is_default, format_args!("reason={reason}"))?,
    }
    arguments.unless(
        *max_len == default.max_len,
        format_args!("max_len={max_len}"),
    )?;
    arguments.unless(*controller_id == 0, format_args!("id={controller_id}"))?;
    arguments.unless(
        userdata.is_empty(),
        format_args!("userdata={}", Dotted(userdata)),
    )?;
    arguments.unless(!pause, format_args!("pause"))?;
    if let Some(meter) = meter {
        arguments.unless(false, format_args!("meter_id={meter}"))?;
    }
    arguments.close()
}

fn spell_multipath(f: &mut fmt::Formatter<'_>, multipath: &Multipath) -> fmt::Result {
    let Multipath {
        basis,
        max_link,
        arg,
        ..
    } = multipath;
    let fields = name(&HASH_FIELDS, multipath.fields);
    let algorithm = name(&MULTIPATH_ALGORITHMS, multipath.algorithm);
    let links = u32::from(*max_link).saturating_add(1);
    write!(f, "multipath({fields},{basis},{algorithm},{links},{arg},")?;
    spell_subfield(f, multipath.dst)?;
    f.write_str(")")
}

fn name<'a>(names: &[&'a str], number: u16) -> &'a str {
    names
        .get(usize::from(number))
        .copied()
        .unwrap_or("<unknown>")
}

fn spell_bundle(f: &mut fmt::Formatter<'_>, bundle: &BundleAction, names: &Names) -> fmt::Result {
    let fields = name(&HASH_FIELDS, bundle.fields);
    let algorithm = name(&BUNDLE_ALGORITHMS, bundle.algorithm);
    let action = if bundle.dst.is_some() {
        "bundle_load"
    } else {
        "bundle"
    };
    write!(f, "{action}({fields},{},{algorithm},ofport,", bundle.basis)?;
    if let Some(dst) = bundle.dst {
        spell_subfield(f, dst)?;
        f.write_str(",")?;
    }
    f.write_str("members:")?;
    for (index, member) in bundle.members.iter().enumerate() {
        if index != 0 {
            f.write_str(",")?;
        }
        spell_port(f, *member, names)?;
    }
    f.write_str(")")
}

fn spell_sample(f: &mut fmt::Formatter<'_>, sample: &Sample, names: &Names) -> fmt::Result {
    let Sample {
        probability,
        collector_set_id,
        obs_domain_id,
        obs_point_id,
        ..
    } = sample;
    write!(
        f,
        "sample(probability={probability},collector_set_id={collector_set_id},\
         obs_domain_id={obs_domain_id},obs_point_id={obs_point_id}"
    )?;
    if let Some(port) = sample.sampling_port {
        f.write_str(",sampling_port=")?;
        spell_port(f, port, names)?;
    }
    f.write_str(match sample.direction {
        1 => ",ingress)",
        2 => ",egress)",
        _ => ")",
    })
}

/// `md_type` of an NSH header: class 4, type 1, length 5, the value.
const MD_TYPE: [u8; 4] = [0, 4, 1, 5];

fn spell_encap(f: &mut fmt::Formatter<'_>, packet_type: u32, properties: &[u8]) -> fmt::Result {
    f.write_str("encap(")?;
    match PACKET_TYPES.iter().find(|(known, _)| *known == packet_type) {
        Some((_, name)) => f.write_str(name)?,
        None => write!(f, "{packet_type:#x}")?,
    }
    match properties {
        [] => {}
        [a, b, c, d, md_type, 0, 0, 0] if [*a, *b, *c, *d] == MD_TYPE => {
            write!(f, "(md_type={md_type})")?;
        }
        properties => write!(f, "(properties={})", Dotted(properties))?,
    }
    f.write_str(")")
}

/// Reads one of the rarer actions; `None` if it is none of them.
pub(super) fn parse_other(
    token: &Token<'_>,
    names: &Names,
    depth: usize,
) -> Result<Option<OtherAction>, TextError> {
    let Token { key, value, .. } = *token;
    let bad = || TextError::bad_value(key, value);
    Ok(Some(match key {
        "mod_nw_ttl" => OtherAction::SetNwTtl(small(key, value)?),
        "push_vlan" => OtherAction::PushVlan(small(key, value)?),
        "pop_vlan" | "strip_vlan" => OtherAction::PopVlan,
        "push_mpls" => OtherAction::PushMpls(small(key, value)?),
        "pop_mpls" => OtherAction::PopMpls(small(key, value)?),
        "set_mpls_ttl" => OtherAction::SetMplsTtl(small(key, value)?),
        "dec_mpls_ttl" => OtherAction::DecMplsTtl,
        "dec_ttl" => OtherAction::DecTtlCntIds(
            value
                .split(',')
                .map(|id| small(key, id))
                .collect::<Result<_, _>>()?,
        ),
        "pop_queue" => OtherAction::PopQueue,
        "note" => OtherAction::Note(bytes(value).ok_or_else(bad)?.into()),
        "multipath" => OtherAction::Multipath(parse_multipath(value)?),
        "bundle" | "bundle_load" => OtherAction::Bundle(parse_bundle(key, value, names)?),
        "learn" => OtherAction::Learn(parse_learn(value, names)?),
        "exit" => OtherAction::Exit,
        "fin_timeout" => {
            let (mut idle, mut hard) = (0, 0);
            for Token { key, value, .. } in tokens(value)? {
                match key {
                    "idle_timeout" => idle = small(key, value)?,
                    "hard_timeout" => hard = small(key, value)?,
                    key => return Err(TextError::unknown("argument of fin_timeout", key)),
                }
            }
            OtherAction::FinTimeout { idle, hard }
        }
        "controller" => OtherAction::Controller(parse_controller(value)?),
        "push" => OtherAction::StackPush(parse_subfield(value)?),
        "pop" => OtherAction::StackPop(parse_subfield(value)?),
        "sample" => OtherAction::Sample(parse_sample(value, names)?),
        "conjunction" => {
            let (id, rest) = value.split_once(',').ok_or_else(bad)?;
            let (clause, n_clauses) = rest.trim().split_once('/').ok_or_else(bad)?;
            OtherAction::Conjunction {
                id: small(key, id)?,
                clause: small::<u8>(key, clause)?.checked_sub(1).ok_or_else(bad)?,
                n_clauses: small(key, n_clauses)?,
            }
        }
        "output" => parse_output_trunc(value, names)?,
        "clone" => OtherAction::Clone(parse_actions(value, names, depth.saturating_add(1))?),
        "encap" => parse_encap(value)?,
        "decap" => parse_decap(value)?,
        "dec_nsh_ttl" => OtherAction::DecNshTtl,
        "check_pkt_larger" => {
            // Not `key(value)`: something follows the parenthesis.
            let inside = token.text.split_once('(').ok_or_else(bad)?.1;
            let (length, dst) = arrow(key, inside)?;
            OtherAction::CheckPktLarger {
                length: small(key, length.strip_suffix(')').ok_or_else(bad)?)?,
                dst: parse_subfield(dst)?,
            }
        }
        "delete_field" => OtherAction::DeleteField(field(value)?),
        _ => return Ok(None),
    }))
}

fn parse_controller(text: &str) -> Result<Controller, TextError> {
    let mut controller = Controller::default();
    for Token { key, value, .. } in tokens(text)? {
        match key {
            "reason" => {
                controller.reason = match REASONS.iter().position(|name| *name == value) {
                    Some(number) => number as u8,
                    None => small(key, value)?,
                }
            }
            "max_len" => controller.max_len = small(key, value)?,
            "id" => controller.controller_id = small(key, value)?,
            "userdata" => {
                controller.userdata = bytes(value)
                    .ok_or_else(|| TextError::bad_value(key, value))?
                    .into();
            }
            "pause" => controller.pause = true,
            "meter_id" => controller.meter = Some(MeterId(small(key, value)?)),
            key => return Err(TextError::unknown("argument of controller", key)),
        }
    }
    Ok(controller)
}

fn number_of(names: &[&str], what: &str, text: &str) -> Result<u16, TextError> {
    names
        .iter()
        .position(|name| *name == text)
        .map(|number| number as u16)
        .ok_or_else(|| TextError::bad_value(what, text))
}

fn parse_multipath(text: &str) -> Result<Multipath, TextError> {
    let what = "multipath";
    let bad = || TextError::bad_value(what, text);
    let parts = pieces(text, |c| c == ',')?;
    let [fields, basis, algorithm, links, arg, dst] = parts.as_slice() else {
        return Err(bad());
    };
    let links: u32 = small(what, links)?;
    Ok(Multipath {
        fields: number_of(&HASH_FIELDS, what, fields)?,
        basis: small(what, basis)?,
        algorithm: number_of(&MULTIPATH_ALGORITHMS, what, algorithm)?,
        max_link: links
            .checked_sub(1)
            .and_then(|max| u16::try_from(max).ok())
            .ok_or_else(bad)?,
        arg: small(what, arg)?,
        dst: parse_subfield(dst)?,
    })
}

fn parse_bundle(what: &str, text: &str, names: &Names) -> Result<BundleAction, TextError> {
    let bad = || TextError::bad_value(what, text);
    let (head, members) = text.split_once("members:").ok_or_else(bad)?;
    let parts = pieces(head.trim_end_matches(','), |c| c == ',')?;
    let (fields, basis, algorithm, dst) = match parts.as_slice() {
        [fields, basis, algorithm, "ofport"] => (fields, basis, algorithm, None),
        [fields, basis, algorithm, "ofport", dst] => (fields, basis, algorithm, Some(dst)),
        _ => return Err(bad()),
    };
    let members: Result<Vec<PortNo>, _> = members
        .split(',')
        .filter(|member| !member.is_empty())
        .map(|member| parse_port(member, names))
        .collect();
    Ok(BundleAction {
        fields: number_of(&HASH_FIELDS, what, fields)?,
        basis: small(what, basis)?,
        algorithm: number_of(&BUNDLE_ALGORITHMS, what, algorithm)?,
        members: members?,
        dst: dst.map(|dst| parse_subfield(dst)).transpose()?,
    })
}

fn parse_sample(text: &str, names: &Names) -> Result<Sample, TextError> {
    let mut sample = Sample {
        probability: 0,
        collector_set_id: 0,
        obs_domain_id: 0,
        obs_point_id: 0,
        sampling_port: None,
        direction: 0,
    };
    for Token { key, value, .. } in tokens(text)? {
        match key {
            "probability" => sample.probability = small(key, value)?,
            "collector_set_id" => sample.collector_set_id = small(key, value)?,
            "obs_domain_id" => sample.obs_domain_id = small(key, value)?,
            "obs_point_id" => sample.obs_point_id = small(key, value)?,
            "sampling_port" => sample.sampling_port = Some(parse_port(value, names)?),
            "ingress" => sample.direction = 1,
            "egress" => sample.direction = 2,
            key => return Err(TextError::unknown("argument of sample", key)),
        }
    }
    Ok(sample)
}

fn parse_output_trunc(text: &str, names: &Names) -> Result<OtherAction, TextError> {
    let (mut port, mut max_len) = (None, None);
    for Token { key, value, .. } in tokens(text)? {
        match key {
            "port" => port = Some(parse_port(value, names)?),
            "max_len" => max_len = Some(small(key, value)?),
            key => return Err(TextError::unknown("argument of output", key)),
        }
    }
    Ok(OtherAction::OutputTrunc {
        port: port.ok_or(TextError::Missing("port="))?,
        max_len: max_len.ok_or(TextError::Missing("max_len="))?,
    })
}

fn parse_encap(text: &str) -> Result<OtherAction, TextError> {
    let bad = || TextError::bad_value("encap", text);
    let (name, properties) = match text.split_once('(') {
        None => (text, ""),
        Some((name, rest)) => (name, rest.strip_suffix(')').ok_or_else(bad)?),
    };
    let packet_type = match PACKET_TYPES.iter().find(|(_, known)| *known == name) {
        Some((number, _)) => *number,
        None => small("encap", name)?,
    };
    let properties = match properties.split_once('=') {
        None if properties.is_empty() => Vec::new(),
        Some(("md_type", md_type)) => {
            let [a, b, c, d] = MD_TYPE;
            vec![a, b, c, d, small("md_type", md_type)?, 0, 0, 0]
        }
        Some(("properties", hex)) => bytes(hex).ok_or_else(bad)?,
        _ => return Err(bad()),
    };
    Ok(OtherAction::Encap {
        packet_type,
        header_size: 0,
        properties: properties.into(),
    })
}

fn parse_decap(text: &str) -> Result<OtherAction, TextError> {
    let tokens_of = tokens(text)?;
    let Some(Token { value, .. }) = tokens_of.first() else {
        return Ok(OtherAction::Decap(NEXT_PROTOCOL));
    };
    let (mut namespace, mut kind) = (0u16, 0u16);
    for Token { key, value, .. } in tokens(value)? {
        match key {
            "ns" => namespace = small(key, value)?,
            "type" => kind = small(key, value)?,
            key => return Err(TextError::unknown("argument of decap", key)),
        }
    }
    Ok(OtherAction::Decap(
        u32::from(namespace) << 16 | u32::from(kind),
    ))
}
