// SPDX-License-Identifier: Apache-2.0
//! How many flow_mods one core builds, encodes and decodes, beside Open vSwitch and os-ken.
//!
//! `./run bench codec` prepares what is compared and starts this. The machine may be busy with other
//! things, so each figure is the best of many short rounds.

mod allocations;
mod os_ken;
mod ovs;
mod sample;

use std::hint::black_box;
use std::time::{Duration, Instant};

use openflow_codec::message::flow_mod::FlowMod;
use openflow_codec::{Context, Flow, Frame, Framer, Message, Xid};

use allocations::allocations;

const ROUNDS: usize = 4_000;
const ROUND: Duration = Duration::from_micros(200);
/// What one core has to do, in millions per second.
const GOAL: f64 = 5.0;

fn main() {
    let context = Context::UNMAPPED;
    let flow = sample::flow(1);
    let message = encoded(&flow, &context);
    let decoded = decode(&message, &context);
    assert_eq!(decoded, Message::FlowMod(FlowMod::add(&flow)));
    let text = flow.to_string();
    assert_eq!(text.parse::<Flow>().as_ref(), Ok(&flow));
    println!("flow_mod of {} bytes: {text}", message.len());

    let mut number = 0u32;
    let build_encode = best(|| {
        number = number.wrapping_add(1);
        let mut out = Vec::with_capacity(256);
        let flow = sample::flow(black_box(number));
        flow.encode_add(Xid(number), &context, &mut out)
            .expect("a small flow");
        out
    });
    let mut out = Vec::with_capacity(256);
    let before = allocations();
    let encode = best(|| {
        out.clear();
        black_box(&flow)
            .encode_add(Xid(1), &context, &mut out)
            .expect("a small flow");
        black_box(out.as_slice());
    });
    let encode_allocations = allocations() - before;
    let before = allocations();
    black_box(decode(&message, &context));
    let decode_allocations = allocations() - before;
    let decode_rate = best(|| decode(black_box(&message), &context));
    let stream = Stream::of(&message, 1_000);
    let stream_rate = best(|| stream.read(&context)) * stream.messages as f64;
    let parse_rate = best(|| black_box(text.as_str()).parse::<Flow>());
    let print_rate = best(|| black_box(&flow).to_string());

    println!("\nculvert's openflow-codec, one core, best of {ROUNDS} rounds of {ROUND:?}:");
    line("build + encode into a new buffer", build_encode);
    line("encode into a reused buffer", encode);
    println!("    memory allocations in all of these rounds: {encode_allocations}");
    line("decode one message", decode_rate);
    println!("    memory allocations each: {decode_allocations}");
    line("cut a stream into messages and decode", stream_rate);
    line("read the flow's text", parse_rate);
    line("write the flow's text", print_rate);

    ovs::report();
    os_ken::report(&message);

    println!();
    figure("codec_build_encode", build_encode / 1e6, "M/s", ">=", GOAL);
    figure("codec_encode", encode / 1e6, "M/s", ">=", GOAL);
    figure("codec_decode", decode_rate / 1e6, "M/s", ">=", GOAL);
    let steady = encode_allocations as f64;
    figure("codec_encode_allocations", steady, "allocations", "<=", 0.0);
}

fn encoded(flow: &Flow, context: &Context) -> Vec<u8> {
    let mut out = Vec::new();
    flow.encode_add(Xid(1), context, &mut out)
        .expect("a small flow");
    out
}

fn decode(message: &[u8], context: &Context) -> Message {
    let frame = Frame::from_bytes(message).expect("a whole message");
    Message::decode(&frame, context).expect("a sound message")
}

/// Many messages as they come from a socket.
struct Stream {
    bytes: Vec<u8>,
    messages: usize,
}

impl Stream {
    const READ: usize = 64 * 1024;

    fn of(message: &[u8], messages: usize) -> Self {
        let bytes = message.repeat(messages);
        Self { bytes, messages }
    }

    fn read(&self, context: &Context) -> usize {
        let mut framer = Framer::new();
        let mut count = 0;
        for read in self.bytes.chunks(Self::READ) {
            framer.push(read);
            while let Some(frame) = framer.next().expect("a sound stream") {
                black_box(Message::decode(&frame, context).expect("a sound message"));
                count += 1;
            }
        }
        assert_eq!(count, self.messages);
        count
    }
}

/// Calls of `work` per second in the best round.
fn best<T>(mut work: impl FnMut() -> T) -> f64 {
    let mut batch = 1u32;
    let mut best = 0f64;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        for _ in 0..batch {
            black_box(work());
        }
        let elapsed = start.elapsed();
        best = best.max(f64::from(batch) / elapsed.as_secs_f64());
        if elapsed < ROUND / 2 {
            batch = batch.saturating_mul(2);
        }
    }
    best
}

fn line(what: &str, rate: f64) {
    println!("  {what:<44}{:>10} /s {:>9}", amount(rate), each(rate));
}

fn amount(rate: f64) -> String {
    match rate {
        1e6.. => format!("{:.2} M", rate / 1e6),
        _ => format!("{:.1} k", rate / 1e3),
    }
}

fn each(rate: f64) -> String {
    match 1e9 / rate {
        nanoseconds @ ..10e3 => format!("{nanoseconds:.0} ns"),
        nanoseconds => format!("{:.0} us", nanoseconds / 1e3),
    }
}

/// One line for programs to read.
fn figure(name: &str, value: f64, unit: &str, relation: &str, goal: f64) {
    let reached = match relation {
        ">=" => value >= goal,
        _ => value <= goal,
    };
    let verdict = if reached { "ok" } else { "short" };
    println!("figure {name} {value:.4} {unit} goal {relation} {goal} {verdict}");
}
