// SPDX-License-Identifier: Apache-2.0
//! GC: attachments the runtime no longer knows go, as many as possible.

use crate::database::Database;
use crate::link;
use crate::request::Gc;
use crate::spec::{Code, Error};

pub(super) async fn run(gc: &Gc) -> Result<(), Error> {
    let database = Database::connect(&gc.conf.ovsdb).await?;
    let stale = database.stale(&gc.conf.bridge, &gc.valid).await?;
    database
        .detach_all(&stale.iter().map(|one| one.port).collect())
        .await?;
    let mut failures = Vec::new();
    for one in &stale {
        if let Err(error) = link::delete_link(&one.host_link).await {
            failures.push(error.to_string());
        }
    }
    if failures.is_empty() {
        return Ok(());
    }
    let message = format!(
        "{} of {} stale links are left behind",
        failures.len(),
        stale.len()
    );
    let mut error = Error::new(Code::Link, message);
    for failure in failures {
        error.add_detail(failure);
    }
    Err(error)
}
