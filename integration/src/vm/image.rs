// SPDX-License-Identifier: Apache-2.0
//! A kernel package that was unpacked and not installed.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::command;

/// The kernel and its modules, in a folder as `dpkg-deb --extract` makes it.
#[derive(Clone, Debug)]
pub struct Image {
    folder: PathBuf,
    version: String,
}

impl Image {
    /// The one kernel in `folder`; also writes the index of its modules if it has none.
    ///
    /// # Errors
    /// When there is none, or more than one.
    pub fn open(folder: &Path) -> Result<Self> {
        let boot = folder.join("boot");
        let entries = std::fs::read_dir(&boot)
            .with_context(|| format!("no unpacked kernel package in {}", folder.display()))?;
        let mut versions = Vec::new();
        for entry in entries {
            let name = entry?.file_name();
            versions.extend(
                name.to_str()
                    .and_then(|name| name.strip_prefix("vmlinuz-"))
                    .map(ToOwned::to_owned),
            );
        }
        let [version] = versions.as_slice() else {
            bail!("{} has {} kernels, not one", boot.display(), versions.len());
        };
        let image = Self {
            folder: folder.canonicalize()?,
            version: version.clone(),
        };
        if !image.modules().join("modules.dep.bin").exists() {
            command::run(
                "depmod",
                &[Path::new("-b"), &image.folder, Path::new(version)],
            )?;
        }
        Ok(image)
    }

    /// What `uname -r` will say.
    pub fn version(&self) -> &str {
        &self.version
    }

    pub(super) fn kernel(&self) -> PathBuf {
        self.folder
            .join("boot")
            .join(format!("vmlinuz-{}", self.version))
    }

    pub(super) fn modules(&self) -> PathBuf {
        self.folder.join("lib/modules").join(&self.version)
    }

    /// The files of modules and of what they need, in the order in which they must be loaded.
    pub(super) fn files_of(&self, modules: &[&str]) -> Result<Vec<PathBuf>> {
        let folder = self.folder.to_str().context("a folder is not UTF-8")?;
        let mut files = Vec::new();
        for module in modules {
            let words = ["--dirname", folder, "--set-version", &self.version];
            let text = command::run(
                "modprobe",
                &[&words[..], &["--show-depends", module]].concat(),
            )?;
            // One built into the kernel is called so, and is no file.
            for line in text.lines() {
                if let Some(file) = line.strip_prefix("insmod ") {
                    let file = PathBuf::from(file.trim());
                    if !files.contains(&file) {
                        files.push(file);
                    }
                }
            }
        }
        Ok(files)
    }
}
