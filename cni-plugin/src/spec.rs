// SPDX-License-Identifier: Apache-2.0
//! The words of the CNI specification 1.1.0: versions, environment, configuration, results, errors.

mod conf;
mod env;
mod error;
mod mac;
mod result;
mod version;

pub(crate) use conf::parse_object;
pub use conf::{ConfError, NetConf, ValidAttachment};
pub use env::{Command, Environment, PodArgs};
pub use error::{Code, Error};
pub use mac::MacAddress;
pub use result::{AttachmentResult, Interface, Ip, Route};
pub use version::SpecVersion;
