// SPDX-License-Identifier: Apache-2.0
//! Handshake and liveness, against a peer that says exactly what a test lets it say.

#[path = "fixture/pipeline.rs"]
#[expect(dead_code, reason = "each test binary uses its part of the pipeline")]
mod pipeline;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use openflow_codec::message::error::{ErrorCode, ErrorMessage};
use openflow_codec::message::features::Features;
use openflow_codec::message::hello::Hello;
use openflow_codec::message::multipart::desc::SwitchDesc;
use openflow_codec::message::multipart::{
    MultipartReply, MultipartRequest, ReplyBody, RequestBody,
};
use openflow_codec::message::port::{Port, PortConfig, PortReason, PortState, PortStatus};
use openflow_codec::message::role::{Role as WireRole, RoleMessage};
use openflow_codec::message::tlv_table::TlvTableReply;
use openflow_codec::{Context, DatapathId, Framer, Message, PortNo, Xid};
use openflow_session::{
    CloseReason, Config, Event, Generation, Layer, LayerState, Role, Session, SwitchInfo,
};

/// A session and the peer's end of its connection.
struct Pair {
    session: Session,
    now: Instant,
    from_session: Framer,
}

impl Pair {
    fn new(config: Config) -> Self {
        let now = Instant::now();
        Self {
            session: Session::new(Arc::new(config), now),
            now,
            from_session: Framer::new(),
        }
    }

    /// The peer says something.
    fn say(&mut self, xid: Xid, message: &Message) {
        let mut bytes = Vec::new();
        message
            .encode(xid, &Context::UNMAPPED, &mut bytes)
            .expect("a small message");
        self.session.handle_bytes(&bytes, self.now);
    }

    /// What the session has said since the last call.
    fn heard(&mut self) -> Vec<(Xid, Message)> {
        while let Some(bytes) = self.session.poll_transmit() {
            self.from_session.push(&bytes);
        }
        let mut messages = Vec::new();
        while let Some(frame) = self.from_session.next().expect("framed by the session") {
            let message = Message::decode(&frame, &pipeline::context()).expect("from the session");
            messages.push((frame.header.xid, message));
        }
        messages
    }

    fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.session.poll_event()).collect()
    }

    fn closed(&mut self) -> CloseReason {
        match self.events().pop() {
            Some(Event::Closed(reason)) => reason,
            other => panic!("not closed: {other:?}"),
        }
    }

    /// Time passes until the session has something to do.
    fn sleep(&mut self) {
        self.now = self.session.poll_timeout().expect("open");
        self.session.handle_timeout(self.now);
    }

    /// Answers everything as a healthy switch without flows does, until the session is silent.
    fn answer_all(&mut self) {
        self.listen();
    }

    /// The same, and all that the session said.
    fn listen(&mut self) -> Vec<Message> {
        let mut all = Vec::new();
        loop {
            let heard = self.heard();
            if heard.is_empty() {
                return all;
            }
            for (xid, message) in heard {
                if let Some(answer) = answer(&message) {
                    self.say(xid, &answer);
                }
                all.push(message);
            }
        }
    }
}

fn answer(message: &Message) -> Option<Message> {
    Some(match message {
        Message::Hello(_) => Message::Hello(Hello::OURS),
        Message::FeaturesRequest => Message::FeaturesReply(Features {
            datapath_id: DatapathId(0xabc),
            n_buffers: 0,
            n_tables: 254,
            auxiliary_id: 0,
            capabilities: 0,
        }),
        Message::RoleRequest(role) => Message::RoleReply(*role),
        Message::TlvTableRequest => Message::TlvTableReply(TlvTableReply {
            max_option_space: 256,
            max_fields: 64,
            mappings: vec![pipeline::TLV],
        }),
        Message::BarrierRequest => Message::BarrierReply,
        Message::MultipartRequest(MultipartRequest { body, .. }) => {
            let reply = match body {
                RequestBody::Desc => ReplyBody::Desc(SwitchDesc {
                    software: "3.1.0".to_owned(),
                    ..SwitchDesc::default()
                }),
                RequestBody::PortDesc(_) => ReplyBody::PortDesc(vec![port(2, "b"), port(1, "a")]),
                RequestBody::Flow(_) => ReplyBody::Flow(Vec::new()),
                RequestBody::GroupDesc(_) => ReplyBody::GroupDesc(Vec::new()),
                _ => return None,
            };
            Message::MultipartReply(reply.into())
        }
        _ => return None,
    })
}

fn port(number: u32, name: &str) -> Port {
    Port {
        number: PortNo(number),
        hw_addr: [2, 0, 0, 0, 0, 1],
        name: name.to_owned(),
        config: PortConfig::empty(),
        state: PortState::LIVE,
        properties: Bytes::new(),
    }
}

fn error(name: &str) -> Message {
    Message::Error(ErrorMessage {
        code: ErrorCode::from_name(name).expect("an error of OVS"),
        data: Bytes::new(),
    })
}

fn up(events: &[Event]) -> &SwitchInfo {
    match events {
        [Event::Up(info)] => info,
        other => panic!("not up: {other:?}"),
    }
}

#[test]
fn a_healthy_switch_is_up_with_its_ports_in_order() {
    let mut pair = Pair::new(pipeline::config());
    pair.answer_all();
    let events = pair.events();
    let info = up(&events);
    assert_eq!(info.datapath_id, DatapathId(0xabc));
    assert_eq!(info.software, "3.1.0");
    let ports: Vec<_> = info
        .ports
        .iter()
        .map(|p| (p.number.0, p.name.as_str(), p.up))
        .collect();
    assert_eq!(ports, [(1, "a", true), (2, "b", true)]);
}

/// One part of the list of ports, in answer to the request for it.
fn say_ports(pair: &mut Pair, request: Xid, more: bool, number: u32) {
    let body = ReplyBody::PortDesc(vec![port(number, "p")]);
    pair.say(
        request,
        &Message::MultipartReply(MultipartReply { more, body }),
    );
}

/// Answers everything but the request for ports; that one's transaction id.
fn answer_all_but_ports(pair: &mut Pair) -> Xid {
    pair.say(Xid(1), &Message::Hello(Hello::OURS));
    let mut ports = None;
    for (xid, message) in pair.heard() {
        if let Message::MultipartRequest(MultipartRequest {
            body: RequestBody::PortDesc(_),
            ..
        }) = message
        {
            ports = Some(xid);
        } else if let (Some(answer), false) =
            (answer(&message), matches!(message, Message::Hello(_)))
        {
            pair.say(xid, &answer);
        }
    }
    ports.expect("ports are asked for")
}

#[test]
fn a_reply_in_parts_is_whole_with_its_last_part() {
    let mut pair = Pair::new(pipeline::config());
    let request = answer_all_but_ports(&mut pair);
    for number in 1..=3 {
        say_ports(&mut pair, request, true, number);
        pair.answer_all();
        assert_eq!(pair.events(), []);
    }
    // A part with another transaction id is of no reply that was asked for.
    say_ports(&mut pair, Xid(0xffff_fff0), false, 9);
    say_ports(&mut pair, request, false, 4);
    pair.answer_all();
    let events = pair.events();
    let numbers: Vec<u32> = up(&events).ports.iter().map(|p| p.number.0).collect();
    assert_eq!(numbers, [1, 2, 3, 4]);
}

#[test]
fn a_reply_that_never_ends_is_cut_off_at_its_limit() {
    let mut config = pipeline::config();
    config.limits.max_ports = 3;
    let mut pair = Pair::new(config);
    let request = answer_all_but_ports(&mut pair);
    for number in 1..=3 {
        say_ports(&mut pair, request, true, number);
        assert_eq!(pair.events(), []);
    }
    say_ports(&mut pair, request, true, 4);
    let reason = pair.closed();
    assert_eq!(
        reason,
        CloseReason::Limit("it has more than 3 ports".to_owned())
    );
}

#[test]
fn an_older_switch_is_told_and_named() {
    let mut pair = Pair::new(pipeline::config());
    pair.say(Xid(1), &Message::Hello(Hello { versions: 0b1_0010 }));
    let reason = pair.closed().to_string();
    assert!(reason.contains("it offers 1.0, 1.3"), "{reason}");
    assert!(reason.contains("add OpenFlow15 to `protocols`"), "{reason}");
    let last = pair.heard().pop().expect("something was said").1;
    let code = ErrorCode::from_name("OFPHFC_INCOMPATIBLE").expect("an error of OVS");
    assert!(matches!(last, Message::Error(error) if error.code == code));
    assert_eq!(pair.session.poll_timeout(), None);
}

#[test]
fn a_switch_that_refuses_us_is_named() {
    let mut pair = Pair::new(pipeline::config());
    pair.say(Xid(1), &error("OFPHFC_INCOMPATIBLE"));
    assert!(matches!(pair.closed(), CloseReason::Version { .. }));
}

#[test]
fn a_peer_that_is_no_switch_is_refused() {
    for greeting in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        b"\x06\x02\x00\x08\x00\x00\x00\x01",
        b"\x06\x00\x00\x04\x00\x00\x00\x00",
    ] {
        let mut pair = Pair::new(pipeline::config());
        pair.session.handle_bytes(greeting, pair.now);
        let reason = pair.closed();
        assert!(matches!(reason, CloseReason::Malformed(_)), "{reason}");
    }
}

#[test]
fn an_unfinished_handshake_ends_and_says_what_was_missing() {
    let mut pair = Pair::new(pipeline::config());
    let start = pair.now;
    pair.say(Xid(1), &Message::Hello(Hello::OURS));
    for (xid, message) in pair.heard() {
        if let Some(answer) = answer(&message)
            && !matches!(message, Message::TlvTableRequest)
        {
            pair.say(xid, &answer);
        }
    }
    while !pair.session.is_closed() {
        // The switch goes on living.
        pair.say(Xid(0), &Message::EchoRequest(Bytes::new()));
        pair.sleep();
        assert!(pair.now < start + Duration::from_secs(60));
    }
    let reason = pair.closed().to_string();
    assert!(
        reason.ends_with("no answer to the request for its tunnel options"),
        "{reason}"
    );
}

#[test]
fn an_older_leader_is_refused() {
    let mut config = pipeline::config();
    config.role = Role::Master { generation_id: 7 };
    let mut pair = Pair::new(config);
    pair.say(Xid(1), &Message::Hello(Hello::OURS));
    let heard = pair.heard();
    let request = heard.iter().find_map(|(xid, message)| match message {
        Message::RoleRequest(RoleMessage { generation_id, .. }) => Some((*xid, *generation_id)),
        _ => None,
    });
    let (xid, generation_id) = request.expect("a role is asked for");
    assert_eq!(generation_id, 7);
    pair.say(xid, &error("OFPRRFC_STALE"));
    assert!(matches!(pair.closed(), CloseReason::StaleMaster { .. }));
}

#[test]
fn a_slave_asks_for_its_role_and_changes_nothing() {
    let mut config = pipeline::config();
    config.role = Role::Slave { generation_id: 7 };
    let mut pair = Pair::new(config);
    let (now, none) = (pair.now, LayerState::default());
    for layer in Layer::ALL {
        pair.session
            .set_wanted(layer, none.clone(), Generation(1), now);
    }
    let heard = pair.listen();
    let role = heard.iter().find_map(|message| match message {
        Message::RoleRequest(request) => Some(*request),
        _ => None,
    });
    let asked = RoleMessage {
        role: WireRole::Slave,
        generation_id: 7,
    };
    assert_eq!(role, Some(asked));
    assert!(!heard.iter().any(changes), "{heard:?}");
    up(&pair.events());

    // It reads the tunnel options again, since its master may have mapped ours.
    pair.session
        .set_role(Role::Master { generation_id: 8 }, now);
    let heard = pair.listen();
    assert!(heard.contains(&Message::TlvTableRequest), "{heard:?}");
    assert!(heard.iter().any(changes), "{heard:?}");

    pair.session.set_role(Role::Slave { generation_id: 9 }, now);
    assert_eq!(pair.closed(), CloseReason::Owner);
}

/// Whether a slave may not say this.
fn changes(message: &Message) -> bool {
    match message {
        Message::TlvTableMod(_) | Message::BundleControl(_) | Message::BundleAdd(_) => true,
        Message::MultipartRequest(MultipartRequest {
            body: RequestBody::TableFeatures(tables),
            ..
        }) => !tables.is_empty(),
        _ => false,
    }
}

#[test]
fn ports_are_followed_once_they_are_known() {
    let mut pair = Pair::new(pipeline::config());
    pair.say(Xid(1), &Message::Hello(Hello::OURS));
    let status = |number, name| {
        Message::PortStatus(PortStatus {
            reason: PortReason::Add,
            port: port(number, name),
        })
    };
    pair.say(Xid(0), &status(3, "early"));
    pair.answer_all();
    up(&pair.events());
    pair.say(Xid(0), &status(4, "late"));
    let events = pair.events();
    assert!(
        matches!(&events[..], [Event::PortStatus { port, .. }] if port.name == "late"),
        "{events:?}"
    );
}

#[test]
fn an_echo_is_answered_with_its_own_data() {
    let mut pair = Pair::new(pipeline::config());
    pair.answer_all();
    let data = Bytes::from_static(b"ping");
    pair.say(Xid(99), &Message::EchoRequest(data.clone()));
    assert_eq!(pair.heard(), [(Xid(99), Message::EchoReply(data))]);
}

#[test]
fn a_peer_that_does_not_read_its_echo_replies_is_dropped() {
    let mut pair = Pair::new(pipeline::config());
    pair.answer_all();
    let data = Bytes::from(vec![0; 60_000]);
    for _ in 0..20 {
        pair.say(Xid(99), &Message::EchoRequest(data.clone()));
    }
    assert!(matches!(pair.closed(), CloseReason::Limit(_)));
}

#[test]
fn a_silent_switch_is_probed_and_then_given_up() {
    let mut pair = Pair::new(pipeline::config());
    pair.answer_all();
    pair.events();
    pair.sleep();
    let probe = pair.heard();
    assert!(
        matches!(probe[..], [(_, Message::EchoRequest(_))]),
        "{probe:?}"
    );
    pair.say(probe[0].0, &Message::EchoReply(Bytes::new()));
    pair.sleep();
    assert_eq!(pair.heard().len(), 1, "probed again after an answer");
    pair.sleep();
    assert_eq!(pair.closed(), CloseReason::ProbeTimeout);
}

#[test]
fn nothing_is_programmed_or_read_before_both_layers_are_known() {
    let mut pair = Pair::new(pipeline::config());
    pair.answer_all();
    let now = pair.now;
    let cluster = pipeline::layer([pipeline::policy(1)], []);
    pair.session
        .set_wanted(Layer::Cluster, cluster, Generation(1), now);
    assert_eq!(pair.heard(), []);
    pair.session
        .set_wanted(Layer::Node, LayerState::default(), Generation(1), now);
    assert_eq!(pair.heard().len(), 2, "the two markers are read");
}

#[test]
fn every_prefix_of_a_conversation_is_survived() {
    let hello = {
        let mut bytes = Vec::new();
        let message = Message::Hello(Hello::OURS);
        message
            .encode(Xid(1), &Context::UNMAPPED, &mut bytes)
            .expect("a small message");
        bytes
    };
    for cut in 0..hello.len() {
        let mut pair = Pair::new(pipeline::config());
        pair.session.handle_bytes(&hello[..cut], pair.now);
        assert!(!pair.session.is_closed());
        pair.session.handle_bytes(&hello[cut..], pair.now);
        assert!(pair.heard().len() > 1, "the handshake goes on");
    }
}
