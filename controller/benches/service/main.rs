// SPDX-License-Identifier: Apache-2.0
//! How fast ten thousand Services are in force, and one change in them: a controller with ten nodes,
//! one of them a real Open vSwitch. What packets find there, `integration/benches/service` measures.

#[path = "../policy/bed.rs"]
mod bed;
mod count;
#[path = "../policy/crowd.rs"]
mod crowd;
#[path = "../sync/figure.rs"]
#[expect(dead_code, reason = "it can do more than this needs")]
mod figure;
#[path = "../policy/pods.rs"]
mod pods;
#[path = "../policy/real.rs"]
#[expect(dead_code, reason = "it can do more than this needs")]
mod real;
mod shape;

use crate::figure::Figures;

/// Services of three endpoints each.
const SERVICES: u32 = 10_000;

fn main() {
    if std::env::args().nth(1).as_deref() == Some(crowd::WORD) {
        crowd::run();
        return;
    }
    let mut figures = Figures::default();
    count::report(&mut figures);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(shape::report(&mut figures));
    figures.print();
}
