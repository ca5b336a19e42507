// SPDX-License-Identifier: Apache-2.0
//! A packet's walk as text, in the manner of `ovs-appctl ofproto/trace`.

use std::fmt;

use openflow_codec::PortNo;
use openflow_codec::text::Names;

use crate::execution::{DropReason, Event, Execution, Place, Step};

/// An [`Execution`] with the names of tables and ports; see [`Execution::trace`].
#[derive(Clone, Copy, Debug)]
pub struct Trace<'a> {
    execution: &'a Execution,
    names: &'a Names,
}

impl Execution {
    /// The walk as text: for each table the flow found and what it did, then where the packet
    /// went or which flow dropped it. Tables and ports are called by `names`.
    pub const fn trace<'a>(&'a self, names: &'a Names) -> Trace<'a> {
        Trace {
            execution: self,
            names,
        }
    }
}

impl fmt::Display for Trace<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let walk = &self.execution.walk;
        let last = walk.iter().map(|step| step.pass).max().unwrap_or(0);
        for pass in 0..=last {
            if pass > 0 {
                self.fmt_resumption(pass, f)?;
            }
            for step in walk.iter().filter(|step| step.pass == pass) {
                self.fmt_step(step, f)?;
            }
            self.fmt_verdict(pass, f)?;
        }
        Ok(())
    }
}

impl Trace<'_> {
    /// The headline of a packet that came back from conntrack.
    fn fmt_resumption(&self, wanted: u16, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in &self.execution.walk {
            if let Event::Recirculate {
                zone, state, pass, ..
            } = step.event
                && pass == wanted
            {
                writeln!(
                    f,
                    "\nrecirc({pass:#x}) - resume conntrack with ct_state={state}, ct_zone={zone}"
                )?;
            }
        }
        Ok(())
    }

    fn fmt_step(&self, step: &Step, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let indent = usize::from(step.depth) * 4;
        if let Event::Lookup { table, found } = &step.event {
            write!(f, "{:indent$}{:>2}", "", table.0)?;
            if let Some(name) = self.names.tables.get(table) {
                write!(f, "({name})")?;
            }
            return match found {
                Some(entry) => {
                    let flow = &entry.flow;
                    write!(f, ". ")?;
                    if !flow.flow_match.is_any() {
                        write!(f, "{}, ", flow.flow_match.display(self.names))?;
                    }
                    writeln!(f, "priority {}, cookie {}", flow.priority, flow.cookie)
                }
                None => writeln!(f, ". No match."),
            };
        }
        let indent = indent + 4;
        write!(f, "{:indent$}", "")?;
        match &step.event {
            Event::Lookup { .. } => Ok(()),
            Event::Action(action) => writeln!(f, "{}", action.display(self.names)),
            Event::Instruction(instruction) => writeln!(f, "{}", instruction.display(self.names)),
            Event::Bucket { group, bucket } => writeln!(f, "group {group}: bucket {bucket}"),
            Event::ActionSet => writeln!(f, "the action set:"),
            Event::Recirculate { table, pass, .. } => {
                writeln!(
                    f,
                    " -> goes through conntrack and on in table {table}: recirc({pass:#x})"
                )
            }
            Event::InputPortSkipped(_) => writeln!(f, " >> skipping output to input port"),
            Event::Fault(fault) => writeln!(f, " >>>> {fault} <<<<"),
            Event::Drop(_) => writeln!(f, "drop"),
        }
    }

    /// What was sent, and what was not and why.
    fn fmt_verdict(&self, pass: u16, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sent = self
            .execution
            .outputs
            .iter()
            .chain(&self.execution.controller);
        for output in sent.filter(|output| output.pass == pass) {
            writeln!(f, "Output: {}: {}", self.port(output.port), output.packet)?;
        }
        for drop in self.execution.drops.iter().filter(|drop| drop.pass == pass) {
            let Place { table, cookie } = drop.by;
            let table = match self.names.tables.get(&table) {
                Some(name) => format!("{table}({name})"),
                None => table.to_string(),
            };
            let cookie = cookie.map(|cookie| cookie.to_string()).unwrap_or_default();
            match drop.reason {
                DropReason::TableMiss => writeln!(f, "Drop: no flow of table {table} matches"),
                DropReason::Flow => writeln!(f, "Drop: by table {table}, cookie {cookie}"),
                DropReason::InputPort => writeln!(
                    f,
                    "Drop: table {table}, cookie {cookie} sends it back where it came from"
                ),
                DropReason::Fault => writeln!(f, "Drop: a fault in table {table}"),
            }?;
        }
        Ok(())
    }

    fn port(&self, port: PortNo) -> String {
        match (port, self.names.ports.get(&port)) {
            (PortNo::CONTROLLER, _) => "CONTROLLER".into(),
            (_, Some(name)) => name.clone(),
            (_, None) => port.to_string(),
        }
    }
}
