// SPDX-License-Identifier: Apache-2.0
//! Running a request: the order of steps, and what is printed.

mod add;
mod check;
mod del;
mod gc;
mod undo;

use serde_json::Value;

use crate::database::{Database, DatabaseError};
use crate::link::LinkError;
use crate::node::NotReady;
use crate::request::{Request, version_reply};
use crate::spec::{Code, Error, NetConf};

/// Runs a request and returns what to print, if anything.
///
/// # Errors
/// The error to print. ADD has then taken back what it did; its details name what could not be.
pub async fn run(request: &Request) -> Result<Option<Value>, Error> {
    match request {
        Request::Add(add) => add::run(add).await.map(Some),
        Request::Del(del) => del::run(del).await.map(|()| None),
        Request::Check(check) => check::run(check).await.map(|()| None),
        Request::Gc(gc) => gc::run(gc).await.map(|()| None),
        Request::Status(conf) => status(conf).await.map(|()| None),
        Request::Version(asked) => Ok(Some(version_reply(asked))),
    }
}

/// STATUS: whether ADD could be served.
async fn status(conf: &NetConf) -> Result<(), Error> {
    let answer = async {
        Database::connect(&conf.ovsdb)
            .await?
            .status(&conf.bridge)
            .await
    };
    answer
        .await
        .map_err(|error| Error::new(Code::NotAvailable, error.to_string()))
}

impl From<DatabaseError> for Error {
    fn from(error: DatabaseError) -> Self {
        use DatabaseError as E;
        let code = match &error {
            E::Client { .. }
            | E::Silent(_)
            | E::NotReady(_)
            | E::Exhausted(_)
            | E::TooManyConflicts
            | E::Gone(_)
            | E::NotReadyInTime { .. } => Code::TryAgain,
            E::Refused(_)
            | E::NameTaken(_)
            | E::PortFailed { .. }
            | E::ControllerRefuses { .. } => Code::Port,
            E::Row(_) => Code::Io,
        };
        Self::new(code, error.to_string())
    }
}

impl From<NotReady> for Error {
    fn from(error: NotReady) -> Self {
        Self::new(Code::TryAgain, error.to_string())
    }
}

impl From<LinkError> for Error {
    fn from(error: LinkError) -> Self {
        let code = match &error {
            LinkError::NetnsMissing(_) => Code::ContainerUnknown,
            LinkError::NetnsUnusable { .. } | LinkError::NetnsOfNode(_) => Code::InvalidEnvironment,
            LinkError::Thread(_) => Code::Io,
            LinkError::NoLink(_) | LinkError::Exists(_) | LinkError::Kernel { .. } => Code::Link,
        };
        Self::new(code, error.to_string())
    }
}
