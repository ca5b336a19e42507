// SPDX-License-Identifier: Apache-2.0
//! The network configuration on stdin (CNI 1.1.0, section 1).

use std::time::Duration;

use ovsdb_client::Remote;
use serde::Deserialize;
use serde_json::Value;

use crate::contract::{DEFAULT_BRIDGE, DEFAULT_OVSDB};
use crate::spec::env::{is_identifier, is_ifname};
use crate::spec::{AttachmentResult, Code, Error, SpecVersion};

const DEFAULT_READY_TIMEOUT_SECONDS: u64 = 30;
const MAX_READY_TIMEOUT_SECONDS: u64 = 600;

/// A valid configuration.
#[derive(Clone, Debug)]
pub struct NetConf {
    /// `cniVersion`
    pub version: SpecVersion,
    /// `name`
    pub name: String,
    /// `ovsdb`: where ovsdb-server listens.
    pub ovsdb: Remote,
    /// `bridge`: the integration bridge.
    pub bridge: String,
    /// `readyTimeoutSeconds`: how long ADD waits for the Pod to become ready.
    pub ready_timeout: Duration,
    /// `prevResult`: what ADD returned, or what the plugin before this one did.
    pub prev_result: Option<AttachmentResult>,
    /// `cni.dev/valid-attachments`: what GC keeps.
    pub valid_attachments: Option<Vec<ValidAttachment>>,
}

/// An attachment the runtime still knows.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub struct ValidAttachment {
    /// CNI_CONTAINERID
    #[serde(rename = "containerID")]
    pub container_id: String,
    /// CNI_IFNAME
    pub ifname: String,
}

/// A configuration that was refused, and the version to report it in.
#[derive(Clone, Debug)]
pub struct ConfError {
    /// The version of the configuration, if that much could be read, else the newest.
    pub version: SpecVersion,
    /// What is wrong.
    pub error: Error,
}

#[derive(Deserialize)]
struct RawConf {
    name: String,
    #[serde(rename = "type")]
    plugin: String,
    ovsdb: Option<String>,
    bridge: Option<String>,
    #[serde(rename = "readyTimeoutSeconds")]
    ready_timeout_seconds: Option<u64>,
    ipam: Option<Value>,
    #[serde(rename = "prevResult")]
    prev_result: Option<AttachmentResult>,
    #[serde(rename = "cni.dev/valid-attachments")]
    valid_attachments: Option<Vec<ValidAttachment>>,
}

impl NetConf {
    /// Reads a configuration. Fields this plugin does not know are left to others.
    ///
    /// # Errors
    /// [`Code::Decode`] if `stdin` is no JSON object, [`Code::IncompatibleVersion`],
    /// [`Code::UnsupportedField`] if it asks for an IPAM plugin, else [`Code::InvalidConfig`].
    pub fn parse(stdin: &[u8]) -> Result<Self, ConfError> {
        let newest = |error| ConfError {
            version: SpecVersion::NEWEST,
            error,
        };
        let object = parse_object(stdin).map_err(newest)?;
        let version = parse_version(&object).map_err(newest)?;
        Self::from_object(version, object).map_err(|error| ConfError { version, error })
    }

    fn from_object(version: SpecVersion, object: Value) -> Result<Self, Error> {
        let raw: RawConf = serde_json::from_value(object)
            .map_err(|error| invalid(format!("network configuration: {error}")))?;
        if !is_identifier(&raw.name) {
            return Err(invalid(format!(
                "name {:?} is malformed; it begins with a letter or digit and continues with \
                 letters, digits, _, . and -",
                raw.name
            )));
        }
        if raw.plugin.is_empty() {
            return Err(invalid(
                "type is empty; write the name of this plugin's file".to_owned(),
            ));
        }
        refuse_ipam(raw.ipam.as_ref())?;
        let bridge = raw.bridge.unwrap_or_else(|| DEFAULT_BRIDGE.to_owned());
        if !is_ifname(&bridge) {
            return Err(invalid(format!("bridge {bridge:?} is no name of a bridge")));
        }
        let ovsdb = raw.ovsdb.as_deref().unwrap_or(DEFAULT_OVSDB);
        Ok(Self {
            version,
            name: raw.name,
            ovsdb: ovsdb
                .parse()
                .map_err(|error| invalid(format!("ovsdb: {error}")))?,
            bridge,
            ready_timeout: ready_timeout(raw.ready_timeout_seconds)?,
            prev_result: raw.prev_result,
            valid_attachments: raw.valid_attachments,
        })
    }
}

/// The object on stdin.
pub(crate) fn parse_object(stdin: &[u8]) -> Result<Value, Error> {
    match serde_json::from_slice(stdin) {
        Ok(object @ Value::Object(_)) => Ok(object),
        Ok(_) => Err(decode("stdin holds JSON that is no object".to_owned())),
        Err(error) => Err(decode(format!("stdin is no JSON: {error}"))),
    }
}

/// `cniVersion` of the object on stdin.
pub(crate) fn parse_version(object: &Value) -> Result<SpecVersion, Error> {
    match object.get("cniVersion") {
        Some(Value::String(text)) => SpecVersion::parse(text),
        Some(_) => Err(invalid("cniVersion is no string".to_owned())),
        // The specification gave configurations without a version the meaning of 0.1.0.
        None => SpecVersion::parse("0.1.0"),
    }
}

fn refuse_ipam(ipam: Option<&Value>) -> Result<(), Error> {
    match ipam.and_then(|ipam| ipam.get("type")) {
        None => Ok(()),
        Some(kind) => Err(Error::new(
            Code::UnsupportedField,
            format!("ipam.type is {kind}; this plugin chooses addresses itself: remove ipam"),
        )),
    }
}

fn ready_timeout(seconds: Option<u64>) -> Result<Duration, Error> {
    let seconds = seconds.unwrap_or(DEFAULT_READY_TIMEOUT_SECONDS);
    if (1..=MAX_READY_TIMEOUT_SECONDS).contains(&seconds) {
        return Ok(Duration::from_secs(seconds));
    }
    Err(invalid(format!(
        "readyTimeoutSeconds is {seconds}; write 1 to {MAX_READY_TIMEOUT_SECONDS}"
    )))
}

fn invalid(message: String) -> Error {
    Error::new(Code::InvalidConfig, message)
}

fn decode(message: String) -> Error {
    Error::new(Code::Decode, message)
}
