// SPDX-License-Identifier: Apache-2.0
//! group_mods (OVS `ofproto/ofproto.c`, `lib/ofp-group.c`).

use openflow_codec::message::error::ErrorCode;
use openflow_codec::message::group_mod::{BucketPosition, GroupCommand, GroupMod};
use openflow_codec::{Bucket, Group, GroupId, GroupType};

use super::apply::Undo;
use super::{Switch, error};
use crate::groups::flow_groups;
use crate::validate::{GroupError, MAX_BUCKET, check_buckets, check_group_type};

/// `OFPG_MAX`.
const MAX_GROUP: GroupId = GroupId(0xffff_ff00);

impl Switch {
    /// Checks what OVS checks before it looks at other groups.
    pub(super) fn check_group_mod(&self, request: &GroupMod) -> Result<(), ErrorCode> {
        let group = &request.group;
        match request.command {
            GroupCommand::InsertBucket(BucketPosition::All) => {
                return Err(error("OFPGMFC_BAD_BUCKET"));
            }
            GroupCommand::InsertBucket(BucketPosition::At(id))
            | GroupCommand::RemoveBucket(BucketPosition::At(id))
                if id > MAX_BUCKET =>
            {
                return Err(error("OFPGMFC_BAD_BUCKET"));
            }
            _ => {}
        }
        check_buckets(group).map_err(|refused| error(refused.name()))?;
        match (request.command, group.group_type) {
            (GroupCommand::Delete, GroupType::Indirect) => {}
            _ => check_group_type(group).map_err(|refused| error(refused.name()))?,
        }
        if let GroupCommand::RemoveBucket(_) = request.command
            && !group.buckets.is_empty()
        {
            return Err(error("OFPGMFC_BAD_BUCKET"));
        }
        Ok(())
    }

    /// Carries out a checked group_mod; `undo` gets what takes it back.
    pub(super) fn apply_group_mod(
        &mut self,
        request: &GroupMod,
        undo: &mut Vec<Undo>,
    ) -> Result<(), ErrorCode> {
        let id = request.group.id;
        let old = self.sim.groups().get(id).cloned();
        let changed = match (request.command, &old) {
            (GroupCommand::Delete, _) => {
                self.delete_groups(id, undo);
                return Ok(());
            }
            (GroupCommand::Add, Some(_)) => return Err(error("OFPGMFC_GROUP_EXISTS")),
            (GroupCommand::Add | GroupCommand::AddOrModify, _)
            | (GroupCommand::Modify, Some(_)) => request.group.clone(),
            (GroupCommand::InsertBucket(position), Some(old)) => {
                insert_buckets(old, &request.group.buckets, position)?
            }
            (GroupCommand::RemoveBucket(position), Some(old)) => remove_bucket(old, position)?,
            (
                GroupCommand::Modify
                | GroupCommand::InsertBucket(_)
                | GroupCommand::RemoveBucket(_),
                None,
            ) => return Err(error("OFPGMFC_UNKNOWN_GROUP")),
        };
        if id > MAX_GROUP {
            return Err(error("OFPGMFC_INVALID_GROUP"));
        }
        self.sim.groups_mut().set(changed);
        undo.push(Undo::Group(id, old));
        Ok(())
    }

    /// Deletes a group, or all, with the flows that refer to them. No group is no error.
    fn delete_groups(&mut self, id: GroupId, undo: &mut Vec<Undo>) {
        let doomed: Vec<GroupId> = match id {
            GroupId::ALL => self.sim.groups().iter().map(|group| group.id).collect(),
            id => vec![id],
        };
        for id in doomed {
            let Some(group) = self.sim.groups_mut().remove(id) else {
                continue;
            };
            undo.push(Undo::Group(id, Some(group)));
            let refers = |flow: &_| flow_groups(flow).any(|group| group == id);
            for entry in self.sim.tables_mut().remove_if(refers) {
                undo.push(Undo::Flow(None, Some(entry)));
            }
        }
    }
}

fn insert_buckets(
    old: &Group,
    new: &[Bucket],
    position: BucketPosition,
) -> Result<Group, ErrorCode> {
    let mut group = old.clone();
    let at = match position {
        BucketPosition::First => 0,
        BucketPosition::Last => group.buckets.len(),
        BucketPosition::At(id) => find(&group, id)?.saturating_add(1),
        BucketPosition::All => return Err(error("OFPGMFC_BAD_BUCKET")),
    };
    let tail = group.buckets.split_off(at.min(group.buckets.len()));
    group.buckets.extend(new.iter().cloned().chain(tail));
    match check_buckets(&group) {
        Err(GroupError::BadBucket(_)) => return Err(error("OFPGMFC_BUCKET_EXISTS")),
        checked => checked.map_err(|refused| error(refused.name()))?,
    }
    Ok(group)
}

fn remove_bucket(old: &Group, position: BucketPosition) -> Result<Group, ErrorCode> {
    let mut group = old.clone();
    match position {
        BucketPosition::All => group.buckets.clear(),
        BucketPosition::First if !group.buckets.is_empty() => {
            group.buckets.remove(0);
        }
        BucketPosition::First => {}
        BucketPosition::Last => {
            group.buckets.pop();
        }
        BucketPosition::At(id) => {
            let at = find(&group, id)?;
            group.buckets.remove(at);
        }
    }
    Ok(group)
}

fn find(group: &Group, id: u32) -> Result<usize, ErrorCode> {
    let position = group.buckets.iter().position(|bucket| bucket.id == id);
    position.ok_or_else(|| error("OFPGMFC_UNKNOWN_BUCKET"))
}
