// SPDX-License-Identifier: Apache-2.0
//! Actions in text (ovs-actions(7), OVS `lib/ofp-actions.c`).

use std::fmt;

use super::conntrack::{parse_ct, spell_ct};
use super::other::{parse_other, spell_other};
use super::token::{Token, bytes, small, tokens};
use super::value::{parse_port, parse_table, parse_value, spell_port, spell_table, spell_value};
use super::{Names, Parse, Spell, TextError};
use crate::action::{Action, Subfield};
use crate::ids::{GroupId, MeterId, PortNo, TableId};
use crate::oxm::{Field, width_mask};

/// Actions nest in `ct` and `clone`.
const MAX_DEPTH: usize = 16;
/// `resubmit` into the table it stands in.
const SAME_TABLE: TableId = TableId(255);

/// Actions, or `drop` if there are none.
pub(super) fn spell_actions(
    f: &mut fmt::Formatter<'_>,
    actions: &[Action],
    names: &Names,
) -> fmt::Result {
    if actions.is_empty() {
        return f.write_str("drop");
    }
    for (index, action) in actions.iter().enumerate() {
        if index != 0 {
            f.write_str(",")?;
        }
        action.spell(f, names)?;
    }
    Ok(())
}

impl Spell for Action {
    fn spell(&self, f: &mut fmt::Formatter<'_>, names: &Names) -> fmt::Result {
        match self {
            Self::Output { port, max_len } => {
                if port.0 < 0xffff_ff00 {
                    f.write_str("output:")?;
                }
                spell_port(f, *port, names)?;
                if *port == PortNo::CONTROLLER {
                    write!(f, ":{max_len}")?;
                }
                Ok(())
            }
            Self::Group(group) => write!(f, "group:{group}"),
            Self::SetField { field, value, mask } => {
                f.write_str("set_field:")?;
                spell_value(f, *field, *value, *mask, names)?;
                write!(f, "->{}", field.info().name)
            }
            Self::CopyField { src, dst } => {
                f.write_str("move:")?;
                spell_subfield(f, *src)?;
                f.write_str("->")?;
                spell_subfield(f, *dst)
            }
            Self::DecNwTtl => f.write_str("dec_ttl"),
            Self::SetQueue(queue) => write!(f, "set_queue:{queue}"),
            Self::Meter(meter) => write!(f, "meter:{meter}"),
            Self::Resubmit { port, table, ct } => {
                if *port != PortNo::IN_PORT && *table == SAME_TABLE && !ct {
                    f.write_str("resubmit:")?;
                    return spell_port(f, *port, names);
                }
                f.write_str("resubmit(")?;
                if *port != PortNo::IN_PORT {
                    spell_port(f, *port, names)?;
                }
                f.write_str(",")?;
                if *table != SAME_TABLE {
                    spell_table(f, *table, names)?;
                }
                f.write_str(if *ct { ",ct)" } else { ")" })
            }
            Self::OutputReg { src, .. } => {
                f.write_str("output:")?;
                spell_subfield(f, *src)
            }
            Self::Ct(ct) => spell_ct(f, ct, names),
            Self::CtClear => f.write_str("ct_clear"),
            Self::Other(action) => spell_other(f, action, names),
            Self::Unknown(bytes) => write!(f, "unknown({bytes:02x})"),
        }
    }
}

/// `NXM_NX_REG0[0..15]`, `NXM_NX_REG0[3]`, `NXM_NX_REG0[]`.
pub(super) fn spell_subfield(f: &mut fmt::Formatter<'_>, subfield: Subfield) -> fmt::Result {
    let info = subfield.field.info();
    f.write_str(info.nxm_name)?;
    let Subfield { offset, bits, .. } = subfield;
    if offset == 0 && bits == info.bits {
        f.write_str("[]")
    } else if bits == 1 {
        write!(f, "[{offset}]")
    } else {
        let last = offset.saturating_add(bits).saturating_sub(1);
        write!(f, "[{offset}..{last}]")
    }
}

/// Reads `NAME[FIRST..LAST]`, `NAME[BIT]` or `NAME[]`.
pub(super) fn parse_subfield(text: &str) -> Result<Subfield, TextError> {
    let bad = || TextError::bad_value("field", text);
    let (name, bits) = text
        .strip_suffix(']')
        .and_then(|text| text.split_once('['))
        .unwrap_or((text, ""));
    let field = field(name)?;
    let width = field.info().bits;
    let (first, last) = match bits.split_once("..") {
        _ if bits.is_empty() => (0, width.saturating_sub(1)),
        None => {
            let bit = small("field", bits)?;
            (bit, bit)
        }
        Some((first, last)) => (small("field", first)?, small("field", last)?),
    };
    let bits = u16::checked_sub(last, first)
        .and_then(|bits| bits.checked_add(1))
        .ok_or_else(bad)?;
    if last >= width {
        return Err(bad());
    }
    Ok(Subfield::new(field, first, bits))
}

pub(super) fn field(name: &str) -> Result<Field, TextError> {
    super::flow_match::alias(name)
        .or_else(|| Field::from_name(name))
        .ok_or_else(|| TextError::unknown("field", name))
}

/// Reads actions, separated by commas; `drop` is none.
///
/// # Errors
/// When a word is not an action.
pub fn actions_from_str(text: &str, names: &Names) -> Result<Vec<Action>, TextError> {
    parse_actions(text, names, 0)
}

pub(super) fn parse_actions(
    text: &str,
    names: &Names,
    depth: usize,
) -> Result<Vec<Action>, TextError> {
    if depth > MAX_DEPTH {
        return Err(TextError::TooDeep);
    }
    let tokens = tokens(text)?;
    if let [Token { text: "drop", .. }] = tokens.as_slice() {
        return Ok(Vec::new());
    }
    let mut actions = Vec::with_capacity(tokens.len());
    for token in &tokens {
        actions.push(parse_action(token, names, depth)?);
    }
    Ok(actions)
}

impl Parse for Action {
    fn parse_text(text: &str, names: &Names) -> Result<Self, TextError> {
        match tokens(text)?.as_slice() {
            [token] => parse_action(token, names, 0),
            _ => Err(TextError::bad_value("action", text)),
        }
    }
}

pub(super) fn parse_action(
    token: &Token<'_>,
    names: &Names,
    depth: usize,
) -> Result<Action, TextError> {
    let Token { key, value, .. } = *token;
    Ok(match key {
        "output" if value.contains('[') => Action::OutputReg {
            src: parse_subfield(value)?,
            max_len: 0xffff,
        },
        "output" if token.delimiter != Some('(') => Action::output(parse_port(value, names)?),
        "CONTROLLER" | "controller" if token.delimiter != Some('(') => Action::Output {
            port: PortNo::CONTROLLER,
            max_len: if value.is_empty() {
                0xffff
            } else {
                small(key, value)?
            },
        },
        "group" => Action::Group(GroupId(small(key, value)?)),
        "set_field" => parse_set_field(value, names)?,
        "move" => {
            let (src, dst) = arrow(key, value)?;
            let (src, dst) = (parse_subfield(src)?, parse_subfield(dst)?);
            if src.bits != dst.bits {
                return Err(TextError::bad_value(key, value));
            }
            Action::CopyField { src, dst }
        }
        "dec_ttl" if value.is_empty() => Action::DecNwTtl,
        "set_queue" => Action::SetQueue(small(key, value)?),
        "meter" => Action::Meter(MeterId(small(key, value)?)),
        "resubmit" => parse_resubmit(token, names)?,
        "ct" => Action::Ct(parse_ct(value, names, depth)?),
        "ct_clear" => Action::CtClear,
        "unknown" => Action::Unknown(
            bytes(value)
                .ok_or_else(|| TextError::bad_value(key, value))?
                .into(),
        ),
        key => match parse_other(token, names, depth)? {
            Some(action) => action.into(),
            None if token.delimiter.is_none() => Action::output(
                parse_port(key, names).map_err(|_| TextError::unknown("action", key))?,
            ),
            None => return Err(TextError::unknown("action", key)),
        },
    })
}

/// `LEFT->RIGHT`.
pub(super) fn arrow<'a>(key: &str, value: &'a str) -> Result<(&'a str, &'a str), TextError> {
    value
        .split_once("->")
        .ok_or_else(|| TextError::bad_value(key, value))
}

fn parse_set_field(text: &str, names: &Names) -> Result<Action, TextError> {
    let (value, name) = arrow("set_field", text)?;
    let field = field(name)?;
    let (value, mask) = parse_value(field, value, names)?;
    let full = width_mask(field);
    let mask = mask
        .map(|mask| mask & full)
        .filter(|mask| *mask != full || field.info().bits > 128);
    Ok(Action::SetField {
        field,
        value: value & mask.unwrap_or(full),
        mask,
    })
}

fn parse_resubmit(token: &Token<'_>, names: &Names) -> Result<Action, TextError> {
    let bad = || TextError::bad_value(token.key, token.value);
    if token.delimiter != Some('(') {
        return Ok(Action::Resubmit {
            port: parse_port(token.value, names)?,
            table: SAME_TABLE,
            ct: false,
        });
    }
    let mut parts = token.value.split(',');
    let port = parts.next().unwrap_or_default();
    let table = parts.next().unwrap_or_default();
    let ct = match parts.next() {
        None => false,
        Some("ct") => true,
        Some(_) => return Err(bad()),
    };
    Ok(Action::Resubmit {
        port: if port.is_empty() {
            PortNo::IN_PORT
        } else {
            parse_port(port, names)?
        },
        table: if table.is_empty() {
            SAME_TABLE
        } else {
            parse_table(table, names)?
        },
        ct,
    })
}
