// SPDX-License-Identifier: Apache-2.0
//! From environment and stdin to one valid request, before anything is touched.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::spec::{
    AttachmentResult, Code, Command, ConfError, Environment, Error, NetConf, PodArgs, SpecVersion,
    ValidAttachment,
};

/// A link name fits 15 bytes: this prefix and 52 bits of a hash.
const HOST_LINK_PREFIX: &str = "cv";
const HOST_LINK_DIGITS: usize = 13;

/// One valid call.
#[derive(Clone, Debug)]
pub enum Request {
    /// ADD
    Add(Add),
    /// DEL
    Del(Del),
    /// CHECK
    Check(Check),
    /// GC
    Gc(Gc),
    /// STATUS
    Status(NetConf),
    /// VERSION: the version to report in.
    Version(String),
}

/// Attach a Pod.
#[derive(Clone, Debug)]
pub struct Add {
    /// The configuration.
    pub conf: NetConf,
    /// What is attached.
    pub attachment: Attachment,
    /// CNI_NETNS
    pub netns: PathBuf,
    /// Whose interface it is.
    pub pod: PodArgs,
}

/// Detach a container. Its namespace may be gone already, so it is not asked for.
#[derive(Clone, Debug)]
pub struct Del {
    /// The configuration.
    pub conf: NetConf,
    /// What is detached.
    pub attachment: Attachment,
}

/// Verify an attachment.
#[derive(Clone, Debug)]
pub struct Check {
    /// The configuration.
    pub conf: NetConf,
    /// What is verified.
    pub attachment: Attachment,
    /// CNI_NETNS
    pub netns: PathBuf,
    /// What ADD returned.
    pub prev_result: AttachmentResult,
}

/// Remove all attachments but these.
#[derive(Clone, Debug)]
pub struct Gc {
    /// The configuration.
    pub conf: NetConf,
    /// What stays.
    pub valid: Vec<ValidAttachment>,
}

/// One interface of one container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// CNI_CONTAINERID
    pub container_id: String,
    /// CNI_IFNAME
    pub ifname: String,
}

/// A call that was refused, and the version to report it in.
pub type Refused = ConfError;

impl Attachment {
    /// The name of the link on the node, of its Port and of its Interface: a hash of the
    /// attachment, so that DEL needs nothing else to find them.
    pub fn host_link(&self) -> String {
        let hash = self.hash().to_hex();
        let digits = hash.get(..HOST_LINK_DIGITS).unwrap_or_default();
        format!("{HOST_LINK_PREFIX}{digits}")
    }

    /// A number that spreads attachments evenly over `0..2^64`, different for each `salt`.
    pub fn spread(&self, salt: u32) -> u64 {
        let mut hasher = blake3::Hasher::new();
        hasher
            .update(self.hash().as_bytes())
            .update(&salt.to_be_bytes());
        let mut bytes = [0; 8];
        hasher.finalize_xof().fill(&mut bytes);
        u64::from_be_bytes(bytes)
    }

    fn hash(&self) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new();
        hasher
            .update(self.container_id.as_bytes())
            .update(&[0])
            .update(self.ifname.as_bytes());
        hasher.finalize()
    }
}

impl Request {
    /// Reads a call.
    ///
    /// # Errors
    /// The code the specification gives to what is missing or malformed, naming it.
    pub fn parse(environment: &Environment, stdin: &[u8]) -> Result<Self, Refused> {
        let newest = |error| Refused {
            version: SpecVersion::NEWEST,
            error,
        };
        let command = environment.command().map_err(newest)?;
        if command == Command::Version {
            return version_asked(stdin).map(Self::Version).map_err(newest);
        }
        let conf = NetConf::parse(stdin)?;
        let version = conf.version;
        Self::with_conf(command, conf, environment).map_err(|error| Refused { version, error })
    }

    /// The version to answer in.
    pub const fn version(&self) -> SpecVersion {
        match self {
            Self::Add(add) => add.conf.version,
            Self::Del(del) => del.conf.version,
            Self::Check(check) => check.conf.version,
            Self::Gc(gc) => gc.conf.version,
            Self::Status(conf) => conf.version,
            Self::Version(_) => SpecVersion::NEWEST,
        }
    }

    fn with_conf(
        command: Command,
        mut conf: NetConf,
        environment: &Environment,
    ) -> Result<Self, Error> {
        conf.version.allows(command)?;
        match command {
            Command::Add => Ok(Self::Add(Add {
                attachment: attachment(environment)?,
                netns: environment.netns()?,
                pod: environment.pod()?,
                conf,
            })),
            Command::Del => Ok(Self::Del(Del {
                attachment: attachment(environment)?,
                conf,
            })),
            Command::Check => Ok(Self::Check(Check {
                attachment: attachment(environment)?,
                netns: environment.netns()?,
                prev_result: conf.prev_result.take().ok_or_else(|| {
                    missing("prevResult", "CHECK compares with what ADD returned")
                })?,
                conf,
            })),
            Command::Gc => {
                environment.path()?;
                let valid = conf.valid_attachments.take().ok_or_else(|| {
                    missing(
                        "cni.dev/valid-attachments",
                        "GC would remove every attachment",
                    )
                })?;
                Ok(Self::Gc(Gc { conf, valid }))
            }
            Command::Status => Ok(Self::Status(conf)),
            Command::Version => Ok(Self::Version(conf.version.as_str().to_owned())),
        }
    }
}

/// What VERSION prints.
pub fn version_reply(asked: &str) -> Value {
    json!({"cniVersion": asked, "supportedVersions": SpecVersion::ALL.map(SpecVersion::as_str)})
}

/// The version VERSION answers in: the one asked in. A runtime of any version may ask, so it need
/// not be one of ours, and older runtimes send nothing.
fn version_asked(stdin: &[u8]) -> Result<String, Error> {
    if stdin.iter().all(u8::is_ascii_whitespace) {
        return Ok(SpecVersion::NEWEST.as_str().to_owned());
    }
    match crate::spec::parse_object(stdin)?.get("cniVersion") {
        Some(Value::String(text)) => Ok(text.clone()),
        Some(_) => Err(Error::new(Code::InvalidConfig, "cniVersion is no string")),
        None => Ok(SpecVersion::NEWEST.as_str().to_owned()),
    }
}

fn attachment(environment: &Environment) -> Result<Attachment, Error> {
    Ok(Attachment {
        container_id: environment.container_id()?.to_owned(),
        ifname: environment.ifname()?.to_owned(),
    })
}

fn missing(field: &str, reason: &str) -> Error {
    Error::new(Code::InvalidConfig, format!("{field} is missing: {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attachment(container_id: &str, ifname: &str) -> Attachment {
        Attachment {
            container_id: container_id.to_owned(),
            ifname: ifname.to_owned(),
        }
    }

    #[test]
    fn host_link_fits_a_linux_interface_name_and_depends_on_container_and_ifname() {
        let link = attachment("abc", "eth0").host_link();
        assert_eq!(link.len(), 15);
        assert!(link.starts_with("cv"));
        assert_ne!(link, attachment("abd", "eth0").host_link());
        assert_ne!(link, attachment("abc", "eth1").host_link());
        assert_ne!(
            attachment("ab", "ceth0").host_link(),
            attachment("abc", "eth0").host_link()
        );
    }

    #[test]
    fn host_link_never_changes_between_releases() {
        assert_eq!(attachment("abc", "eth0").host_link(), "cv27980b73a837a");
    }
}
