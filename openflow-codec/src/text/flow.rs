// SPDX-License-Identifier: Apache-2.0
//! Flows and instructions in text: what `ovs-ofctl --no-stats dump-flows` prints and
//! `ovs-ofctl add-flow` reads (OVS `lib/ofp-flow.c`).

use std::fmt;

use super::action::{parse_action, parse_actions, spell_actions};
use super::flow_match::MatchBuilder;
use super::token::{Token, small, tokens};
use super::value::{Hex, parse_table, spell_table};
use super::{Named, Names, Parse, Spell, TextError};
use crate::flow::Flow;
use crate::ids::{Cookie, TableId};
use crate::instruction::Instruction;
use crate::message::multipart::flow::FlowStats;

/// Priority of a flow that does not say one.
const DEFAULT_PRIORITY: u16 = 0x8000;

impl Spell for Flow {
    fn spell(&self, f: &mut fmt::Formatter<'_>, names: &Names) -> fmt::Result {
        if self.cookie != Cookie(0) {
            write!(f, "cookie={}, ", self.cookie)?;
        }
        if self.table != TableId(0) || names.tables.contains_key(&self.table) {
            f.write_str("table=")?;
            spell_table(f, self.table, names)?;
            f.write_str(", ")?;
        }
        spell_rest(f, self, names)
    }
}

/// Timeouts, priority, match and actions.
fn spell_rest(f: &mut fmt::Formatter<'_>, flow: &Flow, names: &Names) -> fmt::Result {
    spell_timeouts(f, flow)?;
    spell_match(f, flow, names)
}

fn spell_timeouts(f: &mut fmt::Formatter<'_>, flow: &Flow) -> fmt::Result {
    if flow.idle_timeout != 0 {
        write!(f, "idle_timeout={}, ", flow.idle_timeout)?;
    }
    if flow.hard_timeout != 0 {
        write!(f, "hard_timeout={}, ", flow.hard_timeout)?;
    }
    Ok(())
}

fn spell_match(f: &mut fmt::Formatter<'_>, flow: &Flow, names: &Names) -> fmt::Result {
    let any = flow.flow_match.is_any();
    if flow.priority != DEFAULT_PRIORITY {
        write!(f, "priority={}", flow.priority)?;
        f.write_str(if any { " " } else { "," })?;
    }
    if !any {
        flow.flow_match.spell(f, names)?;
        f.write_str(" ")?;
    }
    f.write_str("actions=")?;
    spell_instructions(f, &flow.instructions, names)
}

/// A flow with its counters, as `ovs-ofctl dump-flows` prints it.
impl Spell for FlowStats {
    fn spell(&self, f: &mut fmt::Formatter<'_>, names: &Names) -> fmt::Result {
        let flow = &self.flow;
        write!(f, "cookie=0x{:x}, ", flow.cookie.0)?;
        if let Some(duration) = self.counters.duration {
            let (seconds, milliseconds) = (duration.as_secs(), duration.subsec_millis());
            write!(f, "duration={seconds}.{milliseconds:03}s, ")?;
        }
        f.write_str("table=")?;
        spell_table(f, flow.table, names)?;
        f.write_str(", ")?;
        if let Some(packets) = self.counters.packets {
            write!(f, "n_packets={packets}, ")?;
        }
        if let Some(bytes) = self.counters.bytes {
            write!(f, "n_bytes={bytes}, ")?;
        }
        spell_timeouts(f, flow)?;
        if let Some(idle) = self.counters.idle {
            write!(f, "idle_age={}, ", idle.as_secs())?;
        }
        spell_match(f, flow, names)
    }
}

fn spell_instructions(
    f: &mut fmt::Formatter<'_>,
    instructions: &[Instruction],
    names: &Names,
) -> fmt::Result {
    if instructions.is_empty() {
        return f.write_str("drop");
    }
    for (index, instruction) in instructions.iter().enumerate() {
        if index != 0 {
            f.write_str(",")?;
        }
        instruction.spell(f, names)?;
    }
    Ok(())
}

impl Spell for Instruction {
    fn spell(&self, f: &mut fmt::Formatter<'_>, names: &Names) -> fmt::Result {
        match self {
            Self::GotoTable(table) => {
                f.write_str("goto_table:")?;
                spell_table(f, *table, names)
            }
            Self::WriteMetadata { metadata, mask } => {
                write!(f, "write_metadata:{}", Hex((*metadata).into()))?;
                if *mask != u64::MAX {
                    write!(f, "/{}", Hex((*mask).into()))?;
                }
                Ok(())
            }
            Self::WriteActions(actions) => {
                f.write_str("write_actions(")?;
                spell_actions(f, actions, names)?;
                f.write_str(")")
            }
            Self::ApplyActions(actions) => spell_actions(f, actions, names),
            Self::ClearActions => f.write_str("clear_actions"),
            Self::Unknown(bytes) => write!(f, "unknown_instruction({bytes:02x})"),
        }
    }
}

/// Reads the instructions that `actions=` of a flow stands for: actions first, then
/// `clear_actions`, `write_actions(...)`, `write_metadata:...` and `goto_table:...`.
///
/// # Errors
/// When a word is neither an action nor an instruction.
pub fn instructions_from_str(text: &str, names: &Names) -> Result<Vec<Instruction>, TextError> {
    let tokens = tokens(text)?;
    if let [Token { text: "drop", .. }] = tokens.as_slice() {
        return Ok(Vec::new());
    }
    let mut applied = Vec::with_capacity(tokens.len());
    let mut others = Vec::new();
    for token in &tokens {
        let Token { key, value, .. } = *token;
        match key {
            "goto_table" => others.push(Instruction::GotoTable(parse_table(value, names)?)),
            "write_metadata" => {
                let (metadata, mask) = match value.split_once('/') {
                    None => (small(key, value)?, u64::MAX),
                    Some((metadata, mask)) => (small(key, metadata)?, small(key, mask)?),
                };
                others.push(Instruction::WriteMetadata { metadata, mask });
            }
            "write_actions" => {
                others.push(Instruction::WriteActions(parse_actions(value, names, 0)?));
            }
            "clear_actions" => others.push(Instruction::ClearActions),
            "unknown_instruction" => others.push(Instruction::Unknown(
                super::token::bytes(value)
                    .ok_or_else(|| TextError::bad_value(key, value))?
                    .into(),
            )),
            _ => applied.push(parse_action(token, names, 0)?),
        }
    }
    others.sort_by_key(rank);
    if !applied.is_empty() {
        others.insert(0, Instruction::ApplyActions(applied));
    }
    Ok(others)
}

/// The order in which a switch carries instructions out.
const fn rank(instruction: &Instruction) -> u8 {
    match instruction {
        Instruction::ApplyActions(_) => 0,
        Instruction::ClearActions => 1,
        Instruction::WriteActions(_) => 2,
        Instruction::WriteMetadata { .. } => 3,
        Instruction::GotoTable(_) => 4,
        Instruction::Unknown(_) => 5,
    }
}

impl Parse for Flow {
    fn parse_text(text: &str, names: &Names) -> Result<Self, TextError> {
        let (head, actions) = text
            .split_once("actions=")
            .ok_or(TextError::Missing("actions="))?;
        let mut flow = Self {
            table: TableId(0),
            priority: DEFAULT_PRIORITY,
            flow_match: crate::oxm::Match::any(),
            cookie: Cookie(0),
            idle_timeout: 0,
            hard_timeout: 0,
            instructions: instructions_from_str(actions, names)?,
        };
        let mut builder = MatchBuilder::default();
        for token in tokens(head)? {
            let Token { key, value, .. } = token;
            match key {
                "table" => flow.table = parse_table(value, names)?,
                "priority" => flow.priority = small(key, value)?,
                "cookie" => flow.cookie = Cookie(small(key, value)?),
                "idle_timeout" => flow.idle_timeout = small(key, value)?,
                "hard_timeout" => flow.hard_timeout = small(key, value)?,
                // What a dump says beside the flow.
                "duration" | "n_packets" | "n_bytes" | "idle_age" | "hard_age" => {}
                key => {
                    if !builder.take(&token, names)? {
                        return Err(TextError::unknown("field", key));
                    }
                }
            }
        }
        flow.flow_match = builder.build(names)?;
        Ok(flow)
    }
}

impl<'a> Named<'a, Flow> {
    /// Only the match, with its priority, and the actions: what is left when cookie, table and
    /// timeouts are shown elsewhere.
    pub fn rule(self) -> impl fmt::Display + 'a {
        Rule(self)
    }
}

struct Rule<'a>(Named<'a, Flow>);

impl fmt::Display for Rule<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        spell_match(f, self.0.value, self.0.names)
    }
}
