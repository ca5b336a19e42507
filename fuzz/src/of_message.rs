// SPDX-License-Identifier: Apache-2.0
//! Messages: what is decoded can be encoded, and decodes to the same again.
//!
//! An input says in its first byte whether the switch has a TLV table, and then is a message. Its
//! version and length are put right, so that chance need not find them.

use openflow_codec::{Context, EncodeError, Frame, Header, Message, Xid};

use crate::memory::{Limit, limited};
use crate::{Seed, samples, vectors};

/// Decodes, encodes, decodes, encodes.
pub fn run(input: &[u8]) {
    let Some((&mapped, message)) = input.split_first() else {
        return;
    };
    let context = match mapped & 1 {
        0 => Context::UNMAPPED,
        _ => samples::context(),
    };
    let mut bytes = message.to_vec();
    let (Ok(length), [version, _, high, low, ..]) = (u16::try_from(bytes.len()), &mut *bytes)
    else {
        return;
    };
    *version = openflow_codec::VERSION;
    [*high, *low] = length.to_be_bytes();
    let Ok(frame) = Frame::from_bytes(&bytes) else {
        assert!(bytes.len() < Header::LEN);
        return;
    };
    let decoded = limited(Limit::DECODER, bytes.len(), || {
        Message::decode(&frame, &context)
    });
    let Ok(decoded) = decoded else {
        return;
    };
    // Logs print whatever came.
    limited(samples::PRINTED, bytes.len(), || format!("{decoded:?}"));
    match &decoded {
        Message::FlowMod(flow_mod) => drop(flow_mod.flow.to_string()),
        Message::BundleAdd(add) => {
            if let Ok((xid, inner)) = add.decode_message(&context) {
                check(xid, inner, &context);
            }
        }
        _ => {}
    }
    check(frame.header.xid, decoded, &context);
}

fn check(xid: Xid, mut message: Message, context: &Context) {
    if let Message::BundleAdd(add) = &mut message {
        // The message inside gets the transaction id of the one around it.
        let mut inner = add.message.to_vec();
        openflow_codec::set_xid(&mut inner, xid);
        add.message = inner.into();
    }
    let mut bytes = Vec::new();
    match message.encode(xid, context, &mut bytes) {
        Ok(()) => {}
        // Unknown widths are encoded as wide as can be.
        Err(EncodeError::TooLong { .. }) => return,
    }
    let frame = Frame::from_bytes(&bytes).expect("what we encode has a right length");
    let again = Message::decode(&frame, context).expect("what we encode can be decoded");
    assert_eq!(again, message, "decode(encode(v)) is not v");
    let mut bytes_again = Vec::new();
    again
        .encode(xid, context, &mut bytes_again)
        .expect("it was encoded before");
    assert_eq!(bytes_again, bytes, "encode(decode(encode(v))) is another");
}

/// Messages of every kind, our own and those of other programs.
pub fn seeds() -> Vec<Seed> {
    samples::messages()
        .into_iter()
        .chain(vectors::messages())
        .map(|(name, message)| (name, [&[1], message.as_slice()].concat()))
        .collect()
}
