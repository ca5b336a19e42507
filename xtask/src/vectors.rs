// SPDX-License-Identifier: Apache-2.0
//! Golden vectors: what a real ovs-ofctl and a real ovs-vswitchd say to each other.

mod flows;
mod proxy;
mod script;
mod settle;
mod stage;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use self::proxy::Recorded;
use self::stage::Stage;
use crate::ovs::Ovs;

/// A file's name and what is in it.
type File = (&'static str, String);

/// Records anew into `folder`.
pub(crate) fn write(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    for (name, contents) in record()? {
        let path = folder.join(name);
        fs::write(&path, contents).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

/// Records anew and compares with `folder`, if the same version recorded that.
pub(crate) fn check(folder: &Path) -> Result<()> {
    let mut different = 0;
    for (name, contents) in record()? {
        let path = folder.join(name);
        let known = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let version = |text: &str| text.lines().next().map(str::to_owned);
        if version(&known) != version(&contents) {
            println!("{name} is of another version: nothing to compare");
            continue;
        }
        let blocks = |text: &str| -> BTreeSet<String> {
            text.split("\n\n")
                .skip(1)
                .map(|block| block.trim().to_owned())
                .collect()
        };
        let (known, new) = (blocks(&known), blocks(&contents));
        for (sign, block) in (known.difference(&new).map(|block| ('-', block)))
            .chain(new.difference(&known).map(|block| ('+', block)))
        {
            println!("{name}: {sign} {block}\n");
            different += 1;
        }
    }
    ensure!(different == 0, "{different} vectors are different");
    Ok(())
}

fn record() -> Result<Vec<File>> {
    let mut seen = BTreeSet::new();
    let mut files = Vec::new();
    for (name, play) in script::PLAYS {
        let stage = Stage::new()?;
        play(&stage)?;
        let mut text = header(&stage.ovs);
        for mut recorded in stage.take() {
            settle::settle(&mut recorded.bytes);
            let new = !settle::is_cut_off(&recorded.bytes);
            if new && seen.insert((recorded.to_switch, recorded.bytes.clone())) {
                write_vector(&mut text, &stage.ovs, &recorded)?;
            }
        }
        files.push((*name, text));
    }
    Ok(files)
}

fn header(ovs: &Ovs) -> String {
    let version = ovs.run("ovs-vswitchd", &["--version"]);
    let version = version.lines().next().unwrap_or_default();
    format!(
        "# {version}\n\
         # Recorded by `cargo run -p xtask -- vectors`: messages to the switch (>) and from it (<), \
         and what\n\
         # ovs-ofctl ofp-print says of them. Transaction ids, times and names of a moment are zero.\n"
    )
}

fn write_vector(out: &mut String, ovs: &Ovs, recorded: &Recorded) -> Result<()> {
    let hex: String = recorded
        .bytes
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let text = ovs.ofctl(&["ofp-print", &hex]);
    let arrow = if recorded.to_switch { '>' } else { '<' };
    writeln!(out, "\n{arrow} {hex}")?;
    // Of a message that it cannot print, ovs-ofctl shows the bytes.
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let dumped = line.len() > 8 && line.bytes().take(8).all(|byte| byte.is_ascii_hexdigit());
        if !dumped {
            writeln!(out, "  {line}")?;
        }
    }
    Ok(())
}
