// SPDX-License-Identifier: Apache-2.0
//! What a directory of manifests adds to every change: from the file to what the controller is fed.

use std::time::Instant;

use controller::source::watch;
use tokio::sync::mpsc;

use crate::figure::middle_and_worst;

const WRITES: usize = 21;

pub(crate) async fn report() {
    let folder = tempfile::tempdir().expect("a directory");
    let (sender, mut updates) = mpsc::channel(4);
    watch(folder.path().to_owned(), sender).expect("a directory can be watched");
    assert!(updates.recv().await.is_some(), "the directory was read");
    let mut milliseconds = Vec::new();
    for number in 0..WRITES {
        let text = format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: p-{number}, namespace: shop}}\n\
             spec: {{nodeName: node-0, containers: []}}\n"
        );
        let start = Instant::now();
        let file = folder.path().join(format!("pod-{number}.yaml"));
        std::fs::write(file, text).expect("a directory of ours");
        while updates
            .recv()
            .await
            .is_some_and(|update| update.changes.is_empty())
        {}
        milliseconds.push(start.elapsed().as_secs_f64() * 1e3);
    }
    let (middle, worst) = middle_and_worst(milliseconds);
    println!(
        "\na Pod in a file, until the controller is fed: median {middle:.1} ms, worst {worst:.1} ms of {WRITES}; \
         this comes on top where the source is a directory"
    );
}
