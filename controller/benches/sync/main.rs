// SPDX-License-Identifier: Apache-2.0
//! How fast switches are synced, and what they cost the controller in memory.
//!
//! `./run bench sync` starts this. Rates are compared within one run, because the machine may be busy
//! with other things.

mod crowd;
mod figure;
mod memory;
mod real;
mod rivals;
mod sample;
mod sharing;
mod tap;
#[path = "../../../openflow-session/tests/ovs/vswitchd.rs"]
#[expect(dead_code, reason = "it can do more than this needs")]
mod vswitchd;

use figure::Figures;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let mut figures = Figures::default();
    // Nothing else runs yet, so that nobody else's memory is counted.
    sharing::report(&mut figures);
    runtime.block_on(crowd::report(&mut figures));
    runtime.block_on(real::report(&mut figures));
    figures.print();
}
