// SPDX-License-Identifier: Apache-2.0
//! Groups in text, as `ovs-ofctl dump-groups` prints and `ovs-ofctl add-group` reads them (OVS
//! `lib/ofp-group.c`).

use std::fmt;

use super::action::{parse_actions, spell_actions};
use super::token::{Token, small, tokens};
use super::value::{parse_port, spell_port, spell_value};
use super::{Names, Parse, Spell, TextError};
use crate::group::{Bucket, Group, GroupType, SelectionMethod};
use crate::ids::{GroupId, PortNo};
use crate::oxm::{Field, width_mask};

const TYPES: [(GroupType, &str); 4] = [
    (GroupType::All, "all"),
    (GroupType::Select, "select"),
    (GroupType::Indirect, "indirect"),
    (GroupType::FastFailover, "ff"),
];

impl Spell for Group {
    fn spell(&self, f: &mut fmt::Formatter<'_>, names: &Names) -> fmt::Result {
        let name = TYPES
            .iter()
            .find(|(known, _)| *known == self.group_type)
            .map_or("unknown", |(_, name)| name);
        write!(f, "group_id={},type={name}", self.id)?;
        if let Some(selection) = &self.selection {
            spell_selection(f, selection, names)?;
        }
        for bucket in &self.buckets {
            spell_bucket(f, self.group_type, bucket, names)?;
        }
        Ok(())
    }
}

fn spell_selection(
    f: &mut fmt::Formatter<'_>,
    selection: &SelectionMethod,
    names: &Names,
) -> fmt::Result {
    write!(f, ",selection_method={}", selection.method)?;
    if selection.param != 0 {
        write!(f, ",selection_method_param={}", selection.param)?;
    }
    let several = selection.fields.len() > 1;
    for (index, (field, mask)) in selection.fields.iter().enumerate() {
        f.write_str(match (index, several) {
            (0, true) => ",fields(",
            (0, false) => ",fields=",
            _ => ",",
        })?;
        f.write_str(field.info().name)?;
        if *mask != width_mask(*field) {
            f.write_str("=")?;
            spell_value(f, *field, *mask, None, names)?;
        }
    }
    f.write_str(if several { ")" } else { "" })
}

fn spell_bucket(
    f: &mut fmt::Formatter<'_>,
    group_type: GroupType,
    bucket: &Bucket,
    names: &Names,
) -> fmt::Result {
    write!(f, ",bucket=bucket_id:{}", bucket.id)?;
    if bucket.weight != default_weight(group_type) {
        write!(f, ",weight:{}", bucket.weight)?;
    }
    if bucket.watch_port != PortNo::ANY {
        f.write_str(",watch_port:")?;
        spell_port(f, bucket.watch_port, names)?;
    }
    if bucket.watch_group != GroupId::ANY {
        write!(f, ",watch_group:{}", bucket.watch_group)?;
    }
    f.write_str(",actions=")?;
    spell_actions(f, &bucket.actions, names)
}

/// Weight of a bucket that does not say one.
fn default_weight(group_type: GroupType) -> u16 {
    u16::from(group_type == GroupType::Select)
}

impl Parse for Group {
    fn parse_text(text: &str, names: &Names) -> Result<Self, TextError> {
        let mut parts = text.split("bucket=");
        let head = parts.next().unwrap_or_default();
        let mut group = Self {
            id: GroupId(0),
            group_type: GroupType::All,
            selection: None,
            buckets: Vec::new(),
        };
        let (mut has_id, mut has_type) = (false, false);
        for token in tokens(head)? {
            let Token { key, value, .. } = token;
            match key {
                "group_id" => {
                    group.id = GroupId(small(key, value)?);
                    has_id = true;
                }
                "type" => {
                    group.group_type = TYPES
                        .iter()
                        .find(|(_, name)| {
                            *name == value || *name == "ff" && value == "fast_failover"
                        })
                        .map(|(known, _)| *known)
                        .ok_or_else(|| TextError::bad_value(key, value))?;
                    has_type = true;
                }
                "selection_method" => selection(&mut group).method = parse_method(key, value)?,
                "selection_method_param" => selection(&mut group).param = small(key, value)?,
                "fields" => selection(&mut group).fields = parse_fields(value, names)?,
                key => return Err(TextError::unknown("argument of a group", key)),
            }
        }
        if !has_id {
            return Err(TextError::Missing("group_id="));
        }
        if !has_type {
            return Err(TextError::Missing("type="));
        }
        for (index, text) in parts.enumerate() {
            let bucket = parse_bucket(text, index as u32, group.group_type, names)?;
            group.buckets.push(bucket);
        }
        Ok(group)
    }
}

fn selection(group: &mut Group) -> &mut SelectionMethod {
    group.selection.get_or_insert_with(|| SelectionMethod {
        method: String::new(),
        param: 0,
        fields: Vec::new(),
    })
}

/// The name of a selection method: a word of at most 15 bytes, for which a message has room.
fn parse_method(key: &str, name: &str) -> Result<String, TextError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    match name.len() {
        1..=15 if name.bytes().all(plain) => Ok(name.to_owned()),
        _ => Err(TextError::bad_value(key, name)),
    }
}

fn parse_fields(text: &str, names: &Names) -> Result<Vec<(Field, u128)>, TextError> {
    tokens(text)?
        .iter()
        .map(|token| {
            let field = super::flow_match::alias(token.key)
                .or_else(|| Field::from_name(token.key))
                .ok_or_else(|| TextError::unknown("field", token.key))?;
            let mask = if token.delimiter.is_none() {
                width_mask(field)
            } else {
                super::value::parse_value(field, token.value, names)?.0
            };
            Ok((field, mask))
        })
        .collect()
}

fn parse_bucket(
    text: &str,
    index: u32,
    group_type: GroupType,
    names: &Names,
) -> Result<Bucket, TextError> {
    let (head, actions) = text
        .split_once("actions=")
        .ok_or(TextError::Missing("actions="))?;
    let actions = actions.trim_end_matches([',', ' ']);
    let mut bucket = Bucket::new(
        index,
        default_weight(group_type),
        parse_actions(actions, names, 0)?,
    );
    for token in tokens(head)? {
        let Token { key, value, .. } = token;
        match key {
            "bucket_id" => bucket.id = small(key, value)?,
            "weight" => bucket.weight = small(key, value)?,
            "watch_port" => bucket.watch_port = parse_port(value, names)?,
            "watch_group" => bucket.watch_group = GroupId(small(key, value)?),
            key => return Err(TextError::unknown("argument of a bucket", key)),
        }
    }
    Ok(bucket)
}
