// SPDX-License-Identifier: Apache-2.0
//! The framer: however a stream is cut on its way, the same messages come out.
//!
//! An input is a number of cuts (one byte), so many lengths of chunks (a byte each, used over and
//! over), and the stream.

use openflow_codec::{DecodeError, Frame, Framer, Header};

use crate::memory::{Limit, limited};
use crate::{Seed, samples};

/// A message of nothing but its header is a frame of 48 bytes, in a vector that doubles, and the
/// frames of two readings are compared.
const LIMIT: Limit = Limit {
    in_use: 40,
    ..Limit::DECODER
};

/// Reads the stream whole and in chunks, and compares.
pub fn run(input: &[u8]) {
    let Some((count, rest)) = input.split_first() else {
        return;
    };
    let Some((lengths, stream)) = rest.split_at_checked(usize::from(*count)) else {
        return;
    };
    limited(LIMIT, stream.len(), || {
        assert_eq!(read([stream]), read(chunks(stream, lengths)));
    });
}

fn chunks<'a>(mut stream: &'a [u8], lengths: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    let mut lengths = lengths.iter().map(|length| usize::from(*length)).cycle();
    std::iter::from_fn(move || {
        // A chunk of no bytes is of no use, and would be so for ever.
        let length = lengths.next().map_or(1, |length| length.max(1));
        let (chunk, rest) = stream.split_at(length.min(stream.len()));
        stream = rest;
        (!chunk.is_empty()).then_some(chunk)
    })
}

/// Messages, then why or where the stream ended.
type Read = (Vec<Frame>, Result<usize, DecodeError>);

fn read<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Read {
    let mut framer = Framer::new();
    let mut frames = Vec::new();
    let mut pushed = 0;
    let mut taken = 0;
    for chunk in chunks {
        framer.push(chunk);
        pushed += chunk.len();
        loop {
            match framer.next() {
                Ok(Some(frame)) => {
                    taken += Header::LEN + frame.body.len();
                    frames.push(frame);
                }
                Ok(None) => break,
                Err(error) => return (frames, Err(error)),
            }
        }
        assert_eq!(framer.buffered(), pushed - taken);
    }
    (frames, Ok(framer.buffered()))
}

/// Streams in chunks of several sizes, and one with a message whose length has wrapped.
pub fn seeds() -> Vec<Seed> {
    let stream: Vec<u8> = samples::messages()
        .into_iter()
        .take(6)
        .flat_map(|(_, message)| message)
        .collect();
    let mut seeds: Vec<_> = [1u8, 7, 8, 200]
        .into_iter()
        .map(|length| {
            let input = [&[1, length], stream.as_slice()].concat();
            (format!("chunks_of_{length}"), input)
        })
        .collect();
    let wrapped = [
        &[2, 20, 255][..],
        &[6, 4, 0, 24, 0, 0, 0, 1],
        &[0, 0, 0x23, 0x20, 0, 0, 0, 30],
        &[0, 0, 0, 64],
        &[0; 60],
    ];
    seeds.push(("packet_in2_with_wrapped_length".into(), wrapped.concat()));
    seeds
}
