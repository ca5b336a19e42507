// SPDX-License-Identifier: Apache-2.0
//! What became of a packet, read from `ofproto/trace`.

use std::collections::BTreeMap;

use openflow_codec::PortNo;

/// What became of a packet in one pass: as received, or from one recirculation to the next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pass {
    /// Tables searched with the cookie of the flow found.
    pub path: Vec<(u8, Option<u64>)>,
    /// Ports it left by, in order.
    pub ports: Vec<PortNo>,
}

/// Passes in the text of `ofproto/trace`.
pub(crate) fn read(text: &str, ports: &BTreeMap<u32, PortNo>) -> Vec<Pass> {
    let mut passes = vec![Pass::default()];
    for line in text.lines() {
        if line.starts_with("recirc(") {
            passes.push(Pass::default());
        }
        let pass = passes.last_mut().expect("there is a first pass");
        if let Some(lookup) = lookup(line) {
            pass.path.push(lookup);
        } else if let Some(actions) = line.strip_prefix("Datapath actions: ") {
            pass.ports = outputs(actions, ports);
        } else if line.starts_with("Translation failed") {
            pass.ports.clear();
        }
    }
    passes
}

/// Lines such as ` 2. ip,in_port=1, priority 7, cookie 0x3` or ` 4. No match.`
fn lookup(line: &str) -> Option<(u8, Option<u64>)> {
    let (table, rest) = line.trim_start().split_once(". ")?;
    let table = table.parse().ok()?;
    let cookie = rest.rsplit_once(", cookie 0x").map(|(_, cookie)| {
        u64::from_str_radix(cookie.trim(), 16).expect("cookies are hexadecimal")
    });
    assert!(cookie.is_some() || rest.starts_with("No match"), "{line}");
    Some((table, cookie))
}

/// Outputs are plain numbers between the commas of no parenthesis, or inside `clone(...)`.
fn outputs(actions: &str, ports: &BTreeMap<u32, PortNo>) -> Vec<PortNo> {
    let mut found = Vec::new();
    let mut depth = 0;
    let mut start = 0;
    let ends = actions.char_indices().chain([(actions.len(), ',')]);
    for (at, character) in ends {
        match character {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                let action = &actions[start..at];
                start = at + 1;
                if let Ok(port) = action.parse::<u32>() {
                    found.push(
                        *ports
                            .get(&port)
                            .expect("the trace names a port of the bridge"),
                    );
                } else if let Some(inside) = action.strip_prefix("clone(") {
                    found.extend(outputs(inside.trim_end_matches(')'), ports));
                }
            }
            _ => {}
        }
    }
    found
}
