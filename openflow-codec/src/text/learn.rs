// SPDX-License-Identifier: Apache-2.0
//! `learn` in text (ovs-actions(7), OVS `lib/learn.c`).

use std::fmt;

use super::action::{arrow, field, parse_subfield, spell_subfield};
use super::token::{Token, number, small, tokens};
use super::value::{Hex, parse_table, parse_value, spell_table, spell_value};
use super::{Names, TextError};
use crate::action::Subfield;
use crate::action::learn::{Learn, LearnFlags, LearnSource, LearnSpec};
use crate::ids::{Cookie, TableId};

/// Priority of a flow that does not say one.
const DEFAULT_PRIORITY: u16 = 0x8000;

pub(super) fn spell_learn(f: &mut fmt::Formatter<'_>, learn: &Learn, names: &Names) -> fmt::Result {
    f.write_str("learn(table=")?;
    spell_table(f, learn.table, names)?;
    for (name, value) in [
        ("idle_timeout", learn.idle_timeout),
        ("hard_timeout", learn.hard_timeout),
        ("fin_idle_timeout", learn.fin_idle_timeout),
        ("fin_hard_timeout", learn.fin_hard_timeout),
    ] {
        if value != 0 {
            write!(f, ",{name}={value}")?;
        }
    }
    if learn.priority != DEFAULT_PRIORITY {
        write!(f, ",priority={}", learn.priority)?;
    }
    if learn.flags.contains(LearnFlags::SEND_FLOW_REM) {
        f.write_str(",send_flow_rem")?;
    }
    if learn.flags.contains(LearnFlags::DELETE_LEARNED) {
        f.write_str(",delete_learned")?;
    }
    if learn.cookie != Cookie(0) {
        write!(f, ",cookie={}", learn.cookie)?;
    }
    if learn.limit != 0 {
        write!(f, ",limit={}", learn.limit)?;
    }
    if let Some(result) = learn.result {
        f.write_str(",result_dst=")?;
        spell_subfield(f, result)?;
    }
    for spec in &learn.specs {
        f.write_str(",")?;
        spell_spec(f, spec, names)?;
    }
    f.write_str(")")
}

fn spell_spec(f: &mut fmt::Formatter<'_>, spec: &LearnSpec, names: &Names) -> fmt::Result {
    match *spec {
        LearnSpec::Match {
            src: LearnSource::Value(value),
            dst,
        } => {
            if dst == Subfield::whole(dst.field) {
                write!(f, "{}=", dst.field.info().name)?;
                spell_value(f, dst.field, value, None, names)
            } else {
                spell_subfield(f, dst)?;
                write!(f, "={}", Hex(value))
            }
        }
        LearnSpec::Match {
            src: LearnSource::Field(src),
            dst,
        } => {
            spell_subfield(f, dst)?;
            if (src.field, src.offset) != (dst.field, dst.offset) {
                f.write_str("=")?;
                spell_subfield(f, src)?;
            }
            Ok(())
        }
        LearnSpec::Load { src, dst } => {
            f.write_str("load:")?;
            match src {
                LearnSource::Value(value) => write!(f, "{}", Hex(value))?,
                LearnSource::Field(src) => spell_subfield(f, src)?,
            }
            f.write_str("->")?;
            spell_subfield(f, dst)
        }
        LearnSpec::Output(src) => {
            f.write_str("output:")?;
            spell_subfield(f, src)
        }
    }
}

pub(super) fn parse_learn(text: &str, names: &Names) -> Result<Learn, TextError> {
    let mut learn = Learn {
        table: TableId(1),
        idle_timeout: 0,
        hard_timeout: 0,
        fin_idle_timeout: 0,
        fin_hard_timeout: 0,
        priority: DEFAULT_PRIORITY,
        cookie: Cookie(0),
        flags: LearnFlags::empty(),
        limit: 0,
        result: None,
        specs: Vec::new(),
    };
    for token in tokens(text)? {
        let Token { key, value, .. } = token;
        match key {
            "table" => learn.table = parse_table(value, names)?,
            "idle_timeout" => learn.idle_timeout = small(key, value)?,
            "hard_timeout" => learn.hard_timeout = small(key, value)?,
            "fin_idle_timeout" => learn.fin_idle_timeout = small(key, value)?,
            "fin_hard_timeout" => learn.fin_hard_timeout = small(key, value)?,
            "priority" => learn.priority = small(key, value)?,
            "cookie" => learn.cookie = Cookie(small(key, value)?),
            "send_flow_rem" => learn.flags |= LearnFlags::SEND_FLOW_REM,
            "delete_learned" => learn.flags |= LearnFlags::DELETE_LEARNED,
            "limit" => learn.limit = small(key, value)?,
            "result_dst" => learn.result = Some(parse_subfield(value)?),
            "load" => {
                let (src, dst) = arrow(key, value)?;
                let dst = parse_subfield(dst)?;
                let src = if src.starts_with(|c: char| c.is_ascii_digit()) {
                    LearnSource::Value(number(key, src)?)
                } else {
                    LearnSource::Field(parse_subfield(src)?)
                };
                learn.specs.push(LearnSpec::Load { src, dst });
            }
            "output" => learn.specs.push(LearnSpec::Output(parse_subfield(value)?)),
            _ => learn.specs.push(parse_match(&token, names)?),
        }
    }
    Ok(learn)
}

/// `FIELD[]`, `FIELD[]=FIELD[]`, `FIELD[]=VALUE` or `field=VALUE`.
fn parse_match(token: &Token<'_>, names: &Names) -> Result<LearnSpec, TextError> {
    let Token { key, value, .. } = *token;
    let dst = if key.contains('[') {
        parse_subfield(key)?
    } else {
        Subfield::whole(field(key)?)
    };
    let src = if value.is_empty() {
        LearnSource::Field(dst)
    } else if value.contains('[') {
        LearnSource::Field(parse_subfield(value)?)
    } else if dst == Subfield::whole(dst.field) {
        LearnSource::Value(parse_value(dst.field, value, names)?.0)
    } else {
        LearnSource::Value(number(key, value)?)
    };
    Ok(LearnSpec::Match { src, dst })
}
