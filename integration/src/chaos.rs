// SPDX-License-Identifier: Apache-2.0
//! Faults under traffic: what each costs, and that nothing leaks and nothing stays wrong.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, ensure};

mod fault;
mod lab;
mod leak;
mod schedule;
mod table;
mod traffic;

pub use fault::{Fault, Program};
pub use lab::{Lab, Row};
pub use schedule::Schedule;
pub use traffic::Measured;

/// How long a program is stopped.
pub const STOPPED: Duration = Duration::from_secs(30);

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Options {
    /// Random schedules to run.
    pub schedules: u64,
    /// Seed of the first.
    pub seed: u64,
    /// File whose section "Faults" is written anew.
    pub document: Option<PathBuf>,
}

/// Runs every fault by itself and the random schedules, prints what they cost, and answers whether
/// nothing leaked.
pub fn run(options: &Options) -> Result<bool> {
    let mut rows = Vec::new();
    let mut lab = Lab::start("chaos")?;
    for fault in killing_and_unplugging() {
        rows.push(told(lab.suffer(fault)?));
    }
    let stopped = stop_each_at_once("chaos", STOPPED)?;
    rows.extend(stopped.into_iter().map(told));
    let mut random = Vec::new();
    for seed in options.seed..options.seed.saturating_add(options.schedules) {
        let schedule = Schedule::of(seed);
        eprintln!("{schedule}");
        random.push(told(schedule.run(&mut lab)?));
    }
    let text = table::render(&rows, &random, options.seed);
    println!("{text}");
    if let Some(document) = &options.document {
        table::write(document, &text)?;
    }
    let leaks: usize = rows.iter().chain(&random).map(|row| row.leaks).sum();
    for leak in lab.leaks().1 {
        eprintln!("leak: {leak}");
    }
    Ok(leaks == 0)
}

/// Every program killed once, vswitchd restarted, and a node cut off from the controller.
pub fn killing_and_unplugging() -> Vec<Fault> {
    let killed = Program::ALL.map(|program| Fault::Kill(program, Duration::ZERO));
    let others = [
        Fault::Restart,
        Fault::RestartHalf,
        Fault::Unplug(Duration::from_secs(3)),
    ];
    killed.into_iter().chain(others).collect()
}

/// Stops each program for so long, all at the same time in clusters of their own.
pub fn stop_each_at_once(name: &str, how_long: Duration) -> Result<Vec<Row>> {
    std::thread::scope(|scope| {
        let running: Vec<_> = (1..)
            .zip(Program::ALL)
            .map(|(at, program)| {
                let name = format!("{name}{at}");
                scope.spawn(move || {
                    let mut lab = Lab::start(&name)?;
                    let row = lab.suffer(Fault::Stop(program, how_long))?;
                    let (leaks, first) = lab.leaks();
                    ensure!(leaks == 0, "{leaks} leaks: {first:?}");
                    Ok(row)
                })
            })
            .collect();
        let joined = running.into_iter().map(|lab| match lab.join() {
            Ok(row) => row,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        joined.collect()
    })
}

fn told(row: Row) -> Row {
    eprintln!("{}", table::line(&row));
    row
}
