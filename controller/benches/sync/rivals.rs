// SPDX-License-Identifier: Apache-2.0
//! What a sync is compared with: the same bundles as bytes that are ready, and `ovs-ofctl`.

use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use openflow_codec::message::bundle::BundleCommand;
use openflow_codec::message::hello::Hello;
use openflow_codec::message::message_type;
use openflow_codec::{Context, Frame, Framer, Message, Xid};

use crate::vswitchd::Vswitchd;

/// Bundles that a session sent, as bytes, and how many.
pub(crate) struct Raw {
    bytes: Vec<u8>,
    bundles: usize,
}

impl Raw {
    /// Everything from the first bundle on, and nothing else.
    pub(crate) fn new(frames: &[Frame]) -> Self {
        let bundled = |frame: &&Frame| {
            matches!(
                frame.header.message_type,
                message_type::BUNDLE_CONTROL
                    | message_type::BUNDLE_ADD_MESSAGE
                    | message_type::BARRIER_REQUEST
            )
        };
        let first = frames
            .iter()
            .position(|frame| frame.header.message_type == message_type::BUNDLE_CONTROL);
        let mut raw = Self {
            bytes: Vec::new(),
            bundles: 0,
        };
        for frame in frames.iter().skip(first.unwrap_or(0)).filter(bundled) {
            let header = frame.header;
            raw.bytes.extend([header.version, header.message_type]);
            raw.bytes.extend(header.length.to_be_bytes());
            raw.bytes.extend(header.xid.0.to_be_bytes());
            raw.bytes.extend_from_slice(&frame.body);
            raw.bundles += usize::from(is_bundle(frame, BundleCommand::CommitRequest));
        }
        raw
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn bundles(&self) -> usize {
        self.bundles
    }

    /// Writes as fast as the socket takes it, while another thread counts the acknowledged bundles.
    pub(crate) fn send(&self, switch: &Vswitchd) -> Duration {
        let start = Instant::now();
        let mut writer = switch.connect();
        let reader = writer.try_clone().expect("a socket");
        let mut hello = Vec::new();
        Message::Hello(Hello::OURS)
            .encode(Xid(0), &Context::UNMAPPED, &mut hello)
            .expect("a small message");
        std::thread::scope(|scope| {
            let acknowledged = scope.spawn(|| await_commits(reader, self.bundles));
            writer.write_all(&hello).expect("the switch listens");
            writer.write_all(&self.bytes).expect("the switch listens");
            acknowledged.join().expect("every bundle is acknowledged");
        });
        start.elapsed()
    }
}

fn is_bundle(frame: &Frame, command: BundleCommand) -> bool {
    frame.header.message_type == message_type::BUNDLE_CONTROL
        && matches!(
            Message::decode(frame, &Context::UNMAPPED),
            Ok(Message::BundleControl(control)) if control.command == command
        )
}

fn await_commits(mut reader: UnixStream, bundles: usize) {
    let (mut framer, mut buffer) = (Framer::new(), vec![0; 1 << 16]);
    let mut committed = 0;
    while committed < bundles {
        let length = reader.read(&mut buffer).expect("the switch answers");
        assert_ne!(length, 0, "the switch hung up");
        framer.push(buffer.get(..length).unwrap_or_default());
        while let Some(frame) = framer.next().expect("OpenFlow") {
            assert_ne!(frame.header.message_type, message_type::ERROR, "{frame:?}");
            committed += usize::from(is_bundle(&frame, BundleCommand::CommitReply));
        }
    }
}

/// Writes flows for [`ofctl`].
pub(crate) fn write_text(
    path: &Path,
    flows: impl Iterator<Item = impl std::fmt::Display>,
) -> std::io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    for flow in flows {
        writeln!(file, "{flow}")?;
    }
    file.flush()
}

/// `ovs-ofctl --bundle add-flows`.
pub(crate) fn ofctl(switch: &Vswitchd, path: &Path) -> Duration {
    let path = path.to_str().expect("a path of ours");
    let start = Instant::now();
    switch.ofctl(&["--bundle", "add-flows", "br0", path]);
    start.elapsed()
}
