// SPDX-License-Identifier: Apache-2.0
//! Messages that real programs have sent: the codec's golden vectors.

use std::collections::BTreeMap;
use std::path::Path;

/// The shortest message of each kind, and with each kind of body, by name.
pub(crate) fn messages() -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../openflow-codec/tests/vectors");
    let mut shortest: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let text = std::fs::read_to_string(entry.path()).unwrap_or_default();
        let lines = text
            .lines()
            .filter_map(|line| line.strip_prefix(['<', '>']));
        for message in lines.filter_map(|hex| bytes(hex.trim())) {
            let known = shortest
                .entry(name(&message))
                .or_insert_with(|| message.clone());
            if (message.len(), &message) < (known.len(), known) {
                *known = message;
            }
        }
    }
    shortest.into_iter().collect()
}

/// Type, and what the body is if the type leaves that open.
fn name(message: &[u8]) -> String {
    const EXPERIMENTER: u8 = 4;
    const MULTIPART: std::ops::RangeInclusive<u8> = 18..=19;
    let kind = message.get(1).copied().unwrap_or_default();
    let body = match kind {
        EXPERIMENTER => message.get(15),
        kind if MULTIPART.contains(&kind) => message.get(9),
        _ => None,
    };
    match body {
        None => format!("vector_{kind}"),
        Some(body) => format!("vector_{kind}_{body}"),
    }
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    let byte = |at: usize| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok();
    (0..hex.len()).step_by(2).map(byte).collect()
}
