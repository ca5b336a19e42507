// SPDX-License-Identifier: Apache-2.0
//! What every session is told of the pipeline.

use openflow_session::{Config, Marker};
use policy_compiler::pipeline::{
    CookieKind, ENTRY_TABLE, MARKER_TABLE, cookie, group, meter, priority, table_names,
};

use crate::encoder::tlv_mapping;

/// The configuration of all sessions.
pub fn session_config() -> Config {
    // The cookies of ours are those whose kind has these bits.
    let byte = |bits: u64| bits.to_be_bytes().first().copied().unwrap_or_default();
    let (first, mask) = (byte(cookie::OURS_VALUE), byte(cookie::OURS_MASK));
    let mut config = Config::new(
        first..=(first | !mask),
        ENTRY_TABLE,
        cluster_marker(),
        node_marker(),
    );
    config.group_ids = group::OURS;
    config.meters = meter::all().map(|meter| (meter.id, meter)).collect();
    config.tlv = Some(tlv_mapping());
    config.counted_kind = Some(CookieKind::Policy as u8);
    config.table_names = table_names()
        .map(|(table, name)| (table, name.to_owned()))
        .collect();
    config
}

/// The flow whose cookie is the digest of the cluster layer.
pub fn cluster_marker() -> Marker {
    Marker {
        table: MARKER_TABLE,
        priority: priority::CLUSTER_MARKER,
        cookie_kind: CookieKind::ClusterMarker as u8,
    }
}

/// The flow whose cookie is the digest of the node layer.
pub fn node_marker() -> Marker {
    Marker {
        table: MARKER_TABLE,
        priority: priority::NODE_MARKER,
        cookie_kind: CookieKind::NodeMarker as u8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use openflow_codec::{Cookie, GroupId};

    #[test]
    fn exactly_the_cookies_of_the_pipeline_are_ours() {
        let config = session_config();
        for kind in [
            CookieKind::ClusterMarker,
            CookieKind::Pipeline,
            CookieKind::Policy,
            CookieKind::NodeMarker,
        ] {
            assert!(config.owns_cookie(kind.cookie(0x1234)), "{kind:?}");
        }
        for foreign in [0, 0xbfff_ffff_ffff_ffff, 0xd000_0000_0000_0000, u64::MAX] {
            assert!(!config.owns_cookie(Cookie(foreign)), "{foreign:#x}");
        }
    }

    #[test]
    fn exactly_the_groups_of_the_pipeline_are_ours() {
        let config = session_config();
        assert!(config.owns_group(group::number(0x1234)));
        for foreign in [0, 1, 0x7fff_ffff, 0xffff_ff00] {
            assert!(!config.owns_group(GroupId(foreign)), "{foreign:#x}");
        }
    }

    #[test]
    fn the_markers_of_the_layers_are_told_apart_by_kind() {
        assert_ne!(cluster_marker().cookie_kind, node_marker().cookie_kind);
    }

    #[test]
    fn table_names_fit_on_the_switch() {
        assert!(
            session_config()
                .table_names
                .values()
                .all(|name| !name.is_empty() && name.len() <= 31)
        );
    }
}
