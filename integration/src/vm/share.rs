// SPDX-License-Identifier: Apache-2.0
//! Folders of this machine that the virtual machine sees: virtiofs, served by `virtiofsd`.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::{ended_with_us, program};
use crate::wait;

const START_LIMIT: Duration = Duration::from_secs(20);

/// The first is of QEMU before 8.0, the others are the program that took its place.
const PROGRAMS: [&str; 3] = [
    "/usr/lib/qemu/virtiofsd",
    "/usr/libexec/virtiofsd",
    "/usr/lib/virtiofsd",
];

/// A folder while it is served. Dropping it ends the service.
#[derive(Debug)]
pub(super) struct Share {
    tag: &'static str,
    socket: PathBuf,
    server: Child,
}

impl Share {
    /// Serves `folder` as `tag`; socket and log are in `dir`.
    ///
    /// Everything mounted below the folder is seen, too.
    pub(super) fn start(folder: &Path, tag: &'static str, dir: &Path) -> Result<Self> {
        let socket = dir.join(format!("{tag}.sock"));
        let log = File::create(dir.join(format!("virtiofsd-{tag}.log")))?;
        let daemon = program(
            &PROGRAMS,
            "virtiofsd (before Debian 13: qemu-system-common)",
        )?;
        let mut command = ended_with_us(daemon);
        let socket_path = format!("--socket-path={}", socket.display());
        command.arg(socket_path);
        if daemon == PROGRAMS[0] {
            command.arg("-o");
            command.arg(format!(
                "source={},sandbox=chroot,cache=auto",
                folder.display()
            ));
        } else {
            command.arg(format!("--shared-dir={}", folder.display()));
            command.args(["--sandbox=chroot", "--cache=auto"]);
        }
        command.stdin(Stdio::null());
        command.stdout(log.try_clone()?).stderr(log);
        let server = command.spawn().context("cannot start virtiofsd")?;
        let mut share = Self {
            tag,
            socket,
            server,
        };
        wait::until_true("virtiofsd to listen", START_LIMIT, || {
            Ok(share.socket.exists() || share.server.try_wait()?.is_some())
        })?;
        ensure!(
            share.server.try_wait()?.is_none(),
            "virtiofsd ended at once: see {}",
            dir.join(format!("virtiofsd-{tag}.log")).display()
        );
        Ok(share)
    }

    /// QEMU's arguments for it.
    pub(super) fn device(&self) -> [String; 4] {
        let Self { tag, socket, .. } = self;
        [
            "-chardev".to_owned(),
            format!("socket,id=fs-{tag},path={}", socket.display()),
            "-device".to_owned(),
            format!("vhost-user-fs-pci,chardev=fs-{tag},tag={tag},queue-size=1024"),
        ]
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        // It may have ended with the machine.
        drop(self.server.kill());
        drop(self.server.wait());
        drop(std::fs::remove_file(&self.socket));
    }
}
