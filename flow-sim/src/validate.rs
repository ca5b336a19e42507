// SPDX-License-Identifier: Apache-2.0
//! What Open vSwitch refuses in flows and groups, whatever else a switch holds (OVS
//! `lib/nx-match.c`, `lib/ofp-actions.c`, `lib/ofp-group.c`).

use openflow_codec::action::{CtZone, OtherAction};
use openflow_codec::oxm::Prerequisite;
use openflow_codec::{
    Action, Bucket, Ct, Field, Flow, Group, GroupId, GroupType, Instruction, Match, MatchField,
    PortNo, Subfield, TableId,
};

use crate::conntrack::CtState;
use crate::packet::low_bits;
use crate::tables::MatchError;

/// Number of tables that a controller may use; the next one is internal to OVS.
pub const TABLES: u8 = 254;

/// `OFPG15_BUCKET_MAX`.
pub(crate) const MAX_BUCKET: u32 = 0xffff_ff00;

/// Why a flow is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's message says what it is")]
pub enum FlowError {
    #[error("table {0} is not for controllers; use 0..=253")]
    BadTable(TableId),
    #[error(transparent)]
    Match(#[from] MatchError),
    #[error("{} is matched without its prerequisite; match that too", .0.info().name)]
    MissingPrerequisite(Field),
    #[error("{} cannot be masked; match it exactly", .0.info().name)]
    NotMaskable(Field),
    #[error("{} cannot have this value", .0.info().name)]
    BadValue(Field),
    #[error("an action needs {}, which the match does not guarantee", .0.info().name)]
    InconsistentAction(Field),
    #[error(
        "ct needs a match on eth_type 0x0800 or 0x86dd, the family of its nat; and no commit on invalid packets"
    )]
    InconsistentCt,
    #[error("{} cannot be written by this action", .0.info().name)]
    NotWritable(Field),
    #[error("bits {}..{} are not all in {}", .0.offset, u32::from(.0.offset) + u32::from(.0.bits), .0.field.info().name)]
    BadSubfield(Subfield),
    #[error("copy_field copies {0} bits to {1}; make both sides equally wide")]
    UnequalWidth(u16, u16),
    #[error("ct without commit takes nothing but nat without arguments")]
    CtNeedsCommit,
    #[error("this action cannot stand inside ct")]
    BadNesting,
    #[error("goto_table {0} does not lead forward")]
    BackwardGoto(TableId),
    #[error("no output to port {0}")]
    BadPort(PortNo),
    #[error("an action that is not known")]
    UnknownAction,
    #[error("an instruction that is not known")]
    UnknownInstruction,
}

/// Why a group is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's message says what it is")]
pub enum GroupError {
    #[error("the group's type is not known")]
    BadType,
    #[error("an indirect group has exactly one bucket")]
    NotSingle,
    #[error("a bucket watches, which only those of fast failover and select groups may")]
    NeedlessWatch,
    #[error("a bucket of a fast failover group watches nothing")]
    MissingWatch,
    #[error("bucket number {0} is given twice or is too high")]
    BadBucket(u32),
    #[error("in a bucket: {0}")]
    Action(FlowError),
}

impl FlowError {
    /// The `OFPERR_*` that OVS answers, without that prefix.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::BadTable(TableId::ALL) => "OFPFMFC_BAD_TABLE_ID",
            Self::BadTable(_) => "OFPBRC_EPERM",
            Self::Match(MatchError::UnknownField) => "OFPBMC_BAD_FIELD",
            Self::Match(MatchError::Contradiction(_)) => "OFPBMC_DUP_FIELD",
            Self::MissingPrerequisite(_) => "OFPBMC_BAD_PREREQ",
            Self::NotMaskable(_) => "OFPBMC_BAD_MASK",
            Self::BadValue(_) => "OFPBMC_BAD_VALUE",
            Self::InconsistentAction(_) | Self::InconsistentCt => "OFPBAC_MATCH_INCONSISTENT",
            Self::NotWritable(_) => "OFPBAC_BAD_SET_ARGUMENT",
            Self::BadSubfield(_)
            | Self::UnequalWidth(..)
            | Self::CtNeedsCommit
            | Self::BadNesting => "OFPBAC_BAD_ARGUMENT",
            Self::BackwardGoto(_) => "OFPBIC_BAD_TABLE_ID",
            Self::BadPort(_) => "OFPBAC_BAD_OUT_PORT",
            Self::UnknownAction => "OFPBAC_BAD_TYPE",
            Self::UnknownInstruction => "OFPBIC_UNKNOWN_INST",
        }
    }
}

impl GroupError {
    /// The `OFPERR_*` that OVS answers, without that prefix.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::BadType => "OFPGMFC_BAD_TYPE",
            Self::NotSingle | Self::MissingWatch => "OFPGMFC_INVALID_GROUP",
            Self::NeedlessWatch => "OFPGMFC_WATCH_UNSUPPORTED",
            Self::BadBucket(_) => "OFPGMFC_BAD_BUCKET",
            Self::Action(error) => error.name(),
        }
    }
}

/// Checks what does not depend on other flows, groups or the TLV table.
pub(crate) fn check_flow(flow: &Flow) -> Result<(), FlowError> {
    check_match(&flow.flow_match)?;
    if flow.table == TableId::ALL {
        return Err(FlowError::BadTable(flow.table));
    }
    check_instructions(flow)?;
    if flow.table.0 >= TABLES {
        return Err(FlowError::BadTable(flow.table));
    }
    Ok(())
}

/// As [`check_flow`], for deletions, which may be about all tables.
pub(crate) fn check_deletion(flow: &Flow) -> Result<(), FlowError> {
    check_match(&flow.flow_match)?;
    check_instructions(flow)
}

fn check_instructions(flow: &Flow) -> Result<(), FlowError> {
    // As in OVS, what is wrong in itself comes before what is wrong for this match.
    for flow_match in [None, Some(&flow.flow_match)] {
        for instruction in &flow.instructions {
            match instruction {
                Instruction::GotoTable(table) => {
                    let backward = *table <= flow.table && flow.table != TableId::ALL;
                    if flow_match.is_some() && (backward || table.0 >= TABLES) {
                        return Err(FlowError::BackwardGoto(*table));
                    }
                }
                Instruction::ApplyActions(actions) | Instruction::WriteActions(actions) => {
                    for action in actions {
                        check_action(action, flow_match)?;
                    }
                }
                Instruction::Unknown(_) => return Err(FlowError::UnknownInstruction),
                Instruction::WriteMetadata { .. } | Instruction::ClearActions => {}
            }
        }
    }
    let mut actions = flow.instructions.iter().flat_map(actions_of);
    if actions.any(|action| matches!(action, Action::DecNwTtl)) {
        check_available(Field::IpTtl, Some(&flow.flow_match))?;
    }
    Ok(())
}

fn actions_of(instruction: &Instruction) -> &[Action] {
    match instruction {
        Instruction::ApplyActions(actions) | Instruction::WriteActions(actions) => actions,
        _ => &[],
    }
}

/// Checks what does not depend on other groups.
pub(crate) fn check_group(group: &Group) -> Result<(), GroupError> {
    check_buckets(group)?;
    check_group_type(group)
}

/// Checks the buckets of any group_mod, each by itself and together.
pub(crate) fn check_buckets(group: &Group) -> Result<(), GroupError> {
    for bucket in &group.buckets {
        for action in &bucket.actions {
            check_action(action, None).map_err(GroupError::Action)?;
        }
        if bucket.id > MAX_BUCKET {
            return Err(GroupError::BadBucket(bucket.id));
        }
    }
    let mut ids: Vec<_> = group.buckets.iter().map(|bucket| bucket.id).collect();
    ids.sort_unstable();
    let twice = ids.iter().zip(ids.iter().skip(1)).find(|(a, b)| a == b);
    twice.map_or(Ok(()), |(id, _)| Err(GroupError::BadBucket(*id)))
}

/// Checks that the buckets are right for the type.
pub(crate) fn check_group_type(group: &Group) -> Result<(), GroupError> {
    let watches =
        |bucket: &Bucket| bucket.watch_port != PortNo::ANY || bucket.watch_group != GroupId::ANY;
    match group.group_type {
        GroupType::Unknown(_) => Err(GroupError::BadType),
        GroupType::Indirect if group.buckets.len() != 1 => Err(GroupError::NotSingle),
        GroupType::All | GroupType::Indirect if group.buckets.iter().any(watches) => {
            Err(GroupError::NeedlessWatch)
        }
        GroupType::FastFailover if !group.buckets.iter().all(watches) => {
            Err(GroupError::MissingWatch)
        }
        _ => Ok(()),
    }
}

/// Checks a match by itself.
pub(crate) fn check_match(flow_match: &Match) -> Result<(), FlowError> {
    for field in flow_match.fields() {
        let MatchField::Known { field, mask, value } = field else {
            return Err(MatchError::UnknownField.into());
        };
        if !is_valid(field, value) {
            return Err(FlowError::BadValue(field));
        }
        if !prerequisite_met(field, flow_match) {
            return Err(FlowError::MissingPrerequisite(field));
        }
        let exact = mask.is_none_or(|mask| mask == low_bits(field.info().bits));
        if !exact && !field.info().maskable {
            return Err(FlowError::NotMaskable(field));
        }
    }
    Ok(())
}

/// `flow_match`: of the flow that holds the action; `None` in a bucket, where OVS cannot check.
fn check_action(action: &Action, flow_match: Option<&Match>) -> Result<(), FlowError> {
    match action {
        Action::Output { port, .. } if flow_match.is_some() => check_port(*port),
        Action::SetField { field, value, .. } => {
            check_writable(*field)?;
            if !is_valid(*field, *value) {
                return Err(FlowError::NotWritable(*field));
            }
            check_available(*field, flow_match)
        }
        Action::CopyField { src, dst } => {
            check_subfield(*src)?;
            check_subfield(*dst)?;
            if src.bits != dst.bits {
                return Err(FlowError::UnequalWidth(src.bits, dst.bits));
            }
            check_writable(dst.field)?;
            check_available(src.field, flow_match)?;
            check_available(dst.field, flow_match)
        }
        Action::OutputReg { src, .. } => {
            check_subfield(*src)?;
            check_available(src.field, flow_match)
        }
        Action::Ct(ct) => check_ct(ct, flow_match),
        Action::Resubmit { table, ct, .. } => {
            let tracked = || flow_match.is_none_or(|m| prerequisite_met(Field::CtIpProto, m));
            if *ct && !tracked() {
                return Err(FlowError::InconsistentAction(Field::CtState));
            }
            if table.0 == TABLES {
                return Err(FlowError::BadTable(*table));
            }
            Ok(())
        }
        Action::Other(other) if matches!(**other, OtherAction::Controller(_)) => Ok(()),
        Action::Other(_) | Action::Unknown(_) => Err(FlowError::UnknownAction),
        Action::Output { .. }
        | Action::Group(_)
        | Action::DecNwTtl
        | Action::SetQueue(_)
        | Action::Meter(_)
        | Action::CtClear => Ok(()),
    }
}

fn check_ct(ct: &Ct, flow_match: Option<&Match>) -> Result<(), FlowError> {
    let bare = ct.exec.is_empty() && ct.nat.as_ref().is_none_or(|nat| nat.kind.is_none());
    if !ct.commit && (ct.force || !bare) {
        return Err(FlowError::CtNeedsCommit);
    }
    if let Some(flow_match) = flow_match {
        let state = flow_match.field(Field::CtState);
        let invalid = state.is_some_and(|(value, _)| value & u128::from(CtState::INV.0) != 0);
        let family = |address: std::net::IpAddr| if address.is_ipv4() { 0x0800 } else { 0x86dd };
        let nat = ct.nat.as_ref().and_then(|nat| nat.addresses);
        let other_family =
            nat.is_some_and(|(low, _)| Some(family(low)) != exactly(flow_match, Field::EthType));
        if !is_ip(flow_match) || (ct.commit && invalid) || other_family {
            return Err(FlowError::InconsistentCt);
        }
    }
    if let CtZone::Field(field) = ct.zone {
        check_subfield(field)?;
        check_available(field.field, flow_match)?;
    }
    for action in &ct.exec {
        let written = match action {
            Action::SetField { field, .. } => *field,
            Action::CopyField { src, dst } => {
                check_subfield(*src)?;
                check_subfield(*dst)?;
                check_available(src.field, flow_match)?;
                dst.field
            }
            _ => return Err(FlowError::BadNesting),
        };
        if !matches!(written, Field::CtMark | Field::CtLabel) {
            return Err(FlowError::BadNesting);
        }
    }
    Ok(())
}

fn check_port(port: PortNo) -> Result<(), FlowError> {
    const MAX_PORTS: u32 = 0xff00;
    const FIRST_RESERVED: u32 = 0xffff_fff8;
    match port {
        PortNo::ANY => Err(FlowError::BadPort(port)),
        PortNo(MAX_PORTS..FIRST_RESERVED) => Err(FlowError::BadPort(port)),
        _ => Ok(()),
    }
}

fn check_subfield(part: Subfield) -> Result<(), FlowError> {
    let end = part.offset.saturating_add(part.bits);
    if part.bits == 0 || end > part.field.info().bits {
        return Err(FlowError::BadSubfield(part));
    }
    Ok(())
}

fn check_writable(field: Field) -> Result<(), FlowError> {
    let read_only = matches!(
        field,
        Field::PacketType
            | Field::DpHash
            | Field::RecircId
            | Field::ConjId
            | Field::InPort
            | Field::ActsetOutput
            | Field::EthType
            | Field::IpFrag
            | Field::IpProto
            | Field::TcpFlags
            | Field::MplsBos
            | Field::CtState
            | Field::CtZone
            | Field::CtMark
            | Field::CtLabel
            | Field::CtIpv4Src
            | Field::CtIpv4Dst
            | Field::CtIpv6Src
            | Field::CtIpv6Dst
            | Field::CtIpProto
            | Field::CtTpSrc
            | Field::CtTpDst
    );
    if read_only {
        return Err(FlowError::NotWritable(field));
    }
    Ok(())
}

/// `mf_is_value_valid` of OVS, for fields whose numbers have holes.
fn is_valid(field: Field, value: u128) -> bool {
    match field {
        Field::ArpOp => value <= 0xff,
        Field::CtState => value <= 0xff,
        Field::IpFrag => value <= 3,
        _ => true,
    }
}

fn check_available(field: Field, flow_match: Option<&Match>) -> Result<(), FlowError> {
    if flow_match.is_none_or(|m| prerequisite_met(field, m)) {
        return Ok(());
    }
    Err(FlowError::InconsistentAction(field))
}

fn prerequisite_met(field: Field, flow_match: &Match) -> bool {
    let exactly = |field| exactly(flow_match, field);
    let bit = |field, bit: u128| match flow_match.field(field) {
        Some((value, mask)) => value & mask.unwrap_or(u128::MAX) & bit != 0,
        None => false,
    };
    let protocol = |number: u128| exactly(Field::IpProto) == Some(number);
    let v4 = exactly(Field::EthType) == Some(0x0800);
    let v6 = exactly(Field::EthType) == Some(0x86dd);
    let met = match field.info().prerequisite {
        Prerequisite::None => true,
        Prerequisite::VlanVid => bit(Field::VlanVid, 0x1000),
        Prerequisite::Mpls => matches!(exactly(Field::EthType), Some(0x8847 | 0x8848)),
        Prerequisite::Ipv4 => v4,
        Prerequisite::Ipv6 => v6,
        Prerequisite::Ip => v4 || v6,
        Prerequisite::Arp => exactly(Field::EthType) == Some(0x0806),
        Prerequisite::Tcp => (v4 || v6) && protocol(6),
        Prerequisite::Udp => (v4 || v6) && protocol(17),
        Prerequisite::Sctp => (v4 || v6) && protocol(132),
        Prerequisite::Icmpv4 => v4 && protocol(1),
        Prerequisite::Icmpv6 => v6 && protocol(58),
        Prerequisite::CtState => bit(Field::CtState, CtState::TRK.0.into()),
    };
    let kind = || exactly(Field::Icmpv6Type);
    met && match field {
        Field::NdTarget | Field::NdReserved | Field::NdOptionsType => {
            matches!(kind(), Some(135 | 136))
        }
        Field::NdSll => kind() == Some(135),
        Field::NdTll => kind() == Some(136),
        _ => true,
    }
}

fn exactly(flow_match: &Match, field: Field) -> Option<u128> {
    match flow_match.field(field) {
        Some((value, None)) => Some(value),
        _ => None,
    }
}

fn is_ip(flow_match: &Match) -> bool {
    matches!(
        flow_match.field(Field::EthType),
        Some((0x0800 | 0x86dd, None))
    )
}
