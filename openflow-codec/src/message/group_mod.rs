// SPDX-License-Identifier: Apache-2.0
//! `OFPT_GROUP_MOD` (OpenFlow 1.5.1 section 7.3.4.3, OVS `lib/ofp-group.c`).

use crate::context::Context;
use crate::error::DecodeError;
use crate::group::{
    Bucket, Group, GroupType, SelectionMethod, put_buckets, put_selection, read_buckets,
    read_selection,
};
use crate::ids::GroupId;
use crate::numbers::group_command;
use crate::reader::Reader;
use crate::writer::Writer;

/// `ofp_group_mod_command`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GroupCommand {
    /// Adds a group that must not be there.
    Add,
    /// Replaces a group that must be there.
    Modify,
    /// Deletes a group, and every flow that refers to it.
    Delete,
    /// Adds buckets. OVS 3.1 then spreads traffic wrongly unless the group hashes
    /// (`selection_method=hash`).
    InsertBucket(BucketPosition),
    /// Removes buckets.
    RemoveBucket(BucketPosition),
    /// Adds a group, or replaces it if it is there (OVS, `OFPGC11_ADD_OR_MOD`).
    AddOrModify,
}

/// `ofp_group_bucket`: where buckets are inserted, or which are removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BucketPosition {
    /// After (or just) the bucket with this number.
    At(u32),
    /// Before all, or just the first.
    First,
    /// After all, or just the last.
    Last,
    /// All, when removing; nowhere, in commands without a position.
    All,
}

impl BucketPosition {
    const fn to_wire(self) -> u32 {
        match self {
            Self::At(id) => id,
            Self::First => 0xffff_fffd,
            Self::Last => 0xffff_fffe,
            Self::All => 0xffff_ffff,
        }
    }

    const fn from_wire(id: u32) -> Self {
        match id {
            0xffff_fffd => Self::First,
            0xffff_fffe => Self::Last,
            0xffff_ffff => Self::All,
            id => Self::At(id),
        }
    }
}

/// `ofp_group_mod`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMod {
    /// What to do.
    pub command: GroupCommand,
    /// The group; for bucket commands the buckets to insert, for deletions just its number.
    pub group: Group,
}

impl GroupMod {
    /// Adds `group`, which must not be there.
    pub const fn add(group: Group) -> Self {
        let command = GroupCommand::Add;
        Self { command, group }
    }

    /// Replaces `group`, which must be there.
    pub const fn modify(group: Group) -> Self {
        let command = GroupCommand::Modify;
        Self { command, group }
    }

    /// Makes `group` be there as it is here.
    pub const fn add_or_modify(group: Group) -> Self {
        let command = GroupCommand::AddOrModify;
        Self { command, group }
    }

    /// Deletes a group, or with [`GroupId::ALL`] every group; flows that refer to it go too.
    pub const fn delete(id: GroupId) -> Self {
        Self {
            command: GroupCommand::Delete,
            group: Group {
                id,
                group_type: GroupType::All,
                selection: None,
                buckets: Vec::new(),
            },
        }
    }

    /// Adds `buckets` to a group.
    pub const fn insert_buckets(
        id: GroupId,
        group_type: GroupType,
        buckets: Vec<Bucket>,
        position: BucketPosition,
    ) -> Self {
        Self {
            command: GroupCommand::InsertBucket(position),
            group: Group {
                id,
                group_type,
                selection: None,
                buckets,
            },
        }
    }

    /// Removes a bucket from a group.
    pub const fn remove_bucket(id: GroupId, position: BucketPosition) -> Self {
        Self {
            command: GroupCommand::RemoveBucket(position),
            group: Group {
                id,
                group_type: GroupType::All,
                selection: None,
                buckets: Vec::new(),
            },
        }
    }

    /// ```text
    ///   8         10    11    12          16          18    20           24
    ///   +---------+-----+-----+-----------+-----------+-----+------------+---
    ///   | command | type| pad | group id  |bucket len | pad | bucket id  | ...
    ///   +---------+-----+-----+-----------+-----------+-----+------------+---
    /// ```
    pub(super) fn put(&self, out: &mut Writer<'_>) {
        let (number, position) = match self.command {
            GroupCommand::Add => (group_command::ADD, BucketPosition::All),
            GroupCommand::Modify => (group_command::MODIFY, BucketPosition::All),
            GroupCommand::Delete => (group_command::DELETE, BucketPosition::All),
            GroupCommand::InsertBucket(position) => (group_command::INSERT_BUCKET, position),
            GroupCommand::RemoveBucket(position) => (group_command::REMOVE_BUCKET, position),
            GroupCommand::AddOrModify => (group_command::ADD_OR_MOD, BucketPosition::All),
        };
        out.u16(number);
        out.u8(self.group.group_type.to_wire());
        out.zeros(1);
        out.u32(self.group.id.0);
        let length = out.position();
        out.u16(0);
        out.zeros(2);
        out.u32(position.to_wire());
        let buckets = out.position();
        put_buckets(out, self.group.group_type, &self.group.buckets);
        out.set_length("buckets", length, buckets);
        if let Some(selection) = &self.group.selection {
            put_selection(out, selection);
        }
    }

    pub(super) fn read(reader: &mut Reader<'_>, context: &Context) -> Result<Self, DecodeError> {
        let number = reader.u16("group_mod command")?;
        let group_type = GroupType::from_wire(reader.u8("group type")?);
        reader.skip("padding", 1)?;
        let id = GroupId(reader.u32("group id")?);
        let length = reader.u16("bucket array length")?;
        reader.skip("padding", 2)?;
        let position = BucketPosition::from_wire(reader.u32("command bucket id")?);
        let command = match number {
            group_command::ADD => GroupCommand::Add,
            group_command::MODIFY => GroupCommand::Modify,
            group_command::DELETE => GroupCommand::Delete,
            group_command::INSERT_BUCKET => GroupCommand::InsertBucket(position),
            group_command::REMOVE_BUCKET => GroupCommand::RemoveBucket(position),
            group_command::ADD_OR_MOD => GroupCommand::AddOrModify,
            other => return Err(reader.bad_value("group_mod command", other)),
        };
        let mut buckets = reader.sub("buckets", usize::from(length))?;
        let buckets = read_buckets(&mut buckets, context)?;
        let selection: Option<SelectionMethod> = read_selection(reader, context)?;
        Ok(Self {
            command,
            group: Group {
                id,
                group_type,
                selection,
                buckets,
            },
        })
    }
}
