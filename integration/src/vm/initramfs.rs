// SPDX-License-Identifier: Apache-2.0
//! What the machine boots with: busybox, the modules that reach the shares, and a short script.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};

use super::Image;
use crate::command;

const INIT: &str = include_str!("init.sh");

/// Modules that must be there before this machine's root is.
const EARLY: [&str; 5] = [
    "virtio_pci",
    "virtio_console",
    "virtio_rng",
    "virtiofs",
    "overlay",
];

/// Writes the archive. The folder it is made of stays beside it.
pub(super) fn write(image: &Image, archive: &Path) -> Result<()> {
    let tree = archive.with_extension("tree");
    let modules = tree.join("modules");
    for folder in [
        "bin", "modules", "proc", "sys", "dev", "lower", "memory", "new",
    ] {
        std::fs::create_dir_all(tree.join(folder))?;
    }
    let busybox = super::program(&["/usr/bin/busybox", "/bin/busybox"], "busybox-static")?;
    std::fs::copy(busybox, tree.join("bin/busybox"))?;
    // Numbered, so that the order of their names is that in which they must be loaded.
    for (number, file) in image.files_of(&EARLY)?.iter().enumerate() {
        unpack(file, &modules.join(format!("{number:02}.ko")))?;
    }
    let init = tree.join("init");
    std::fs::write(&init, INIT)?;
    std::fs::set_permissions(&init, std::fs::Permissions::from_mode(0o755))?;
    let line = "cd \"$1\" && find . -print0 | cpio --quiet --null --create --format=newc >\"$2\"";
    command::run(
        "sh",
        &[
            Path::new("-ec"),
            Path::new(line),
            Path::new("sh"),
            &tree,
            archive,
        ],
    )?;
    Ok(())
}

/// Some distributions compress their modules.
fn unpack(from: &Path, to: &Path) -> Result<()> {
    let program = match from.extension().and_then(|extension| extension.to_str()) {
        Some("ko") => {
            std::fs::copy(from, to).with_context(|| format!("cannot copy {}", from.display()))?;
            return Ok(());
        }
        Some("xz") => "xz",
        Some("zst") => "zstd",
        Some("gz") => "gzip",
        _ => bail!("{} is no kernel module", from.display()),
    };
    let output = command::bounded(program, command::LIMIT)
        .args(["--decompress", "--stdout"])
        .arg(from)
        .output()
        .with_context(|| format!("cannot start {program}"))?;
    ensure!(
        output.status.success(),
        "{program} cannot read {}",
        from.display()
    );
    std::fs::write(to, output.stdout)?;
    Ok(())
}
