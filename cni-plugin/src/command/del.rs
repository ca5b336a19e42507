// SPDX-License-Identifier: Apache-2.0
//! DEL: whatever is left of an attachment goes; nothing left is success.

use crate::database::Database;
use crate::link;
use crate::request::Del;
use crate::spec::Error;

pub(super) async fn run(del: &Del) -> Result<(), Error> {
    let host_link = del.attachment.host_link();
    // The port first: its flows are gone before its port number can be given to another Pod.
    let port = async {
        Database::connect(&del.conf.ovsdb)
            .await?
            .detach(&host_link)
            .await
    }
    .await;
    let link = link::delete_link(&host_link).await;
    match (port, link) {
        (Ok(()), Ok(())) => Ok(()),
        (Ok(()), Err(link)) => Err(link.into()),
        (Err(port), Ok(())) => Err(port.into()),
        (Err(port), Err(link)) => {
            let mut error = Error::from(port);
            error.add_detail(link.to_string());
            Err(error)
        }
    }
}
