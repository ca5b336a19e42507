// SPDX-License-Identifier: Apache-2.0
//! The numbers that say what something on the wire is: decoding and encoding read them here, and
//! `docs/openflow-coverage.md` has a row for each. Match fields are in [`crate::oxm`].

/// One number of a list, with its name in the specification or in OVS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Number {
    /// The number on the wire.
    pub number: u32,
    /// Its name, as in `OFPAT_OUTPUT`.
    pub name: &'static str,
    /// First OVS version that has it; nothing for what came with OpenFlow 1.5 itself.
    pub since: &'static str,
}

/// A list of numbers of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct List {
    /// What they are numbers of.
    pub title: &'static str,
    /// The numbers.
    pub numbers: &'static [Number],
}

impl List {
    /// The number's record.
    pub fn find(&self, number: u32) -> Option<&'static Number> {
        self.numbers.iter().find(|known| known.number == number)
    }
}

/// Declares a module with a constant for each number and the list of them all.
macro_rules! numbers {
    ($(#[doc = $doc:literal])* $vis:vis mod $module:ident: $int:ty, $prefix:literal, $title:literal {
        $($name:ident = $number:literal $(since $since:literal)?;)*
    }) => {
        $(#[doc = $doc])*
        pub mod $module {
            use super::{List, Number};

            $(#[doc = concat!("`", $prefix, stringify!($name), "`.")]
            $vis const $name: $int = $number;)*

            /// All of them.
            pub static LIST: List = List {
                title: $title,
                numbers: &[$(Number {
                    number: $number,
                    name: concat!($prefix, stringify!($name)),
                    since: concat!($($since)?),
                }),*],
            };
        }
    };
}

numbers! {
    /// `OFPT_*` (OpenFlow 1.5.1 section 7.1.1).
    pub mod message_type: u8, "OFPT_", "Messages" {
        HELLO = 0;
        ERROR = 1;
        ECHO_REQUEST = 2;
        ECHO_REPLY = 3;
        EXPERIMENTER = 4;
        FEATURES_REQUEST = 5;
        FEATURES_REPLY = 6;
        GET_CONFIG_REQUEST = 7;
        GET_CONFIG_REPLY = 8;
        SET_CONFIG = 9;
        PACKET_IN = 10;
        FLOW_REMOVED = 11;
        PORT_STATUS = 12;
        PACKET_OUT = 13;
        FLOW_MOD = 14;
        GROUP_MOD = 15;
        PORT_MOD = 16;
        TABLE_MOD = 17;
        MULTIPART_REQUEST = 18;
        MULTIPART_REPLY = 19;
        BARRIER_REQUEST = 20;
        BARRIER_REPLY = 21;
        ROLE_REQUEST = 24;
        ROLE_REPLY = 25;
        GET_ASYNC_REQUEST = 26;
        GET_ASYNC_REPLY = 27;
        SET_ASYNC = 28;
        METER_MOD = 29;
        ROLE_STATUS = 30;
        TABLE_STATUS = 31;
        REQUESTFORWARD = 32;
        BUNDLE_CONTROL = 33;
        BUNDLE_ADD_MESSAGE = 34;
    }
}

numbers! {
    /// Messages of Nicira (OVS `include/openflow/nicira-ext.h`).
    pub(crate) mod nicira: u32, "NXT_", "Messages of Nicira" {
        SET_PACKET_IN_FORMAT = 16 since "1.1";
        SET_CONTROLLER_ID = 20 since "1.6";
        TLV_TABLE_MOD = 24 since "2.5";
        TLV_TABLE_REQUEST = 25 since "2.5";
        TLV_TABLE_REPLY = 26 since "2.5";
        RESUME = 28 since "2.6";
        CT_FLUSH_ZONE = 29 since "2.6";
        PACKET_IN2 = 30 since "2.6";
        CT_FLUSH = 32 since "3.1";
    }
}

numbers! {
    /// `OFPMP_*` (OpenFlow 1.5.1 section 7.3.5).
    pub(crate) mod ofpmp: u16, "OFPMP_", "Multipart messages" {
        DESC = 0;
        FLOW = 1;
        AGGREGATE = 2;
        TABLE = 3;
        PORT = 4;
        QUEUE = 5;
        GROUP = 6;
        GROUP_DESC = 7;
        GROUP_FEATURES = 8;
        METER = 9;
        METER_DESC = 10;
        METER_FEATURES = 11;
        TABLE_FEATURES = 12;
        PORT_DESC = 13;
        TABLE_DESC = 14;
        QUEUE_DESC = 15;
        FLOW_MONITOR = 16;
    }
}

numbers! {
    /// `OFPIT_*` (OpenFlow 1.5.1 section 7.2.5).
    pub(crate) mod ofpit: u16, "OFPIT_", "Instructions" {
        GOTO_TABLE = 1;
        WRITE_METADATA = 2;
        WRITE_ACTIONS = 3;
        APPLY_ACTIONS = 4;
        CLEAR_ACTIONS = 5;
    }
}

numbers! {
    /// `OFPAT_*` (OpenFlow 1.5.1 section 7.2.6).
    pub(crate) mod ofpat: u16, "OFPAT_", "Actions" {
        OUTPUT = 0;
        SET_MPLS_TTL = 15 since "1.11";
        DEC_MPLS_TTL = 16 since "1.11";
        PUSH_VLAN = 17;
        POP_VLAN = 18;
        PUSH_MPLS = 19 since "1.11";
        POP_MPLS = 20 since "1.11";
        SET_QUEUE = 21;
        GROUP = 22;
        SET_NW_TTL = 23;
        DEC_NW_TTL = 24;
        SET_FIELD = 25;
        COPY_FIELD = 28 since "2.4";
        METER = 29 since "2.12";
    }
}

numbers! {
    /// `NXAST_*` (OVS `lib/ofp-actions.c`).
    pub(crate) mod nxast: u16, "NXAST_", "Actions of Nicira" {
        RESUBMIT = 1 since "0.90";
        POP_QUEUE = 5 since "1.1";
        NOTE = 8 since "1.1";
        MULTIPATH = 10 since "1.1";
        BUNDLE = 12 since "1.2";
        BUNDLE_LOAD = 13 since "1.2";
        RESUBMIT_TABLE = 14 since "1.3";
        OUTPUT_REG = 15 since "1.3";
        LEARN = 16 since "1.3";
        EXIT = 17 since "1.4";
        FIN_TIMEOUT = 19 since "1.6";
        CONTROLLER = 20 since "1.6";
        DEC_TTL_CNT_IDS = 21 since "1.9";
        WRITE_METADATA = 22 since "1.9";
        STACK_PUSH = 27 since "1.11";
        STACK_POP = 28 since "1.11";
        SAMPLE = 29 since "1.11";
        OUTPUT_REG2 = 32 since "2.4";
        CONJUNCTION = 34 since "2.4";
        CT = 35 since "2.5";
        NAT = 36 since "2.6";
        CONTROLLER2 = 37 since "2.6";
        SAMPLE2 = 38 since "2.6";
        OUTPUT_TRUNC = 39 since "2.6";
        SAMPLE3 = 41 since "2.7";
        CLONE = 42 since "2.7";
        CT_CLEAR = 43 since "2.7";
        RESUBMIT_TABLE_CT = 44 since "2.8";
        LEARN2 = 45 since "2.8";
        ENCAP = 46 since "2.8";
        DECAP = 47 since "2.8";
        DEC_NSH_TTL = 48 since "2.9";
        CHECK_PKT_LARGER = 49 since "2.12";
        DELETE_FIELD = 50 since "2.14";
        SAMPLE4 = 51 since "3.4";
    }
}

numbers! {
    /// Properties of `NXAST_CONTROLLER2` (`nx_action_controller2_prop_type`).
    pub(crate) mod controller2: u16, "NXAC2PT_", "Properties of the action controller2" {
        MAX_LEN = 0 since "2.6";
        CONTROLLER_ID = 1 since "2.6";
        REASON = 2 since "2.6";
        USERDATA = 3 since "2.6";
        PAUSE = 4 since "2.6";
        METER_ID = 5 since "2.8";
    }
}

numbers! {
    /// `ofp_group_mod_command` (OpenFlow 1.5.1 section 7.3.4.3).
    pub(crate) mod group_command: u16, "OFPGC_", "Commands of group_mod" {
        ADD = 0;
        MODIFY = 1;
        DELETE = 2;
        INSERT_BUCKET = 3;
        REMOVE_BUCKET = 5;
        ADD_OR_MOD = 0x8000 since "2.6";
    }
}

numbers! {
    /// `ofp_group_type` (OpenFlow 1.5.1 section 7.3.4.3).
    pub(crate) mod group_type: u8, "OFPGT_", "Types of group" {
        ALL = 0;
        SELECT = 1;
        INDIRECT = 2;
        FF = 3;
    }
}

numbers! {
    /// `ofp_group_bucket_prop_type` (OpenFlow 1.5.1 section 7.3.4.3).
    pub(crate) mod bucket_property: u16, "OFPGBPT_", "Properties of a bucket" {
        WEIGHT = 0;
        WATCH_PORT = 1;
        WATCH_GROUP = 2;
    }
}

numbers! {
    /// Properties of a group by Netronome (OVS `include/openflow/netronome-ext.h`).
    pub(crate) mod group_property: u32, "NTRT_", "Properties of a group" {
        SELECTION_METHOD = 1 since "2.4";
    }
}

numbers! {
    /// `ofp_meter_mod_command` (OpenFlow 1.5.1 section 7.3.4.5).
    pub(crate) mod meter_command: u16, "OFPMC_", "Commands of meter_mod" {
        ADD = 0;
        MODIFY = 1;
        DELETE = 2;
    }
}

numbers! {
    /// `ofp_meter_band_type` (OpenFlow 1.5.1 section 7.3.4.5).
    pub(crate) mod meter_band: u16, "OFPMBT_", "Bands of a meter" {
        DROP = 1;
        DSCP_REMARK = 2;
    }
}

numbers! {
    /// `nx_packet_in2_prop_type`.
    pub(crate) mod packet_in2: u16, "NXPINT_", "Properties of packet_in2" {
        PACKET = 0 since "2.6";
        FULL_LEN = 1 since "2.6";
        BUFFER_ID = 2 since "2.6";
        TABLE_ID = 3 since "2.6";
        COOKIE = 4 since "2.6";
        REASON = 5 since "2.6";
        METADATA = 6 since "2.6";
        USERDATA = 7 since "2.6";
        CONTINUATION = 8 since "2.6";
    }
}

numbers! {
    /// `ofp_flow_monitor_command` (OpenFlow 1.5.1 section 7.3.5.19).
    pub(crate) mod monitor_command: u8, "OFPFMC_", "Commands of a flow monitor" {
        ADD = 0;
        MODIFY = 1;
        DELETE = 2;
    }
}

numbers! {
    /// `ofp_flow_update_event` (OpenFlow 1.5.1 section 7.3.5.19).
    pub(crate) mod flow_event: u16, "OFPFME_", "Events of a flow monitor" {
        INITIAL = 0;
        ADDED = 1;
        REMOVED = 2;
        MODIFIED = 3;
        ABBREV = 4;
        PAUSED = 5;
        RESUMED = 6;
    }
}

numbers! {
    /// `nx_ct_flush_tlv_type`.
    pub(crate) mod ct_flush: u16, "NXT_CT_", "Properties of ct_flush" {
        ORIG_TUPLE = 0 since "3.1";
        REPLY_TUPLE = 1 since "3.1";
        ZONE_ID = 2 since "3.1";
        MARK = 3 since "3.3";
        MARK_MASK = 4 since "3.3";
        LABELS = 5 since "3.3";
        LABELS_MASK = 6 since "3.3";
    }
}

numbers! {
    /// `nx_ct_flush_tuple_tlv_type`.
    pub(crate) mod ct_tuple: u16, "NXT_CT_TUPLE_", "Properties of a tuple of ct_flush" {
        SRC = 0 since "3.1";
        DST = 1 since "3.1";
        SRC_PORT = 2 since "3.1";
        DST_PORT = 3 since "3.1";
        ICMP_ID = 4 since "3.1";
        ICMP_TYPE = 5 since "3.1";
        ICMP_CODE = 6 since "3.1";
    }
}

numbers! {
    /// `ofp_bundle_ctrl_type` (OpenFlow 1.5.1 section 7.3.9).
    pub(crate) mod bundle_control: u16, "OFPBCT_", "Bundle control messages" {
        OPEN_REQUEST = 0;
        OPEN_REPLY = 1;
        CLOSE_REQUEST = 2;
        CLOSE_REPLY = 3;
        COMMIT_REQUEST = 4;
        COMMIT_REPLY = 5;
        DISCARD_REQUEST = 6;
        DISCARD_REPLY = 7;
    }
}

numbers! {
    /// `nx_tlv_table_mod_command`.
    pub(crate) mod tlv_command: u16, "NXTTMC_", "Commands of tlv_table_mod" {
        ADD = 0 since "2.5";
        DELETE = 1 since "2.5";
        CLEAR = 2 since "2.5";
    }
}

numbers! {
    /// `ofp_controller_role` (OpenFlow 1.5.1 section 7.3.8).
    pub(crate) mod role: u32, "OFPCR_ROLE_", "Roles of a controller" {
        NOCHANGE = 0;
        EQUAL = 1;
        MASTER = 2;
        SLAVE = 3;
    }
}

numbers! {
    /// `ofp_async_config_prop_type` (OpenFlow 1.5.1 section 7.3.10).
    pub(crate) mod async_property: u16, "OFPACPT_", "Properties of set_async" {
        PACKET_IN_SLAVE = 0;
        PACKET_IN_MASTER = 1;
        PORT_STATUS_SLAVE = 2;
        PORT_STATUS_MASTER = 3;
        FLOW_REMOVED_SLAVE = 4;
        FLOW_REMOVED_MASTER = 5;
        ROLE_STATUS_SLAVE = 6;
        ROLE_STATUS_MASTER = 7;
        TABLE_STATUS_SLAVE = 8;
        TABLE_STATUS_MASTER = 9;
        REQUESTFORWARD_SLAVE = 10;
        REQUESTFORWARD_MASTER = 11;
    }
}
