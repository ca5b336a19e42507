// SPDX-License-Identifier: Apache-2.0
//! The simulator's side of a comparison with `ofproto/trace`.

use std::collections::BTreeMap;

use flow_sim::{CtState, Event, Execution};
use openflow_codec::PortNo;
use vswitchd::Pass;

/// Verdicts in an execution, pass by pass; ports that do not exist are left out, as OVS does.
pub(crate) fn of_execution(execution: &Execution, ports: &BTreeMap<u32, PortNo>) -> Vec<Pass> {
    let last = execution
        .walk
        .iter()
        .map(|step| step.pass)
        .max()
        .unwrap_or(0);
    let mut passes = vec![Pass::default(); usize::from(last) + 1];
    for step in &execution.walk {
        if let Event::Lookup { table, found } = &step.event {
            let cookie = found.as_ref().map(|entry| entry.flow.cookie.0);
            passes[usize::from(step.pass)].path.push((table.0, cookie));
        }
    }
    for output in &execution.outputs {
        if ports.values().any(|port| *port == output.port) {
            passes[usize::from(output.pass)].ports.push(output.port);
        }
    }
    passes
}

/// Arguments of `--ct-next` for these states.
pub(crate) fn ct_next(states: &[CtState]) -> Vec<String> {
    let arguments = states.iter().flat_map(|state| {
        let names = state.to_string().replace('|', ",");
        ["--ct-next".to_string(), names]
    });
    arguments.collect()
}
