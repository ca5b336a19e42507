// SPDX-License-Identifier: Apache-2.0
//! What each open request needs when its reply comes, and how a request can fail.

use serde_json::Value;

use crate::monitor::{Followed, MonitorRequest, MonitorRequestError, UpdateError, UpdateFormat};
use crate::rpc::error_text;
use crate::schema::SchemaError;
use crate::transaction::{OutcomeError, ResultShape};

/// A request without reply yet.
#[derive(Debug)]
pub(super) enum Pending {
    Transact(ResultShape),
    Schema {
        database: String,
    },
    SchemaForMonitor {
        database: String,
        request: MonitorRequest,
    },
    Monitor {
        database: String,
        followed: Followed,
        format: UpdateFormat,
    },
    AbandonedMonitor,
}

/// A request that got no usable answer; the connection goes on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The server refused it.
    #[error("the OVSDB server refused {method}: {error}")]
    Refused {
        /// The method.
        method: &'static str,
        /// The words of the server.
        error: String,
    },
    /// Too many requests and monitors are open on the connection.
    #[error("{0} requests are open on one OVSDB connection; wait for replies")]
    TooMany(usize),
    /// The monitor asks for something the schema does not have.
    #[error(transparent)]
    Monitor(#[from] MonitorRequestError),
    /// The server's schema cannot be read.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// The server's answer to a transaction does not fit it.
    #[error("answer to transact: {0}")]
    Outcome(#[from] OutcomeError),
    /// The server's update of a monitor cannot be read.
    #[error(transparent)]
    Update(#[from] UpdateError),
}

impl RequestError {
    pub(super) fn refused(method: &'static str, error: &Value) -> Self {
        Self::Refused {
            method,
            error: error_text(error),
        }
    }
}
