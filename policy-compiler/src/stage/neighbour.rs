// SPDX-License-Identifier: Apache-2.0
//! `neighbour`: what a Pod asks its link about is answered for the gateway, and for nothing else.

use super::{Wanted, arp, nd, pipeline};
use crate::model::{Families, Family};
use crate::pipeline::{Spec, Table, priority};

pub(super) fn fixed(families: Families) -> Vec<Wanted> {
    let other = Spec::new(Table::Neighbour, priority::DEFAULT);
    let mut flows = vec![pipeline(
        other,
        "drops questions about anything but the gateway",
    )];
    for family in families.iter() {
        match family {
            Family::V4 => flows.push(arp::fixed()),
            Family::V6 => flows.extend(nd::fixed()),
        }
    }
    flows
}
