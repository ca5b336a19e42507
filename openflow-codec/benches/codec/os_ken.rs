// SPDX-License-Identifier: Apache-2.0
//! The same flow_mod in os-ken, the Python library of OpenStack's OpenFlow agent.

use std::process::Command;

use crate::line;

/// The interpreter of a virtual environment with os-ken, set by `./run bench codec`.
const PYTHON: &str = "OS_KEN_PYTHON";
const SCRIPT: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/benches/codec/rates_of_os_ken.py"
);

/// Prints the figures of os-ken, which must make the bytes of `message`.
pub(crate) fn report(message: &[u8]) {
    let Some(python) = std::env::var_os(PYTHON).filter(|python| !python.is_empty()) else {
        println!("\nos-ken: not measured, {PYTHON} names no Python that has it");
        return;
    };
    let hex: String = message.iter().map(|byte| format!("{byte:02x}")).collect();
    match Command::new(python).args([SCRIPT, &hex]).output() {
        Ok(output) if output.status.success() => print(&String::from_utf8_lossy(&output.stdout)),
        Ok(output) => println!(
            "\nos-ken: not measured: {}",
            String::from_utf8_lossy(&output.stderr)
        ),
        Err(error) => println!("\nos-ken: not measured: {error}"),
    }
}

/// The script prints its version, then lines of a rate and what it is the rate of.
fn print(output: &str) {
    let mut lines = output.lines();
    println!("\n{}:", lines.next().unwrap_or_default());
    for text in lines {
        if let Some((rate, what)) = text.split_once(' ')
            && let Ok(rate) = rate.parse()
        {
            line(what, rate);
        }
    }
}
