// SPDX-License-Identifier: Apache-2.0
//! A small virtual machine that shows this machine's own files to another kernel.
//!
//! The kernel datapath of Open vSwitch needs the module openvswitch, which machines that build and
//! test often lack. So QEMU boots a distribution's kernel package, unpacked and never installed. Its
//! root is this machine's, by virtiofs, under a layer in memory: every program, library and test binary is
//! there as it is here, and nothing that runs there changes a file here. A second share, `/job`, brings
//! the command in, and its status and logs out. There is no network.

mod image;
mod initramfs;
mod share;

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail, ensure};

pub use self::image::Image;
use self::share::Share;
use crate::wait;

/// Modules that a job may need: those of Open vSwitch and of the beds.
const MODULES: &str = "openvswitch vport_geneve veth bridge tun dummy nf_tables nft_chain_nat nft_ct \
                       nft_masq nft_nat nft_fib_inet nft_reject_inet sctp sch_netem";

/// How long the machine may take to end by itself after its job.
const GRACE: Duration = Duration::from_secs(20);

/// What the machine is like.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Memory in MiB.
    pub memory: u32,
    /// Processors.
    pub cpus: u32,
}

/// What it shall do.
#[derive(Clone, Debug)]
pub struct Job {
    /// Program and arguments.
    pub command: Vec<String>,
    /// Variables of its environment.
    pub env: Vec<(String, String)>,
    /// Where it runs.
    pub directory: PathBuf,
    /// How long the machine may live, from power on.
    pub limit: Duration,
}

/// How a job ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Exit status of the command; `None` when the machine ended before it did.
    pub status: Option<i32>,
    /// Whether the machine was switched off because its time was over.
    pub late: bool,
    /// How long it lived.
    pub lived: Duration,
}

/// Boots a machine for one job; `line` gets each line that the job prints.
///
/// `dir` is emptied first. Afterwards it has `console.log` (what the kernel and the boot said), `status`,
/// and of a job that failed `kernel.log` and `logs/`, which has the files of `/run/culvert`.
///
/// # Errors
/// When the machine cannot be built or started; a job that fails is no error.
pub fn run(
    image: &Image,
    size: Size,
    job: &Job,
    dir: &Path,
    mut line: impl FnMut(&str),
) -> Result<Outcome> {
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("cannot empty {}", dir.display()));
        }
        _ => (),
    }
    std::fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let dir = &dir.canonicalize()?;
    let initramfs = dir.join("initramfs");
    initramfs::write(image, &initramfs)?;
    std::fs::write(dir.join("job"), script(image, job)?)?;

    let root = Share::start(Path::new("/"), "root", dir)?;
    let work = Share::start(dir, "job", dir)?;
    let modules = Share::start(&image.modules(), "modules", dir)?;
    let console = File::create(dir.join("console.log"))?;
    let mut qemu = ended_with_us("qemu-system-x86_64");
    qemu.args(arguments(size))
        .arg("-kernel")
        .arg(image.kernel())
        .arg("-initrd")
        .arg(&initramfs)
        .args([&root, &work, &modules].into_iter().flat_map(Share::device))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(console.try_clone()?);
    // The kernel's console goes to a file, the job's output to us.
    qemu.arg("-chardev").arg(format!(
        "file,id=console,path={}",
        dir.join("console.log").display()
    ));
    let started = Instant::now();
    let mut qemu = qemu.spawn().context("cannot start qemu-system-x86_64")?;
    let output = qemu.stdout.take().context("qemu has no output")?;
    let late = watch(&mut qemu, output, job.limit, &mut line)?;
    let lived = started.elapsed();
    Ok(Outcome {
        status: status(dir)?,
        late,
        lived,
    })
}

/// Reads the job's lines until the machine is off, by itself or because its time is over.
fn watch(
    qemu: &mut Child,
    output: impl std::io::Read + Send,
    limit: Duration,
    line: &mut impl FnMut(&str),
) -> Result<bool> {
    let end = Instant::now() + limit;
    let (send, lines) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for text in BufReader::new(output).split(b'\n').map_while(Result::ok) {
                let text = String::from_utf8_lossy(&text);
                if send.send(text.trim_end().to_owned()).is_err() {
                    break;
                }
            }
        });
        loop {
            match lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(text) => line(&text),
                Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => break,
                Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {
                    qemu.kill()?;
                    qemu.wait()?;
                    return Ok(true);
                }
            }
        }
        let ended = wait::until_true("the machine to switch itself off", GRACE, || {
            Ok(qemu.try_wait()?.is_some())
        });
        if ended.is_err() {
            qemu.kill()?;
            qemu.wait()?;
        }
        ended.map(|()| false)
    })
}

fn status(dir: &Path) -> Result<Option<i32>> {
    match std::fs::read_to_string(dir.join("status")) {
        Ok(text) => {
            let status = text.trim().parse();
            status
                .map(Some)
                .map_err(|_| anyhow!("the machine wrote the status {text:?}"))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).context("cannot read the job's status"),
    }
}

/// No device but what is named here.
fn arguments(size: Size) -> Vec<String> {
    let Size { memory, cpus } = size;
    let text = format!(
        "-nodefaults -no-user-config -display none -no-reboot -cpu max \
         -accel tcg,thread=multi -smp {cpus} -m {memory}M \
         -object memory-backend-memfd,id=memory,size={memory}M,share=on -numa node,memdev=memory \
         -serial chardev:console -device virtio-serial-pci -chardev stdio,id=job,signal=off \
         -device virtconsole,chardev=job -device virtio-rng-pci"
    );
    let mut words: Vec<_> = text
        .split_ascii_whitespace()
        .map(ToOwned::to_owned)
        .collect();
    words.push("-append".to_owned());
    words.push("console=ttyS0 quiet panic=-1".to_owned());
    words
}

/// The script that the machine runs in this machine's root.
fn script(image: &Image, job: &Job) -> Result<String> {
    let mut text = format!(
        "#!/bin/sh\nexport PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root\n\
         mkdir -p /usr/lib/modules/{version}\n\
         mount --bind /job-modules /usr/lib/modules/{version}\n\
         for module in {MODULES}; do modprobe \"$module\" || exit 1; done\n\
         ip link set lo up\n",
        version = image.version()
    );
    for (key, value) in &job.env {
        writeln!(text, "export {key}={}", quoted(value)?)?;
    }
    let directory = job.directory.to_str().context("a folder is not UTF-8")?;
    let command: Result<Vec<_>> = job.command.iter().map(|word| quoted(word)).collect();
    writeln!(text, "cd {} || exit 1", quoted(directory)?)?;
    writeln!(text, "{}", command?.join(" "))?;
    text.push_str(
        "status=$?\n\
         if [ $status != 0 ]; then\n\
         dmesg >/job/kernel.log\n\
         mkdir /job/logs\n\
         [ ! -d /run/culvert ] || (cd /run/culvert && find . -type f -exec cp --parents {} /job/logs \\;)\n\
         fi\n\
         echo $status >/job/status\n",
    );
    Ok(text)
}

/// A word that `sh` reads as it is.
fn quoted(word: &str) -> Result<String> {
    ensure!(!word.contains('\0'), "a word has a NUL");
    Ok(format!("'{}'", word.replace('\'', r"'\''")))
}

/// A command that is killed when this process ends, however it ends.
fn ended_with_us(program: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--", program]);
    command
}

/// Where a program is that distributions put into different folders.
fn program(candidates: &[&'static str], package: &str) -> Result<&'static str> {
    for candidate in candidates {
        if Path::new(candidate).is_file() {
            return Ok(candidate);
        }
    }
    bail!("{} is missing: apt-get install {package}", candidates[0])
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn a_word_with_anything_in_it_is_one_word_of_the_shell() {
        let word = r#"it's $HOME "and" `more` \ *"#;
        let line = format!("printf %s {}", quoted(word).unwrap());
        let output = std::process::Command::new("sh")
            .args(["-c", &line])
            .output();
        assert_eq!(output.unwrap().stdout, word.as_bytes());
        assert!(quoted("a\0b").is_err());
    }
}
