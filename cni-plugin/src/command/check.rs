// SPDX-License-Identifier: Apache-2.0
//! CHECK: reads kernel and OVSDB, and lets [`crate::check`] compare.

use crate::check::{Observed, differences};
use crate::database::Database;
use crate::link::{self, Netns};
use crate::request::Check;
use crate::spec::{Code, Error};

pub(super) async fn run(check: &Check) -> Result<(), Error> {
    let netns = Netns::open(&check.netns)?;
    let database = Database::connect(&check.conf.ovsdb).await?;
    let observed = Observed {
        host: link::inspect_host(&check.attachment.host_link()).await?,
        pod: link::inspect_pod(&netns, &check.attachment.ifname).await?,
        port: database.port(&check.attachment).await?,
    };
    let differences = differences(&check.prev_result, &check.attachment, &observed);
    if differences.is_empty() {
        return Ok(());
    }
    let attachment = &check.attachment;
    let mut error = Error::new(
        Code::Mismatch,
        format!(
            "interface {} of container {} is not as ADD left it; restart the Pod",
            attachment.ifname, attachment.container_id
        ),
    );
    for difference in differences {
        error.add_detail(difference);
    }
    Err(error)
}
