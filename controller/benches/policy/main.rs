// SPDX-License-Identifier: Apache-2.0
//! How fast a policy, and a Pod, is in force: a controller with ten nodes, one of them a real Open
//! vSwitch, beside the same workload in OVN.
//!
//! Objects are fed to the controller behind its source, as a watch of the Kubernetes API would feed
//! them; what a directory of files adds is measured apart. `CULVERT_OVN_BENCH` names the script that
//! measures OVN; without it there are no ratios.

mod bed;
mod crowd;
mod figure;
mod files;
mod ovn;
mod pods;
mod real;
mod shape;
mod workload;

use crate::figure::Figures;
use crate::workload::Peers;

fn main() {
    if std::env::args().nth(1).as_deref() == Some(crowd::WORD) {
        crowd::run();
        return;
    }
    let mut figures = Figures::default();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        for peers in [Peers::Group, Peers::Everybody] {
            shape::report(peers, &mut figures).await;
        }
        files::report().await;
    });
    figures.print();
}
