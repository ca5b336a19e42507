// SPDX-License-Identifier: Apache-2.0
//! Who sends and who receives: Pods, the kernels of nodes, and the world behind them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use policy_compiler::model::Family;
use reference::{Dice, Labels, Party};

use crate::state::{self, NODES, PodRef};

/// One end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum End {
    Pod(PodRef),
    /// A node's own kernel.
    Kernel(usize),
    /// Somebody who is no node and no Pod, on the other side of this node's kernel.
    World(usize, Family),
}

impl End {
    /// Somebody whom the Pod may talk to and who is no Pod. The world comes by the Pod's node.
    pub(crate) fn outside(pod: PodRef, dice: &mut Dice) -> Self {
        match pod.family {
            // Nodes have IPv4 addresses only.
            Family::V4 if dice.chance(2, 3) => Self::Kernel(dice.below(NODES)),
            family => Self::World(pod.node, family),
        }
    }

    /// The node whose switch its packets enter first.
    pub(crate) fn node(self) -> usize {
        match self {
            Self::Pod(pod) => pod.node,
            Self::Kernel(node) | Self::World(node, _) => node,
        }
    }

    pub(crate) fn address(self) -> IpAddr {
        match self {
            Self::Pod(pod) => pod.address(),
            Self::Kernel(node) => state::node_address(node).into(),
            Self::World(_, Family::V4) => Ipv4Addr::new(203, 0, 113, 7).into(),
            Self::World(_, Family::V6) => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 7).into(),
        }
    }

    /// Whether this is the kernel of the node that the Pod `to` is on: what comes from there always
    /// passes.
    pub(crate) fn is_kernel_of(self, to: Self) -> bool {
        matches!((self, to), (Self::Kernel(node), Self::Pod(pod)) if pod.node == node)
    }

    /// What the API knows of an end that is no Pod.
    pub(crate) fn outsider(self) -> Option<Party> {
        let no_pod = || Party {
            namespace: String::new(),
            namespace_labels: Labels::new(),
            labels: Labels::new(),
            address: self.address(),
            named_ports: Vec::new(),
        };
        (!matches!(self, Self::Pod(_))).then(no_pod)
    }
}
